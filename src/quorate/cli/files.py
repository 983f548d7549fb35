"""Files that commands are given: those to write at the end, looked at before anything is done that they are needed for,
and patterns that no shell has expanded, as in a container."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
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


def expanded(paths: Iterable[Path]) -> Iterator[Path]:
    """The files that these name, themselves or as patterns. ``UsageError`` for a pattern that fits none."""
    for path in paths:
        if path.exists() or not any(letter in str(path) for letter in "*?["):
            yield path
            continue
        found = sorted(path.parent.glob(path.name))
        if not found:
            raise UsageError(f"{path}: no such file")
        yield from found
