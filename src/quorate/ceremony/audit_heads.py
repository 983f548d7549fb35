"""Heads of audit chains: what nodes sign and show each other of theirs. docs/spec/audit.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from msgspec import Meta

from quorate.identifiers import DeviceId
from quorate.native import keys
from quorate.operations.kinds import device_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import Bytes32, Bytes64, Message

RecordNumber = Annotated[int, Meta(ge=1, le=2**53)]


class HeadSigner(Protocol):
    @property
    def device(self) -> DeviceId: ...

    def sign(self, message: bytes) -> bytes: ...


class Head(Message):
    """The last record of a chain at some time: its number and hash, signed by the device."""

    sequence: RecordNumber
    hash: Bytes32
    signature: Bytes64

    def __str__(self) -> str:
        """As records say it: evidence by itself."""
        return f"{self.sequence}:{self.hash.hex()}:{self.signature.hex()}"

    def signed_by(self, identity_key: bytes) -> bool:
        said = head_digest(device_id(identity_key), self.sequence, self.hash)
        return keys.verify(identity_key, said, self.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerHeads:
    """Of a peer's chain, as the peer signed them: the head that it last said is in its chain, and the highest."""

    confirmed: Head
    highest: Head


def head_digest(device: DeviceId, sequence: int, record: bytes) -> bytes:
    return digest(Domain.AUDIT_HEAD, device, sequence, record)


def head_of(signer: HeadSigner, sequence: int, hashed: bytes) -> Head:
    signature = signer.sign(head_digest(signer.device, sequence, hashed))
    return Head(sequence=sequence, hash=hashed, signature=signature)


class AuditTrail(Protocol):
    """The part of the ledger that keeps our chain, and the heads of others'."""

    def audit_head(self) -> Head:
        """Ours, of what is on disk."""
        ...

    def audit_hash(self, sequence: int) -> bytes | None:
        """Of one of our records, None where there is none."""
        ...

    def peer_heads(self) -> Mapping[DeviceId, PeerHeads]: ...

    def keep_heads(self, device: DeviceId, heads: PeerHeads) -> None: ...
