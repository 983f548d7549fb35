"""What names a sharing in the store's tables."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from quorate.errors import Quarantined, StaleEpoch
from quorate.identifiers import Epoch, VaultId

HERE = "WHERE vault = ? AND epoch = ? AND attempt = ?"


class SharingKey(NamedTuple):
    """The values for ``HERE``."""

    vault: VaultId
    epoch: Epoch
    attempt: int

    def __str__(self) -> str:
        return f"vault {self.vault}, epoch {self.epoch}, attempt {self.attempt}"


def require_active(connection: sqlite3.Connection, sharing: bytes, rule: str) -> None:
    """``StaleEpoch`` unless the sharing of this record hash is ACTIVE; an empty one is none."""
    if not sharing:
        return
    query = "SELECT 1 FROM epochs WHERE record_hash = ? AND state = 'ACTIVE'"
    if connection.execute(query, (sharing,)).fetchone() is None:
        raise StaleEpoch(f"{rule}: the epoch that it is for lives no more")


def require_free(connection: sqlite3.Connection, sharing: bytes, rule: str) -> None:
    """ST-8.6 free: ``Quarantined`` if the sharing of this record hash is of a vault in quarantine."""
    row = connection.execute(
        "SELECT vault, cause FROM epochs JOIN quarantine USING (vault) WHERE record_hash = ?", (sharing,)
    ).fetchone()
    if row is not None:
        raise Quarantined(f"{rule}: vault {row[0]} is in quarantine here ({row[1]})")


def note_signed(connection: sqlite3.Connection, key: SharingKey) -> None:
    """A sharing that this node signs while in quarantine it made with all the others: it ends it once it lives."""
    connection.execute("UPDATE quarantine SET epoch = ?, attempt = ? WHERE vault = ?", (*key[1:], key.vault))


def note_active(connection: sqlite3.Connection, key: SharingKey) -> None:
    connection.execute("DELETE FROM quarantine WHERE vault = ? AND epoch = ? AND attempt = ?", key)
