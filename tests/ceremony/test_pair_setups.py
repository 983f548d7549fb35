"""Rules CE-6: what a cheat within a multiplication costs, on whole nodes; and that nothing else costs a set-up."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.ceremony.ports import Method, SetupState, State, Verdict
from quorate.ceremony.views import OperationView
from quorate.errors import NoSetup, StoreError
from quorate.identifiers import DeviceId
from quorate.wire.envelope import unpack
from tests.ceremony.setups import lie, renew, reset, rows, states
from tests.ceremony.test_ecdsa_operations import vault_of
from tests.ceremony.world import CALLER, Node, World
from tests.exchanges import BY_THE_CLOCK
from tests.rules import breaks

DEAD, LIVE = SetupState.DEAD, SetupState.LIVE
Change = Callable[[Any], Any]


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def in_kind(kind: str, change: Change) -> Callable[[DeviceId, DeviceId, str, Any], Any]:
    """A hook that changes every message of one kind."""
    return lambda _, __, slot, message: change(message) if slot.endswith(f"/{kind}") else message


def guess_a_column(message: Any) -> Any:
    """The check of an extension that fails for certain."""
    return replace(message, m1=flipped(message.m1, -1))


def one_more(points: Sequence[Any]) -> tuple[Any, ...]:
    return (points[0] + points[0].group.generator, *points[1:])


GUESS = in_kind("Factor", guess_a_column)


async def sign(node: Node, message: str = "hello", **options: Any) -> OperationView:
    return await node.sign("ops", message, algorithm="ES256K", **options)


async def limited(node: Node) -> None:
    """From now on ``node`` gives up after two attempts."""
    node.limits = dataclasses.replace(node.limits, attempts=2)
    await node.restart()


async def only_alice_and_bob(world: World) -> Any:
    """A vault whose quorums are alice with either of the others, of whom carol does not vote; its id."""
    await vault_of(world)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    return (await world["alice"].ready("ops")).id


def assert_refused(view: OperationView, peer: str) -> None:
    assert (view.state, view.reason) == (State.FAILED, "NO_LIVE_SETUP"), view
    assert f"quorate vault pair-reset ops {peer}" in view.detail
    assert view.culprits == ()
    assert view.attempt == 0


@breaks("CE-6.1", "CE-6.3", "CE-6.4")
async def test_a_guessed_column_is_the_last_thing_a_set_up_sees(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    vault = await only_alice_and_bob(world)
    with monkeypatch.context() as patch:
        lie(patch, bob, GUESS)
        view = await sign(alice)
    assert (view.state, view.reason, view.culprits) == (State.FAILED, "PROTOCOL_ABORT", (bob.device,))
    assert "OT-3.2" in view.detail
    assert states(alice, bob, vault) == [DEAD]
    assert states(alice, carol, vault) == states(carol, bob, vault) == [LIVE]
    assert [method for me, _, method in world.requests if me == alice.device][-3:].count(Method.ABORT) == 1

    await limited(bob)
    for _ in range(2):  # and after a restart
        begins = world.requests.count((alice.device, bob.device, Method.BEGIN))
        assert_refused(await sign(alice), "bob")
        assert world.requests.count((alice.device, bob.device, Method.BEGIN)) == begins
        theirs = await sign(bob)
        assert (theirs.state, theirs.reason) == (State.FAILED, "NO_LIVE_SETUP"), theirs
        assert (alice.device, Method.BEGIN, "NO_LIVE_SETUP") in world.refusals
        assert theirs.culprits == ()
        held = alice.ledger.operation(theirs.id)
        assert held is not None
        assert held.attempt == 0
        world.refusals.clear()
        await alice.restart()

    done = await alice.sign("ops", "by ed25519")
    assert done.state is State.COMPLETED
    assert set(done.signers) == {alice.device, bob.device}

    made = await reset(alice, "bob")  # by an operation that both approve
    assert made.state is State.COMPLETED, made
    again = await sign(alice)
    assert again.state is State.COMPLETED, again
    assert set(again.signers) == {alice.device, bob.device}
    assert states(alice, bob, vault) == [DEAD, LIVE]


async def test_other_quorums_go_on_after_a_cheat(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the operation, and in the next."""
    await vault_of(world)
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    vault = (await alice.ready("ops")).id
    gate = carol.approver.gate = asyncio.Event()
    with monkeypatch.context() as patch:
        lie(patch, bob, GUESS)
        asyncio.get_running_loop().call_later(0.7, gate.set)
        view = await sign(alice)
    assert view.state is State.COMPLETED, view
    assert set(view.signers) == {alice.device, carol.device}
    assert states(alice, bob, vault) == [DEAD]
    after = await sign(alice, "again")
    assert (after.state, after.attempt) == (State.COMPLETED, 1)
    assert set(after.signers) == {alice.device, carol.device}


