"""A node that its operator seals: what it holds in memory, what becomes of what it was doing, and what others see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from quorate.ceremony.audit import Record
from quorate.ceremony.ports import Method, State
from quorate.errors import Bug, Locked, Sealed
from quorate.identifiers import Curve
from quorate.native.memory import SecretBytes
from quorate.node.config import Key
from quorate.node.sealing import NodeSealing
from quorate.storage import KeyFile
from quorate.wire.codec import decode
from quorate.wire.envelope import unpack
from tests.ceremony.governed import greet
from tests.ceremony.resets import until
from tests.ceremony.world import CALLER, Node, World, new_key
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


@pytest_asyncio.fixture
async def ops(world: World) -> AsyncIterator[World]:
    """All three share a vault and have signed on both curves, so that shares are in memory."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")
    for signer in ("bob", "carol"):
        for algorithm in ("EDDSA", "ES256K"):
            assert (await world[signer].sign("ops", "before", algorithm=algorithm)).state is State.COMPLETED
    yield world


def sealing(node: Node) -> NodeSealing:
    key = node.key
    assert isinstance(key, KeyFile)
    return NodeSealing(node.ledger, node.ceremonies, lambda: Key(key_file=key.path))


def secrets(node: Node) -> list[Any]:
    """What is secret in the memory of a node that has signed: shares, what was made of them, the node key."""
    shares = list(node.ceremonies.vaults._shares.values())
    assert {share.curve for share in shares} == set(Curve)
    found: list[Any] = [share.secret.memory for share in shares]
    for share in shares:
        assert share.quorums
        for quorum in share.quorums.values():
            found += [quorum.secret.memory, quorum.hedge]
    return [*found, node.ledger._sealer._node_key]


@breaks("CE-9.2", "ST-2.7")
async def test_a_sealed_node_holds_no_share_and_no_node_key(ops: World) -> None:
    bob = ops["bob"]
    held = secrets(bob)
    assert all(any(each.reveal()) for each in held)
    await sealing(bob).seal()
    for each in held:
        with pytest.raises(Bug, match="after it was wiped"):
            each.reveal()
    assert not bob.ceremonies.vaults._shares
    (vault,) = bob.ceremonies.vaults.all()
    with pytest.raises(Sealed, match=r"ST-2\.7 sealed"):
        bob.ceremonies.vaults.key_share(vault, Curve.ED25519)
    with pytest.raises(Sealed):
        bob.ledger._sealer.seal(bob.ledger._in_force(), SecretBytes.of(b"a mark"))
    await sealing(bob).seal()  # again changes nothing


@breaks("CE-9.1")
async def test_a_sealed_node_is_asked_in_vain_and_the_operation_says_why(ops: World) -> None:
    await sealing(ops["bob"]).seal()
    await sealing(ops["carol"]).seal()
    asked = len(ops["bob"].approver.asked)
    view = await ops["alice"].sign("ops", "hello", seconds=1)
    assert view.state is State.VOTING
    assert {code for _, method, code in ops.refusals if method is Method.PROPOSE} == {"SEALED"}
    assert len(ops["bob"].approver.asked) == asked
    assert ops["bob"].ledger.operation(view.id) is None
    await greet(ops)
    for name in ("bob", "carol"):
        (head,) = ops["alice"].ceremonies.greetings.heard[ops[name].device].heads.values()
        assert not head.ready
    await sealing(ops["bob"]).unseal(b"")
    done = await ops["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert done.state is State.COMPLETED
    assert ops["carol"].device not in done.signers


async def test_an_operation_that_is_over_for_a_sealed_signer_names_it_and_the_reason(ops: World) -> None:
    await sealing(ops["alice"]).seal()
    ops.refusals.clear()
    view = await ops["bob"].sign("ops", "hello", life_ms=1500)
    assert view.state is State.EXPIRED
    assert view.detail == "no vote from alice (refused the proposal: SEALED) in time"


@breaks("CE-9.1")
async def test_who_is_sealed_while_its_approver_thinks_does_not_vote(ops: World) -> None:
    bob = ops["bob"]
    bob.approver.gate = asyncio.Event()
    ops.down.add(ops["carol"].device)
    signing = asyncio.create_task(ops["alice"].sign("ops", "hello", seconds=2))
    asked = len(bob.approver.asked)
    await until(lambda: len(bob.approver.asked) > asked)
    await sealing(bob).seal()
    bob.approver.gate.set()
    view = await signing
    assert view.state is State.VOTING
    assert bob.ledger.votes(view.id).keys() <= {ops["alice"].device}
    await sealing(bob).unseal(b"")
    done = await ops["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert done.state is State.COMPLETED


@breaks("CE-9.2")
@pytest.mark.parametrize("algorithm", ["EDDSA", "ES256K"])
async def test_a_session_in_flight_gets_no_share_from_a_node_that_is_sealed(
    ops: World, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob is sealed in the middle of a session, at the point where his share is released."""
    bob, loop = ops["bob"], asyncio.get_running_loop()
    ops.down.add(ops["carol"].device)
    release, sealed = bob.ledger.release, asyncio.Event()
    since: list[str] = []

    def in_the_middle(*arguments: Any) -> bool:
        if not sealed.is_set():
            asyncio.run_coroutine_threadsafe(sealing_now(), loop).result(5)
        return release(*arguments)

    async def sealing_now() -> None:
        bob.ceremonies._context.sessions.close("this node is sealed")
        await asyncio.to_thread(bob.ledger.seal)
        sealed.set()

    def cut(sender: Any, _: Any, frame: bytes) -> bool:
        if sealed.is_set() and sender == bob.device:
            since.append(unpack(frame).envelope.slot)
        return False

    monkeypatch.setattr(bob.ledger, "release", in_the_middle)
    ops.cut = cut
    view = await ops["alice"].sign("ops", "hello", algorithm=algorithm, seconds=4)
    assert sealed.is_set()
    assert view.state is State.RUNNING
    assert not since
    assert not bob.ledger.operation(view.id).released  # type: ignore[union-attr]
    await sealing(bob).seal()
    assert bob.ceremonies.sessions_running == 0
    await sealing(bob).unseal(b"")
    done = await ops["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert done.state is State.COMPLETED, done


@breaks("ST-2.7")
async def test_only_the_right_key_unseals_a_node(ops: World) -> None:
    bob = ops["bob"]
    one = sealing(bob)
    await one.seal()
    right = bob.key
    wrong = new_key(bob.path.parent / "another")
    for source in (Key(key_file=wrong.path), Key(key_file=bob.path.parent / "absent")):
        with pytest.raises(Locked):
            await NodeSealing(bob.ledger, bob.ceremonies, lambda source=source: source).unseal(b"")  # type: ignore[misc]
    with pytest.raises(Locked, match="opens with key-file; passphrase was given"):
        await one.unseal(b"correct horse battery staple")
    assert isinstance(bob.ledger.fault, Sealed)
    assert isinstance(right, KeyFile)
    await one.unseal(b"")
    await one.unseal(b"")
    assert bob.ledger.fault is None
    assert (await bob.sign("ops", "after")).state is State.COMPLETED
    told = [decode(Record, entry.body).event for entry in bob.ledger.audit_entries(limit=1000)]
    assert (told.count("sealed"), told.count("unsealed")) == (1, 1)


async def test_a_restart_begins_unsealed(ops: World) -> None:
    bob = ops["bob"]
    await sealing(bob).seal()
    await bob.restart()
    assert bob.ledger.fault is None
    ops.down.add(ops["carol"].device)
    await greet(ops, "alice", "bob")
    assert (await ops["alice"].sign("ops", "hello")).state is State.COMPLETED
