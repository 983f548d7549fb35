"""``quorate demo`` as a process: what it claims is checked from outside, and nothing of it is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.verify_demo import verify

pytestmark = pytest.mark.xdist_group("demo")

DEMO = (sys.executable, "-m", "quorate", "demo")


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A Unix socket's path has to fit in 107 bytes, and pytest's own folders can be longer."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def heed_interrupts() -> None:
    """A shell starts what it puts in the background, tests as well, with SIGINT ignored; so would be the demo's."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(temporary: Path) -> dict[str, str]:
    modules = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": modules, "TMPDIR": str(temporary)}


def test_every_claim_of_the_demo_holds_and_it_cleans_up(short_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--json"],
        env=environment(short_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    verify(done.stdout.splitlines())
    assert list(short_path.iterdir()) == []
    for process in processes_of(done.stdout.splitlines()[0]):
        assert not Path(f"/proc/{process}").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing_behind(short_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [*DEMO, "--json"],
        env=environment(short_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    ) as demo:
        assert demo.stdout is not None
        first = demo.stdout.readline()
        demo.send_signal(number)
        _, complained = demo.communicate(timeout=60)
    assert first, complained
    assert demo.returncode not in (0, -number)
    assert "Traceback" not in complained
    assert list(short_path.iterdir()) == []
    for process in processes_of(first):
        assert not Path(f"/proc/{process}").exists()


def processes_of(start: str) -> list[int]:
    line = json.loads(start)
    assert line["step"] == "start"
    return [line["approver"]["pid"], *(node["pid"] for node in line["nodes"])]
