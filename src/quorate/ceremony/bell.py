"""Waiting for a change, or for the time to pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from weakref import WeakValueDictionary

from quorate.errors import UsageError
from quorate.identifiers import OperationId


async def rings(bell: asyncio.Event, seconds: float) -> None:
    """Wait for a bell, or for the time to pass.

    Not by ``wait_for``: before Python 3.12 that loses a cancellation that comes just as the bell rings, which is when
    an operation ends and its helpers are cancelled.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()


class Feed:
    """The operations that changed since they were last taken, each once, up to ``MOST``: who reads slower than that
    has missed some."""

    MOST = 10_000

    def __init__(self) -> None:
        self._changed: dict[OperationId, None] = {}
        self._ready = asyncio.Event()

    def put(self, operation: OperationId) -> None:
        if len(self._changed) <= self.MOST:
            self._changed[operation] = None
        self._ready.set()

    async def take(self) -> tuple[OperationId, ...]:
        """What has changed, in the order of first changes, once something has."""
        await self._ready.wait()
        self._ready.clear()
        changed, self._changed = tuple(self._changed), {}
        if len(changed) > self.MOST:
            raise UsageError("this watcher fell too far behind: watch again", code="WATCH_BEHIND")
        return changed


class Board:
    """Where changes of operations are announced within the node. ``on_change`` hears of each; it must not raise."""

    def __init__(self, on_change: Callable[[OperationId], None] | None = None) -> None:
        self._on_change = on_change
        # a bell nobody waits for is gone
        self._bells: WeakValueDictionary[OperationId, asyncio.Event] = WeakValueDictionary()
        self._feeds: set[Feed] = set()

    def bell(self, operation: OperationId) -> asyncio.Event:
        """Set at the next announcement. Take it before looking at the state, or the change in between is missed."""
        return self._bells.setdefault(operation, asyncio.Event())

    def announce(self, operation: OperationId) -> None:
        bell = self._bells.pop(operation, None)
        if bell is not None:
            bell.set()
        for feed in self._feeds:
            feed.put(operation)
        if self._on_change is not None:
            self._on_change(operation)

    @contextlib.contextmanager
    def feed(self) -> Iterator[Feed]:
        """Every change from here on."""
        feed = Feed()
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
