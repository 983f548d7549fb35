"""Whether somebody sets this machine's wall clock while the node runs."""

from __future__ import annotations

import structlog

from quorate.ceremony.ports import Clock
from quorate.node.metrics import Metrics

JUMP = 1.0  # seconds between two looks; what NTP slews is far less

log = structlog.get_logger()


class WallClock:
    """To be looked at at a steady beat. It only tells: what ends by the clock ends by the monotonic one too (CE-8)."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock, self._metrics = clock, metrics
        self._ahead = self._ahead_of_monotonic()

    def look(self) -> float:
        """Seconds by which it was set since the last look; 0 where that is no jump."""
        before, self._ahead = self._ahead, self._ahead_of_monotonic()
        jumped = self._ahead - before
        if abs(jumped) < JUMP:
            return 0.0
        direction = "forward" if jumped > 0 else "back"
        self._metrics.clock_jumps.labels(direction=direction).inc()
        log.warning("the wall clock was set, or the machine slept", seconds=round(jumped, 1))
        return jumped

    def _ahead_of_monotonic(self) -> float:
        return self._clock.now_ms() / 1000 - self._clock.monotonic()
