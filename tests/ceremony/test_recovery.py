"""Restarts, losses and silence: what comes level by itself, and what is said of what does not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from quorate.ceremony.journal import known_operation
from quorate.ceremony.lineage import believe_certificate
from quorate.ceremony.ports import EpochState, Method, SealedSetup, State, Verdict
from quorate.ceremony.procedures import procedure_of
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.native.memory import SecretBytes
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import Certificate
from quorate.wire.codec import decode, encode
from quorate.wire.envelope import unpack
from tests.ceremony.resets import until
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


async def state_of(node: Node, operation: str, *wanted: State, seconds: float = 12) -> State:
    """The operation's state at a node once it is one of ``wanted``, or as it is when the time is up."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while True:
        row = node.ledger.operation(operation)  # type: ignore[arg-type]
        if (row is not None and row.state in wanted) or loop.time() > ends:
            assert row is not None
            return row.state
        await asyncio.sleep(0.05)


def from_slot(node: Node, message: str) -> Callable[[DeviceId, DeviceId, bytes], bool]:
    """Loses every envelope of one kind that ``node`` sends."""

    def cut(sender: DeviceId, _: DeviceId, frame: bytes) -> bool:
        return sender == node.device and unpack(frame).envelope.slot.endswith(message)

    return cut


async def test_a_silent_signer_is_left_out_of_the_next_attempt(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    silenced: list[DeviceId] = []

    def cut(sender: DeviceId, _: DeviceId, frame: bytes) -> bool:
        if sender == world["alice"].device:
            return False
        if not silenced:
            silenced.append(sender)
        return sender == silenced[0]

    world.cut = cut
    view = await world["alice"].sign("ops", "hello")
    assert view.state is State.COMPLETED
    assert view.attempt == 2
    assert silenced[0] not in view.signers


async def test_with_nobody_left_the_silent_signer_is_named(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    bob = world["bob"].device
    world.cut = lambda sender, *_: sender == bob
    view = await world["alice"].sign("ops", "hello", seconds=60)
    assert (view.state, view.reason) == (State.FAILED, "STALLED")
    assert view.culprits == (bob,)
    assert "bob" in view.detail


async def test_every_member_hears_the_outcome(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    view = await world["alice"].sign("ops", "hello")
    for node in world.nodes.values():
        assert await state_of(node, view.id, State.COMPLETED) is State.COMPLETED
        (signature,) = (await node.ceremonies.clients.operation(CALLER, view.id)).signatures
        assert signature == view.signatures[0]


async def test_a_member_that_was_away_learns_the_outcome_when_it_is_back(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    gate = world["carol"].approver.gate = asyncio.Event()
    view = await world["alice"].sign("ops", "hello", seconds=0.01)
    await asyncio.sleep(0.3)
    await world["carol"].stop()
    done = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 10)
    assert done.state is State.COMPLETED
    await asyncio.sleep(4)  # alice has given up telling carol
    gate.set()
    await world["carol"].restart()
    assert await state_of(world["carol"], view.id, State.COMPLETED) is State.COMPLETED


async def test_a_proposer_that_restarts_while_votes_come_in_goes_on(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    gate = world["bob"].approver.gate = asyncio.Event()
    world["carol"].approver.verdict = Verdict.ABSTAIN
    view = await world["alice"].sign("ops", "hello", seconds=0.3)
    assert view.state is State.VOTING
    await world["alice"].restart()
    gate.set()
    assert await state_of(world["alice"], view.id, State.COMPLETED) is State.COMPLETED
    assert (
        len([r for r in world["alice"].approver.asked if r.operation == view.id]) == 1
    )  # its decision stood


async def test_a_decision_that_was_not_recorded_is_asked_for_again(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    gate = world["bob"].approver.gate = asyncio.Event()
    view = await world["alice"].sign("ops", "hello", seconds=0.3)
    await world["bob"].restart()
    gate.set()
    assert await state_of(world["alice"], view.id, State.COMPLETED) is State.COMPLETED
    assert len([r for r in world["bob"].approver.asked if r.operation == view.id]) == 2


async def test_a_signer_that_restarts_in_a_session_signs_in_the_next(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    world.cut = lambda *_: True
    view = await world["alice"].sign("ops", "hello", seconds=0.5)
    assert view.state is State.RUNNING
    await world["bob"].restart()
    world.cut = lambda *_: False
    done = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 15)
    assert done.state is State.COMPLETED
    assert done.attempt >= 2


async def test_no_attempt_is_resumed_by_a_proposer_that_restarts(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world.cut = lambda *_: True
    view = await world["alice"].sign("ops", "hello", seconds=0.5)
    before = world["alice"].ledger.operation(view.id)
    assert before is not None
    await world["alice"].restart()
    world.cut = lambda *_: False
    assert await state_of(world["alice"], view.id, State.COMPLETED) is State.COMPLETED
    after = world["alice"].ledger.operation(view.id)
    assert after is not None
    assert after.attempt > before.attempt


async def test_a_signature_one_party_kept_is_found_before_another_attempt(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    world.cut = from_slot(world["bob"], "Response")
    slots: set[str] = set()
    inner = world.cut

    def cut(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
        slots.add(unpack(frame).envelope.slot.rpartition("/")[2])
        return inner(sender, peer, frame)

    world.cut = cut
    view = await world["alice"].sign("ops", "hello", seconds=15)
    assert "Response" in slots, slots
    assert view.state is State.COMPLETED
    assert view.attempt == 1  # bob had everything, so it completed; alice asked


async def test_a_member_that_missed_the_certificate_catches_up(world: World) -> None:
    bob, carol = world["bob"].device, world["carol"].device

    def cut(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
        return (sender, peer) == (carol, bob) and unpack(frame).envelope.slot.endswith("Endorsement")

    world.cut = cut
    made = await world["alice"].create_vault("ops", WEIGHTS, 3, seconds=25)
    assert made.state is State.COMPLETED, made
    await world["bob"].ready("ops")


async def test_a_vault_with_an_acknowledgement_missing_is_not_ready(world: World) -> None:
    world.cut = from_slot(world["carol"], "Acknowledgement")
    world.intercept = lambda *call: b"" if call[2] is Method.GET_CERTIFICATE else None
    view = await world["alice"].create_vault("ops", WEIGHTS, 3, seconds=1.0)
    assert view.state is State.RUNNING
    assert (await world["alice"].ceremonies.clients.vault(CALLER, "ops")).state == "active"
    with pytest.raises(UsageError, match="carol"):
        await world["alice"].sign("ops", "hello")
    world.cut, world.intercept = (lambda *_: False), (lambda *_: None)
    done = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 15)
    assert done.state is State.COMPLETED


async def test_restarting_everybody_at_once_loses_nothing(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world.cut = lambda *_: True
    view = await world["bob"].sign("ops", "hello", seconds=0.5)
    for node in world.nodes.values():
        await node.stop()
    world.cut = lambda *_: False
    for node in world.nodes.values():
        await node.restart()
    assert await state_of(world["bob"], view.id, State.COMPLETED) is State.COMPLETED
    key = (await world["carol"].ready("ops")).public_keys[Curve.ED25519]
    (signature,) = (await world["bob"].ceremonies.clients.operation(CALLER, view.id)).signatures
    assert verify_ed25519(key, b"hello", signature.signature)


@breaks("CE-4.1")
async def test_no_share_leaves_after_the_operation_expired(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")
    sent: set[str] = set()

    def expire(sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> None:
        if method is Method.BEGIN:
            for node in world.nodes.values():
                node.clock.ahead_ms = 0

    def cut(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
        for node in world.nodes.values():
            node.clock.ahead_ms = 120_000  # as soon as the session speaks, its operation is too old
        sent.add(unpack(frame).envelope.slot.rpartition("/")[2])
        return False

    world.intercept, world.cut = expire, cut
    view = await world["alice"].sign("ops", "hello", life_ms=60_000, seconds=5)
    assert view.state is not State.COMPLETED
    assert "Response" not in sent
    assert "Commitments" in sent
    assert not view.signature_may_exist


@breaks("CE-4.2")
async def test_no_share_leaves_without_an_approval_on_record(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    released: list[object] = []

    def refuse(operation: OperationId, attempt: int, digest: bytes) -> bool:
        released.append(operation)
        return False

    world["bob"].ledger.release = refuse  # type: ignore[method-assign]
    sent: set[tuple[DeviceId, str]] = set()

    def cut(sender: DeviceId, _: DeviceId, frame: bytes) -> bool:
        sent.add((sender, unpack(frame).envelope.slot.rpartition("/")[2]))
        return False

    world.cut = cut
    view = await world["alice"].sign("ops", "hello", seconds=3)
    assert view.state is not State.COMPLETED
    assert released
    assert (world["bob"].device, "Response") not in sent


@breaks("CE-5.1")
async def test_signatures_of_something_else_complete_nothing(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    one = await world["alice"].sign("ops", "one")
    row = world["alice"].ledger.operation(one.id)
    assert row is not None
    context = world["alice"].ceremonies._context
    world["bob"].approver.gate = world["carol"].approver.gate = asyncio.Event()
    two = await world["alice"].sign("ops", "two", seconds=0.1)
    procedure = procedure_of(context, known_operation(context, two.id))
    with pytest.raises(UsageError, match=r"CE-5\.1"):
        procedure.believe(world["bob"].device, row.result)
    with pytest.raises(UsageError, match=r"CE-5\.1"):
        procedure.believe(world["bob"].device, b"junk")


@breaks("CE-5.2")
async def test_a_certificate_with_a_wrong_signature_activates_nothing(world: World) -> None:
    bob, carol = world["bob"].device, world["carol"].device
    world.cut = lambda sender, peer, frame: (
        (sender, peer) == (carol, bob) and unpack(frame).envelope.slot.endswith("Endorsement")
    )
    world.intercept = lambda sender, *_: b"" if sender == bob else None  # bob cannot ask either
    view = await world["alice"].create_vault("ops", WEIGHTS, 3, seconds=1.0)
    context = world["bob"].ceremonies._context
    await until(lambda: [held.row.state for held in context.vaults.made_by(view.id)] == [EpochState.SIGNED])
    shelf = world["alice"].ceremonies._context.vaults
    await until(lambda: shelf.made_by(view.id)[0].active)
    (full,) = shelf.made_by(view.id)
    certificate = decode(Certificate, full.row.certificate)
    forged = Certificate(record=certificate.record, signatures=tuple(reversed(certificate.signatures)))
    with pytest.raises(UsageError, match=r"CE-5\.2"):
        believe_certificate(context, encode(forged))
    believe_certificate(context, encode(certificate))
    (now,) = context.vaults.made_by(view.id)
    assert now.active


async def test_the_same_request_again_is_the_same_operation(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    first = await world["alice"].sign("ops", "hello", key="once")
    again = await world["alice"].sign("ops", "hello", key="once")
    elsewhere = await world["bob"].sign("ops", "hello", key="once")
    assert first.id == again.id == elsewhere.id
    assert first.signatures == again.signatures == elsewhere.signatures


async def test_a_lone_signer_keeps_a_vault_of_its_own(world: World) -> None:
    made = await world["alice"].create_vault("mine", {"alice": 2}, 2)
    assert made.state is State.COMPLETED
    view = await world["alice"].sign("mine", "")
    assert view.state is State.COMPLETED
    vault = await world["alice"].ready("mine")
    assert verify_ed25519(vault.public_keys[Curve.ED25519], b"", view.signatures[0].signature)


async def test_a_vault_is_not_made_when_a_member_says_no(world: World) -> None:
    world["carol"].approver.verdict = Verdict.REJECT
    view = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert view.state is State.REJECTED
    assert "carol" in view.detail
    assert await world["alice"].ceremonies.clients.vaults(CALLER) == ()


async def test_what_a_crash_left_unsigned_is_gone_after_the_start(world: World) -> None:
    """A sharing that was kept, and its set-ups; not one that was signed, and not the vault."""
    alice = world["alice"]
    made = await alice.create_vault("ops", WEIGHTS, 3)
    held = alice.ledger.active_epoch((await alice.ready("ops")).id)
    assert held is not None
    for attempt, name in ((1, "signed"), (2, "kept")):
        vault, secret = VaultId(name.ljust(24, "v")), SecretBytes.of(bytes(64))
        row = replace(
            held, vault=vault, attempt=attempt, state=EpochState.PENDING, certificate=b"", acknowledgements={}
        )
        paired = SealedSetup(
            id=secrets.token_bytes(32), peer=world["bob"].device, generation=0, secret=secret
        )
        alice.ledger.store_pending(row, (), [paired])
        if name == "signed":
            alice.ledger.mark_signed(vault, row.epoch, attempt)
    await alice.restart()
    left = {row.vault[:6].rstrip("v"): row.state for row in alice.ledger.epochs() if row.vault != held.vault}
    assert left == {"signed": EpochState.SIGNED}
    assert not alice.ledger.setups(VaultId("kept".ljust(24, "v")), held.epoch, 2)
    assert made.state is State.COMPLETED
    assert (await alice.sign("ops", "hello")).state is State.COMPLETED
