"""What names a sharing in the store's tables."""

from __future__ import annotations

from typing import NamedTuple

from quorate.identifiers import Epoch, VaultId

HERE = "WHERE vault = ? AND epoch = ? AND attempt = ?"


class SharingKey(NamedTuple):
    """The values for ``HERE``."""

    vault: VaultId
    epoch: Epoch
    attempt: int

    def __str__(self) -> str:
        return f"vault {self.vault}, epoch {self.epoch}, attempt {self.attempt}"
