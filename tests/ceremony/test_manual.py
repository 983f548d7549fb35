"""The approver that is a person, on whole nodes: carol's, without whom there is no quorum where alice stays out."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from quorate.ceremony.ports import Method, State, Verdict
from quorate.ceremony.views import Caller, OperationView
from quorate.errors import UsageError
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

WEIGHTS = {"alice": 1, "bob": 1, "carol": 1}
OPERATOR = Caller(client="olga", role="approver")
HOURS = 3600 * 1000


async def with_a_person(world: World) -> Node:
    """A vault that all three sign with, and a person at carol's."""
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert made.state is State.COMPLETED, made
    for node in world.nodes.values():
        await node.ready("ops")
    await world["carol"].ask_a_person()
    return world["carol"]


async def waiting(node: Node, count: int = 1, seconds: float = 10.0) -> list[str]:
    """The operations that wait at a node, once there are so many."""
    ends = time.monotonic() + seconds
    while True:
        views, _ = await node.ceremonies.clients.pending(OPERATOR, limit=2000)
        if len(views) == count:
            return [view.id for view in views]
        assert time.monotonic() < ends, f"{len(views)} wait at {node.name}"
        await asyncio.sleep(0.02)


async def decide(
    node: Node,
    operation: str,
    verdict: Verdict = Verdict.APPROVE,
    *,
    digest: bytes | None = None,
    why: str = "",
) -> OperationView:
    clients = node.ceremonies.clients
    bound = (await clients.asked(OPERATOR, operation)).digest if digest is None else digest
    return await clients.decide(OPERATOR, operation=operation, digest=bound, verdict=verdict, reason=why)


def code(refused: pytest.ExceptionInfo[UsageError]) -> str:
    return refused.value.code


@breaks("PD-1.4")
async def test_what_a_person_approves_is_signed_and_who_and_why_is_journalled(world: World) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    assert asked.state is State.VOTING
    [operation] = await waiting(carol)
    shown = await carol.ceremonies.clients.asked(OPERATOR, operation)
    assert shown.pending
    assert "hello" in shown.request
    await decide(carol, operation, why="order 40")
    row = carol.ledger.decision(asked.id)
    assert row is not None
    assert (row.digest, row.decision.verdict) == (shown.digest, Verdict.APPROVE)
    assert (row.decision.rule, row.decision.explanation) == ("PD-1.4 person", "approve by olga: order 40")
    done = await world["bob"].ceremonies.clients.wait(CALLER, asked.id, 10)
    assert done.state is State.COMPLETED
    kept = await carol.ceremonies.clients.asked(OPERATOR, operation)
    assert (kept.request, kept.pending) == (shown.request, False)
    assert await waiting(carol, 0) == []


@breaks("PD-1.4")
async def test_no_client_decides_on_what_it_asked_for_itself(world: World) -> None:
    carol = await with_a_person(world)
    asked = await carol.sign("ops", "hello", seconds=0.3)
    [operation] = await waiting(carol)
    digest = (await carol.ceremonies.clients.asked(OPERATOR, operation)).digest
    asker = Caller(client=CALLER.client, role="approver")
    with pytest.raises(UsageError, match=r"PD-1\.4") as refused:
        await carol.ceremonies.clients.decide(
            asker, operation=operation, digest=digest, verdict=Verdict.APPROVE, reason=""
        )
    assert code(refused) == "NOT_ALLOWED"
    assert carol.ledger.decision(asked.id) is None
    await decide(carol, operation)
    assert (await carol.ceremonies.clients.wait(CALLER, asked.id, 10)).state is State.COMPLETED


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.ABSTAIN])
async def test_what_a_person_does_not_approve_is_not_signed(world: World, verdict: Verdict) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    await decide(carol, (await waiting(carol))[0], verdict)
    done = await world["bob"].ceremonies.clients.wait(CALLER, asked.id, 10)
    assert done.state is State.REJECTED
    assert not done.signature_may_exist