CHEATS: dict[str, tuple[str, Change, str]] = {
    "m1": ("Factor", guess_a_column, "OT-3.2"),
    "nonce": ("Product", lambda m: replace(m, nonces=one_more(m.nonces)), "EC-2.3"),
    "blinder": ("Product", lambda m: replace(m, blinder=flipped(m.blinder, 0)), "EC-2.3"),
    "matrix": ("Product", lambda m: replace(m, m2=flipped(m.m2, 100)), "OT-4.3"),
    "mu": ("Product", lambda m: replace(m, m2=flipped(m.m2, -1)), "OT-4.3"),
    "nonce product": ("Product", lambda m: replace(m, nonce_shares=one_more(m.nonce_shares)), "EC-2.4"),
    "key product": ("Product", lambda m: replace(m, key_shares=one_more(m.key_shares)), "EC-2.5"),
}


@breaks("CE-6.3")
@pytest.mark.parametrize("cheat", CHEATS)
async def test_every_cheat_ends_the_set_up_with_its_author_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, cheat: str
) -> None:
    kind, change, rule = CHEATS[cheat]
    vault = await only_alice_and_bob(world)
    lie(monkeypatch, world["bob"], in_kind(kind, change))
    view = await sign(world["alice"])
    assert (view.state, view.culprits) == (State.FAILED, (world["bob"].device,)), view
    assert rule in view.detail
    assert states(world["alice"], world["bob"], vault) == [DEAD]
    assert states(world["alice"], world["carol"], vault) == [LIVE]


