"""Restore once for every commit point, each time in a process that is killed there. Prints the names of the points.

Run as a program, so that the processes it forks have no threads of the test runner's: HOMES KEY FILES...
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from quorate.node import restoring
from quorate.recovery.locks import RecoveryKey


def main(homes: Path, key: Path, files: list[Path]) -> None:
    for point in range(1000):
        home = homes / str(point)
        home.mkdir(mode=0o700)
        child = os.fork()
        if child == 0:
            copies = restoring.gather(files, [RecoveryKey.of(key.read_bytes(), str(key))])
            restoring.restore(home, copies, on_commit=Killer(point))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit(f"point {point}: the child ended with status {status}")
        print(point)


class Killer:
    def __init__(self, point: int) -> None:
        self._left = point

    def __call__(self, name: str) -> None:
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [Path(each) for each in sys.argv[3:]])
