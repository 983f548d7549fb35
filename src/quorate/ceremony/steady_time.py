"""When operations end, whatever becomes of the wall clock meanwhile.

docs/spec/ceremony.md, section CE-8. The *steady time* of a node starts as its wall clock and is never set: it runs with
the monotonic clock, and over a stop goes on by what the wall clock shows to have passed, which may be nothing.
"""

from __future__ import annotations

from typing import Protocol

from quorate.ceremony.ports import Clock, KeptTime


class Timed(Protocol):
    """An operation, or what is known of it."""

    @property
    def expires_ms(self) -> int: ...

    @property
    def ends_ms(self) -> int: ...


class SteadyTime:
    """From any thread."""

    def __init__(self, clock: Clock, kept: KeptTime | None) -> None:
        """``kept``: what this node last kept of its time; None at its very first start."""
        self._clock = clock
        self._began_ms, self._began = clock.now_ms(), clock.monotonic()
        self._start_ms = self._began_ms
        if kept is not None:  # CE-8.2
            self._start_ms = kept.steady_ms + max(self._began_ms - kept.wall_ms, 0)

    def now_ms(self) -> int:
        return self._start_ms + self._ran_ms()

    def kept(self) -> KeptTime:
        """What to keep now. Of the wall clock not what it was set back to meanwhile: the next start would take the
        difference for time that has passed."""
        wall_ms = max(self._clock.now_ms(), self._began_ms + self._ran_ms())
        return KeptTime(steady_ms=self.now_ms(), wall_ms=wall_ms)

    def end_of(self, expires_ms: int) -> int:
        """When an operation that comes in now ends by steady time: its life is as long as the wall clock says now."""
        return self.now_ms() + expires_ms - self._clock.now_ms()

    def left(self, operation: Timed) -> float:
        """CE-8.1 two clocks: seconds until an operation has expired, by the clock that shows it first."""
        left_ms = min(operation.expires_ms - self._clock.now_ms(), operation.ends_ms - self.now_ms())
        return left_ms / 1000

    def expired(self, operation: Timed) -> bool:
        return self.left(operation) <= 0

    def _ran_ms(self) -> int:
        return int((self._clock.monotonic() - self._began) * 1000)