@breaks("CE-6.3")
async def test_a_cheat_in_the_trial_ends_the_set_up_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vault exists, is not ready, and a trial takes everybody: nothing is left to try."""
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    lie(monkeypatch, bob, GUESS)
    view = await alice.create_vault("ops", {"alice": 2, "bob": 1, "carol": 1}, 3)
    assert (view.state, view.culprits) == (State.FAILED, (bob.device,)), view
    assert view.detail.endswith("make another vault")
    vault = await alice.ceremonies.clients.vault(CALLER, "ops")
    assert vault.state == "active"
    assert states(alice, bob, vault.id) == states(carol, bob, vault.id) == [DEAD]
    assert states(alice, carol, vault.id) == [LIVE]


# --- what comes before what


class Diary:
    """What leaves a node for an operation, and what it writes about set-ups, in order."""

    def __init__(self, world: World, node: Node, patch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        self._device = node.device
        kill = node.ledger.kill_setup

        def slowly(setup: bytes) -> None:
            self.lines.append("killing")
            time.sleep(0.3)
            kill(setup)
            self.lines.append("dead")

        patch.setattr(node.ledger, "kill_setup", slowly)
        cut, intercept = world.cut, world.intercept

        def frames(sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
            if sender == self._device:
                self.lines.append(unpack(frame).envelope.slot.rpartition("/")[2])
            return cut(sender, peer, frame)

        def requests(sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> bytes | None:
            if sender == self._device and method not in BY_THE_CLOCK | {Method.GET_CERTIFICATE}:
                self.lines.append(method.value)
            return intercept(sender, peer, method, body)

        world.cut, world.intercept = frames, requests


@breaks("CE-6.3")
@pytest.mark.parametrize("cheat", ["m1", "mu"])
async def test_nothing_is_said_between_a_cheat_and_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch, cheat: str
) -> None:
    kind, change, _ = CHEATS[cheat]
    await only_alice_and_bob(world)
    diary = Diary(world, world["alice"], monkeypatch)
    lie(monkeypatch, world["bob"], in_kind(kind, change))
    await sign(world["alice"])
    begun = diary.lines.index("killing")
    assert diary.lines[begun + 1] == "dead"
    assert "Abort" not in diary.lines[:begun]
    assert "Abort" in diary.lines[begun:]
    assert not {"Factor", "Product", "Shares", "Commitments"} & set(diary.lines[begun:])


@breaks("CE-6.3")
async def test_a_disk_that_fails_is_no_second_guess(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the end of a set-up is not on disk nobody hears anything, and nothing multiplies."""
    vault = await only_alice_and_bob(world)
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    world.requests.clear()
    with monkeypatch.context() as full:

        def fail(setup: bytes) -> None:
            raise StoreError("the disk is full")

        full.setattr(alice.ledger, "kill_setup", fail)
        with monkeypatch.context() as patch:
            lie(patch, bob, GUESS)
            view = await sign(alice)
        assert view.state is State.FAILED, view
        assert (alice.device, bob.device, Method.ABORT) not in world.requests
        assert states(alice, bob, vault) == [LIVE]  # on disk
        carol.approver.verdict = Verdict.APPROVE
        again = await sign(alice, "again")
        assert again.state is State.FAILED, again
        row = alice.ledger.operation(again.id)
        assert row is not None
        assert row.attempt == 0
    after = await sign(alice, "at last")
    assert after.state is State.COMPLETED
    assert set(after.signers) == {alice.device, carol.device}
    assert states(alice, bob, vault) == [DEAD]


