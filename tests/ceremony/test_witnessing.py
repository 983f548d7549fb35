"""Nodes hold each other to their audit chains: who was set back or signs two is said by both sides, and by no lie."""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from quorate.ceremony.allowance import MOST
from quorate.ceremony.audit import Record
from quorate.ceremony.audit_export import line_of, witnesses_in
from quorate.ceremony.audit_heads import Head, head_of
from quorate.ceremony.ports import Method, State
from quorate.ceremony.statements import Ballot, BareBallot, Witness, hear, state
from quorate.errors import PeerError, QuorateError, UsageError
from quorate.identifiers import DeviceId
from quorate.wire.codec import decode, encode
from tests.ceremony.resets import until
from tests.ceremony.world import Node, World, code_of
from tests.rules import breaks

EQUAL = {"alice": 1, "bob": 1, "carol": 1}


async def meet(world: World) -> None:
    """Everybody asks everybody, once."""
    nodes = list(world.nodes.values())
    for node in nodes:
        for other in nodes:
            if other is not node:
                await node.ceremonies.witnesses.exchange(other.device)


def grow(node: Node, records: int = 1) -> None:
    for _ in range(records):
        node.ledger.boot()


def keep_a_copy(node: Node) -> Path:
    """Of its disk as it is now."""
    copy = node.path.parent / "copy"
    with closing(sqlite3.connect(node.path)) as connection, closing(sqlite3.connect(copy)) as to:
        connection.backup(to)
    return copy


