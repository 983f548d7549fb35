"""Files that are whole or not there, and on the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# What is said where a file cannot be without a name, or get one later: by the file system of a memory stick on which a
# card is carried, or of a network.
_NAMED_ONLY = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EPERM, errno.ENOSYS, errno.EMLINK}


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """A file that is whole or not there, and on the disk when this returns. ``FileExistsError`` where there is one of
    this name. What a crash leaves has no name, so nobody else meets it. Some file systems cannot do that: there a power
    cut may leave a part."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _without_a_name(path, data, mode, folder):
            _named(path, data, mode)
        os.fsync(folder)
    finally:
        os.close(folder)


def put_new(made: Path, place: Path) -> None:
    """Give a file that is whole and on the disk another name, too. Unlike a rename it never takes another file's place:
    ``FileExistsError``."""
    os.link(made, place)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _without_a_name(path: Path, data: bytes, mode: int, folder: int) -> bool:
    """Whether it could be written without a name, and then be given this one."""
    try:
        handle = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE, mode)
    except OSError as error:
        if error.errno in _NAMED_ONLY:
            return False
        raise
    try:
        _fill(handle, data)
        os.link(f"/proc/self/fd/{handle}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError as error:
        raise FileExistsError(error.errno, error.strerror, str(path)) from None
    except OSError as error:
        if error.errno in _NAMED_ONLY:
            return False
        raise
    finally:
        os.close(handle)
    return True


def _named(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _fill(handle, data)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(handle)


def _fill(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
    os.fsync(handle)
