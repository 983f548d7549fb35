"""Backups, and what opens them, out of the files that a person names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from quorate.errors import UsageError
from quorate.recovery.backup import Backup
from quorate.recovery.device import DeviceBackup
from quorate.recovery.locks import Opener, Passphrase, RecoveryKey
from quorate.recovery.sealed import LARGEST

_LONGEST_SECRET = 4096  # bytes: as much as a node reads of one


def backup_at(path: Path) -> Backup | DeviceBackup:
    """``UsageError`` names a file that is neither."""
    if path.stat().st_size > LARGEST:
        raise UsageError(f"{path} is over {LARGEST >> 20} MiB: no backup is so large", code="BAD_BACKUP")
    data = path.read_bytes()
    kind = DeviceBackup if DeviceBackup.KEY in _fields(data) else Backup
    return kind.read(data, str(path))


def _fields(data: bytes) -> Collection[str]:
    """Of the object that the file is, if it is one."""
    try:
        return msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def shares_at(path: Path) -> Backup:
    """``UsageError`` names a file that is no backup of shares."""
    found = backup_at(path)
    if isinstance(found, DeviceBackup):
        raise UsageError(
            f"{path} ({found.label}) is a device backup: there are no shares in it", code="BAD_BACKUP"
        )
    return found


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
