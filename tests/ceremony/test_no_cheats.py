"""ECDSA sessions of whole nodes that fail, or could, without a cheat: no set-up ends and honest nodes go on. And what
was said once is never answered again."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.ceremony import results
from quorate.ceremony.journal import known_operation
from quorate.ceremony.ports import Method, SetupState, State
from quorate.errors import NoSetup, QuorateError
from quorate.identifiers import DeviceId, VaultId
from quorate.protocols.ecdsa.terms import agree
from quorate.protocols.ot.multiply import respond
from quorate.wire.envelope import unpack
from tests.ceremony.resets import until
from tests.ceremony.setups import lie, states
from tests.ceremony.test_ecdsa_operations import vault_of
from tests.ceremony.test_pair_setups import Change, flipped, in_kind, limited, only_alice_and_bob, sign
from tests.ceremony.test_quarantine import pair_reset
from tests.ceremony.world import Node, World, code_of
from tests.rules import breaks

DEAD, LIVE = SetupState.DEAD, SetupState.LIVE

HARMLESS: dict[str, tuple[str, Change, bool]] = {
    "other terms": ("Commitments", lambda m: replace(m, terms=bytes(32)), False),
    "other set-up": ("Factor", lambda m: replace(m, setup=bytes(32)), False),
    "short m1": ("Factor", lambda m: replace(m, m1=m.m1[:-1]), True),
    "short m2": ("Product", lambda m: replace(m, m2=m.m2[:-1]), True),
    "large scalar": ("Product", lambda m: replace(m, m2=m.m2[:32] + b"\xff" * 32 + m.m2[64:]), True),
    "junk": ("Product", lambda _: b"junk", True),
    "other image": ("Commitments", lambda m: replace(m, commitments=m.commitments * 2), True),
}


@pytest.mark.parametrize("fault", HARMLESS)
async def test_an_abort_that_is_no_cheat_ends_no_set_up(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Whoever is at fault may be left out of this operation; the next one has it again."""
    kind, change, blamed = HARMLESS[fault]
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    await limited(alice)
    with monkeypatch.context() as patch:
        lie(patch, bob, in_kind(kind, change))
        view = await sign(alice)
    assert view.state is State.FAILED, view
    assert view.culprits == ((bob.device,) if blamed else ())
    assert states(alice, bob, vault) == states(bob, alice, vault) == [LIVE]
    assert (await sign(alice)).state is State.COMPLETED


