"""The pair set-ups of a new sharing: one with each other member, made beside rounds 1 to 3 of a dealing, and their
ids, which everybody says in round 4 and the epoch record names. docs/spec/keygen.md, rules KG-6.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Annotated

from msgspec import Meta

from quorate.curves import Randomness
from quorate.errors import Contested, require
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.protocols.ot.setup import PairSetup, SetupContext, set_up
from quorate.protocols.sharing import MAX_PARTIES, Sharing
from quorate.wire.codec import Bytes32
from quorate.wire.net import Net, gather

SetupIds = Annotated[tuple[Bytes32, ...], Meta(max_length=MAX_PARTIES - 1)]
"""Those of one party's set-ups, in order of peer. Said in a round that is echoed: who could tell two parties different
ids would have them make different records."""


async def pair_up(
    net: Net, sharing: Sharing, rng: Randomness, *, vault: VaultId, epoch: Epoch, attempt: int
) -> tuple[PairSetup, ...]:
    """Ours, of generation 0, in order of peer. The net's session is the ceremony id, its parties the roster and who
    leaves it: those have none."""
    net = net.at("set-ups")

    def context(peer: DeviceId) -> SetupContext:
        low, high = sorted((net.me, peer))
        members = (sharing.seat(low), sharing.seat(high))
        return SetupContext(vault=vault, epoch=epoch, attempt=attempt, generation=0, members=members)

    return await gather(
        *(set_up(net.pair(peer, "pair"), context(peer), rng) for peer in peers(sharing, net.me))
    )


def peers(sharing: Sharing, device: DeviceId) -> tuple[DeviceId, ...]:
    """Who has a set-up with a device: all other members, if it is one."""
    roster = sharing.devices
    return tuple(peer for peer in roster if peer != device) if device in roster else ()


def names(setups: tuple[PairSetup, ...]) -> tuple[bytes, ...]:
    return tuple(setup.id for setup in setups)


def agreed(sharing: Sharing, named: Mapping[DeviceId, tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """The ids of everybody's set-ups, of each pair (i, j), i < j in the roster, in order: from what each party
    ``named`` its own."""
    said: dict[tuple[DeviceId, DeviceId], bytes] = {}
    for device, ids in named.items():
        others = peers(sharing, device)
        require(len(ids) == len(others), "KG-6.1 set-ups", device)
        said |= {(device, peer): name for peer, name in zip(others, ids, strict=True)}
    pairs = tuple(combinations(sharing.devices, 2))
    for one, other in pairs:
        if said[one, other] != said[other, one]:
            raise Contested("KG-6.2 one set-up", one, other)
    return tuple(said[pair] for pair in pairs)
