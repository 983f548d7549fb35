"""What a call passes before anything of its request is read: whose it is, whether it may, and how many there are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from quorate.errors import UsageError
from quorate.rpc import failures
from quorate.rpc.access import RULES, Permit, permit
from quorate.rpc.auth import Arrival, Gate

CALLS_PER_CLIENT = 256


@dataclass(slots=True, eq=False)
class Visit:
    """One call under way. ``dismissed`` is set once its client's credentials are not what it came with any more;
    ``until_ms``: when they end by themselves."""

    permit: Permit
    until_ms: int | None = None
    dismissed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def left(self) -> float | None:
        """Seconds; None for as long as it likes."""
        return None if self.until_ms is None else max(self.until_ms / 1000 - time.time(), 0.0)

    def require_welcome(self) -> None:
        if self.dismissed.is_set() or self.left == 0.0:
            raise UsageError(
                f"{self.permit.client} was revoked, or has new credentials, while this call was under way",
                code=failures.UNAUTHENTICATED,
            )


class Attendance:
    """Every call under way, on the client port and on the Unix socket."""

    def __init__(self) -> None:
        self._visits: dict[str, set[Visit]] = {}
        self._calls: Counter[str] = Counter()

    def dismiss(self, client: str) -> None:
        """End what this client has under way: its streams stop, and its calls get no answer."""
        for visit in self._visits.get(client, ()):
            visit.dismissed.set()

    @contextmanager
    def attending(self, method: str, visit: Visit) -> Iterator[None]:
        """``UsageError`` BUSY while the client, or everybody together, has too many such calls under way."""
        client, most = visit.permit.client, RULES[method].at_once
        if len(self._visits.get(client, ())) >= CALLS_PER_CLIENT:
            raise UsageError(f"{client} has {CALLS_PER_CLIENT} calls under way", code=failures.BUSY)
        if most is not None and self._calls[method] >= most:
            raise UsageError(f"{most} calls of {method} are under way, which is the most", code=failures.BUSY)
        self._visits.setdefault(client, set()).add(visit)
        self._calls[method] += 1
        try:
            yield
        finally:
            self._calls[method] -= 1
            self._visits[client].discard(visit)
            if not self._visits[client]:
                del self._visits[client]


class Reception:
    """The way in through one gate."""

    def __init__(self, gate: Gate, attendance: Attendance) -> None:
        self._gate, self._attendance = gate, attendance

    @asynccontextmanager
    async def receive(self, method: str, arrival: Arrival) -> AsyncIterator[Visit]:
        """``method`` is its full name in the descriptor."""
        login = await self._gate.identify(arrival)
        visit = Visit(permit(login.client, method), login.until_ms)
        with self._attendance.attending(method, visit):
            yield visit
