"""What names a sharing in the store's tables."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from quorate.errors import StaleEpoch
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
