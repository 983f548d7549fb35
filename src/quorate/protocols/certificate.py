"""The epoch record and its certificate: what the parties of a key generation sign once their shares are durable.

docs/spec/keygen.md, "Certificate" (rules CT). The certificate hash is the hash of the record alone: its signers can
make many valid signatures, so signatures identify nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Protocol

from msgspec import Meta

from quorate.curves import Point, group_of
from quorate.errors import Bug, EncodingError, UsageError, require
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.quorum import KeyShare, Quorum, Sharing, quorum_of, sharing_of
from quorate.protocols.sharing import MAX_PARTIES, told_apart
from quorate.wire.codec import Bytes32, Bytes64, Count, Identifier, Message
from quorate.wire.net import Net

PointBytes = Annotated[bytes, Meta(min_length=32, max_length=33)]
CURVES = (Curve.SECP256K1, Curve.ED25519)
MAX_QUORUMS = 32  # kept per share


class Signer(Message):
    """One of those that sign a record: all of its members, and all that dealt it."""

    device: Identifier
    identity_key: Bytes32


class Place(Signer):
    """One member as the record has it: weight as given, and reduced."""

    weight: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    reduced: Annotated[int, Meta(ge=1, le=1000)]


class Key(Message):
    """One curve's public side: F, encoded, of which the first is the public key, and the chain code."""

    curve: Curve
    commitment: Annotated[tuple[PointBytes, ...], Meta(min_length=1, max_length=1000)]
    chain_code: Bytes32

    @property
    def public_key(self) -> bytes:
        return self.commitment[0]