def put_back(node: Node, copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{node.path}{suffix}").unlink(missing_ok=True)
    shutil.copy(copy, node.path)


async def set_back(node: Node, copy: Path) -> None:
    """Put the disk of a node back to the copy, and start it again."""
    await node.stop()
    node.ledger.close()
    put_back(node, copy)
    node.open()
    await node.start()


def told(world: World, peer: str, of: str) -> str:
    return world[peer].ceremonies.witnesses.doubts.get(world[of].device, "")


async def test_nodes_that_meet_hold_each_other_s_heads_durably(world: World) -> None:
    await meet(world)
    alice, bob = world["alice"], world["bob"]
    assert bob.ceremonies.witnesses.held[alice.device].highest == alice.ledger.audit_head()
    grow(alice)
    await bob.ceremonies.witnesses.exchange(alice.device)
    held = bob.ledger.peer_heads()[alice.device]
    assert held.highest == alice.ledger.audit_head()
    assert held.confirmed.sequence < held.highest.sequence
    await bob.restart()
    assert bob.ceremonies.witnesses.held[alice.device] == held
    await meet(world)
    assert not any(node.ceremonies.witnesses.doubts for node in world.nodes.values())
    assert not any(node.ceremonies.set_back for node in world.nodes.values())


@breaks("AU-3.2")
async def test_a_head_rides_on_every_vote_and_stands_in_the_proposers_chain(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    await alice.create_vault("ops", EQUAL, 2)
    await alice.ready("ops")
    assert (await alice.sign("ops", "before they met")).state is State.COMPLETED  # as with an earlier release
    await meet(world)
    before = alice.ceremonies.witnesses.held[bob.device].highest.sequence
    assert (await alice.sign("ops", "hello")).state is State.COMPLETED
    held = alice.ledger.peer_heads()[bob.device].highest
    assert held.sequence > before
    assert held.signed_by(bob.ledger.identity.identity_key)
    [said] = [
        dict(record)["head"]
        for record in facts_of(alice, "vote")
        if f"{held.sequence}:" in dict(record).get("head", "")
    ]
    assert said == f"{held.sequence}:{held.hash.hex()}:{held.signature.hex()}"
    assert bob.ledger.audit_hash(held.sequence) == held.hash
    lines = map(line_of, alice.ledger.audit_entries(limit=1000))
    assert [each.head for each in witnesses_in(lines, bob.device)][-1] == held


async def test_the_chain_says_who_asked_and_who_approved_and_nothing_of_the_message(world: World) -> None:
    alice = world["alice"]
    await alice.create_vault("ops", EQUAL, 2)
    await alice.ready("ops")
    view = await alice.sign("ops", "attack at dawn")
    assert view.state is State.COMPLETED
    asked = [dict(facts) for facts in facts_of(alice, "asked")][-1]
    assert (asked["client"], asked["role"], asked["kind"]) == ("tester", "signer", "sign")
    decided = [dict(facts) for facts in facts_of(alice, "decided")][-1]
    assert (decided["verdict"], decided["approver"], decided["rule"]) == ("APPROVE", "says", "told")
    assert decided["digest"] == asked["digest"]
    attempt, released = (dict(facts_of(alice, event)[-1]) for event in ("attempt", "released"))
    assert attempt["session"] == released["session"]
    assert dict(facts_of(alice, "ended")[-1])["state"] == "COMPLETED"
    for node in world.nodes.values():
        for entry in node.ledger.audit_entries(limit=1000):
            for told in (
                b"attack at dawn",
                b"attack at dawn".hex().encode(),
                base64.b64encode(b"attack at dawn"),
            ):
                assert told not in entry.body


def facts_of(node: Node, event: str) -> list[tuple[tuple[str, str], ...]]:
    found = [decode(Record, entry.body) for entry in node.ledger.audit_entries(limit=1000)]
    return [record.facts for record in found if record.event == event]


@breaks("AU-3.3", "AU-3.5")
@pytest.mark.parametrize("later", [0, 2, 30])
@pytest.mark.parametrize("asks", ["alice", "bob"])
async def test_a_disk_that_was_set_back_is_noticed_by_both_sides(world: World, later: int, asks: str) -> None:
    """However far it has got since."""
    alice, bob = world["alice"], world["bob"]
    await alice.create_vault("ops", EQUAL, 2)
    for node in world.nodes.values():
        await node.ready("ops")
    await meet(world)

    copy = keep_a_copy(alice)
    grow(alice, 10)
    await bob.ceremonies.witnesses.exchange(alice.device)
    await world["carol"].stop()  # so that it is not over yet while we look
    await set_back(alice, copy)
    grow(alice, later)
    asker, asked = (alice, bob) if asks == "alice" else (bob, alice)
    await asker.ceremonies.witnesses.exchange(asked.device)
    assert "bob holds our signed head" in alice.ceremonies.set_back
    await bob.ceremonies.witnesses.exchange(alice.device)
    assert told(world, "bob", "alice")
    refused = await outcome(alice)
    assert refused == "QUARANTINED"
    await world["carol"].restart()
    # the others go on without it
    assert (await bob.sign("ops", "hello")).state is State.COMPLETED
    # once all agree with it on the epoch it takes part again, and both chains say what was
    await until(lambda: not alice.ledger.quarantine() and bool(facts_of(bob, "chain begun anew")))
    await bob.ceremonies.witnesses.exchange(alice.device)
    assert not told(world, "bob", "alice")
    assert (await alice.sign("ops", "level again")).state is State.COMPLETED
    assert facts_of(alice, "record lost")
    await alice.restart()
    await bob.ceremonies.witnesses.exchange(alice.device)
    assert not alice.ceremonies.set_back
    assert not told(world, "bob", "alice")


@breaks("AU-3.5")
async def test_a_peer_that_begins_anew_without_end_does_not_fill_the_chains_of_others(world: World) -> None:
    await meet(world)
    alice, bob = world["alice"], world["bob"]
    witnesses = bob.ceremonies.witnesses
    for number in range(MOST + 3):
        await witnesses.exchange(alice.device)
        held = bob.ledger.peer_heads()[alice.device].highest
        await witnesses.begin_anew(alice.device)
        anew = facts_of(bob, "chain begun anew")
        assert len(anew) == min(number + 1, MOST)
        assert (dict(anew[-1])["head"] == str(held)) is (number < MOST)
        grow(alice)
    assert alice.device in witnesses.held


async def outcome(node: Node) -> str:
    try:
        return (await node.sign("ops", os.urandom(4).hex())).reason
    except QuorateError as error:
        return code_of(error)


@breaks("AU-3.3")
async def test_a_device_that_signs_two_records_of_one_number_is_named(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    await meet(world)
    head = alice.ledger.audit_head()
    other = head_of(alice.ledger.identity, head.sequence, b"\x07" * 32)

    def shown(sender: DeviceId, target: DeviceId, method: Method, body: bytes) -> bytes | None:
        if (sender, target, method) != (alice.device, bob.device, Method.WITNESS):
            return None
        _, said = hear(Witness, body, lambda _: alice.ledger.identity.identity_key)
        return state(alice.ledger.identity, msgspec.structs.replace(said, head=other))

    world.intercept = shown
    await alice.ceremonies.witnesses.exchange(bob.device)
    assert told(world, "bob", "alice") == f"signed two records {head.sequence}"
    assert not alice.ceremonies.set_back  # nothing of it is in what bob holds
    world.intercept = lambda *_: None
    assert not bob.ceremonies.set_back


@breaks("AU-3.1")
@pytest.mark.parametrize("whose", ["own", "ours"])
async def test_a_forged_head_is_refused_and_stops_nobody(world: World, whose: str) -> None:
    alice, bob = world["alice"], world["bob"]
    await meet(world)
    before = bob.ceremonies.witnesses.held[alice.device]
    forged = head_of(world["carol"].ledger.identity, 5000, b"\x07" * 32)

    def lie(sender: DeviceId, target: DeviceId, method: Method, body: bytes) -> bytes | None:
        if (sender, target, method) != (alice.device, bob.device, Method.WITNESS):
            return None
        _, said = hear(Witness, body, lambda _: alice.ledger.identity.identity_key)
        changes = {"head": forged} if whose == "own" else {"held": (forged,)}
        return state(alice.ledger.identity, msgspec.structs.replace(said, **changes))

    world.intercept = lie
    with pytest.raises(PeerError) as refused:
        await alice.ceremonies.witnesses.exchange(bob.device)
    assert refused.value.code == "FORGED_HEAD"
    assert not bob.ceremonies.set_back
    assert bob.ceremonies.witnesses.held[alice.device] == before
    assert not bob.ceremonies.witnesses.doubts


@breaks("AU-3.1")
async def test_a_vote_with_a_forged_head_does_not_count_and_the_others_do(world: World) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    await alice.create_vault("ops", EQUAL, 2)
    for node in world.nodes.values():
        await node.ready("ops")
    await meet(world)
    witnesses = bob.ceremonies.witnesses
    forged = head_of(carol.ledger.identity, 5000, b"\x07" * 32)
    witnesses.head_for = lambda _: forged  # type: ignore[assignment,method-assign]
    view = await alice.sign("ops", "hello")
    assert view.state is State.COMPLETED
    assert bob.device not in view.signers
    assert alice.ceremonies.witnesses.held[bob.device].highest != forged


@breaks("AU-3.4")
@pytest.mark.parametrize("lie", ["nonce", "signer"])
async def test_an_answer_to_another_question_is_none(
    world: World, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    await meet(world)
    held = alice.ceremonies.witnesses.held[bob.device]

    async def replay(sender: DeviceId, asked: Witness) -> bytes:
        if lie == "nonce":
            asked = msgspec.structs.replace(asked, nonce=bytes(32))
        speaker = bob if lie == "nonce" else carol
        return state(
            speaker.ledger.identity,
            Witness(nonce=asked.nonce, head=speaker.ledger.audit_head(), held=(), confirms=asked.held),
        )

    monkeypatch.setattr(bob.ceremonies.witnesses, "answer", replay)
    with pytest.raises(UsageError, match=r"AU-3\.4"):
        await alice.ceremonies.witnesses.exchange(bob.device)
    assert alice.ceremonies.witnesses.held[bob.device] == held


async def test_a_head_that_comes_late_is_no_rollback(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    await meet(world)
    late = alice.ledger.audit_head()
    grow(alice, 3)
    await bob.ceremonies.witnesses.exchange(alice.device)
    assert bob.ceremonies.witnesses.of_vote(alice.device, late) is None
    assert not bob.ceremonies.witnesses.doubts
    await bob.ceremonies.witnesses.exchange(alice.device)
    assert not bob.ceremonies.witnesses.doubts


async def test_who_lost_what_it_held_of_others_begins_anew(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    await meet(world)
    await bob.stop()
    bob.ledger.close()
    with closing(sqlite3.connect(bob.path)) as connection:
        connection.execute("DELETE FROM peer_heads")
        connection.commit()
    bob.open()
    await bob.start()
    assert not bob.ceremonies.witnesses.held
    await meet(world)
    assert bob.ceremonies.witnesses.held[alice.device].highest.sequence > 0
    assert not any(node.ceremonies.set_back for node in world.nodes.values())


def test_a_ballot_without_a_head_is_written_as_before() -> None:
    bare = Ballot(vote=b"vote", join=b"join")
    assert bare.written() == encode(BareBallot(vote=b"vote", join=b"join"))
    assert Ballot.read(bare.written()) == bare
    full = Ballot(vote=b"vote", join=b"join", head=Head(sequence=3, hash=bytes(32), signature=bytes(64)))
    assert Ballot.read(full.written()) == full
