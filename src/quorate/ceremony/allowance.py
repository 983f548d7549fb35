"""How often a peer may have us tell something in our audit chain, which is never shortened: it could fill the disk."""

from __future__ import annotations

from quorate.ceremony.ports import Clock
from quorate.identifiers import DeviceId

MOST, WITHIN = 20, 3600.0  # times of one peer, in so many seconds


class Allowance:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: dict[DeviceId, list[float]] = {}

    def has(self, peer: DeviceId) -> bool:
        """Whether it may once more."""
        now = self._clock.monotonic()
        recent = self._taken[peer] = [at for at in self._taken.get(peer, ()) if now - at < WITHIN]
        return len(recent) < MOST

    def take(self, peer: DeviceId) -> None:
        self._taken.setdefault(peer, []).append(self._clock.monotonic())
