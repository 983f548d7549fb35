"""``quorate run`` with something wrong about the machine or the release, as JSON in ``ALTERED`` says."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from quorate.ceremony import greetings, statements
from quorate.ceremony.ceremonies import Ceremonies
from quorate.ceremony.versions import Versions
from quorate.cli.main import run
from quorate.node import daemon, wiring
from quorate.node.daemon import Ready
from quorate.node.doctor import machine
from quorate.node.entropy import SystemClock
from quorate.node.home import home_of

NOBODY = 65534
COMMAND = (sys.executable, str(Path(__file__)))


def alter(
    *,
    clock_ahead_ms: int = 0,
    version: str | None = None,
    protocols: tuple[int, int] | None = None,
    free_bytes: int | None = None,
    epochs_ahead: int | None = None,
    loses_home: bool = False,
) -> None:
    class Clock(SystemClock):
        def now_ms(self) -> int:
            return time.time_ns() // 1_000_000 + clock_ahead_ms

    def head(**fields: Any) -> statements.VaultHead:
        fields["epoch"] += epochs_ahead
        return statements.VaultHead(**fields | {"certificate": bytes(32)})

    def ready(**fields: Any) -> daemon.Ready:
        """From here on the home is not this process's to write, not even as root."""
        home_of(None).chmod(0o500)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
        return Ready(**fields)

    put(wiring, "SystemClock", Clock)
    if loses_home:
        put(daemon, "Ready", ready)
    if version is not None:
        put(wiring, "program_version", lambda: version)
    if protocols is not None:
        put(wiring, "Ceremonies", partial(Ceremonies, versions=Versions(*protocols)))
    if free_bytes is not None:
        put(machine, "free_bytes", lambda _: free_bytes)
    if epochs_ahead is not None:
        put(greetings, "VaultHead", head)


def put(module: ModuleType, name: str, value: object) -> None:
    if not hasattr(module, name):
        raise AttributeError(f"{module.__name__} has no {name} to alter")
    setattr(module, name, value)


if __name__ == "__main__":
    alter(**json.loads(os.environ["ALTERED"]))
    sys.exit(run(["run", "--json"]))