async def test_peers_that_are_told_different_messages_multiply_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob signs another message than alice: no extension is looked at, nobody is blamed, all set-ups live."""
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    await limited(alice)
    looked: list[object] = []
    with monkeypatch.context() as patch:

        def misread(quorum: Any, sid: Any, digests: Any, *rest: Any) -> Any:
            told = [bytes(32)] if quorum.me == bob.device else digests
            return agree(quorum, sid, told, *rest)

        patch.setattr("quorate.protocols.ecdsa.sign.agree", misread)
        patch.setattr("quorate.protocols.ot.multiply.accept", lambda *args: looked.append(args))
        view = await sign(alice)
    assert (view.state, view.reason, view.culprits) == (State.FAILED, "PROTOCOL_ABORT", ())
    assert "EC-1.1" in view.detail
    assert looked == []
    assert states(alice, bob, vault) == states(bob, alice, vault) == [LIVE]


async def test_nonces_that_differ_from_peer_to_peer_end_no_set_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob commits to other nonces before each: the views differ, and its two envelopes name it."""
    await vault_of(world, {"alice": 1, "bob": 1, "carol": 1}, 3)
    vault = (await world["alice"].ready("ops")).id
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))

    def two_faced(_: DeviceId, peer: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith("/Commitments") and peer == carol.device:
            return replace(message, commitments=tuple(bytes(32) for _ in message.commitments))
        return message

    with monkeypatch.context() as patch:
        lie(patch, bob, two_faced)
        view = await sign(alice)
    assert view.state is State.FAILED, view
    assert view.culprits in ((), (bob.device,))
    for first, second in ((alice, bob), (alice, carol), (bob, carol)):
        assert states(first, second, vault) == states(second, first, vault) == [LIVE]
    assert (await sign(alice, "again")).state is State.COMPLETED


async def test_a_relay_that_changes_nonces_is_not_heard(world: World) -> None:
    """What it hands on in a signer's name is not signed by it: dropped, and the session is as if nothing had come."""
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]

    def change(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
        if sender != bob.device or not unpack(frame).envelope.slot.endswith("/Commitments"):
            return False
        world.of(peer).ceremonies.on_envelope(sender, flipped(frame, -100))
        return tries.append(peer) or len(tries) == 1  # type: ignore[func-returns-value]

    tries: list[DeviceId] = []
    world.cut = change
    view = await sign(alice)
    assert view.state is State.COMPLETED, view
    assert states(alice, bob, vault) == states(bob, alice, vault) == [LIVE]


async def test_a_wrong_final_share_blames_nobody_and_another_quorum_signs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell whose it was. Bob, who can put the signature together from what honest alice said, keeps it."""
    await vault_of(world)
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    vault = (await alice.ready("ops")).id
    gate = carol.approver.gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.7, gate.set)
    lie(monkeypatch, bob, in_kind("Shares", lambda m: replace(m, masked=one_off(m.masked))))

    async def hide(*_: object) -> bytes:
        raise NoSetup("nothing to tell")

    monkeypatch.setattr(bob.ceremonies._desk, "_get_operation", hide)
    bob.ceremonies._desk._answers = {**bob.ceremonies._desk._answers, Method.GET_OPERATION: hide}
    view = await sign(alice)
    assert view.state is State.COMPLETED, view
    assert set(view.signers) == {alice.device, carol.device}
    assert states(alice, bob, vault) == states(bob, alice, vault) == [LIVE]


@pytest.mark.parametrize(("members", "liars"), [(4, (0,)), (5, (0, 2)), (5, (0, 1))])
async def test_members_whose_final_shares_are_wrong_do_not_stop_enough_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int, liars: tuple[int, ...]
) -> None:
    """Three of them sign. The liars have gone through every check, and keep the signatures to themselves."""
    world = World(tmp_path, ("alice", "bob", "carol", "dave", "erin")[:members])
    await world.start()
    await vault_of(world, dict.fromkeys(world.nodes, 1), 3)
    others = sorted((n for n in world.nodes.values() if n.name != "alice"), key=lambda node: node.device)
    lying = [others[place] for place in liars]
    wrong = in_kind("Shares", lambda m: replace(m, masked=one_off(m.masked)))
    lie(monkeypatch, lying[0], wrong, *lying[1:])
    honest = results.complete

    def complete(context: Any, operation: Any, result: bytes) -> None:
        if context.me not in {node.device for node in lying}:
            honest(context, operation, result)

    monkeypatch.setattr(results, "complete", complete)
    spoilers = {node.device for node in lying}
    coordinator = world["alice"].ceremonies._coordinator
    for message in ("hello", "again"):
        view = await sign(world["alice"], message, seconds=30)
        assert view.state is State.COMPLETED, view
        assert not spoilers & set(view.signers)
        # Who approves first may be tried again, however much trouble there was: so this, and not a count of attempts.
        remembered = coordinator._signing_trouble[VaultId(view.vault or "")].alone
        assert view.attempt == 1 or spoilers & remembered.keys()
        operation = known_operation(world["alice"].ceremonies._context, view.id)
        assert coordinator._record(operation).trouble.alone is remembered
    await world.stop()


def one_off(scalars: Sequence[Any]) -> tuple[Any, ...]:
    return (scalars[0] + scalars[0] / scalars[0], *scalars[1:])


# --- what comes back


@dataclasses.dataclass
class Answers:
    """Every answer to an extension message, of all nodes: the context's hash, m1, and m2."""

    given: list[tuple[bytes, bytes, bytes]]

    @classmethod
    def listen(cls, patch: pytest.MonkeyPatch) -> Answers:
        heard = cls([])

        def listening(setup: Any, context: Any, m1: bytes, inputs: Any, rng: Any, *hedge: Any) -> Any:
            m2, shares = respond(setup, context, m1, inputs, rng, *hedge)
            heard.given.append((context.hash, m1, m2))
            return m2, shares

        patch.setattr("quorate.protocols.ecdsa.lane.respond", listening)
        return heard


class Tape:
    """All that was said to one node."""

    def __init__(self, world: World, node: Node) -> None:
        self.requests: list[tuple[DeviceId, Method, bytes]] = []
        self.frames: list[tuple[DeviceId, bytes]] = []

        def frames(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
            if peer == node.device:
                self.frames.append((sender, frame))
            return False

        def requests(sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> None:
            if peer == node.device:
                self.requests.append((sender, method, body))

        world.cut, world.intercept = frames, requests

    async def play(self, node: Node) -> list[str]:
        """Say it all again; how each begin was refused."""
        refused = []
        for sender, method, body in tuple(self.requests):
            try:
                await node.ceremonies.on_request(sender, method, body)
            except QuorateError as error:
                if method is Method.BEGIN:
                    refused.append(code_of(error))
        for sender, frame in tuple(self.frames):
            node.ceremonies.on_envelope(sender, frame)
        return refused


@breaks("CE-3.4", "CE-3.7")
@pytest.mark.parametrize("restored", [False, True], ids=["same store", "restored store"])
async def test_no_extension_message_is_answered_in_a_session_that_was_before(
    world: World, monkeypatch: pytest.MonkeyPatch, restored: bool
) -> None:
    """Everything said to bob is said again: to the bob of now, and to one from before the session, whose store has
    never seen the session id."""
    await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    await bob.stop()
    bob.ledger.close()
    before = bob.path.read_bytes()
    bob.open()
    await bob.start()
    answers, tape = Answers.listen(monkeypatch), Tape(world, bob)
    assert (await sign(alice)).state is State.COMPLETED
    assert len(answers.given) == 2
    if restored:
        await bob.stop()
        bob.ledger.close()
        for suffix in ("-wal", "-shm"):
            bob.path.with_name(bob.path.name + suffix).unlink(missing_ok=True)
        bob.path.write_bytes(before)
        bob.open()
        await bob.start()
    world.intercept = lambda *_: None
    refused = await tape.play(bob)
    assert len(refused) == 1
    await asyncio.sleep(0.3)
    assert len(answers.given) == 2
    assert bob.ceremonies.sessions_running == 0

    if restored:  # nothing that it held then is used again
        await until(lambda: not bob.ledger.quarantine())
        await pair_reset(bob, alice)
    again = await sign(alice, "again")  # honest
    assert again.state is State.COMPLETED, again
    salts = {m2[:32] for _, _, m2 in answers.given}
    contexts = {context for context, _, _ in answers.given}
    assert len(salts) == len(contexts) == len(answers.given) == 4


@breaks("CE-6.3")
async def test_an_extension_message_of_another_session_ends_the_set_up_unanswered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob, restored with all it once said, says its old m1 again under a new session id."""
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    answers = Answers.listen(monkeypatch)
    said: list[bytes] = []
    with monkeypatch.context() as patch:
        lie(patch, bob, in_kind("Factor", lambda m: said.append(m.m1) or m))  # type: ignore[func-returns-value]
        assert (await sign(alice)).state is State.COMPLETED
    with monkeypatch.context() as patch:
        lie(patch, bob, in_kind("Factor", lambda m: replace(m, m1=said[0])))
        view = await sign(alice, "again")
    assert view.culprits == (bob.device,)
    assert "OT-3.2" in view.detail
    assert states(alice, bob, vault) == [DEAD]
    assert [m1 for _, m1, _ in answers.given].count(said[0]) == 1
