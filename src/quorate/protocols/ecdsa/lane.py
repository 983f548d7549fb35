"""The secrets of up to ``MAX_BATCH`` messages of one session, and what is computed with them, round by round.

Each message has its own r, φ, χ and ψ: one that two messages shared would give the key away. Nothing here waits or
sends; docs/spec/ecdsa.md has the formulas under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from quorate.curves import SECP256K1, Point, Randomness, Scalar, SecretScalar, SecretVector
from quorate.errors import EncodingError, ProtocolAbort, require
from quorate.identifiers import DeviceId
from quorate.native import lane as native
from quorate.native.memory import SecretBytes
from quorate.primitives.commitment import BLINDER_SIZE, commit, opens
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import hedged
from quorate.protocols.ecdsa.signature import coordinate
from quorate.protocols.ecdsa.terms import Terms
from quorate.protocols.ot.multiply import MAX_BATCH, Chooser, Context, respond
from quorate.protocols.ot.setup import PairSetup
from quorate.wire.codec import Bytes32, Message

MAX_LANES = 8  # a peer one round ahead of us sends that many products early

Points = Annotated[tuple[Point, ...], Meta(min_length=1, max_length=MAX_BATCH)]
ONE = SECP256K1.scalar_of(1)


class Factor(Message):
    """Round 1, to one signer: m1 of the multiplications in which its sender is the receiver, and χ random."""

    setup: Bytes32
    m1: bytes


class Product(Message):
    """Round 2, to one signer: m2 of the multiplications in which its sender is the sender, what its results are
    checked against, ψ (32 bytes per message), and what round 1 committed to."""

    nonces: Points
    blinder: Bytes32
    image: Point
    nonce_shares: Points
    key_shares: Points
    masks: SecretBytes
    m2: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Our side of one lane after round 1 is made: per message r and our share (``inputs``, one after the other), φ
    (``masks``) and R = r·G (``points``); and a chooser, which has χ, for each peer."""

    terms: Terms
    part: int
    digests: tuple[bytes, ...]
    image: Point
    inputs: SecretVector
    masks: SecretVector
    points: tuple[Point, ...]
    blinder: bytes
    setups: Mapping[DeviceId, PairSetup]
    choosers: Mapping[DeviceId, Chooser]

    @property
    def commitment(self) -> bytes:
        return commit(
            Domain.ECDSA_COMMIT,
            *_committer(self.terms, self.part, self.terms.quorum.me),
            opening=[bytes(point) for point in self.points],
            blinder=self.blinder,
        )

    def factor(self, peer: DeviceId) -> Factor:
        return Factor(setup=self.setups[peer].id, m1=self.choosers[peer].message)

    def burn(self) -> None:
        """Wipe what would give the key away if it were used again."""
        self.inputs.wipe()
        self.masks.wipe()
        for chooser in self.choosers.values():
            chooser.burn()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What we sent one peer in round 2, and our halves c^u, c^v of those multiplications."""

    product: Product
    shares: SecretVector


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one peer's round 2 amounts to, checked: R_j, pk_j, ψ_ji, and our halves d^u, d^v."""

    nonces: tuple[Point, ...]
    image: Point
    masks: SecretVector
    shares: SecretVector


def open_lane(
    terms: Terms,
    part: int,
    digests: Sequence[bytes],
    share: SecretScalar,
    setups: Mapping[DeviceId, PairSetup],
    rng: Randomness,
) -> Lane:
    """Draw everything. ``rng`` may repeat itself; under other terms it still gives other secrets, and without the key
    share nobody can predict them."""
    quorum = terms.quorum
    fresh = hedged(rng, "ecdsa", terms.hash, part, quorum.hedge.reveal())
    with SECP256K1.random_secrets(fresh, len(digests)) as nonces:
        inputs = SecretVector.of([scalar for nonce in nonces for scalar in (nonce, share)])
        points = SECP256K1.commit(nonces)
    return Lane(
        terms=terms,
        part=part,
        digests=tuple(digests),
        image=share * SECP256K1.generator,
        inputs=inputs,
        masks=SECP256K1.random_secrets(fresh, len(digests)),
        points=points,
        blinder=fresh.public(BLINDER_SIZE),
        setups=setups,
        choosers={
            peer: Chooser.start(setup, _context(terms, part, setup, peer, quorum.me), fresh, len(digests))
            for peer, setup in setups.items()
        },
    )


