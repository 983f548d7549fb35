"""What a session, and the waiting room before it, take from one peer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quorate.ceremony.session import MAX_UNREAD, MAX_UNREAD_BYTES, Patience, Session, Sessions
from quorate.errors import Cancelled, QuorateError, Stalled
from quorate.identifiers import DeviceId, SessionId
from quorate.native.ot import extension_size
from quorate.protocols.ecdsa.lane import MAX_LANES
from quorate.protocols.ot.multiply import MAX_BATCH
from tests.ceremony.world import SteadyClock

HONEST, CHEAT, STRANGER = DeviceId("a" * 24), DeviceId("b" * 24), DeviceId("c" * 24)

LINKED = SimpleNamespace(connected=lambda peer: peer != STRANGER)


def session(clock: SteadyClock | None = None, open_machine: Any = None) -> Session[object]:
    return Session(
        SessionId(bytes(32)), (HONEST, CHEAT), open_machine, erase=lambda: None, mesh=cast("Any", LINKED),
        clock=clock or SteadyClock(), pool=ThreadPoolExecutor(1), patience=Patience(),
    )  # fmt: skip


def test_a_party_that_sends_without_end_fills_its_own_room_only() -> None:
    for frame in (b"x", bytes(4 << 20)):
        flooded = session()
        for _ in range(MAX_UNREAD + 10):
            flooded.offer(CHEAT, frame)
        flooded.offer(STRANGER, b"x")
        flooded.offer(HONEST, b"hello")
        held = [len(kept) for who, kept in flooded._inbox if who == CHEAT]
        assert 0 < len(held) <= MAX_UNREAD
        assert sum(held) <= MAX_UNREAD_BYTES
        assert [who for who, _ in flooded._inbox if who != CHEAT] == [HONEST]


def test_what_comes_before_its_session_waits_in_bounds() -> None:
    sessions = Sessions(SteadyClock())
    for _ in range(Sessions.MAX_EARLY_FRAMES + 10):
        sessions._hold(CHEAT, SessionId(bytes(32)), bytes(1 << 20))
    assert sum(len(frame) for _, _, frame in sessions._early[CHEAT]) <= Sessions.MAX_EARLY_BYTES


def test_all_that_peers_begin_with_has_room_until_we_begin_too() -> None:
    """A commitment and a message to us, of as many sessions as may run, as small ones of ECDSA are."""
    sessions = Sessions(SteadyClock())
    for number in range(Sessions.MAX_LIVE):
        for size in (1 << 10, 6 << 10):
            sessions._hold(HONEST, SessionId(number.to_bytes(32, "big")), bytes(size))
    assert len(sessions._early[HONEST]) == 2 * Sessions.MAX_LIVE


def test_many_long_batches_may_begin_at_once() -> None:
    sessions, first_round = Sessions(SteadyClock()), MAX_LANES * [bytes(extension_size(MAX_BATCH) + 1000)]
    for number in range(50):
        for frame in first_round:
            sessions._hold(HONEST, SessionId(number.to_bytes(32, "big")), frame)
    assert len(sessions._early[HONEST]) == 50 * len(first_round)


async def given_up(by: DeviceId, awaited: set[DeviceId], waited: float) -> QuorateError:
    """How a session ends for us that one party ends after we waited so many seconds for others."""
    clock = SteadyClock()
    machine = SimpleNamespace(
        done=False, failure=None, result=None, waiting_on=(frozenset(awaited), "/slot"), drain=list
    )
    left = session(clock, lambda: cast("Any", machine))
    running = asyncio.create_task(left.run())
    await asyncio.sleep(0.05)
    clock.ahead_s = waited
    left.give_up(by)
    (failure,) = await asyncio.gather(running, return_exceptions=True)
    assert isinstance(failure, QuorateError)
    return failure


async def test_who_ends_a_session_is_not_named_as_silent() -> None:
    failure = await given_up(HONEST, {HONEST, CHEAT}, 1)
    assert isinstance(failure, Cancelled)
    assert not failure.culprits


async def test_who_was_silent_to_us_too_is_named_where_another_lost_patience_first() -> None:
    failure = await given_up(HONEST, {CHEAT}, Patience().silence - 1)
    assert isinstance(failure, Stalled)
    assert failure.waiting_on == {CHEAT}


async def test_who_has_gone_is_named_where_another_ended_the_session() -> None:
    failure = await given_up(HONEST, {HONEST, STRANGER}, 1)
    assert isinstance(failure, Stalled)
    assert failure.waiting_on == {STRANGER}


async def test_a_long_computation_of_ours_is_nobodys_silence() -> None:
    """Two frames, a quarter of a minute of work on each, one arriving during the work on the other."""
    clock, loop, frames = SteadyClock(), asyncio.get_running_loop(), 0

    def work(frame: bytes, sender: DeviceId) -> None:
        nonlocal frames
        frames += 1
        clock.ahead_s += Patience().silence + 5
        machine.done = frames == 2
        loop.call_soon_threadsafe(slow.offer, CHEAT, b"the second")

    machine = SimpleNamespace(
        done=False, failure=None, result="done", waiting_on=((CHEAT,), "/slot"), deliver=work, drain=list
    )
    slow = session(clock, lambda: cast("Any", machine))
    slow.offer(CHEAT, b"the first")
    assert await slow.run() == "done"


async def test_of_a_session_that_was_halted_nothing_more_leaves() -> None:
    """Halted from a worker thread, in the middle of the work on the first of two frames."""
    left: list[bytes] = []
    looked_at: list[bytes] = []
    sent = [(CHEAT, b"before"), (CHEAT, b"after")]

    def work(frame: bytes, sender: DeviceId) -> None:
        looked_at.append(frame)
        halted.halt("somebody cheated")

    machine = SimpleNamespace(
        done=False, failure=None, result=None, waiting_on=((CHEAT,), "/slot"), deliver=work,
        drain=lambda: [sent.pop(0)],
    )  # fmt: skip
    halted = session(open_machine=lambda: cast("Any", machine))
    halted._mesh = cast("Any", SimpleNamespace(post=lambda _, frame: left.append(frame), connected=bool))
    halted.offer(CHEAT, b"a frame")
    halted.offer(CHEAT, b"another")
    with pytest.raises(Cancelled, match="somebody cheated"):
        await halted.run()
    assert left == [b"before"]
    assert looked_at == [b"a frame"]
    assert sent == []
