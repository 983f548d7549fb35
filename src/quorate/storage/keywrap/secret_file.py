"""Reading a file that holds a secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from quorate.errors import Locked

MAX_SIZE = 4096


def read_secret(path: Path, what: str) -> bytes:
    """The file's bytes. Docker and systemd mount secrets readable by all (0444), so only others' writing is refused."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise Locked(f"ST-2.2 source: {what} {path}: {error.strerror}") from error
    if stat.S_ISREG(mode) and mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Locked(f"ST-2.2 source: {what} {path}: others may change it: chmod 600 {path}")
    if not data:
        raise Locked(f"ST-2.2 source: {what} {path} is empty")
    if len(data) > MAX_SIZE:
        raise Locked(f"ST-2.2 source: {what} {path} is over {MAX_SIZE} bytes: not a secret")
    return data
