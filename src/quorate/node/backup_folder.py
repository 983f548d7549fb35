"""The folder of a node's backups: what lies in it by its labels, and how a file comes into it."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from quorate.ceremony.statements import printable
from quorate.errors import StoreError, UsageError
from quorate.recovery.locks import Lock
from quorate.recovery.sealed import LARGEST, Label, SealedFile
from quorate.storage import SqliteLedger
from quorate.storage.files import write_new

_LONGEST_NAME = 100  # characters of a name in a label
_LONGEST_PART = 40  # characters of a name in a file's
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

log = structlog.get_logger()

L = TypeVar("L", bound=Label)


class BackupFolder(Generic[L]):
    """The files of one kind in a folder. Blocks: for worker threads, one at a time."""

    def __init__(self, kind: type[SealedFile[L]], ledger: SqliteLedger) -> None:
        self._kind, self._ledger = kind, ledger
        self._seen: Mapping[tuple[Path, int, int], tuple[L, Lock] | None] = {}

    def files(self, folder: Path) -> Mapping[Path, tuple[L, Lock]]:
        """What is there, by its labels. What is labelled as ours we signed. Each is read once."""
        try:
            paths = sorted(folder.glob(f"*{self._kind.SUFFIX}"))
        except OSError as error:
            raise StoreError(f"backup: {folder}: {error.strerror}") from error
        seen: dict[tuple[Path, int, int], tuple[L, Lock] | None] = {}
        for path in paths:
            with suppress(OSError):
                at = path.stat()
                key = (path, at.st_mtime_ns, at.st_size)
                if stat.S_ISREG(at.st_mode) and at.st_size <= LARGEST:
                    seen[key] = self._seen[key] if key in self._seen else self._look(path)
        self._seen = seen
        return {path: found for (path, _, _), found in seen.items() if found is not None}

    def put(self, path: Path, data: bytes) -> None:
        """A new file, which reads as it was made: what did not would be made again, and again."""
        self._kind.read(data, str(path))
        try:
            write_new(path, data)
            written = path.read_bytes()
        except OSError as error:
            raise StoreError(f"backup: {path}: {error.strerror}") from error
        if written != data:
            raise StoreError(f"{path} does not read as it was written: look at the disk")

    def _look(self, path: Path) -> tuple[L, Lock] | None:
        """A label is anybody's word: what calls itself ours counts if it is, and whole, by our signature."""
        try:
            found = self._kind.read(path.read_bytes(), str(path))
        except UsageError:
            return None
        mine = self._ledger.me
        if found.label.device == mine.device and not found.is_signed_by(mine.identity_key):
            log.warning(f"a {found.KIND} that is labelled as ours is another's, or damaged", file=str(path))
            return None
        return found.label, found.lock


def in_label(name: str) -> str:
    """A name as a label has it."""
    return printable(name, _LONGEST_NAME)


def in_file_name(name: str) -> str:
    return _UNSAFE.sub("_", name)[:_LONGEST_PART]


def file_name(name: str, otherwise: str, *parts: str) -> str:
    """Of these parts, and no option of a program, nor hidden."""
    return "-".join((in_file_name(name).lstrip("-.") or otherwise, *parts))