async def test_after_a_restart_an_undecided_operation_waits_again_and_nothing_is_assumed(
    world: World,
) -> None:
    carol = await with_a_person(world)
    theirs = await world["bob"].sign("ops", "by bob", seconds=0.3)
    own = await carol.sign("ops", "by carol", seconds=0.3)
    before = {
        operation: await carol.ceremonies.clients.asked(OPERATOR, operation)
        for operation in (theirs.id, own.id)
    }
    await carol.restart()
    assert sorted(await waiting(carol, 2)) == sorted(before)
    assert carol.ledger.decision(theirs.id) is None
    for operation, asked in before.items():
        again = await carol.ceremonies.clients.asked(OPERATOR, operation)
        assert again.digest == asked.digest
        assert json.loads(again.request)["id"] == json.loads(asked.request)["id"]
        await decide(carol, operation)
    for node, view in ((world["bob"], theirs), (carol, own)):
        assert (await node.ceremonies.clients.wait(CALLER, view.id, 10)).state is State.COMPLETED


async def test_what_others_approved_waits_at_its_proposer_again_after_a_restart(world: World) -> None:
    """Alice and bob have approved and do not begin, so that carol's own vote may still be needed."""
    made = await world["alice"].create_vault("ops", WEIGHTS, 2)
    assert made.state is State.COMPLETED, made
    carol = world["carol"]
    await carol.ready("ops")
    await carol.ask_a_person()
    world.intercept = lambda _sender, _peer, method, _body: b"nothing" if method is Method.BEGIN else None
    asked = await carol.sign("ops", "hello", seconds=0)
    async with asyncio.timeout(10):
        while (await carol.ceremonies.clients.operation(CALLER, asked.id)).state is State.VOTING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await carol.restart()
    assert await waiting(carol) == [asked.id]
    world.intercept = lambda *_: None
    await decide(carol, asked.id)
    done = await carol.ceremonies.clients.wait(CALLER, asked.id, 10)
    assert done.state is State.COMPLETED


@breaks("PD-1.1")
async def test_a_decision_on_another_digest_is_refused_and_the_operation_waits_on(world: World) -> None:
    carol = await with_a_person(world)
    one = await world["bob"].sign("ops", "one", seconds=0.3)
    two = await world["bob"].sign("ops", "two", seconds=0.3)
    await waiting(carol, 2)
    other = (await carol.ceremonies.clients.asked(OPERATOR, two.id)).digest
    for digest in (other, bytes(32), b""):
        with pytest.raises(UsageError, match=r"PD-1\.1") as refused:
            await decide(carol, one.id, digest=digest)
        assert code(refused) == "WRONG_DIGEST"
    assert sorted(await waiting(carol, 2)) == sorted([one.id, two.id])
    assert carol.ledger.decision(one.id) is None


@breaks("PD-1.2")
async def test_the_first_decision_stands_and_the_same_again_changes_nothing(world: World) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    await waiting(carol)
    bound = (await carol.ceremonies.clients.asked(OPERATOR, asked.id)).digest
    results = await asyncio.gather(
        decide(carol, asked.id, Verdict.REJECT, digest=bound),
        decide(carol, asked.id, Verdict.APPROVE, digest=bound),
        return_exceptions=True,
    )
    [refused] = [each for each in results if isinstance(each, UsageError)]
    assert refused.code == "NOT_PENDING"
    await decide(carol, asked.id, Verdict.REJECT, digest=bound)
    with pytest.raises(UsageError, match="reject by olga") as late:
        await decide(carol, asked.id, digest=bound)
    assert code(late) == "ALREADY_DECIDED"
    row = carol.ledger.decision(asked.id)
    assert row is not None
    assert row.decision.verdict is Verdict.REJECT


