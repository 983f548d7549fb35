"""How much work each peer may make of reading what it proposes: some at once, and a share of the time later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from quorate.errors import UsageError
from quorate.identifiers import DeviceId

AT_ONCE = 6.0  # seconds of a processor: two of the longest policies
SHARE = 0.1


class Toil:
    """``now`` and ``worked`` are in seconds: the time, and what the thread that asks has worked by then."""

    def __init__(
        self, now: Callable[[], float] = time.monotonic, worked: Callable[[], float] = time.thread_time
    ) -> None:
        self._now, self._worked = now, worked
        self._owed: dict[DeviceId, tuple[float, float]] = {}  # seconds of work, as of when
        self._busy: set[DeviceId] = set()
        self._changing = threading.Lock()

    @contextmanager
    def of(self, peer: DeviceId) -> Iterator[None]:
        """While something of this peer's is read: one thing at a time, so that it holds up one thread at most."""
        with self._changing:
            if peer in self._busy or self._left(peer) >= AT_ONCE:
                raise UsageError(
                    f"PG-1.5 toil: reading the policies that {peer} proposes takes too long: no more for a while",
                    code="BUSY",
                )
            self._busy.add(peer)
        began = self._worked()
        try:
            yield
        finally:
            with self._changing:
                self._owed[peer] = self._left(peer) + self._worked() - began, self._now()
                self._busy.discard(peer)

    def _left(self, peer: DeviceId) -> float:
        owed, since = self._owed.get(peer, (0.0, 0.0))
        return max(0.0, owed - (self._now() - since) * SHARE)
