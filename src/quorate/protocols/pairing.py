"""The pair set-ups of a new sharing: one with each other member, made beside rounds 1 to 3 of a dealing, and their
ids, which the epoch record names. docs/spec/keygen.md, rules KG-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

from msgspec import Meta

from quorate.curves import Randomness
from quorate.errors import require
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.protocols.ot.setup import PairSetup, SetupContext, set_up
from quorate.protocols.sharing import MAX_PARTIES, Sharing
from quorate.wire.codec import Bytes32, Message
from quorate.wire.net import Net, gather


class Paired(Message):
    """To all: the ids of its sender's set-ups, in order of peer. Who tells two parties different ids has them make
    different records (rule CT-1.2), so it needs no echo."""

    setups: Annotated[tuple[Bytes32, ...], Meta(max_length=MAX_PARTIES - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """``ours``, in order of peer, and the ids of everybody's: of each pair (i, j), i < j in the roster, in order."""

    ours: tuple[PairSetup, ...]
    ids: tuple[bytes, ...]


async def pair_up(
    net: Net, sharing: Sharing, rng: Randomness, *, vault: VaultId, epoch: Epoch, attempt: int
) -> Pairing:
    """Generation 0. The net's session is the ceremony id, its parties the roster and who leaves it: those listen."""
    net, roster = net.at("set-ups"), sharing.devices
    peers = {device: [p for p in roster if p != device] if device in roster else [] for device in net.parties}

    def context(peer: DeviceId) -> SetupContext:
        low, high = sorted((net.me, peer))
        members = (sharing.seat(low), sharing.seat(high))
        return SetupContext(vault=vault, epoch=epoch, attempt=attempt, generation=0, members=members)

    ours = await gather(*(set_up(net.pair(peer, "pair"), context(peer), rng) for peer in peers[net.me]))
    heard = await net.broadcast(Paired(setups=tuple(setup.id for setup in ours)))
    named: dict[tuple[DeviceId, DeviceId], bytes] = {}
    for device, others in peers.items():
        require(len(heard[device].setups) == len(others), "KG-6.1 set-ups", device)
        named |= {(device, peer): name for peer, name in zip(others, heard[device].setups, strict=True)}
    pairs = tuple(combinations(roster, 2))
    for one, other in pairs:
        require(named[one, other] == named[other, one], "KG-6.2 one set-up")
    return Pairing(ours=ours, ids=tuple(named[pair] for pair in pairs))
