"""Tell the story once for every commit point, each time in a process that is killed there.

Run as a program, so that the processes it forks have no threads of the test runner's. Prints the names of the points.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.storage.story import tell


def main(home: Path) -> None:
    home.mkdir()
    for point in range(1000):
        directory = home / str(point)
        directory.mkdir(mode=0o700)
        child = os.fork()
        if child == 0:
            tell_until(point, directory)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit(f"point {point}: the child ended with status {status}")
        print((directory / "point").read_text())


def tell_until(point: int, directory: Path) -> None:
    passed = 0

    def kill(name: str) -> None:
        nonlocal passed
        if passed == point:
            (directory / "point").write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    for _ in tell(directory, kill):
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
