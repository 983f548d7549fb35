"""What tests of pair resets look at: the set-ups of two nodes, and what gets lost between them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable

from quorate.ceremony.ports import SetupState
from quorate.ceremony.session import Patience
from quorate.identifiers import DeviceId
from quorate.wire.envelope import unpack
from tests.ceremony.world import QUICK, Node, World

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
LIVE, PENDING, DEAD = SetupState.LIVE, SetupState.PENDING, SetupState.DEAD


def held(node: Node, peer: Node) -> dict[int, tuple[bytes, SetupState]]:
    """Generation to id and state, of the set-ups with one peer on the one vault."""
    (row,) = [row for row in node.ledger.epochs() if row.certificate]
    rows = node.ledger.setups(row.vault, row.epoch, row.attempt)
    return {each.generation: (each.id, each.state) for each in rows if each.peer == peer.device}


def newest(node: Node, peer: Node) -> SetupState | None:
    rows = held(node, peer)
    return rows[max(rows)][1] if rows else None


def made(node: Node, peer: Node, generation: int = 1) -> SetupState | None:
    return held(node, peer).get(generation, (b"", None))[1]


def in_order(world: World, *names: str) -> tuple[Node, Node]:
    """Min and max of a pair."""
    low, high = sorted((world[name] for name in names), key=lambda node: node.device)
    return low, high


async def until(holds: Callable[[], bool], *, seconds: float = 30) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while not holds():
        assert loop.time() < ends
        await asyncio.sleep(0.05)


async def hasty(world: World) -> None:
    """Nodes that give up soon."""
    for node in world.nodes.values():
        patience = Patience(silence=1.5, unlinked=0.5, deadline=10.0)
        node.limits = dataclasses.replace(QUICK, carry_out=1.0, patience=patience)
        await node.restart()


class Losing:
    """Loses every envelope of one kind that ``sender`` sends; how many so far is ``lost``."""

    def __init__(self, sender: Node, message: str) -> None:
        self.sender, self.message, self.lost = sender.device, message, 0

    def __call__(self, sender: DeviceId, _: DeviceId, frame: bytes) -> bool:
        loses = sender == self.sender and unpack(frame).envelope.slot.endswith(self.message)
        self.lost += loses
        return loses
