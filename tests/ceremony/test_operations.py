"""Cancelling, watching and listing operations, on whole nodes."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing

import pytest

from quorate.ceremony.ports import State
from quorate.ceremony.views import Caller, OperationView
from quorate.errors import UsageError
from tests.ceremony.test_manual import WEIGHTS, decide, waiting, with_a_person
from tests.ceremony.world import CALLER, World
from tests.rules import breaks


async def test_a_cancelled_operation_ends_everywhere_and_waits_nowhere(world: World) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    await waiting(carol)
    view = await world["bob"].ceremonies.clients.cancel(CALLER, asked.id)
    assert (view.state, view.reason, view.detail) == (State.CANCELLED, "WITHDRAWN", "cancelled by tester")
    for node in world.nodes.values():
        view = await node.ceremonies.clients.wait(CALLER, asked.id, 10)
        assert (view.state, view.signature_may_exist) == (State.CANCELLED, False)
    await waiting(carol, 0)
    again = await world["bob"].ceremonies.clients.cancel(CALLER, asked.id)
    assert again.state is State.CANCELLED
    with pytest.raises(UsageError) as refused:
        await decide(carol, asked.id)
    assert refused.value.code in ("OPERATION_OVER", "NOT_ASKED")


@breaks("CE-2.3")
async def test_only_the_proposer_cancels_and_only_what_has_not_ended(world: World) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    await waiting(carol)
    for node in (world["alice"], carol):
        with pytest.raises(UsageError, match=r"CE-2\.3.*bob") as refused:
            await node.ceremonies.clients.cancel(CALLER, asked.id)
        assert refused.value.code == "NOT_THE_PROPOSER"
    await decide(carol, asked.id)
    bob = world["bob"].ceremonies.clients
    assert (await bob.wait(CALLER, asked.id, 10)).state is State.COMPLETED
    with pytest.raises(UsageError, match="COMPLETED") as late:
        await bob.cancel(CALLER, asked.id)
    assert late.value.code == "OPERATION_OVER"


async def test_a_client_cancels_what_it_asked_for_and_an_admin_anything(world: World) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    await waiting(carol)
    bob = world["bob"].ceremonies.clients
    with pytest.raises(UsageError) as refused:
        await bob.cancel(Caller(client="another", role="signer"), asked.id)
    assert refused.value.code == "NOT_ALLOWED"
    assert (await bob.operation(CALLER, asked.id)).state is State.VOTING
    admin = Caller(client="boss", role="admin")
    assert (await bob.cancel(admin, asked.id)).state is State.CANCELLED


async def test_a_signature_may_exist_of_what_was_cancelled_after_a_share_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's share leaves; carol's never does, so bob tries again and again until somebody cancels."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")
    monkeypatch.setattr(world["carol"].ledger, "release", lambda *_: False)
    bob = world["bob"]
    asked = await bob.sign("ops", "hello", seconds=0)
    async with asyncio.timeout(10):
        while (row := bob.ledger.operation(asked.id)) is None or not row.released:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    view = await bob.ceremonies.clients.cancel(CALLER, asked.id)
    assert (view.state, view.signature_may_exist) == (State.CANCELLED, True)
    told = await world["carol"].ceremonies.clients.wait(CALLER, asked.id, 10)
    assert (told.state, told.signature_may_exist) == (State.CANCELLED, True)


async def test_a_watcher_sees_every_state_until_the_end(world: World) -> None:
    carol = await with_a_person(world)
    bob = world["bob"].ceremonies.clients
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)

    async def watch() -> list[OperationView]:
        return [view async for view in bob.watch(CALLER, operation=asked.id)]

    watching = asyncio.create_task(watch())
    await waiting(carol)
    await decide(carol, asked.id)
    async with asyncio.timeout(10):
        seen = await watching
    states = [view.state for view in seen]
    assert (states[0], states[-1]) == (State.VOTING, State.COMPLETED)
    assert seen[-1].signatures
    assert all(one != two for one, two in itertools.pairwise(seen))


async def test_a_watcher_of_a_vault_hears_of_that_vault_only(world: World) -> None:
    for name in ("ops", "cold"):
        await world["alice"].create_vault(name, {"alice": 1, "bob": 1}, 2)
        await world["alice"].ready(name)
    clients = world["alice"].ceremonies.clients
    heard: list[OperationView] = []

    async def watch() -> None:
        async with aclosing(clients.watch(CALLER, vault="ops")) as views:  # type: ignore[type-var]
            async for view in views:
                heard.append(view)
                if view.state is State.COMPLETED:
                    return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await world["alice"].sign("cold", "not this")
    mine = await world["alice"].sign("ops", "this")
    async with asyncio.timeout(10):
        await watching
    assert {view.id for view in heard} == {mine.id}
    assert not any(view.signatures for view in heard)


async def test_pages_of_operations_are_newest_first_without_gap_or_repetition(world: World) -> None:
    await world["alice"].create_vault("ops", {"alice": 1, "bob": 1}, 2)
    await world["alice"].ready("ops")
    for number in range(6):
        await world["alice"].sign("ops", f"{number}")
    clients = world["alice"].ceremonies.clients
    everything, end = await clients.operations(CALLER, limit=100)
    assert (len(everything), end) == (7, "")
    assert [view.created_ms for view in everything] == sorted(
        (view.created_ms for view in everything), reverse=True
    )
    paged: list[OperationView] = []
    after = ""
    for _ in range(4):
        page, after = await clients.operations(CALLER, limit=2, after=after)
        paged += page
    assert (paged, after) == (list(everything), "")
    with pytest.raises(UsageError) as refused:
        await clients.operations(CALLER, limit=2, after="z" * 24)
    assert refused.value.code == "UNKNOWN_OPERATION"
