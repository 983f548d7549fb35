"""Files that a command is to write at its end: looked at before anything is done that they are needed for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from quorate.errors import UsageError


def require_new(path: Path, what: str) -> None:
    """``UsageError`` unless a file can be made at ``path``, where there must be none."""
    if path.exists():
        raise UsageError(f"{path} exists: {what} not written over another file")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a directory")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; nothing was done") from None
