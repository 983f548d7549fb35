"""Whose the store's file is: this user's alone, and one process's at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from quorate.errors import StoreError
from quorate.storage.files import sync_folder


def prepare_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = directory.stat().st_mode
    except OSError as error:
        raise StoreError(f"{directory}: cannot hold the store: {error.strerror}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(
            f"ST-1.5 private: {directory}: others may write here, and could replace the store: chmod 700 {directory}"
        )


@contextlib.contextmanager
def owned(path: Path) -> Iterator[None]:
    """Hold the store for this process. The lock goes with the process, however it ends."""
    lock = path.with_name(path.name + ".lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{lock}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise StoreError(
                f"ST-1.3 owner: {path} is already open in another process (pid {owner});"
                " a store has one node: ask that one, or stop it"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def prepare_file(path: Path) -> None:
    """Create the file for its owner alone, its name durable, or take others' rights away."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror}; the store must be this user's, on a disk that can be written"
        ) from error
