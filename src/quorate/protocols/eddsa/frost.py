"""FROST signing by a quorum, each signer with its one additive share: docs/spec/ed25519.md, rules ED.

Two rounds for any number of messages. All signers are coordinators: everyone receives every response and makes the
signatures itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from quorate.curves import ED25519, Point, Randomness, Scalar, SecretScalar
from quorate.errors import Bug, ProtocolAbort, UsageError, require
from quorate.identifiers import Curve, DeviceId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.eddsa import hashes
from quorate.protocols.eddsa.nonces import Nonces, make_nonces
from quorate.protocols.quorum import Quorum
from quorate.wire.codec import Bytes32, Count, Message
from quorate.wire.net import Net

MAX_MESSAGES = 1000


class Pair(Message):
    """D_i and E_i for one message."""

    hiding: Point
    binding: Point


class Commitments(Message):
    """Round 1: a pair per message, in order."""

    pairs: Annotated[tuple[Pair, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]


class Response(Message):
    """Round 2: z_i per message, and what they are responses to. The list of commitments is bound by the view hash
    that the envelope carries, since round 1 is echoed."""

    messages: Bytes32
    epoch: Count
    public_key: Bytes32
    responses: Annotated[tuple[Scalar, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """One message after round 1: what every signer computes alike."""

    message: bytes
    pairs: hashes.Pairs
    factors: Mapping[int, Scalar]
    commitment: Point
    challenge: Scalar


async def sign(
    net: Net,
    quorum: Quorum,
    messages: Sequence[bytes],
    tweak: Scalar | None,
    rng: Randomness,
    release: Callable[[], None],
) -> tuple[bytes, ...]:
    """RFC 8032 signatures of ``messages``, 64 bytes each, under the quorum's key plus ``tweak``·B.

    ``release`` is called when every check of round 1 has passed and before a response exists; it raises to stop the
    session. From its return on a signature may exist, whatever becomes of this call.
    """
    if quorum.curve is not Curve.ED25519 or tuple(net.parties) != quorum.devices or net.me != quorum.me:
        raise UsageError("a signing session has the parties of its quorum, on Ed25519")
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise UsageError(f"one session signs 1 to {MAX_MESSAGES} messages, not {len(messages)}")
    public_key = tweaked(quorum.public_key, tweak)
    net = net.over(ED25519)
    nonces = [make_nonces(quorum.hedge, net.sid, m, item, rng) for item, m in enumerate(messages)]
    try:
        mine = Commitments(pairs=tuple(Pair(hiding=n.hiding, binding=n.binding) for n in nonces))
        commitments = await net.echo(mine)
        for device, heard in commitments.items():
            require(len(heard.pairs) == len(messages), "ED-1.1 count", device)
        assignment = hashes.assignment_of(quorum)
        signings = []
        for item, message in enumerate(messages):
            listed = {seat.id: commitments[seat.device].pairs[item] for seat in quorum.seats}
            signings.append(prepare(listed, public_key, message, assignment))
        release()
        answer = Response(
            messages=digest(Domain.MESSAGES, *messages),
            epoch=quorum.epoch,
            public_key=public_key,
            responses=tuple(respond(n, s, quorum).publish() for n, s in zip(nonces, signings, strict=True)),
        )
    finally:
        for nonce in nonces:
            nonce.secret.burn()
    responses = await net.broadcast(answer)
    for device, said in responses.items():
        require(len(said.responses) == len(messages), "ED-2.1 count", device)
        require(said.messages == answer.messages, "ED-2.2 messages", device)
        require(said.epoch == answer.epoch, "ED-2.3 epoch", device)
        require(said.public_key == answer.public_key, "ED-2.4 public key", device)
    return tuple(
        aggregate(s, quorum, public_key, tweak, {d: said.responses[item] for d, said in responses.items()})
        for item, s in enumerate(signings)
    )


def tweaked(public_key: Point, tweak: Scalar | None) -> bytes:
    """PK' = PK + δ·B, encoded."""
    if tweak is None:
        return bytes(public_key)
    child = public_key + tweak * ED25519.generator
    if child.is_identity:
        raise UsageError("this derivation leads to no key: choose another path")
    return bytes(child)


def prepare(listed: Mapping[int, Pair], public_key: bytes, message: bytes, assignment: bytes) -> Signing:
    pairs = {i: (pair.hiding, pair.binding) for i, pair in listed.items()}
    factors = hashes.binding_factors(public_key, pairs, message, assignment)
    commitment = hashes.group_commitment(pairs, factors)
    challenge = hashes.challenge(commitment, public_key, message)
    return Signing(message=message, pairs=pairs, factors=factors, commitment=commitment, challenge=challenge)


def respond(nonces: Nonces, signing: Signing, quorum: Quorum) -> SecretScalar:
    """z_i = d_i + ρ_i·e_i + c·x_i^S. Consumes the nonces first."""
    d, e = nonces.secret.take()
    me = next(seat.id for seat in quorum.seats if seat.device == quorum.me)
    return d + signing.factors[me] * e + signing.challenge * quorum.secret


def aggregate(
    signing: Signing,
    quorum: Quorum,
    public_key: bytes,
    tweak: Scalar | None,
    responses: Mapping[DeviceId, Scalar],
) -> bytes:
    """R ‖ Σz_i + c·δ, accepted by two verifiers; otherwise the abort that names whose response is wrong."""
    total = ED25519.scalar_of(0) if tweak is None else signing.challenge * tweak
    for response in responses.values():
        total = total + response
    signature = bytes(signing.commitment) + bytes(total)
    if verify_ed25519(public_key, signing.message, signature):
        return signature
    wrong = [
        s.device
        for s in quorum.seats
        if not fits(signing, s.id, quorum.images[s.device], responses[s.device])
    ]
    if not wrong:
        raise Bug("every response is right and the signature is not")
    raise ProtocolAbort("ED-3.1 response", *wrong)


def fits(signing: Signing, signer: int, image: Point, response: Scalar) -> bool:
    """z_i·B = D_i + ρ_i·E_i + c·P_{i,S}."""
    hiding, binding = signing.pairs[signer]
    expected = hiding + ED25519.combination([signing.factors[signer], signing.challenge], [binding, image])
    return response * ED25519.generator == expected
