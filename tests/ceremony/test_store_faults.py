"""A store that takes no changes stops what is new, and loses nothing of what is not."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from quorate.ceremony.ports import State
from quorate.errors import DiskFull, ReadOnly, StoreStuck, Unwritable
from quorate.storage import ledger as storage
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path, ("alice", "bob"))
    await world.start()
    made = await world["alice"].create_vault("ops", {"alice": 1, "bob": 1}, 2)
    assert made.state is State.COMPLETED, made
    await world["alice"].ready("ops")
    await world["bob"].ready("ops")
    yield world
    await world.stop()


def pragma(node: Node, text: str) -> None:
    node.ledger._database._run_alone(f"PRAGMA {text}")


def break_store(node: Node, fault: type[Unwritable], monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the store itself finds out."""
    if fault is ReadOnly:
        pragma(node, "query_only = ON")
        with pytest.raises(ReadOnly):
            node.ledger.check()
    elif fault is DiskFull:
        pragma(node, "max_page_count = 1")

        def fill(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE filling (text BLOB)")
            connection.execute("INSERT INTO filling VALUES (zeroblob(1 << 20))")

        with pytest.raises(DiskFull):
            node.ledger._database.write("fill", fill)
    else:  # a commit that is held up, and a clock on which that takes long
        database = node.ledger._database
        database._writing.acquire()
        threading.Thread(target=database.write, args=("held", lambda _: None), daemon=True).start()
        while database._begun is None:
            time.sleep(0.001)
        monkeypatch.setattr(database, "_clock", lambda: time.monotonic() + 60)
        assert isinstance(database.fault, StoreStuck)


def mend_store(node: Node, fault: type[Unwritable], monkeypatch: pytest.MonkeyPatch) -> None:
    if fault is ReadOnly:
        pragma(node, "query_only = OFF")
    elif fault is DiskFull:
        pragma(node, "max_page_count = 1000000")
    else:
        node.ledger._database._writing.release()
        while node.ledger.fault is not None:
            time.sleep(0.001)
        monkeypatch.undo()
    node.ledger.check()


async def ask(node: Node, text: str) -> str:
    view = await node.ceremonies.clients.sign(
        CALLER, vault="ops", data=[text], batch=False, content_type="text/plain", algorithm="EDDSA",
        derivation_path="", idempotency_key=text, expires_in_ms=None,
    )  # fmt: skip
    return view.id


FAULTS = (DiskFull, ReadOnly, StoreStuck)


@breaks("CE-1.11")
@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_new_is_taken_in_while_the_store_takes_no_changes(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: type[Unwritable]
) -> None:
    alice = world["alice"]
    break_store(alice, fault, monkeypatch)
    with pytest.raises(fault):
        await ask(alice, "one")
    assert not alice.ledger.unfinished()
    mend_store(alice, fault, monkeypatch)
    done = await alice.ceremonies.clients.wait(CALLER, await ask(alice, "one"), 12)
    assert done.state is State.COMPLETED


@breaks("CE-1.11")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_voter_whose_store_takes_no_changes_asks_no_approver_and_votes_when_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: type[Unwritable]
) -> None:
    alice, bob = world["alice"], world["bob"]
    asked = len(bob.approver.asked)
    break_store(bob, fault, monkeypatch)
    operation = await ask(alice, "two")
    view = await alice.ceremonies.clients.wait(CALLER, operation, 1.0)
    assert (view.state, len(bob.approver.asked)) == (State.VOTING, asked)
    mend_store(bob, fault, monkeypatch)
    view = await alice.ceremonies.clients.wait(CALLER, operation, 12)
    assert (view.state, len(bob.approver.asked)) == (State.COMPLETED, asked + 1)


@breaks("CE-1.11")
@pytest.mark.parametrize("fault", [DiskFull, ReadOnly])
async def test_an_operation_under_way_waits_for_the_store_and_does_not_fail_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: type[Unwritable]
) -> None:
    alice, bob = world["alice"], world["bob"]
    bob.approver.gate = asyncio.Event()
    operation = await ask(alice, "three")
    view = await alice.ceremonies.clients.wait(CALLER, operation, 0.3)
    break_store(alice, fault, monkeypatch)
    if fault is DiskFull:  # what is in the file is overwritten, so let every change fail as on a full disk
        monkeypatch.setattr(storage.SqliteLedger, "move_operation", _full)
    bob.approver.gate.set()
    view = await alice.ceremonies.clients.wait(CALLER, operation, 1.0)
    assert view.state is State.VOTING
    monkeypatch.undo()
    mend_store(alice, fault, monkeypatch)
    view = await alice.ceremonies.clients.wait(CALLER, operation, 12)
    assert view.state is State.COMPLETED, view


def _full(*_: object, **__: object) -> None:
    raise DiskFull("ST-1.4 disk: no room")


async def test_room_that_runs_out_is_noticed_by_the_check_and_stops_what_is_new(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = world["alice"]
    with pytest.raises(DiskFull, match=r"ST-1\.7"):
        alice.ledger.check(1 << 62)
    with pytest.raises(DiskFull, match=r"ST-1\.7"):
        await ask(alice, "four")
    alice.ledger.check(1)
    await ask(alice, "four")