def answer(lane: Lane, peer: DeviceId, heard: Factor, rng: Randomness) -> Answered:
    """Round 2 for one peer. Its m1 is checked here (rules OT-3). As in ``open_lane``, without the key share nobody can
    predict what is drawn."""
    terms, setup = lane.terms, lane.setups[peer]
    context = _context(terms, lane.part, setup, terms.quorum.me, peer)
    hedge = "ecdsa answer", terms.hash, terms.quorum.hedge.reveal()
    m2, shares = respond(setup, context, heard.m1, lane.inputs, rng, *hedge)
    shown = SECP256K1.commit(shares)
    product = Product(
        nonces=lane.points,
        blinder=lane.blinder,
        image=lane.image,
        nonce_shares=shown[::2],
        key_shares=shown[1::2],
        masks=(lane.masks - lane.choosers[peer].choice).secret(),
        m2=m2,
    )
    return Answered(product=product, shares=shares)


def check(lane: Lane, peer: DeviceId, commitment: bytes, heard: Product, rng: Randomness) -> Heard:
    """Everything that one peer's round 2 must be, in the order of the specification."""
    terms, count = lane.terms, len(lane.digests)
    full = len(heard.nonces) == len(heard.nonce_shares) == len(heard.key_shares) == count
    require(full, "EC-2.1 count", peer)
    masks = _masks(heard.masks, count, peer)
    opening = [bytes(point) for point in heard.nonces]
    place = _committer(terms, lane.part, peer)
    opened = opens(commitment, Domain.ECDSA_COMMIT, *place, opening=opening, blinder=heard.blinder)
    require(opened, "EC-2.3 opening", peer, cheat=True)
    chooser = lane.choosers[peer]
    shares = chooser.finish(heard.m2)
    weights = _weights(lane, peer, rng)
    nonces_agree, keys_agree = native.check(
        b"".join(map(bytes, weights)),
        chooser.choice.memory,
        shares.memory,
        nonces=[point.data for point in heard.nonces],
        image=heard.image.data,
        nonce_shares=[point.data for point in heard.nonce_shares],
        key_shares=[point.data for point in heard.key_shares],
    )
    require(nonces_agree, "EC-2.4 nonce product", peer, cheat=True)
    require(keys_agree, "EC-2.5 key product", peer, cheat=True)
    return Heard(nonces=heard.nonces, image=heard.image, masks=masks, shares=shares)


def join(lane: Lane, heard: Mapping[DeviceId, Heard]) -> tuple[Point, ...]:
    """R of each message, once every peer's round 2 has been checked."""
    images = [lane.image, *(each.image for each in heard.values())]
    require(SECP256K1.sum(images) == lane.terms.public_key, "EC-2.6 public key")
    joint = []
    for item, mine in enumerate(lane.points):
        nonce = SECP256K1.sum([mine, *(each.nonces[item] for each in heard.values())])
        require(not nonce.is_identity, "EC-2.7 nonce")
        require(not coordinate(nonce).is_zero(), "EC-2.8 coordinate")
        joint.append(nonce)
    return tuple(joint)


def conclude(
    lane: Lane,
    joint: Sequence[Point],
    answered: Mapping[DeviceId, Answered],
    heard: Mapping[DeviceId, Heard],
) -> list[tuple[Scalar, Scalar]]:
    """(u_i, w_i) per message: what everybody may know."""
    published = native.publish(
        lane.inputs.memory,
        lane.masks.memory,
        [each.masks.memory for each in heard.values()],
        [side[peer].shares.memory for side in (answered, heard) for peer in heard],
        b"".join(lane.digests),
        b"".join(bytes(coordinate(nonce)) for nonce in joint),
    )
    scalars = [
        SECP256K1.scalar(published[at : at + native.SCALAR]) for at in range(0, len(published), native.SCALAR)
    ]
    return list(zip(scalars[::2], scalars[1::2], strict=True))


def _masks(sent: SecretBytes, count: int, peer: DeviceId) -> SecretVector:
    try:
        masks = SECP256K1.secret_vector(sent)
    except EncodingError as error:
        raise ProtocolAbort("EC-2.2 masks", peer) from error
    require(len(masks) == count, "EC-2.2 masks", peer)
    return masks


def _weights(lane: Lane, peer: DeviceId, rng: Randomness) -> list[Scalar]:
    """ρ: 1, and for each further message a number that nobody else can know, drawn when the peer's answer is held."""
    further = len(lane.digests) - 1
    if not further:
        return [ONE]
    fresh = hedged(rng, "ecdsa checks", lane.terms.hash, lane.part, peer, lane.terms.quorum.hedge.reveal())
    return [ONE, *(SECP256K1.reduce(fresh.public(48)) for _ in range(further))]


def _context(terms: Terms, part: int, setup: PairSetup, sender: DeviceId, receiver: DeviceId) -> Context:
    quorum = terms.quorum
    return Context(
        vault=quorum.vault,
        epoch=quorum.epoch,
        setup=setup.id,
        sid=terms.sid,
        signers=quorum.seats,
        sender=sender,
        receiver=receiver,
        part=terms.chunk * MAX_LANES + part,
    )


def _committer(terms: Terms, part: int, device: DeviceId) -> tuple[bytes, int, bytes]:
    return terms.hash, part, terms.identity_key(device)
