"""Nodes that a vault governs: their policies, what they sign, and what they greet each other with."""

from __future__ import annotations

import asyncio
import os

from quorate.approval.policy.language import parse_policy
from quorate.ceremony.policies import Governing
from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.identifiers import DeviceId, VaultId
from tests.ceremony.world import CALLER, Node, World

WEIGHTS = {"alice": 1, "bob": 1, "carol": 1}
OPEN = '[[rule]]\nname = "anything"\nscope = "global"\n'
FEW = """
[[rule]]
name = "few"
scope = "global"
restricts = true
when.kinds = ["sign"]
limits = [{{ count = {}, within = "24h" }}]
"""


def few(count: int) -> bytes:
    """Anything goes, and no more than so many messages in a day."""
    return (OPEN + FEW.format(count)).encode()


async def governed(world: World, names: tuple[str, ...] = ("alice", "bob", "carol")) -> VaultId:
    """A vault of these two of three, which governs all of them: they decide by a bootstrap file."""
    made = await world[names[0]].create_vault("gov", dict.fromkeys(names, 1), 2)
    assert made.state is State.COMPLETED, made
    assert made.vault is not None
    for name in names:
        await world[name].ready("gov")
    for name in names:
        node = world[name]
        node.governing = Governing(vault=made.vault)
        node.policy = parse_policy(OPEN, "bootstrap.toml")
        await node.restart()
    await greet(world, *names)
    return made.vault


async def greet(world: World, *names: str) -> None:
    """Everybody hears of everybody what it holds."""
    nodes = [world[name] for name in names or world.nodes]
    for node in nodes:
        for other in nodes:
            if other is not node and not {node.device, other.device} & world.down:
                await node.ceremonies.greetings.greet(other.device)


async def propose(
    node: Node,
    policy: bytes,
    *,
    version: int | None = None,
    key: str = "",
    seconds: float = 30,
    vault: str = "",
) -> OperationView:
    view = await node.ceremonies.clients.change_policy(
        CALLER, policy=policy, vault=vault, version=version, memo="", idempotency_key=key or os.urandom(8).hex(),
        expires_in_ms=None,
    )  # fmt: skip
    return await node.ceremonies.clients.wait(CALLER, view.id, seconds)


def version(node: Node) -> int:
    return node.policies.base()[0]


def signers_of(view: OperationView) -> set[DeviceId]:
    return set(view.signers)


async def until_version(world: World, wanted: int, *names: str) -> None:
    async with asyncio.timeout(30):
        while any(version(world[name]) < wanted for name in names):  # noqa: ASYNC110 - it is read from the store
            await asyncio.sleep(0.05)
