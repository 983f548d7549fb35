"""Whole nodes make another pair set-up: who votes, what a crash at each step leaves, and whose word makes it live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.journal import known_operation
from quorate.ceremony.ports import Method, State, Verdict
from quorate.ceremony.session import Session
from quorate.ceremony.statements import Begin, Join, Proposal, Signed, state
from quorate.errors import StaleEpoch, UsageError
from quorate.identifiers import DeviceId
from quorate.wire.codec import decode
from quorate.wire.envelope import unpack
from tests.ceremony.resets import (
    DEAD,
    LIVE,
    PENDING,
    WEIGHTS,
    Losing,
    hasty,
    held,
    in_order,
    made,
    newest,
    until,
)
from tests.ceremony.setups import reset
from tests.ceremony.test_cheats import Cheat, in_request, put, read
from tests.ceremony.test_ecdsa_operations import vault_of
from tests.ceremony.test_recovery import state_of
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks


@pytest.mark.parametrize("proposer", ["alice", "bob"])
async def test_both_of_a_pair_approve_and_have_the_next_set_up(world: World, proposer: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    peer = "bob" if proposer == "alice" else "alice"
    asked = len(world["carol"].approver.asked)
    view = await reset(world[proposer], peer)
    assert (view.state, view.kind, view.attempt) == (State.COMPLETED, "pair-reset", 1)
    assert {vote.name: vote.verdict for vote in view.votes} == {"alice": "approve", "bob": "approve"}
    assert await state_of(world[peer], view.id, State.COMPLETED) is State.COMPLETED
    here, there = held(world["alice"], world["bob"]), held(world["bob"], world["alice"])
    assert here == there
    assert here[1][1] is LIVE
    assert all(state is DEAD for generation, (_, state) in here.items() if generation != 1)
    assert len(world["carol"].approver.asked) == asked, "carol is neither of the two"


async def test_a_reset_where_nothing_is_wrong_makes_the_generation_after(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    for generation in (1, 2, 3):
        view = await reset(world["alice" if generation % 2 else "bob"], "bob" if generation % 2 else "alice")
        assert view.state is State.COMPLETED
        for one, other in (("alice", "bob"), ("bob", "alice")):
            await until(lambda one=one, other=other: made(world[one], world[other], generation) is LIVE)  # type: ignore[misc] # noqa: B023
            rows = held(world[one], world[other])
            assert max(rows) == generation
            assert [state for _, state in rows.values()].count(LIVE) == 1


async def test_the_vault_shows_what_each_pair_has(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await reset(world["alice"], "bob")
    shown = {each.name: each for each in (await world["alice"].ready("ops")).setups}
    assert (shown["bob"].generation, shown["bob"].state) == (1, LIVE)
    world["alice"].ledger.kill_setup(held(world["alice"], world["bob"])[1][0])
    shown = {each.name: each for each in (await world["alice"].ready("ops")).setups}
    assert (shown["bob"].generation, shown["bob"].state) == (1, DEAD)


async def test_an_approver_reads_which_pair_and_what_it_has(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await reset(world["alice"], "bob", memo="first")
    world["bob"].ledger.kill_setup(held(world["bob"], world["alice"])[1][0])
    await reset(world["alice"], "bob", memo="a cheat was caught")
    request = world["bob"].approver.asked[-1]
    assert request.route == "reshare"
    assert request.body["__typename"] == "OperationPairReset"
    details = request.body["details"]
    assert details["memo"] == "a cheat was caught"
    assert [device["name"] for device in details["pair"]["devices"]] == [
        node.name for node in in_order(world, "alice", "bob")
    ]
    assert details["pair"]["generation"] == 2
    assert (details["pair"]["presentGeneration"], details["pair"]["presentState"]) == (1, "DEAD")


@pytest.mark.parametrize("refusing", ["alice", "bob"])
async def test_either_approver_can_refuse_and_the_old_set_up_stays(world: World, refusing: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await reset(world["alice"], "bob")
    await until(lambda: newest(world["bob"], world["alice"]) is LIVE)
    world[refusing].approver.verdict = Verdict.REJECT
    view = await reset(world["alice"], "bob")
    assert view.state is State.REJECTED
    assert newest(world["alice"], world["bob"]) is newest(world["bob"], world["alice"]) is LIVE


async def test_the_same_request_again_is_not_the_next_reset(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    first = await reset(world["alice"], "bob", key="once")
    again = await reset(world["alice"], "bob", key="once")
    there = await reset(world["bob"], "alice", key="once")
    assert first.id == again.id == there.id
    assert max(held(world["alice"], world["bob"])) == 1


async def test_who_is_no_pair_is_told_so(world: World) -> None:
    await world["alice"].create_vault("ops", {"alice": 2, "bob": 1}, 3)
    await world["alice"].create_vault("mine", {"alice": 2}, 2)
    for vault, peer, why in (
        ("ops", "alice", "this node itself"),
        ("ops", "carol", "carol is not a member of vault ops; its others are bob"),
        ("ops", "mallory", "no peer named mallory"),
        ("mine", "bob", "no other member"),
        ("nowhere", "bob", "no vault nowhere"),
    ):
        with pytest.raises(UsageError, match=why):
            await reset(world["alice"], peer, vault=vault)


PROPOSALS: dict[str, tuple[Callable[[World, Proposal], Any], str]] = {
    "of a pair that the proposer is not of": (
        lambda w, p: in_request(p, pair=tuple(sorted((w["bob"].device, w["carol"].device)))),
        "NOT_IN_ROSTER",
    ),
    "of a pair that bob is not of": (
        lambda w, p: in_request(p, pair=tuple(sorted((w["alice"].device, w["carol"].device)))),
        "NOT_IN_ROSTER",
    ),
    "with a stranger": (
        lambda w, p: in_request(p, pair=tuple(sorted((w["bob"].device, DeviceId("a" * 24))))),
        "NOT_IN_ROSTER",
    ),
    "of another epoch": (lambda _, p: in_request(p, epoch=1), "STALE_EPOCH"),
    "of another certificate": (lambda _, p: in_request(p, certificate=bytes(32)), "STALE_EPOCH"),
    "of a generation in use": (lambda _, p: in_request(p, generation=1), "STALE_GENERATION"),
    "of the last generation there is": (
        lambda _, p: in_request(p, generation=2**31 - 1),
        "INVALID_REQUEST",
    ),
}


@breaks("CE-1.9", "CE-1.10")
@pytest.mark.parametrize("cheat", PROPOSALS)
async def test_a_reset_that_is_not_sound_never_reaches_the_approver(world: World, cheat: str) -> None:
    change, code = PROPOSALS[cheat]
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await reset(world["alice"], "bob")
    await until(lambda: made(world["bob"], world["alice"]) is LIVE)
    asked = len(world["bob"].approver.asked)
    lie = Cheat(world, Method.PROPOSE, Proposal, lambda proposal: change(world, proposal), times=99)
    view = await reset(world["alice"], "bob")
    assert lie.code == code
    assert (view.state, view.reason) == (State.FAILED, "REFUSED")
    assert len(world["bob"].approver.asked) == asked
    assert newest(world["bob"], world["alice"]) is LIVE


BEGINS: dict[str, tuple[Callable[[World, Begin], Any], str]] = {
    "in a stage that is none of a reset": (lambda _, b: put(b, stage="sign"), "WRONG_STAGE"),
    "without the other": (lambda _, b: put(b, joins=b.joins[:1], votes=b.votes[:1]), "NOT_ENOUGH_WEIGHT"),
    "without the other's approval": (lambda _, b: put(b, votes=b.votes[:1]), "NOT_APPROVED"),
}


@breaks("CE-3.5", "CE-3.6", "CE-3.8")
@pytest.mark.parametrize("cheat", BEGINS)
async def test_a_begin_of_a_reset_that_is_not_sound_begins_nothing(world: World, cheat: str) -> None:
    change, code = BEGINS[cheat]
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    lie = Cheat(world, Method.BEGIN, Begin, lambda begin: change(world, begin))
    view = await reset(world["alice"], "bob")
    assert lie.code == code
    assert (view.state, view.attempt) == (State.COMPLETED, 2)


@breaks("CE-3.5")
async def test_a_third_member_is_no_party_of_a_reset(world: World) -> None:
    """Although it is in the roster of the vault."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")

    def with_carol(begin: Begin) -> Begin:
        joins = {decode(Signed, join).signer: join for join in begin.joins}
        carol = world["carol"].ledger.identity
        joins[carol.device] = state(carol, read(Join, joins[world["bob"].device]))
        return put(begin, joins=tuple(joins[device] for device in sorted(joins)))  # type: ignore[no-any-return]

    lie = Cheat(world, Method.BEGIN, Begin, with_carol)
    view = await reset(world["alice"], "bob")
    assert lie.code == "NOT_IN_ROSTER"
    assert view.state is State.COMPLETED


