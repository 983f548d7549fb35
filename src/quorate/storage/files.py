"""Files that are whole or not there, and on the disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """A file that is whole or not there, and on the disk when this returns. ``FileExistsError`` where there is one of
    this name."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_new(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def put_new(made: Path, place: Path) -> None:
    """Give a file that is whole and on the disk its name, too. Unlike a rename it never takes another file's place:
    ``FileExistsError``."""
    try:
        os.link(made, place)
    except FileExistsError as error:
        raise FileExistsError(error.errno, error.strerror, str(place)) from None
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
