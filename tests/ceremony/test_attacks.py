"""Members with less than the threshold that try to spoil the work of the others, and failures of our own that must
not leave an operation hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from quorate.ceremony.agreement import OwnJoin
from quorate.ceremony.journal import known_operation
from quorate.ceremony.ports import ApprovalRequest, Decision, Method, State, Verdict
from quorate.ceremony.statements import Begin, Outcome, state
from quorate.ceremony.views import OperationView
from quorate.errors import StoreError
from quorate.identifiers import DeviceId
from quorate.operations.kinds import Operation
from quorate.wire.envelope import unpack
from tests.ceremony.setups import lie
from tests.ceremony.test_cheats import WEIGHTS, put, read, refused
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks


def row_of(node: Node, view: OperationView) -> Any:
    row = node.ledger.operation(view.id)
    assert row is not None
    return row


BAD_JOINS: dict[str, Callable[[World, OwnJoin], bytes]] = {
    "junk": lambda _, join: b"junk",
    "signed by somebody else": lambda w, join: state(w["alice"].ledger.identity, join.statement),
    "for another digest": lambda w, join: state(
        w["carol"].ledger.identity, put(join.statement, digest=bytes(32))
    ),
    "for another attempt": lambda w, join: state(w["carol"].ledger.identity, put(join.statement, attempt=77)),
    "of megabytes": lambda _, join: bytes(3 << 20),
}


@pytest.mark.parametrize("cheat", BAD_JOINS)
async def test_an_approver_that_gives_a_bad_join_loses_its_place_and_no_more(
    world: World, cheat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["carol"].ready("ops")
    gate = world["bob"].approver.gate = asyncio.Event()  # so that carol is needed at first
    voting = world["carol"].ceremonies._desk._voting
    honest = voting.join

    def spoiled(operation: Operation, attempt: int) -> OwnJoin:
        join = honest(operation, attempt)
        join.signed = BAD_JOINS[cheat](world, join)
        return join

    monkeypatch.setattr(voting, "join", spoiled)
    view = await world["alice"].sign("ops", "hello", seconds=0.6)
    gate.set()
    view = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert view.state is State.COMPLETED, view
    assert world["carol"].device not in view.signers


async def test_two_members_that_stall_in_turn_do_not_stop_enough_others(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice", "bob", "carol", "dave", "erin"))
    await world.start()
    await world["alice"].create_vault("ops", dict.fromkeys(world.nodes, 1), 3, seconds=20)
    for node in world.nodes.values():
        await node.ready("ops")
    others = sorted(node.device for node in world.nodes.values() if node.name != "alice")
    mute = {others[0], others[2]}
    world.cut = lambda sender, *_: sender in mute
    view = await world["alice"].sign("ops", "hello", seconds=15)
    assert view.state is State.COMPLETED, view
    assert view.attempt <= 3
    assert not mute & set(view.signers)
    await world.stop()


async def test_a_member_that_went_away_is_not_waited_for_while_others_are_enough(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await world["carol"].ready("ops")
    first: list[DeviceId] = []

    def cut(sender: DeviceId, peer: DeviceId, _: bytes) -> bool:
        if sender == world["alice"].device or (first and sender != first[0]):
            return False
        if not first:  # whoever speaks first is lost once, and the other one goes away
            first.append(sender)
            world.down.add(({world["bob"].device, world["carol"].device} - {sender}).pop())
        return row.attempt == 1 if (row := world["alice"].ledger.operations(limit=1)[0]) else False

    world.cut = cut
    view = await world["alice"].sign("ops", "hello", seconds=12)
    assert view.state is State.COMPLETED, view
    assert first[0] in view.signers


async def test_our_own_join_does_not_grow_old_between_two_steps(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    view = await world["alice"].sign("ops", "hello")
    voting, clock = world["alice"].ceremonies._desk._voting, world["alice"].clock
    operation = known_operation(world["alice"].ceremonies._context, view.id)
    voting.join(operation, 5)
    clock.ahead_s = 59  # votes of people come late
    late = voting.join(operation, 5)
    clock.ahead_s = 70  # and the joins of others take their time
    assert voting.take_join(operation, 5, late.signed) is late


@breaks("CE-5.4")
async def test_reports_count_from_the_parties_of_the_attempt_only(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice", "bob", "carol", "dave"))
    await world.start()
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for name in WEIGHTS:
        await world[name].ready("ops")
    world["bob"].approver.verdict = Verdict.ABSTAIN

    def report(sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> None:
        """As soon as an attempt begins, one that is no part of it says that it failed."""
        if method is Method.BEGIN and peer == world["carol"].device:
            begin = read(Begin, body)
            lie = Outcome(
                operation=begin.operation, digest=begin.digest, state="RUNNING", attempt=begin.attempt,
                reason="STALLED", culprits=(peer,), result=b"", released=False,
            )  # fmt: skip
            said = state(world["dave"].ledger.identity, lie)
            tasks.append(asyncio.ensure_future(refused(world, Method.CONCLUDE, said, sender="dave")))

    tasks: list[asyncio.Future[str]] = []
    world.intercept = report
    view = await world["bob"].sign("ops", "hello", seconds=12)
    assert view.state is State.COMPLETED, view
    assert view.attempt == 1
    assert await asyncio.gather(*tasks) == ["NOT_IN_ROSTER"]
    await world.stop()


@breaks("CE-4.3")
async def test_who_lets_others_sign_never_says_that_there_is_no_signature(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS | {"carol": 2}, 3)
    for node in world.nodes.values():
        await node.ready("ops")
        node.limits = replace(node.limits, carry_out=1.0)
        await node.restart()
    world["bob"].approver.verdict = Verdict.ABSTAIN
    world.cut = lambda _sender, _peer, frame: unpack(frame).envelope.slot.endswith("Response")
    view = await world["bob"].sign("ops", "hello", seconds=15)
    assert (view.state, view.signature_may_exist) == (State.FAILED, True), view


@breaks("CE-4.3")
async def test_who_hears_of_a_failure_hears_that_a_signature_may_exist(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")
    world["alice"].limits = replace(world["alice"].limits, carry_out=1.0)
    await world["alice"].restart()
    world["carol"].approver.verdict = Verdict.ABSTAIN
    world.cut = lambda _sender, _peer, frame: unpack(frame).envelope.slot.endswith("Response")
    view = await world["alice"].sign("ops", "hello", seconds=15)
    assert (view.state, view.signature_may_exist) == (State.FAILED, True), view
    told = await world["carol"].ceremonies.clients.wait(CALLER, view.id, 5)
    assert (told.state, told.signature_may_exist) == (State.FAILED, True)


async def test_an_operation_that_expires_while_it_is_carried_out_has_expired(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.verdict = Verdict.ABSTAIN
    world.cut = lambda *_: True
    view = await world["alice"].sign("ops", "hello", seconds=0.3, life_ms=60_000)
    assert view.state is State.RUNNING
    world["alice"].clock.ahead_ms = 120_000
    view = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert (view.state, view.reason) == (State.EXPIRED, "EXPIRED")


async def test_those_who_answer_late_are_still_asked_once_enough_have_approved(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")
    carol, bob = world["carol"].device, world["bob"].device
    world.down.add(bob)
    world.cut = lambda sender, *_: sender == carol  # approves, and then says nothing
    view = await world["alice"].sign("ops", "hello", seconds=1.0)
    assert view.state is State.RUNNING
    world.down.discard(bob)
    view = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert view.state is State.COMPLETED
    assert bob in view.signers


async def test_a_store_that_fails_for_a_while_leaves_no_operation_hanging(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    ledger = world["alice"].ledger
    sound, left = ledger.move_operation, [3]

    def failing(*arguments: Any, **named: Any) -> bool:
        if left[0]:
            left[0] -= 1
            raise StoreError("disk full")
        return sound(*arguments, **named)

    monkeypatch.setattr(ledger, "move_operation", failing)
    view = await world["alice"].sign("ops", "hello", seconds=12)
    assert view.state in (State.COMPLETED, State.FAILED), view


async def test_an_approver_that_raised_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    approver = world["alice"].approver
    sound, left = approver.decide, [1]

    async def raising(request: ApprovalRequest) -> Decision:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("a bug")
        return await sound(request)

    monkeypatch.setattr(approver, "decide", raising)
    view = await world["alice"].sign("ops", "hello", seconds=12)
    assert view.state is State.COMPLETED, view


@breaks("CE-1.8")
async def test_a_peer_that_proposes_without_end_takes_no_room_from_the_others(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    await world["carol"].ready("ops")
    for node in world.nodes.values():
        node.approver.gate = asyncio.Event()
    world["bob"].limits = replace(world["bob"].limits, unfinished=2, unfinished_bytes=100_000)
    await world["bob"].restart()
    for text in ("one", "two", "three"):
        await world["carol"].sign("ops", text, seconds=0.3)
    await world["alice"].sign("ops", "x" * 200_000, seconds=0.3)
    await world["alice"].sign("ops", "one", seconds=0.3)
    of = [row.proposer for row in world["bob"].ledger.unfinished()]
    assert sorted(of) == sorted([world["carol"].device] * 2 + [world["alice"].device])
    assert ("BUSY", world["bob"].device) in {(code, peer) for peer, _, code in world.refusals}


async def test_a_proposal_repeated_while_an_approver_thinks_costs_one_vote(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    gate = world["bob"].approver.gate = asyncio.Event()
    world["carol"].approver.verdict = Verdict.ABSTAIN
    view = await world["alice"].sign("ops", "hello", seconds=0.1)
    body = row_of(world["alice"], view).proposal
    before = len(world["bob"].ceremonies._background)
    asking = [
        world["bob"].ceremonies.on_request(world["alice"].device, Method.PROPOSE, body) for _ in range(50)
    ]
    assert set(await asyncio.gather(*asking)) == {b""}
    await asyncio.sleep(0)
    assert len(world["bob"].ceremonies._background) <= before + 1
    gate.set()
    assert (await world["alice"].ceremonies.clients.wait(CALLER, view.id, 10)).state is State.COMPLETED


async def test_the_leftover_of_a_failed_attempt_does_not_take_the_name_of_the_vault(world: World) -> None:
    carol = world["carol"].device
    kept: list[bytes] = []

    def cut(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
        """Carol's signature of the first attempt is lost, and so are those for her."""
        envelope = unpack(frame).envelope
        if carol in (sender, peer) and envelope.slot.endswith("Endorsement"):
            kept.append(envelope.session)
            return envelope.session == kept[0]
        return False

    world.cut = cut
    made = await world["alice"].create_vault("ops", WEIGHTS, 3, seconds=25)
    assert made.state is State.COMPLETED, made
    assert len(world["alice"].ceremonies._context.vaults.made_by(made.id)) == 2
    assert (await world["alice"].sign("ops", "hello")).state is State.COMPLETED