# --- what it is for


async def test_what_is_being_signed_under_the_old_set_up_ends_when_a_reset_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault_of(world)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    alice, bob = world["alice"], world["bob"]
    halted: list[str] = []
    halt = Session.halt

    def note(self: Session[object], why: str) -> None:
        halted.append(why)
        halt(self, why)

    monkeypatch.setattr(Session, "halt", note)
    held_back: list[DeviceId] = []

    def cut(sender: DeviceId, _: DeviceId, frame: bytes) -> bool:
        signing = not unpack(frame).envelope.slot.startswith("/pair")
        if signing:
            held_back.append(sender)
        return signing

    world.cut = cut
    signing = asyncio.create_task(alice.sign("ops", "hello", algorithm="ES256K", seconds=30))
    await until(lambda: {alice.device, bob.device} <= set(held_back))
    assert (await reset(bob, "alice")).state is State.COMPLETED
    assert len(halted) >= 2
    assert all("CE-6.3" in why for why in halted)
    world.cut = lambda *_: False
    ended = await signing  # where it looked for signers between the two set-ups, it found none
    assert ended.state is State.COMPLETED or ended.reason == "NO_LIVE_SETUP"
    assert (await alice.sign("ops", "hello", algorithm="ES256K")).state is State.COMPLETED
    assert made(alice, bob, 0) is made(bob, alice, 0) is DEAD


