"""Peers of another protocol version: a session with one would wait for it in vain, so none is begun."""

from __future__ import annotations

import pytest

from quorate.ceremony import greetings
from quorate.ceremony.agreement import PROTOCOL_VERSION
from quorate.ceremony.ports import Method, State
from quorate.ceremony.statements import Hello, hear
from tests.ceremony.world import World
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


async def vault_with_an_old_bob(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bob tells everybody that he speaks another version, and is told theirs."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")
    for other in ("alice", "carol"):
        with monkeypatch.context() as older:
            older.setattr(greetings, "PROTOCOL_VERSION", PROTOCOL_VERSION - 1)
            told = world["bob"].ceremonies.greetings.hello(world[other].device)
        _, hello = hear(Hello, told, world[other].ceremonies._context.key_of)
        await world[other].ceremonies.greetings.note(world["bob"].device, hello)
    world.refusals.clear()


@breaks("CE-1.13")
async def test_a_proposal_of_a_peer_that_speaks_another_protocol_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault_with_an_old_bob(world, monkeypatch)
    view = await world["bob"].sign("ops", "hello", seconds=0.5)
    assert view.state is State.VOTING
    assert {code for _, method, code in world.refusals if method is Method.PROPOSE} == {"PROTOCOL_MISMATCH"}
    assert world["alice"].ledger.operation(view.id) is None


async def test_who_speaks_another_protocol_is_neither_asked_nor_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault_with_an_old_bob(world, monkeypatch)
    view = await world["alice"].sign("ops", "hello")
    assert view.state is State.COMPLETED
    assert view.attempt == 1
    assert world["bob"].approver.asked[-1].operation != view.id