@breaks("CE-6.3")
async def test_a_crash_before_the_abort_leaves_the_set_up_dead(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    recorded = asyncio.Event()
    kill, loop = alice.ledger.kill_setup, asyncio.get_running_loop()
    crash = asyncio.Event()

    def note(setup: bytes) -> None:
        kill(setup)
        loop.call_soon_threadsafe(recorded.set)

    async def never(*_: object) -> None:
        await crash.wait()

    world.requests.clear()
    monkeypatch.setattr(alice.ledger, "kill_setup", note)
    monkeypatch.setattr(alice.ceremonies._participant, "_tell_over", never)
    with monkeypatch.context() as patch:
        lie(patch, bob, GUESS)
        await sign(alice, seconds=0.5)
        await asyncio.wait_for(recorded.wait(), 5)
        copy = alice.path.with_name("at the crash.db")
        for suffix in ("", "-wal"):
            whole = alice.path.with_name(alice.path.name + suffix)
            if whole.exists():
                copy.with_name(copy.name + suffix).write_bytes(whole.read_bytes())
    assert (alice.device, bob.device, Method.ABORT) not in world.requests
    crash.set()
    await alice.stop()
    alice.ledger.close()
    for suffix in ("", "-wal"):  # the disk as it was when the power went
        alice.path.with_name(alice.path.name + suffix).unlink(missing_ok=True)
        if (kept := copy.with_name(copy.name + suffix)).exists():
            kept.rename(alice.path.with_name(alice.path.name + suffix))
    alice.path.with_name(alice.path.name + "-shm").unlink(missing_ok=True)
    alice.open()
    await alice.start()
    assert states(alice, bob, vault) == [DEAD]
    await asyncio.sleep(0)
    assert_refused(await sign(alice, "again"), "bob")


# --- sessions side by side


class Held:
    """Keeps back the frames that match until they are let go."""

    def __init__(self, world: World, matches: Callable[[DeviceId, DeviceId, str], bool]) -> None:
        self.world, self.matches = world, matches
        self.frames: list[tuple[DeviceId, DeviceId, bytes]] = []
        world.cut = self

    def __call__(self, sender: DeviceId, peer: DeviceId, frame: bytes) -> bool:
        if not self.matches(sender, peer, unpack(frame).envelope.slot):
            return False
        self.frames.append((sender, peer, frame))
        return True

    async def wait(self, frames: int) -> None:
        ends = time.monotonic() + 8
        while len(self.frames) < frames:
            assert time.monotonic() < ends, f"{len(self.frames)} frames of {frames}"
            await asyncio.sleep(0.02)

    def let_go(self) -> None:
        self.matches = lambda *_: False
        for sender, peer, frame in self.frames:
            self.world.of(peer).ceremonies.on_envelope(sender, frame)


@breaks("CE-6.3")
async def test_a_cheat_in_one_session_halts_every_session_under_that_set_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One waits for bob's answer under the same set-up; one, under Ed25519 with bob too, is none of its business."""
    await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    by_bob = Held(world, lambda me, _, slot: me == bob.device and slot.endswith(("/Product", "/Response")))
    waiting = asyncio.create_task(sign(alice, "waits"))
    await by_bob.wait(1)
    edwards = asyncio.create_task(alice.sign("ops", "none of its business"))
    await asyncio.sleep(0.5)
    with monkeypatch.context() as patch:
        lie(patch, bob, GUESS)
        cheated = await sign(alice, "guessed at")
    assert cheated.culprits == (bob.device,)
    by_bob.let_go()  # what it waited for comes, too late
    halted = await waiting
    assert (halted.state, halted.reason) == (State.FAILED, "NO_LIVE_SETUP"), halted
    assert halted.attempt == 1
    assert not halted.signature_may_exist
    assert (await edwards).state is State.COMPLETED


@breaks("CE-6.2")
async def test_an_end_that_is_not_on_disk_yet_is_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    pairs, held = alice.ceremonies._context.pairs, alice.ceremonies._context.vaults.get(vault)
    read = pairs.reader(held, pairs.ids(held, [bob.device]))
    assert read(bob.device).peer == bob.device
    with monkeypatch.context() as full:

        def fail(setup: bytes) -> None:
            raise StoreError("the disk is full")

        full.setattr(alice.ledger, "kill_setup", fail)
        with pytest.raises(StoreError):
            pairs.end([read(bob.device).id], "a cheat")
        assert states(alice, bob, vault) == [LIVE]
        with pytest.raises(NoSetup, match=r"^CE-6\.2 same"):
            read(bob.device)
    assert pairs.apart(held, alice.device) == {bob.device}
    assert states(alice, bob, vault) == [DEAD]


async def test_a_session_unseals_a_set_up_once_and_looks_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    pairs, held = alice.ceremonies._context.pairs, alice.ceremonies._context.vaults.get(vault)
    asked: list[str] = []

    def note(name: str) -> None:
        ask = getattr(alice.ledger, name)

        def noting(*place: object) -> object:
            asked.append(name)
            return ask(*place)

        monkeypatch.setattr(alice.ledger, name, noting)

    note("setup")
    note("live_setup")
    read = pairs.reader(held, pairs.ids(held, [bob.device]))
    assert read(bob.device) is read(bob.device)
    assert asked == ["setup", "live_setup"]
    alice.ledger.kill_setup(read(bob.device).id)
    with pytest.raises(NoSetup):
        read(bob.device)


@breaks("CE-6.2", "CE-6.1")
@pytest.mark.parametrize("when", ["after a look", "after the journal", "after m1 came"])
@pytest.mark.parametrize("how", ["dead", "replaced"])
async def test_a_set_up_that_ends_under_way_answers_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str, how: str
) -> None:
    vault = await only_alice_and_bob(world)
    alice, bob = world["alice"], world["bob"]
    (held,) = rows(alice, bob, vault)
    ends = (lambda: alice.ledger.kill_setup(held.id)) if how == "dead" else (lambda: renew(alice, bob, vault))
    said: list[str] = []

    def watch(sender: DeviceId, _: DeviceId, frame: bytes) -> bool:
        slot = unpack(frame).envelope.slot
        if (
            when == "after m1 came"
            and sender == bob.device
            and slot.endswith("/Factor")
            and not said.count("end")
        ):
            ends()
            said.append("end")
        if sender == alice.device:
            said.append(slot.rpartition("/")[2])
        return False

    world.cut = watch
    if when == "after a look":
        look = alice.ceremonies._context.pairs.ids

        def ids(*wanted: Any) -> Any:
            found = look(*wanted)
            if "end" not in said:
                said.append("end")
                ends()
            return found

        monkeypatch.setattr(alice.ceremonies._context.pairs, "ids", ids)
    if when == "after the journal":
        begin = alice.ledger.begin_attempt

        def begin_attempt(*attempt: Any, **more: Any) -> bool:
            begun = begin(*attempt, **more)
            if "end" not in said:
                said.append("end")
                ends()
            return begun

        monkeypatch.setattr(alice.ledger, "begin_attempt", begin_attempt)
    view = await sign(alice)
    if how == "dead":
        assert (view.state, view.reason) == (State.FAILED, "NO_LIVE_SETUP"), view
        assert "Product" not in said
    else:  # the next attempt works under the new one
        assert view.state is State.COMPLETED, view
    assert view.attempt == (when != "after a look") + (how == "replaced")
    assert states(alice, world["carol"], vault) == [LIVE]


