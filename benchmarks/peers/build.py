"""Builds a peer's program, or says why this machine cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TypeAlias

from benchmarks.harness import ROOT, Skipped
from benchmarks.peers.programs import HERE, Language, Program

BUILD = ROOT / "build" / "peers"
KEPT = BUILD / "kept"  # keys that take minutes to make
PATIENCE = 3600  # seconds

Command: TypeAlias = tuple[str, ...]


def built(program: Program) -> Command | Skipped:
    """What starts the program."""
    for tool in program.tools:
        if shutil.which(tool) is None:
            return Skipped(name=program.name, reason=f"{tool} is not installed")
    KEPT.mkdir(parents=True, exist_ok=True)
    match program.language:
        case Language.PYTHON:
            return (program.tools[0], "-m", program.package)
        case Language.GO:
            made = BUILD / "go" / program.package
            build: Command = ("go", "build", "-mod=readonly", "-o", f"{made}", f"./{program.package}")
            environment = {"GOTOOLCHAIN": "local"}
        case Language.RUST:
            made = BUILD / "rust" / "release" / f"time-{program.package}"
            build = ("cargo", "build", "--quiet", "--release", "--locked", "--package", made.name)
            environment = {"CARGO_TARGET_DIR": f"{BUILD / 'rust'}"}
    reason = failure(build, HERE / program.language.lower(), environment)
    return Skipped(name=program.name, reason=reason) if reason else (f"{made}", f"{KEPT}")


def failure(build: Command, directory: os.PathLike[str], environment: dict[str, str]) -> str:
    """Why a build failed, in a line; nothing where it did not."""
    try:
        done = subprocess.run(
            build,
            cwd=directory,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"building took over {PATIENCE} s"
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("error")] or lines[-1:] or ["no word why"]
    return f"`{' '.join(build[:2])}` failed: {telling[0][:200]}"
