"""Waiting for a change, or for the time to pass."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from weakref import WeakValueDictionary

from quorate.identifiers import OperationId


async def rings(bell: asyncio.Event, seconds: float) -> None:
    """Wait for a bell, or for the time to pass.

    Not by ``wait_for``: before Python 3.12 that loses a cancellation that comes just as the bell rings, which is when
    an operation ends and its helpers are cancelled.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await bell.wait()


class Board:
    """Where changes of operations are announced within the node. ``on_change`` hears of each; it must not raise."""

    def __init__(self, on_change: Callable[[OperationId], None] | None = None) -> None:
        self._on_change = on_change
        # a bell nobody waits for is gone
        self._bells: WeakValueDictionary[OperationId, asyncio.Event] = WeakValueDictionary()

    def bell(self, operation: OperationId) -> asyncio.Event:
        """Set at the next announcement. Take it before looking at the state, or the change in between is missed."""
        return self._bells.setdefault(operation, asyncio.Event())

    def announce(self, operation: OperationId) -> None:
        bell = self._bells.pop(operation, None)
        if bell is not None:
            bell.set()
        if self._on_change is not None:
            self._on_change(operation)
