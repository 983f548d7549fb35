"""A node that can be told to die: the whole product, with SIGKILL at the Nth commit or message from now.

    QUORATE_HOME=... python -m tests.crash.daemon

SIGUSR1 reads ``failpoint`` in the home, a number: 0 only counts. Every store commit is two points, before and after
it; every statement or envelope is one, right before it leaves or right after it has come in. ``points`` then holds the
number passed since; ``died-at`` names the one that killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from quorate.identifiers import DeviceId
from quorate.node import daemon
from quorate.node.home import home_of


class Failpoint:
    """Counts points; at the one it is set to, the process is gone. Points are passed in several threads."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.RLock()  # the signal may come while its own thread passes a point
        self._armed = False
        self._fatal = 0
        self._passed = 0

    def arm(self, *_: object) -> None:
        with self._lock:
            self._fatal = int((self._home / "failpoint").read_text())
            self._passed, self._armed = 0, True
            self._write("points", "0")
            self._write("armed", str(self._fatal))

    def on_commit(self, name: str) -> None:
        self._pass(f"commit {name}")

    def on_message(self, direction: Literal["send", "receive"], peer: DeviceId, size: int) -> None:
        self._pass(f"{direction} {peer} {size}")

    def _pass(self, point: str) -> None:
        with self._lock:
            if not self._armed:
                return
            self._passed += 1
            if self._passed == self._fatal:
                self._write("died-at", point)
                os.kill(os.getpid(), signal.SIGKILL)
            self._write("points", str(self._passed))

    def _write(self, name: str, text: str) -> None:
        path = self._home / f"{name}.new"
        path.write_text(text)
        path.rename(self._home / name)


def main() -> None:
    home = home_of(None)
    failpoint = Failpoint(home)
    signal.signal(signal.SIGUSR1, failpoint.arm)

    def ready(news: daemon.Ready) -> None:
        print(json.dumps(asdict(news)), flush=True)

    asyncio.run(daemon.run(home, ready=ready, on_commit=failpoint.on_commit, observer=failpoint.on_message))


if __name__ == "__main__":
    main()
