"""Files that are whole or not there, and on the disk."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

# What a file system says that has no hard links, such as that of a memory stick on which a card is carried.
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """A file that is whole or not there, and on the disk when this returns. ``FileExistsError`` where there is one of
    this name."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        _write(part, data, mode)
        try:
            put_new(part, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _write(path, data, mode)  # not whole after a power cut, but in no other file's place
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            part.unlink()


def put_new(made: Path, place: Path) -> None:
    """Give a file that is whole and on the disk its name, too. Unlike a rename it never takes another file's place:
    ``FileExistsError``."""
    try:
        os.link(made, place)
    except FileExistsError as error:
        raise FileExistsError(error.errno, error.strerror, str(place)) from None
    sync_folder(place.parent)


def _write(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
