"""What a soak asks for and which nodes it takes down when: all of it drawn from one seed before it starts."""

from __future__ import annotations

import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass

NAMES = ("alice", "bob", "carol")
ALGORITHMS = ("EDDSA", "ES256K")
BATCH_EVERY = 11  # requests, odd so that both curves get some; the others are for one signature each
LONGEST_BATCH = 16
ALL_AT_ONCE_EVERY = 5  # blows; the others are for one node


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, to one node, which is its proposer."""

    key: str
    node: str
    algorithm: str
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """Once so many signatures are in, these nodes stop, and start again at once."""

    after: int
    nodes: tuple[str, ...]
    how: signal.Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    asks: Sequence[Ask]
    blows: Sequence[Blow]
    in_flight: int

    @property
    def signatures(self) -> int:
        return sum(len(ask.messages) for ask in self.asks)


def plan(*, signatures: int, restarts: int, in_flight: int, seed: int, calm: float) -> Plan:
    """At least ``signatures``, spread over both curves and all nodes. The blows fall in the first part of the run:
    ``calm`` is the part at its end that nothing disturbs, in which memory is to stay as it is."""
    rng = random.Random(seed)
    asks: list[Ask] = []
    left = signatures
    while left > 0:
        number = len(asks)
        size = rng.randint(2, LONGEST_BATCH) if number % BATCH_EVERY == BATCH_EVERY - 1 else 1
        asks.append(
            Ask(
                key=f"soak {seed} {number}",
                node=rng.choice(NAMES),
                algorithm=ALGORITHMS[number % 2],
                messages=tuple(f"soak {seed}: message {number}.{item}" for item in range(size)),
            )
        )
        left -= size
    rough = range(signatures // 20, round(signatures * (1 - calm)))
    blows = [
        Blow(
            after=after,
            nodes=NAMES if index % ALL_AT_ONCE_EVERY == ALL_AT_ONCE_EVERY - 1 else (rng.choice(NAMES),),
            how=(signal.SIGKILL, signal.SIGTERM)[index % 2],
        )
        for index, after in enumerate(sorted(rng.sample(rough, restarts)))
    ]
    return Plan(asks=asks, blows=blows, in_flight=in_flight)
