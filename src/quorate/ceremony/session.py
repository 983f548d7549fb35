"""Running sessions: machines fed from the links, in worker threads, with patience and a deadline.

A session is never resumed. It ends with the protocol's result or with one error, and takes its
session key with it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from quorate.ceremony.ports import Clock, Mesh
from quorate.errors import Aborted, Bug, Cancelled, Diverged, EncodingError, QuorateError, Stalled
from quorate.identifiers import DeviceId, SessionId
from quorate.wire.envelope import session_of
from quorate.wire.machine import Machine

T = TypeVar("T")
R = TypeVar("R")

MAX_UNREAD = 64  # frames of one party
MAX_UNREAD_BYTES = 8 << 20  # of one party
TICK = 0.25  # seconds between looks at the clock while nothing arrives
DISPUTE_GRACE = 1.0  # seconds for signed envelopes to meet after views diverged
ABORT_GRACE = 0.3  # seconds for our own machine to find the culprit after a peer gave up


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds. ``silence``: how long a session waits on a message; ``unlinked``: the same while the link to the awaited
    peer is down; ``deadline``: the whole session."""

    silence: float = 10.0
    unlinked: float = 2.0
    deadline: float = 60.0


class Session(Generic[T]):
    """One attempt, at this node. ``run`` is called once.

    ``open_machine`` makes the machine, first step and all, in a worker thread; ``erase`` forgets the session key.
    """

    def __init__(
        self, identifier: SessionId, parties: tuple[DeviceId, ...], open_machine: Callable[[], Machine[T]], *,
        erase: Callable[[], None], mesh: Mesh, clock: Clock, pool: Executor, patience: Patience,
    ) -> None:  # fmt: skip
        self.id = identifier
        self.parties = parties
        self._open_machine = open_machine
        self._erase = erase
        self._mesh = mesh
        self._clock = clock
        self._pool = pool
        self._patience = patience
        self._inbox: deque[tuple[DeviceId, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._gave_up: set[DeviceId] = set()
        self._cancelled = ""

    def offer(self, sender: DeviceId, frame: bytes) -> None:
        """Take a frame from a party's link. A peer that sends faster than the protocol speaks is not listened to."""
        if sender not in self.parties:
            return
        unread = [len(held) for who, held in self._inbox if who == sender]
        if len(unread) < MAX_UNREAD and sum(unread) + len(frame) <= MAX_UNREAD_BYTES:
            self._inbox.append((sender, frame))
            self._arrived.set()

    def give_up(self, sender: DeviceId) -> None:
        """A party says that its part is over without output."""
        if sender in self.parties:
            self._gave_up.add(sender)
            self._arrived.set()

    def cancel(self, why: str) -> None:
        """End the session from our side; ``run`` raises ``Cancelled``."""
        self._cancelled = why
        self._arrived.set()

    def halt(self, why: str) -> None:
        """As ``cancel``, from any thread: nothing more leaves and no more frame is looked at; ``run`` ends within a
        tick."""
        self._cancelled = why

    async def run(self) -> T:
        """The result, or the ``QuorateError`` that ended the session."""
        try:
            machine = await self._aside(self._open_machine)
            await self._finish(machine)
            if machine.failure is not None:
                raise self._unaccounted(machine) or machine.failure
            if machine.result is None:
                raise Bug("a session ended with neither result nor failure")
            return machine.result
        finally:
            self._erase()

    async def _finish(self, machine: Machine[T]) -> None:
        started = heard = self._clock.monotonic()
        self._post(machine.drain())
        while not machine.done:
            now = self._clock.monotonic()
            self._check_patience(machine, now - started, now - heard)
            if self._cancelled:
                raise Cancelled(self._cancelled)
            if self._gave_up:
                await asyncio.sleep(ABORT_GRACE)
                await self._take(machine)
                if not machine.done:
                    raise self._abandoned(machine, now - heard)
            elif await self._take(machine):
                heard = self._clock.monotonic()  # what we computed meanwhile is nobody's silence
        if isinstance(machine.failure, Diverged):
            await self._settle(machine)

    async def _take(self, machine: Machine[T]) -> bool:
        """Feed what has arrived, waiting one tick for it; whether there was anything."""
        if not self._inbox:
            self._arrived.clear()
            try:
                async with asyncio.timeout(TICK):
                    await self._arrived.wait()
            except TimeoutError:
                return False
        frames = tuple(self._inbox)
        self._inbox.clear()

        def work() -> list[tuple[DeviceId, bytes]]:
            for sender, frame in frames:
                if not self._cancelled:
                    machine.deliver(frame, sender)
            return machine.drain()

        if frames:
            self._post(await self._aside(work))
        return bool(frames)

    async def _aside(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _post(self, frames: list[tuple[DeviceId, bytes]]) -> None:
        for recipient, frame in frames:
            if not self._cancelled:
                self._mesh.post(recipient, frame)

    async def _settle(self, machine: Machine[T]) -> None:
        """After views diverged: a while for the signed envelopes that name the equivocator to meet."""
        ends = self._clock.monotonic() + DISPUTE_GRACE
        while self._clock.monotonic() < ends:
            if isinstance(machine.failure, Aborted) and machine.failure.culprits:
                return
            await self._take(machine)

    def _unaccounted(self, machine: Machine[T]) -> Stalled | None:
        """Who signed a view that differs and never said what it saw, if that is all there is to say."""
        return self._silent(machine) if isinstance(machine.failure, Diverged) else None

    def _silent(self, machine: Machine[T]) -> Stalled | None:
        awaited, slot = machine.waiting_on
        return Stalled(awaited, slot) if awaited else None

    def _abandoned(self, machine: Machine[T], silence: float) -> Aborted:
        """After others gave up. Who is silent is silent to us as well. Else those may have seen what only they could,
        and who sees a cheat is not to be named in its place."""
        awaited, slot = machine.waiting_on
        if silence > self._patience.silence / 2:
            return Stalled(awaited, slot)
        if gone := self._gone(awaited - self._gave_up):
            return Stalled(gone, slot)
        return Cancelled(f"{', '.join(sorted(self._gave_up))} ended the session")

    def _check_patience(self, machine: Machine[T], running: float, silence: float) -> None:
        awaited, slot = machine.waiting_on
        if running > self._patience.deadline or silence > self._patience.silence:
            raise Stalled(awaited, slot)
        if silence > self._patience.unlinked and (gone := self._gone(awaited)):
            raise Stalled(gone, slot)

    def _gone(self, awaited: frozenset[DeviceId]) -> list[DeviceId]:
        return [peer for peer in awaited if not self._mesh.connected(peer)]


class Sessions:
    """The sessions of this node by id, and a small waiting room for messages that come before their session does."""

    MAX_LIVE = 256
    MAX_EARLY_FRAMES = 4 * MAX_LIVE  # of one peer: it says several things at once as it begins
    MAX_EARLY_BYTES = 32 << 20  # of one peer: each long batch begins with half a megabyte
    EARLY_LIFE = 15.0  # seconds

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[SessionId, Session[object]] = {}
        self._over: OrderedDict[SessionId, None] = OrderedDict()
        self._early: dict[DeviceId, deque[tuple[float, SessionId, bytes]]] = {}
        self._closed = ""

    def close(self, why: str) -> None:
        """Nothing more leaves from any session, each ends within a tick, and none begins until ``open``."""
        self._closed = why
        for session in self._live.values():
            session.halt(why)

    def open(self) -> None:
        self._closed = ""

    def __len__(self) -> int:
        return len(self._live)

    async def run(self, session: Session[T]) -> T:
        """Run a session to its end, with whatever has arrived for it already."""
        if session.id in self._live or session.id in self._over:
            raise Bug("a session id came up twice")
        if self._closed:
            session.halt(self._closed)
        if len(self._live) >= self.MAX_LIVE:
            raise QuorateError(f"{self.MAX_LIVE} sessions are running; try again later")
        self._live[session.id] = session  # type: ignore[assignment]
        try:
            for sender, waiting in self._early.items():
                mine = [frame for _, wanted, frame in waiting if wanted == session.id]
                if mine:
                    self._early[sender] = deque(item for item in waiting if item[1] != session.id)
                for frame in mine:
                    session.offer(sender, frame)
            return await session.run()
        finally:
            del self._live[session.id]
            self._over[session.id] = None
            while len(self._over) > 4096:
                self._over.popitem(last=False)

    def on_envelope(self, sender: DeviceId, frame: bytes) -> None:
        try:
            identifier = SessionId(session_of(frame))
        except EncodingError:
            return
        session = self._live.get(identifier)
        if session is not None:
            session.offer(sender, frame)
        elif identifier not in self._over:
            self._hold(sender, identifier, frame)

    def give_up(self, sender: DeviceId, identifier: SessionId) -> None:
        session = self._live.get(identifier)
        if session is not None:
            session.give_up(sender)

    def _hold(self, sender: DeviceId, identifier: SessionId, frame: bytes) -> None:
        now = self._clock.monotonic()
        waiting = self._early.setdefault(sender, deque())
        while waiting and now - waiting[0][0] > self.EARLY_LIFE:
            waiting.popleft()
        if len(waiting) < self.MAX_EARLY_FRAMES and sum(len(f) for _, _, f in waiting) < self.MAX_EARLY_BYTES:
            waiting.append((now, identifier, frame))
