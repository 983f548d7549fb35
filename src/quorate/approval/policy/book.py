"""What was approved lately, so that a limit over a window knows what is left of it: on disk, and counted in memory.

docs/spec/approval.md, PO-3. An operation counts from its approval on, and no more once it has ended without a share
having left. One book serves a node: every policy and draft on it counts from the same operations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from quorate.approval.policy.engine import Counter, charges
from quorate.approval.policy.rules import Policy
from quorate.ceremony.ports import Reservation
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.effect import Effect
from quorate.operations.effect_json import decode_effect, encode_effect

log = structlog.get_logger(__name__)


class ReservationLog(Protocol):
    """The durable side. Synchronous; called from worker threads, and once when a node starts."""

    def reserve(self, row: Reservation) -> None:
        """Keep it, on disk before this returns. Of one operation the last one counts."""
        ...

    def reservations(self, since_ms: int) -> Sequence[Reservation]:
        """Those from then on that count, oldest first."""
        ...

    def still_counts(self, operation: OperationId) -> bool:
        """Whether the operation goes on, or ended with a signature that exists or may."""
        ...


class Tally:
    """What one policy's windows hold."""

    def __init__(self, policy: Policy, here: str) -> None:
        self.policy, self._here = policy, here
        self._windows = tuple(window.length_ms for window in policy.windows)
        self.longest_ms = max(self._windows, default=0)
        self._held: dict[Counter, dict[OperationId, tuple[int, int]]] = {}
        self._totals: dict[Counter, int] = {}
        self._counters: dict[OperationId, set[Counter]] = {}

    def add(self, operation: OperationId, effect: Effect, at_ms: int) -> None:
        self.drop(operation)
        for counter, amount in charges(self.policy, effect, at_ms=at_ms, here=self._here).items():
            self._held.setdefault(counter, {})[operation] = at_ms, amount
            self._totals[counter] = self._totals.get(counter, 0) + amount
            self._counters.setdefault(operation, set()).add(counter)

    def drop(self, operation: OperationId) -> None:
        for counter in tuple(self._counters.get(operation, ())):
            self._take(counter, operation)

    def besides(self, operation: OperationId) -> _Besides:
        """The usage as an operation finds it that may be counted already."""
        return _Besides(self, operation if self.counted(operation) else None)

    def counted(self, operation: OperationId) -> bool:
        """Whether some window holds something of it."""
        return bool(self._counters.get(operation))

    def used(self, counter: Counter, now_ms: int, besides: OperationId | None = None) -> int:
        held = self._held.get(counter)
        if not held:
            return 0
        since = now_ms - self._windows[counter]
        while held and held[oldest := next(iter(held))][0] <= since:
            self._take(counter, oldest)
        own = held.get(besides) if besides is not None else None
        return self._totals[counter] - (own[1] if own is not None else 0)

    def _take(self, counter: Counter, operation: OperationId) -> None:
        _, amount = self._held[counter].pop(operation)
        self._totals[counter] -= amount
        self._counters[operation].discard(counter)
        if not self._counters[operation]:
            del self._counters[operation]


@dataclass(frozen=True, slots=True)
class _Besides:
    """Implements ``engine.Usage``."""

    tally: Tally
    operation: OperationId | None  # None where nothing is counted of it

    def used(self, counter: Counter, now_ms: int) -> int:
        return self.tally.used(counter, now_ms, self.operation)


class Book:
    """PO-3.3 turn: it is held from reading what is used until what was allowed is reserved, so that two requests at
    once cannot both have the last of a limit. From one event loop only.

    In memory are the operations of the longest window that is followed; on disk, those of the longest there can be.
    """

    def __init__(self, log: ReservationLog, *, here: DeviceId) -> None:
        self._log, self._here = log, here
        self._tallies: list[Tally] = []
        self._drafts: list[Tally] = []
        self._entries: dict[OperationId, tuple[int, Effect]] = {}  # oldest first
        self._newest_ms = 0
        self.turn = asyncio.Lock()

    @property
    def here(self) -> DeviceId:
        """This node."""
        return self._here

    @property
    def newest_ms(self) -> int:
        """When the last approval was, of those in memory; 0 before the first."""
        return self._newest_ms

    def follow(self, policy: Policy, now_ms: int, *, draft: bool = False) -> Tally:
        """Count for this policy from now on, and what was approved before. Reads the log. What goes wrong in counting
        for a ``draft`` is logged, and harms nothing."""
        tally = Tally(policy, self._here)
        for row in self._log.reservations(now_ms - tally.longest_ms):
            effect = decode_effect(row.effect)
            self._entries[row.operation] = row.at_ms, effect
            self._newest_ms = max(self._newest_ms, row.at_ms)
            tally.add(row.operation, effect, row.at_ms)
        self._entries = dict(sorted(self._entries.items(), key=lambda entry: entry[1][0]))
        (self._drafts if draft else self._tallies).append(tally)
        return tally

    def leave(self, tally: Tally) -> None:
        self._tallies.remove(tally)

    async def reserve(self, operation: OperationId, effect: Effect, at_ms: int) -> None:
        """PO-3.1 durable: on disk first, then counted. Cut short, it may be on disk and not counted; then the approval
        it was for was not given either."""
        row = Reservation(operation=operation, effect=encode_effect(effect), at_ms=at_ms)
        await asyncio.to_thread(self._log.reserve, row)
        self._entries.pop(operation, None)
        self._entries[operation] = at_ms, effect
        self._newest_ms = max(self._newest_ms, at_ms)
        self._count(operation, effect, at_ms)
        followed = (*self._tallies, *self._drafts)
        self._forget(at_ms - max((tally.longest_ms for tally in followed), default=0))

    def settle(self, operation: OperationId) -> None:
        """PO-3.2 given back: to be called when an operation changes. What ended without release counts no more; what
        turns out to have been signed after all counts again."""
        if operation not in self._entries:
            return
        at_ms, effect = self._entries[operation]
        if self._log.still_counts(operation):
            self._count(operation, effect, at_ms)
            return
        for tally in (*self._tallies, *self._drafts):
            tally.drop(operation)

    def _count(self, operation: OperationId, effect: Effect, at_ms: int) -> None:
        for tally in self._tallies:
            tally.add(operation, effect, at_ms)
        for tally in self._drafts:
            try:
                tally.add(operation, effect, at_ms)
            except Exception:
                log.exception("policy.shadow", operation=operation)

    def _forget(self, before_ms: int) -> None:
        while self._entries and self._entries[oldest := next(iter(self._entries))][0] <= before_ms:
            del self._entries[oldest]


class Memory:
    """A log that forgets: for samples and simulations, which nobody signs."""

    def __init__(self) -> None:
        self._rows: dict[OperationId, Reservation] = {}

    def reserve(self, row: Reservation) -> None:
        self._rows[row.operation] = row

    def reservations(self, since_ms: int) -> Sequence[Reservation]:
        return [row for row in self._rows.values() if row.at_ms >= since_ms]

    def still_counts(self, operation: OperationId) -> bool:
        return operation in self._rows