# --- whom the proposer chooses


@breaks("CE-6.4")
async def test_a_proposer_stays_out_where_others_can_sign_without_it(world: World) -> None:
    await vault_of(world, {"alice": 1, "bob": 1, "carol": 1}, 2)
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    vault = (await alice.ready("ops")).id
    for peer in (bob, carol):
        (row,) = rows(alice, peer, vault)
        alice.ledger.kill_setup(row.id)
    view = await sign(alice)
    assert view.state is State.COMPLETED, view
    assert set(view.signers) == {bob.device, carol.device}
    assert view.attempt == 1


@breaks("CE-6.4")
async def test_a_late_vote_makes_the_quorum_that_a_dead_set_up_unmade(world: World) -> None:
    await vault_of(world)
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    vault = (await alice.ready("ops")).id
    (row,) = rows(alice, bob, vault)
    alice.ledger.kill_setup(row.id)
    gate = carol.approver.gate = asyncio.Event()
    asyncio.get_running_loop().call_later(1.5, gate.set)
    view = await sign(alice)
    assert view.state is State.COMPLETED, view
    assert set(view.signers) == {alice.device, carol.device}


async def test_a_peer_without_a_set_up_is_trouble_and_no_cheat(world: World) -> None:
    """Bob, who votes first, has lost its side of the set-up with alice, who does not know."""
    await vault_of(world)
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    vault = (await alice.ready("ops")).id
    (row,) = rows(bob, alice, vault)
    bob.ledger.kill_setup(row.id)
    gate = carol.approver.gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.6, gate.set)
    view = await sign(alice)
    assert view.state is State.COMPLETED, view
    assert set(view.signers) == {alice.device, carol.device}
    assert (bob.device, Method.BEGIN, "NO_LIVE_SETUP") in world.refusals
    assert states(alice, bob, vault) == [LIVE]


async def test_honest_signers_find_each_other_while_one_cheats_all_but_the_proposer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proposer never sees it: it hears that honest ones ended the session, and, later, that they lack a set-up."""
    world = World(tmp_path, ("alice", "bob", "carol", "dave"))
    await world.start()
    try:
        await vault_of(world, dict.fromkeys(world.nodes, 1), 3)
        alice, *others = world.nodes.values()
        cheat = min(others, key=lambda node: node.device)  # is chosen first

        def guess(_: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
            guessed = slot.endswith("/Factor") and recipient != alice.device
            return guess_a_column(message) if guessed else message

        lie(monkeypatch, cheat, guess)
        for message in ("while it cheats", "after the set-ups have ended"):
            view = await sign(alice, message)
            assert view.state is State.COMPLETED, view
            assert set(view.signers) == {node.device for node in world.nodes.values() if node is not cheat}
    finally:
        await world.stop()
