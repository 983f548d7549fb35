"""Three rounds of Doerner, Kondi, Lee and shelat ("Threshold ECDSA in Three Rounds", ePrint 2023/765, protocol 3.6) for
any number of messages, each signer with its one additive share: docs/spec/ecdsa.md, rules EC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

from msgspec import Meta

from quorate.curves import SECP256K1, Point, Randomness, Scalar
from quorate.errors import Bug, UsageError, require
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.ecdsa import lane
from quorate.protocols.ecdsa.lane import MAX_LANES, Factor, Heard, Lane, Product
from quorate.protocols.ecdsa.signature import Signature, assemble
from quorate.protocols.ecdsa.terms import Terms, agree, share_of
from quorate.protocols.ot.multiply import MAX_BATCH
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.quorum import Quorum
from quorate.wire.codec import Bytes32, Message
from quorate.wire.net import Net, gather

MAX_MESSAGES = MAX_LANES * MAX_BATCH

Setups = Callable[[DeviceId], PairSetup]
"""The live set-up with a peer; raises if there is none."""

Numbers = Annotated[tuple[Scalar, ...], Meta(min_length=1, max_length=MAX_MESSAGES)]


class Commitments(Message):
    """Round 1: to the nonce points of each lane, and the terms they are for."""

    terms: Bytes32
    commitments: Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=MAX_LANES)]


class Shares(Message):
    """Round 3: u_i and w_i of each message."""

    masked: Numbers
    numerators: Numbers


async def sign(
    net: Net,
    quorum: Quorum,
    digests: Sequence[bytes],
    tweak: Scalar | None,
    setups: Setups,
    rng: Randomness,
    release: Callable[[], None],
    *,
    chunk: int = 0,
) -> tuple[Signature, ...]:
    """Signatures of ``digests``, 32 bytes each, under the quorum's key plus ``tweak``·G. What signs more than fit in
    one call within one session numbers its calls by ``chunk``.

    ``setups`` is asked for every peer twice: before anything is made, and before anything leaves that depends on our
    secrets. An abort that is a ``cheat`` must end the set-up with its culprits, durably, before they hear of it.
    ``release`` is called when every check of round 2 has passed and before (u_i, w_i) leaves; it raises to stop the
    session. From its return on a signature may exist, whatever becomes of this call.
    """
    if quorum.curve is not Curve.SECP256K1 or tuple(net.parties) != quorum.devices or net.me != quorum.me:
        raise UsageError("a signing session has the parties of its quorum, on secp256k1")
    if not 1 <= len(digests) <= MAX_MESSAGES:
        raise UsageError(f"one session signs 1 to {MAX_MESSAGES} digests, not {len(digests)}")
    net = net.over(SECP256K1)
    committed = net.at("committed")
    terms = agree(quorum, net.sid, digests, tweak, chunk)
    pairs = {peer: setups(peer) for peer in net.others}
    lanes: list[Lane] = []
    with share_of(terms, pairs) as share:
        try:
            for part, first in enumerate(range(0, len(digests), MAX_BATCH)):
                some = terms.digests[first : first + MAX_BATCH]
                lanes.append(lane.open_lane(terms, part, some, share, pairs, rng))
            joint, mine = await _multiply(net, committed, terms, lanes, setups, rng)
            release()
        finally:
            for each in lanes:
                each.burn()
    return await _publish(committed, terms, joint, mine)


async def _multiply(
    net: Net, committed: Net, terms: Terms, lanes: Sequence[Lane], setups: Setups, rng: Randomness
) -> tuple[list[Point], Shares]:
    """Rounds 1 and 2: R of every message, and what we are to publish. What follows the echo is said below
    ``committed``, on the view of it; the factors, which cross with it, are not."""
    after = [(peer, part) for peer in net.others for part in range(len(lanes))]
    commitments, factors = await gather(
        committed.echo(Commitments(terms=terms.hash, commitments=tuple(each.commitment for each in lanes))),
        gather(*(_ask(net, lanes[part], peer) for peer, part in after)),
    )
    for said in commitments.values():
        require(said.terms == terms.hash, "EC-1.1 terms")
    for device, said in commitments.items():
        require(len(said.commitments) == len(lanes), "EC-1.2 count", device)
    asked = dict(zip(after, factors, strict=True))
    for (peer, part), factor in asked.items():
        require(factor.setup == lanes[part].setups[peer].id, "EC-1.3 set-up")

    answered = {key: lane.answer(lanes[key[1]], key[0], factor, rng) for key, factor in asked.items()}
    for peer in net.others:
        if setups(peer).id != lanes[0].setups[peer].id:
            raise Bug(f"the set-up with {peer} was replaced within a session")
    products = await gather(*(_exchange(committed, *key, answered[key].product) for key in after))
    heard: dict[tuple[DeviceId, int], Heard] = {}
    for (peer, part), product in zip(after, products, strict=True):
        commitment = commitments[peer].commitments[part]
        heard[peer, part] = lane.check(lanes[part], peer, commitment, product, rng)

    joint: list[Point] = []
    published: list[tuple[Scalar, Scalar]] = []
    for each in lanes:
        from_all = {peer: heard[peer, each.part] for peer in net.others}
        to_all = {peer: answered[peer, each.part] for peer in net.others}
        nonces = lane.join(each, from_all)
        joint += nonces
        published += lane.conclude(each, nonces, to_all, from_all)
    masked, numerators = zip(*published, strict=True)
    return joint, Shares(masked=masked, numerators=numerators)


async def _publish(net: Net, terms: Terms, joint: Sequence[Point], mine: Shares) -> tuple[Signature, ...]:
    """Round 3."""
    count = len(terms.digests)
    shares = await net.broadcast(mine)
    for device, said in shares.items():
        require(len(said.masked) == len(said.numerators) == count, "EC-3.1 count", device)
    return tuple(
        assemble(
            terms.public_key,
            message,
            joint[item],
            _sum(said.masked[item] for said in shares.values()),
            _sum(said.numerators[item] for said in shares.values()),
        )
        for item, message in enumerate(terms.digests)
    )


async def _ask(net: Net, ours: Lane, peer: DeviceId) -> Factor:
    pair = net.pair(peer, f"lane-{ours.part}")
    pair.send(ours.factor(peer))
    return await pair.recv(Factor)


async def _exchange(net: Net, peer: DeviceId, part: int, product: Product) -> Product:
    pair = net.pair(peer, f"lane-{part}")
    pair.send(product)
    return await pair.recv(Product)


def _sum(scalars: Iterable[Scalar]) -> Scalar:
    return sum(scalars, start=SECP256K1.scalar_of(0))