class EpochRecord(Message):
    """Everything that is public about one sharing of a vault's keys. ``previous``, the hash of the certificate before,
    and ``dealers``, members there, are empty at epoch 0; ``setups`` are the ids of the set-ups made with it, of each
    pair (i, j), i < j in the roster, in order."""

    vault: Identifier
    epoch: Count
    attempt: Count
    previous: Annotated[bytes, Meta(max_length=32)]
    dealers: Annotated[tuple[Signer, ...], Meta(max_length=MAX_PARTIES)]
    roster: Annotated[tuple[Place, ...], Meta(min_length=1, max_length=50)]
    threshold: Annotated[int, Meta(ge=1, le=2**37)]
    terms: Annotated[int, Meta(ge=1, le=1000)]
    keys: tuple[Key, Key]
    setups: Annotated[tuple[Bytes32, ...], Meta(max_length=MAX_PARTIES * (MAX_PARTIES - 1) // 2)]
    transcript: Bytes32

    def __post_init__(self) -> None:
        """One sharing has one record: what follows from other fields must be what follows from them."""
        try:
            sharing = sharing_of(self.roster, self.threshold, allow_sole_signer=True)
        except UsageError as error:
            raise EncodingError(f"epoch record: {error}") from None
        if places(sharing) != self.roster or sharing.terms != self.terms:
            raise EncodingError(
                "epoch record: roster out of order, or reduced weights that are not the weights reduced"
            )
        if tuple(key.curve for key in self.keys) != CURVES:
            raise EncodingError("epoch record: one key per curve, in order")
        if any(len(key.commitment) != self.terms for key in self.keys):
            raise EncodingError("epoch record: a commitment has one point per term")
        if len(self.setups) != len(self.roster) * (len(self.roster) - 1) // 2:
            raise EncodingError("epoch record: one set-up for each pair of the roster")
        if bool(self.previous) != bool(self.epoch) or len(self.previous) not in (0, 32):
            raise EncodingError(
                "epoch record: a hash of the previous certificate from epoch 1 on, and none at epoch 0"
            )
        if bool(self.dealers) != bool(self.epoch):
            raise EncodingError("epoch record: dealers from epoch 1 on, and none at epoch 0")
        dealers = [dealer.device for dealer in self.dealers]
        if dealers != sorted(set(dealers)):
            raise EncodingError("epoch record: dealers out of order, or named twice")
        if not told_apart((each.device, each.identity_key) for each in (*self.roster, *self.dealers)):
            raise EncodingError("epoch record: two identity keys of one device, or two devices of one")

    @property
    def hash(self) -> bytes:
        """The certificate hash."""
        roster: Field = [[p.device, p.identity_key, p.weight, p.reduced] for p in self.roster]
        dealers: Field = [[dealer.device, dealer.identity_key] for dealer in self.dealers]
        keys: Field = [[key.curve.value, key.commitment, key.chain_code] for key in self.keys]
        place: Field = [self.vault, self.epoch, self.attempt, self.previous]
        rule: Field = [self.threshold, self.terms]
        return digest(Domain.EPOCH_RECORD, place, dealers, roster, rule, keys, self.setups, self.transcript)

    @property
    def sharing(self) -> Sharing:
        return sharing_of(self.roster, self.threshold, allow_sole_signer=True)

    @property
    def signers(self) -> dict[DeviceId, bytes]:
        """Whose signatures make the certificate, members and dealers, with identity keys; in order of device id."""
        keys = {DeviceId(each.device): each.identity_key for each in (*self.roster, *self.dealers)}
        return dict(sorted(keys.items()))

    def key(self, curve: Curve) -> Key:
        return next(key for key in self.keys if key.curve == curve)

    def commitment(self, curve: Curve) -> tuple[Point, ...]:
        """F as points, each strictly decoded; ``EncodingError`` otherwise."""
        return tuple(map(group_of(curve).point, self.key(curve).commitment))

    def share(self, curve: Curve, device: DeviceId, secret: SecretBytes) -> KeyShare:
        """The share a device kept, back in use. Whether it fits is seen in the first ``quorum`` made from it."""
        return KeyShare(
            curve=curve, device=device, indices=self.sharing.seat(device).indices,
            secret=group_of(curve).secret_vector(secret), commitment=self.commitment(curve),
            chain_code=self.key(curve).chain_code,
        )  # fmt: skip

    def quorum(self, share: KeyShare, signers: Iterable[DeviceId]) -> Quorum:
        """``quorum_of`` for this epoch, made once for each set of signers."""
        chosen = frozenset(signers)
        if (known := share.quorums.get(chosen)) is not None:
            return known
        vault, epoch = VaultId(self.vault), Epoch(self.epoch)
        quorum = quorum_of(share, self.sharing, chosen, vault=vault, epoch=epoch, certificate=self.hash)
        if len(share.quorums) >= MAX_QUORUMS:
            share.quorums.clear()
        share.quorums[chosen] = quorum
        return quorum


class Certificate(Message):
    """A record with the signature of every member and dealer, in order of device id."""

    record: EpochRecord
    signatures: Annotated[tuple[Bytes64, ...], Meta(min_length=1, max_length=2 * MAX_PARTIES)]

    @property
    def hash(self) -> bytes:
        return self.record.hash

    def verify(self) -> bool:
        """Whether every signer of the record signed it."""
        signed, signers = self.record.hash, self.record.signers
        return len(self.signatures) == len(signers) and all(
            verify_ed25519(key, endorsement(signed, device), signature)
            for (device, key), signature in zip(signers.items(), self.signatures, strict=True)
        )


class Endorsement(Message):
    """A signer's signature over ``endorsement(record, itself)``, with the hash it signed."""

    record: Bytes32
    signature: Bytes64


class Book(Protocol):
    """Where a node keeps its epochs. Each call returns when the change is durable."""

    def pending(
        self, record: EpochRecord, shares: Sequence[KeyShare], setups: Sequence[PairSetup]
    ) -> None: ...

    def signed(self, record: EpochRecord) -> None: ...

    def activate(self, certificate: Certificate) -> None: ...


def public_side(curve: Curve, commitment: Sequence[Point], chain_code: bytes) -> Key:
    return Key(curve=curve, commitment=tuple(map(bytes, commitment)), chain_code=chain_code)


def places(sharing: Sharing) -> tuple[Place, ...]:
    return tuple(
        Place(device=s.device, identity_key=s.identity_key, weight=s.weight, reduced=len(s.indices))
        for s in sharing.seats
    )


def endorsement(record: bytes, device: str) -> bytes:
    """What a device key signs to endorse the record of that hash."""
    return digest(Domain.EPOCH_SIGNATURE, record, device)


def acknowledgement(record: EpochRecord, device: str) -> bytes:
    """What a device key signs to say that it holds the certificate and saw the keys sign."""
    return digest(Domain.ACKNOWLEDGEMENT, record.vault, record.epoch, record.attempt, record.hash, device)


async def certify(
    net: Net,
    record: EpochRecord,
    shares: Sequence[KeyShare],
    setups: Sequence[PairSetup],
    book: Book,
    sign: Callable[[bytes], bytes],
) -> Certificate:
    """Durable share and set-ups, durable intent, signature, everyone's signatures: in that order, so that whoever holds
    a certificate knows that every member holds its own. Who leaves has no shares and no set-ups, and signs too."""
    if tuple(net.parties) != tuple(record.signers):
        raise Bug("the parties of a certificate are its signers")
    book.pending(record, shares, setups)
    book.signed(record)
    mine = Endorsement(record=record.hash, signature=sign(endorsement(record.hash, net.me)))
    endorsements = await net.broadcast(mine)
    for device, key in record.signers.items():
        heard = endorsements[device]
        good = verify_ed25519(key, endorsement(heard.record, device), heard.signature)
        require(good, "CT-1.1 endorsement", device)
    for device, heard in endorsements.items():
        require(heard.record == mine.record, "CT-1.2 record", device)
    in_order = tuple(endorsements[device].signature for device in record.signers)
    certificate = Certificate(record=record, signatures=in_order)
    book.activate(certificate)
    return certificate