async def test_a_bug_in_looking_after_one_thing_does_not_end_looking_after_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.gate = world["alice"].approver.gate = asyncio.Event()
    view = await world["alice"].sign("ops", "hello", seconds=0.3, life_ms=60_000)
    ledger, left = world["bob"].ledger, [1]
    sound = ledger.unfinished

    def failing() -> Any:
        if left[0]:
            left[0] -= 1
            raise KeyError("a bug")
        return sound()

    monkeypatch.setattr(ledger, "unfinished", failing)
    world.down.add(world["alice"].device)
    world["bob"].clock.ahead_ms = 120_000
    assert (await world["bob"].ceremonies.clients.wait(CALLER, view.id, 40)).state is State.EXPIRED
    assert left == [0]


@pytest.mark.usefixtures("real_setups")
async def test_who_alone_sees_a_spoilt_set_up_is_not_named_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carol spoils what she says to bob in the key generation that alice proposes: bob ends it, and alice cannot see
    why."""
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    alice.limits = replace(alice.limits, attempts=1)
    await alice.restart()

    def spoil(_: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        spoilt = slot.endswith("/Answer") and recipient == bob.device
        return structs.replace(message, blinder=bytes(32)) if spoilt else message

    lie(monkeypatch, carol, spoil)
    view = await alice.create_vault("ops", WEIGHTS, 3)
    assert (view.state, view.reason, view.culprits) == (State.FAILED, "CANCELLED", ()), view
    assert bob.device in view.detail
