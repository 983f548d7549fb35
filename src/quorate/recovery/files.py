"""Backups, and what opens them, out of the files that a person names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quorate.errors import UsageError
from quorate.recovery.backup import LARGEST, Backup, read
from quorate.recovery.locks import Opener, Passphrase, RecoveryKey

_LONGEST_SECRET = 4096  # bytes: as much as a node reads of one


def backup_at(path: Path) -> Backup:
    """``UsageError`` names a file that is none."""
    if path.stat().st_size > LARGEST:
        raise UsageError(f"{path} is over {LARGEST >> 20} MiB: no backup is so large")
    return read(path.read_bytes(), str(path))


def openers_of(passphrases: Iterable[Path], recovery_keys: Iterable[Path]) -> list[Opener]:
    """Each is to be tried. ``UsageError`` if there is none, or one of the files is unfit."""
    openers: list[Opener] = [Passphrase.of(secret_at(path), str(path)) for path in passphrases]
    openers += [RecoveryKey.of(secret_at(path), str(path)) for path in recovery_keys]
    if not openers:
        raise UsageError("what opens them? --passphrase-file FILE or --recovery-key FILE")
    return openers


def secret_at(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_LONGEST_SECRET + 1)
    if len(data) > _LONGEST_SECRET:
        raise UsageError(f"{path} is over {_LONGEST_SECRET} bytes: not a passphrase or a key")
    return data
