"""Machines: copies of deploy/ with a `docker` of processes, each in a home of its own."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.readme_commands import commands

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text()
PATIENCE = 240.0
QUESTION = b"read out the same?"


@dataclass(slots=True)
class Machine:
    """A directory in which deploy/'s commands are run, with nothing of the caller's environment."""

    folder: Path
    programs: Path

    def does(self, block: str, operation: str = "") -> str:
        """Run a block of deploy/README.md at a terminal, about an operation; yes to every fingerprint. What it said."""
        return self.run(commands(block, README).replace("OPERATION", operation))

    def run(self, script: str) -> str:
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        said, answered, ends = b"", 0, time.monotonic() + PATIENCE
        os.set_blocking(ours, False)
        try:
            while shell.poll() is None and time.monotonic() < ends:
                said += read(ours)
                if said.count(QUESTION) > answered:
                    answered += 1
                    os.write(ours, b"y\n")
                time.sleep(0.02)
            said += read(ours)
        finally:
            shell.kill()
            shell.wait()
            os.close(ours)
        text = said.decode(errors="replace").replace("\r\n", "\n")
        assert shell.returncode == 0, f"{script}\nended with {shell.returncode}:\n{text}"
        return text

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.programs}:{os.environ['PATH']}", "HOME": str(self.folder), "TERM": "dumb"}


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # nothing there now, or the other side is gone
        return b""


@pytest.fixture
def root() -> Iterator[Path]:
    """Short, for Unix sockets: pytest's own folders can be too long."""
    with tempfile.TemporaryDirectory(prefix="q") as folder:
        yield Path(folder)


@pytest.fixture
def programs(root: Path) -> Path:
    return programs_in(root)


def programs_in(root: Path) -> Path:
    """`docker`, and what an application's host has: `quorate` and `python`."""
    folder = root / "bin"
    folder.mkdir()
    source = ROOT / "src"
    for name, command in (
        ("docker", f'"{sys.executable}" "{Path(__file__).with_name("docker.py")}"'),
        ("quorate", f'env PYTHONPATH="{source}" "{sys.executable}" -m quorate'),
        ("quorate-recover", f'env PYTHONPATH="{source}" "{sys.executable}" -m quorate.recovery.main'),
        ("python", f'"{sys.executable}"'),
    ):
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def machine(folder: Path, programs: Path) -> Machine:
    """A fresh copy of deploy/."""
    shutil.copytree(ROOT / "deploy", folder, ignore=shutil.ignore_patterns(".env", ".docker", "*.json"))
    return Machine(folder, programs)
