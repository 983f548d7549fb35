"""What is known of a vault's epochs, and what contradicts that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from quorate.identifiers import VaultId


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Encoded certificates: those of the epochs of a vault, oldest first, siblings too; and those that were refused as
    forks of them (rule CE-7.8), which show who signed two."""

    certificates: tuple[bytes, ...]
    forks: tuple[bytes, ...] = ()


class ForkShelf(Protocol):
    """The part of the ledger that keeps forks."""

    def record_fork(self, vault: VaultId, record_hash: bytes, certificate: bytes) -> None:
        """Keep a certificate that was refused because it contradicts an epoch held here; of each vault the first 16."""
        ...

    def forks(self, vault: VaultId) -> Sequence[bytes]:
        """The certificates that ``record_fork`` kept."""
        ...