async def test_a_node_whose_approver_is_no_person_takes_no_decision(world: World) -> None:
    await with_a_person(world)
    bob = world["bob"]
    asked = await bob.sign("ops", "hello", seconds=0.3)
    with pytest.raises(UsageError) as refused:
        await decide(bob, asked.id)
    assert code(refused) == "NOT_MANUAL"


@breaks("PD-1.3")
async def test_what_waits_a_day_expires_everywhere_and_is_approved_no_more(world: World) -> None:
    carol = await with_a_person(world)
    asked = await world["bob"].sign("ops", "hello", seconds=0.3)
    await waiting(carol)
    assert asked.expires_ms - asked.created_ms == 24 * HOURS
    bound = (await carol.ceremonies.clients.asked(OPERATOR, asked.id)).digest
    for node in world.nodes.values():
        node.clock.ahead_ms = 24 * HOURS
    with pytest.raises(UsageError, match=r"PD-1\.3") as refused:
        await decide(carol, asked.id, digest=bound)
    assert code(refused) in ("EXPIRED", "OPERATION_OVER")
    await waiting(carol, 0)
    for node in world.nodes.values():
        view = await node.ceremonies.clients.wait(CALLER, asked.id, 10)
        assert (view.state, view.signature_may_exist) == (State.EXPIRED, False)
    assert carol.ledger.decision(asked.id) is None
    assert carol.device not in carol.ledger.votes(asked.id)


async def test_an_operation_that_needs_no_decision_any_more_does_not_wait(world: World) -> None:
    made = await world["alice"].create_vault("ops", WEIGHTS, 2)
    assert made.state is State.COMPLETED
    carol = world["carol"]
    await carol.ask_a_person()
    done = await world["bob"].sign("ops", "without carol")
    assert done.state is State.COMPLETED
    assert (await carol.ceremonies.clients.wait(CALLER, done.id, 10)).state is State.COMPLETED
    await waiting(carol, 0)
    with pytest.raises(UsageError) as refused:
        await carol.ceremonies.clients.decide(
            OPERATOR, operation=done.id, digest=bytes(32), verdict=Verdict.APPROVE, reason=""
        )
    assert code(refused) == "OPERATION_OVER"


async def test_one_that_nobody_decides_holds_up_nobody_else(world: World) -> None:
    """One operation waits at carol's; hundreds that carol is not needed for are signed meanwhile."""
    carol = await with_a_person(world)
    stuck = await world["bob"].sign("ops", "stuck", seconds=0.3)
    await waiting(carol)
    await world["alice"].create_vault("fast", {"alice": 1, "bob": 1}, 2)
    await world["bob"].ready("fast")
    for _ in range(10):
        done = await asyncio.gather(*(world["bob"].sign("fast", f"{i}", seconds=20) for i in range(20)))
        assert {view.state for view in done} == {State.COMPLETED}
    assert await waiting(carol) == [stuck.id]


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
async def test_many_wait_and_a_new_one_is_served(world: World, count: int) -> None:
    carol, bob = await with_a_person(world), world["bob"]
    for start in range(0, count, 50):
        size = min(50, count - start)
        views = await asyncio.gather(*(bob.sign("ops", f"{start + i}", seconds=0) for i in range(size)))
        assert {view.state for view in views} == {State.VOTING}
    await waiting(carol, count, seconds=120)
    new = await world["alice"].sign("ops", "new", seconds=0)
    await waiting(carol, count + 1)
    await decide(carol, new.id)
    done = await world["alice"].ceremonies.clients.wait(CALLER, new.id, 30)
    assert done.state is State.COMPLETED
    assert len(await waiting(carol, count)) == count
    await bob.ceremonies.clients.wait(CALLER, new.id, 30)
    assert (await bob.ceremonies.clients.status()).unfinished == count
    first, more = await carol.ceremonies.clients.pending(OPERATOR, limit=count - 1)
    rest, end = await carol.ceremonies.clients.pending(OPERATOR, limit=count, after=more)
    assert (len(first), len(rest), end) == (count - 1, 1, "")
