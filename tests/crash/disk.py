"""A disk that forgets what was not synced, for stores of this process (``powercut.c``, preloaded)."""

from __future__ import annotations

import ctypes
import os
import random
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Literal

SOURCE = Path(__file__).with_name("powercut.c")
SECTOR = 512
STORE = "store.db"
FILES = (STORE, f"{STORE}-wal")
KINDS = {"fsync": 1, "full": 2}


def build(folder: Path) -> Path:
    """The library to preload."""
    made = folder / "powercut.so"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    command = [compiler, *flags, str(SOURCE), "-o", str(made), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return made


def preloaded(library: Path) -> dict[str, str]:
    """The environment of a process that loses what it does not sync."""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": paths}


class Disk:
    """``root`` is where the stores are. Of a store's folder, ``keep`` says that what is there now is durable."""

    def __init__(self, root: Path) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.powercut_failed.restype = ctypes.c_long
        self._library.powercut_synced.restype = ctypes.c_long
        self._library.powercut_watch(str(root).encode())

    @property
    def synced(self) -> int:
        return int(self._library.powercut_synced())

    @property
    def failed(self) -> int:
        """Calls that failed since ``fault``."""
        return int(self._library.powercut_failed())

    def fault(self, folder: Path, kind: Literal["fsync", "full"], count: int) -> None:
        self._library.powercut_fault(str(folder).encode(), KINDS[kind], count)

    def keep(self, folder: Path) -> None:
        for name in FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, folder / f"{name}.durable")

    def after_power_cut(self, folder: Path, to: Path, *, torn: random.Random | None = None) -> None:
        """Make in ``to`` what the disk would hold of ``folder``; of a ``torn`` one some sectors that were written and
        not synced are there as well."""
        to.mkdir(mode=0o700)
        self._library.powercut_freeze()
        try:
            for name in FILES:
                durable, now = folder / f"{name}.durable", folder / name
                was = durable.read_bytes() if durable.exists() else b""
                if torn is not None and now.exists():
                    was = mixed(was, now.read_bytes(), torn)
                if was:
                    write_private(to / name, was)
                    write_private(to / f"{name}.durable", was)
        finally:
            self._library.powercut_thaw()

    def after_exit(self, folder: Path, to: Path) -> None:
        """Make in ``to`` what another process would find: a kernel that lives forgets nothing."""
        to.mkdir(mode=0o700)
        for name in FILES:
            if (folder / name).exists():
                write_private(to / name, (folder / name).read_bytes())
        self.keep(to)


def mixed(was: bytes, now: bytes, rng: random.Random) -> bytes:
    """Each sector as it was or as it is to be. One that only the longer of the two has may be missing at the end."""
    size = max(len(was), len(now))
    kept = bytearray()
    for at in range(0, size, SECTOR):
        either = (was[at : at + SECTOR], now[at : at + SECTOR])
        chosen = either[rng.randrange(2)]
        if not chosen:
            break
        kept += chosen
    return bytes(kept)


def write_private(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o600)
