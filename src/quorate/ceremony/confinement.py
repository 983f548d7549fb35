"""What a quarantine is kept as, and the part of the ledger that keeps it.

docs/spec/quarantine.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from quorate.identifiers import DeviceId, Epoch, VaultId


class Why(StrEnum):
    """Why a node takes no part in a vault."""

    RESTORED = "RESTORED"  # its share comes from a backup, which may be of an earlier time
    SET_BACK = "SET_BACK"  # its store is an old copy of itself
    SHARE_LOST = "SHARE_LOST"  # a later epoch lives, of which it has no share


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A vault in quarantine."""

    vault: VaultId
    cause: Why
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of a device, in its own signed words."""

    counter: int
    boot: bytes
    statement: bytes


class QuarantineShelf(Protocol):
    """Each method that changes something is one transaction, and durable when it returns."""

    def quarantine(self) -> Mapping[VaultId, Confined]: ...

    def confine(self, vaults: Collection[VaultId], cause: Why) -> bool:
        """Put them in quarantine, and end every pair set-up in them. What is there stays, but for what SHARE_LOST takes
        the place of. Whether anything changed."""
        ...

    def free(self, vault: VaultId, record_hash: bytes, *, signer: bool = True) -> bool:
        """Out of quarantine, if this is its ACTIVE sharing and there is a share of it here; or, where this node is no
        ``signer`` of that, of none. Whether it is out."""
        ...

    def note_start(self, device: DeviceId, start: Start) -> Start:
        """Keep the latest start of a peer, by its counter; of equal ones the first. Returns the one that stands."""
        ...

    def start_of(self, device: DeviceId) -> Start | None: ...

    def raise_boots(self, above: int) -> int:
        """Count on from above this; our counter from now on."""
        ...

    def raise_attempts(self, vault: VaultId, epoch: Epoch, attempt: int) -> None:
        """This node may have signed attempts at this epoch up to this one."""
        ...

    def attempt_floor(self, vault: VaultId, epoch: int) -> int: ...

    def bury_setup(
        self, vault: VaultId, epoch: Epoch, attempt: int, peer: DeviceId, generation: int, setup: bytes
    ) -> None:
        """A pair set-up that a peer holds with us, and we do not: DEAD."""
        ...

    def lose_head(self, sequence: int, record: bytes) -> None:
        """Of our audit chain: one that we signed, and that a peer shows, and of whose record nothing is here."""
        ...

    def lost_heads(self) -> frozenset[tuple[int, bytes]]: ...

    def forget_heads(self, device: DeviceId) -> None:
        """Of a peer's audit chain, which has begun anew."""
        ...

    def vault_name(self, vault: VaultId) -> str:
        """As a backup has it; empty where none was restored."""
        ...