# --- crashes and losses


@pytest.mark.parametrize("proposer", ["min", "max"])
@pytest.mark.parametrize("lost", ["Choice", "Answer", "Held"])
async def test_before_max_has_it_another_attempt_makes_another(
    world: World, proposer: str, lost: str
) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    low, high = in_order(world, "alice", "bob")
    world.cut = cut = Losing(low, lost)
    node, peer = (low, high) if proposer == "min" else (high, low)
    view = await reset(node, peer.name, seconds=0.01)
    await until(lambda: cut.lost > 0 and newest(high, low) in (None, DEAD))
    abandoned = held(low, high).get(1)
    world.cut = lambda *_: False
    done = await node.ceremonies.clients.wait(CALLER, view.id, 20)
    assert done.state is State.COMPLETED
    assert done.attempt >= 2
    await until(lambda: made(low, high) is LIVE)
    assert held(low, high) == held(high, low)
    assert abandoned is None or abandoned[0] != held(low, high)[1][0]


@pytest.mark.parametrize("proposer", ["min", "max"])
async def test_a_min_that_misses_the_switch_asks_and_uses_it(world: World, proposer: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    low, high = in_order(world, "alice", "bob")
    world.cut = Losing(high, "Switched")
    # Nobody is told of the end either: it has to be asked for.
    world.intercept = lambda _, __, method, ___: b"" if method is Method.CONCLUDE else None
    node, peer = (low, high) if proposer == "min" else (high, low)
    view = await reset(node, peer.name, seconds=0.01)
    await until(lambda: made(high, low) is LIVE)
    assert made(low, high) is PENDING
    assert await state_of(low, view.id, State.COMPLETED, seconds=20) is State.COMPLETED
    assert held(low, high) == held(high, low)
    assert made(low, high) is LIVE


@pytest.mark.parametrize("proposer", ["min", "max"])
async def test_a_min_that_dies_before_the_switch_uses_it_once_it_is_back(world: World, proposer: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    low, high = in_order(world, "alice", "bob")
    world.cut = Losing(high, "Switched")
    world.intercept = lambda _, __, method, ___: b"" if method is Method.CONCLUDE else None
    node, peer = (low, high) if proposer == "min" else (high, low)
    view = await reset(node, peer.name, seconds=0.01)
    await until(lambda: made(high, low) is LIVE)
    await low.stop()
    assert made(low, high) is PENDING
    await low.restart()
    assert await state_of(low, view.id, State.COMPLETED, seconds=20) is State.COMPLETED
    assert held(low, high) == held(high, low)
    assert made(low, high) is LIVE


@pytest.mark.parametrize("proposer", ["min", "max"])
async def test_a_max_that_dies_before_it_journals_the_end_finds_it_again(world: World, proposer: str) -> None:
    """It uses the set-up, has told nobody, and its journal says that the attempt is running."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    low, high = in_order(world, "alice", "bob")
    node, peer = (low, high) if proposer == "min" else (high, low)
    await high_without_end(world, node, peer, low, high)
    assert newest(low, high) is PENDING
    assert newest(high, low) is LIVE
    (operation,) = [row for row in high.ledger.operations() if row.kind == "pair-reset"]
    assert operation.state is State.RUNNING
    world.cut = lambda *_: False
    await high.restart()
    assert await state_of(high, operation.id, State.COMPLETED, seconds=20) is State.COMPLETED
    assert await state_of(low, operation.id, State.COMPLETED, seconds=20) is State.COMPLETED
    assert held(low, high) == held(high, low)


async def high_without_end(world: World, node: Node, peer: Node, low: Node, high: Node) -> None:
    """Run a reset in which max stops between two of its writes, as by a power cut."""
    world.cut = Losing(high, "Switched")
    keep = high.ledger.move_operation

    def crash(*_: Any, **__: Any) -> bool:
        raise StaleEpoch("the power is gone")

    view = await reset(node, peer.name, seconds=0.01)
    await state_of(high, view.id, State.RUNNING)
    high.ledger.move_operation = crash  # type: ignore[method-assign]
    await until(lambda: made(high, low) is LIVE)
    await high.stop()
    high.ledger.move_operation = keep  # type: ignore[method-assign]


async def test_a_min_that_gave_up_still_hears_that_max_has_it(world: World) -> None:
    """The operation failed at min, its proposer, and is over; what it left pending is asked about all the same."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await hasty(world)
    low, high = in_order(world, "alice", "bob")
    world.cut = Losing(high, "Switched")
    deaf = {Method.CONCLUDE, Method.GET_OPERATION}
    world.intercept = lambda _, __, method, ___: b"" if method in deaf else None
    view = await reset(low, high.name, seconds=30)
    assert view.state is State.FAILED
    assert newest(low, high) is PENDING
    deaf.clear()
    assert await state_of(low, view.id, State.COMPLETED, seconds=20) is State.COMPLETED
    assert held(low, high) == held(high, low)
    assert made(low, high) is LIVE


async def test_after_a_half_finished_reset_the_next_one_serves_both(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await hasty(world)
    low, high = in_order(world, "alice", "bob")
    world.cut = Losing(high, "Switched")
    deaf = {Method.CONCLUDE, Method.GET_OPERATION}
    world.intercept = lambda _, __, method, ___: b"" if method in deaf else None
    await reset(low, high.name, seconds=30)
    world.cut = lambda *_: False
    view = await reset(low, high.name)
    assert view.state is State.COMPLETED
    assert newest(low, high) is newest(high, low) is LIVE
    assert max(held(low, high)) == max(held(high, low)) == 2
    assert held(low, high)[2] == held(high, low)[2]
    assert held(high, low)[1][1] is DEAD
    assert held(low, high).get(1, (b"", DEAD))[1] is DEAD


async def test_two_resets_at_once_leave_one_set_up(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    views = await asyncio.gather(
        reset(world["alice"], "bob", seconds=20), reset(world["bob"], "alice", seconds=20)
    )
    assert [view.state for view in views] == [State.COMPLETED] * 2
    await until(lambda: newest(world["alice"], world["bob"]) is newest(world["bob"], world["alice"]) is LIVE)
    assert held(world["alice"], world["bob"]) == held(world["bob"], world["alice"])
    assert max(held(world["alice"], world["bob"])) == 1


@breaks("CE-3.9")
@pytest.mark.parametrize("later", ["lower", "higher"])
async def test_one_reset_of_a_pair_runs_at_a_time(world: World, later: str) -> None:
    """Of two the one with the lower id: it ends the other, which waits for it."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world.cut = lambda *_: True
    first = await reset(world["alice"], "bob", seconds=0.5)
    assert first.state is State.RUNNING
    operation = known_operation(world["alice"].ceremonies._context, first.id)
    keys = map(str, range(1000))
    key = next(
        key for key in keys if (put(operation, idempotency_key=key).id < first.id) == (later == "lower")
    )
    second = await reset(world["bob"], "alice", key=key, seconds=0.8)
    row = world["bob"].ledger.operation(second.id)
    assert row is not None
    assert (second.id < first.id, row.attempt > 0) == (later == "lower",) * 2
    world.cut = lambda *_: False
    for view, node in ((first, "alice"), (second, "bob")):
        done = await world[node].ceremonies.clients.wait(CALLER, view.id, 20)
        assert done.state is State.COMPLETED
    await until(lambda: held(world["alice"], world["bob"]) == held(world["bob"], world["alice"]))
    assert newest(world["alice"], world["bob"]) is LIVE


async def test_a_peer_that_never_begins_costs_the_old_set_up_and_is_named(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await hasty(world)
    await reset(world["alice"], "bob")
    bob = world["bob"].device
    world.cut = lambda sender, *_: sender == bob
    view = await reset(world["alice"], "bob", seconds=60)
    assert (view.state, view.culprits) == (State.FAILED, (bob,))
    assert newest(world["alice"], world["bob"]) is not LIVE
    world.cut = lambda *_: False
    assert (await reset(world["alice"], "bob")).state is State.COMPLETED


async def test_a_vault_of_the_time_before_set_ups_gets_its_first(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice", "bob"))
    await world.start()
    await world["alice"].create_vault("ops", {"alice": 1, "bob": 1}, 2)
    await world["bob"].ready("ops")
    for node in world.nodes.values():
        node.ledger._database.write("forget", lambda connection: connection.execute("DELETE FROM setups"))
    view = await reset(world["alice"], "bob")
    assert view.state is State.COMPLETED
    assert {g: s for g, (_, s) in held(world["alice"], world["bob"]).items()} == {1: LIVE}
    await world.stop()
