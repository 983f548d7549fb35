"""The README's walk-through, run as a person would: one shell, real processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from quorate.cli.cluster import free_ports
from tests.docs.readme_commands import README, commands

ROOT = README.parent
PORT = re.compile(r"\b7[123][01][0-3]\b")
PATIENCE = 300


def test_three_nodes_by_hand_go_as_the_readme_says(tmp_path: Path) -> None:
    script = on_free_ports(commands("walkthrough", README.read_text()))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{commands_in(tmp_path)}:{os.environ['PATH']}",
    }
    said, complained = tmp_path / "said", tmp_path / "complained"
    with said.open("w") as out, complained.open("w") as errors:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
            start_new_session=True,
        )  # fmt: skip
        try:
            code: int | str = shell.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = f"not done after {PATIENCE} s"
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    assert code == 0, said.read_text() + complained.read_text()
    text = said.read_text()
    assert text.count("is ready") == 3
    assert text.count("COMPLETED") >= 5
    assert "recovery id" in text  # an ECDSA signature in its usual form, and one in DER
    assert len(re.findall(r"^30[0-9a-f]{130,142}$", text, re.MULTILINE)) == 1
    assert text.count("bc1q") == 3
    assert "refused, as it should be" in text


def on_free_ports(script: str) -> str:
    named = list(dict.fromkeys(PORT.findall(script)))
    ports = dict(zip(named, map(str, free_ports(len(named))), strict=True))
    assert len(ports) == 10
    return PORT.sub(lambda match: ports[match[0]], script)


def commands_in(directory: Path) -> Path:
    """A directory with the commands `quorate` and `python` of this very tree and interpreter."""
    found = directory / "bin"
    found.mkdir()
    for name, what in (("quorate", "-m quorate"), ("python", "")):
        command = found / name
        command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT / "src"}" exec "{sys.executable}" {what} "$@"\n')
        command.chmod(0o755)
    return found
