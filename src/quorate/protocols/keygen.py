"""Distributed key generation, weighted, both curves side by side: docs/spec/keygen.md, rules KG.

Rounds 1 to 3 run per curve, and the set-up of each pair beside them; one verdict (round 4) and one certificate end
them all. What it shares with a reshare is in ``dealing``.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.curves import Randomness, group_of
from quorate.errors import Bug
from quorate.identifiers import Epoch, VaultId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.protocols.certificate import CURVES, Book, Certificate, EpochRecord, certify, places, public_side
from quorate.protocols.complaint import Verdict, complain, settle
from quorate.protocols.dealing import Dealing, Table, combine, hand_out, open_polynomials
from quorate.protocols.pairing import names, pair_up
from quorate.protocols.quorum import Sharing
from quorate.wire.net import Net, gather


async def create(
    net: Net,
    sharing: Sharing,
    rng: Randomness,
    book: Book,
    *,
    vault: VaultId,
    attempt: int,
    sign: Callable[[bytes], bytes],
) -> Certificate:
    """A new vault's keys, in epoch 0: its certificate, held by the book together with our shares and pair set-ups.

    ``sign`` is the device key's Ed25519. The net's session is the ceremony id, its parties the roster.
    """
    if tuple(net.parties) != sharing.devices:
        raise Bug("the parties of a key generation are its roster")
    runs, paired = await gather(
        gather(*(keygen(net.over(group_of(curve)), sharing, rng) for curve in CURVES)),
        pair_up(net, sharing, rng, vault=vault, epoch=Epoch(0), attempt=attempt),
    )
    dealings = dict(zip(CURVES, runs, strict=True))
    complaints = (complain(net, curve, cheat) for curve, dealt in dealings.items() for cheat in dealt.cheats)
    commitments = {curve: dealt.commitments for curve, dealt in dealings.items()}
    verdict = Verdict(complaint=next(complaints, None), setups=names(paired))
    setups = await settle(net, sharing, verdict, commitments, rng)
    codes = {curve: chain_code(dealt) for curve, dealt in dealings.items()}
    me = sharing.seat(net.me)
    shares = [combine(curve, me, dealt, codes[curve]) for curve, dealt in dealings.items()]
    first, second = (public_side(curve, dealt.commitment, codes[curve]) for curve, dealt in dealings.items())
    record = EpochRecord(
        vault=vault,
        epoch=0,
        attempt=attempt,
        previous=b"",
        dealers=(),
        roster=places(sharing),
        threshold=sharing.threshold,
        terms=sharing.terms,
        keys=(first, second),
        setups=setups,
        transcript=digest(Domain.TRANSCRIPT, net.sid, [dealt.transcript for dealt in runs]),
    )
    return await certify(net, record, shares, paired, book, sign)


async def keygen(net: Net, sharing: Sharing, rng: Randomness) -> Dealing:
    """Rounds 1 to 3 in the net's group: everybody deals, and chooses its constant."""
    keys = {seat.device: seat.identity_key for seat in sharing.seats}
    table = Table(identity_keys=keys, dealers=sharing.devices, target=sharing)
    opened = await open_polynomials(net, table, rng)
    return await hand_out(net, opened, rng)


def chain_code(dealing: Dealing) -> bytes:
    """32 bytes that nobody chose: made of what everybody had committed to."""
    return digest(Domain.KEYGEN_CHAIN_CODE, dealing.sid, dealing.rids)
