"""What a soak has shown, and what of it must not be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quorate.node.metrics import STALL
from tests.soak.memory import MIB, Sample
from tests.soak.plan import NAMES
from tests.soak.run import Findings

GROWTH = 0.05  # of what a process holds, over the second half of what it has done


def figures(found: Findings) -> dict[str, Any]:
    total = found.signatures.total()
    return {
        "signatures": dict(found.signatures),
        "seconds": round(found.seconds, 1),
        "signatures_per_second": round(total / found.seconds, 1),
        "restarts": dict(found.restarts),
        "operations_by_attempts": dict(sorted(found.attempts.items())),
        "asked_again": dict(found.asked_again),
        "lost": len(found.lost),
        "wrong": len(found.wrong),
        "open": len(found.open),
        "different": len(found.different),
        "memory_mib": {name: round(found.memory.most(name), 1) for name in NAMES},
        "memory_growth_of_the_last_process": {name: round(found.memory.grown(name), 4) for name in NAMES},
        "memory_of_the_last_process": {name: thinned(found.memory.last(name)) for name in NAMES},
        "stalls_the_loop_computed": sum(stall["computed"] > STALL for stall in found.stalls),
        "stalls_the_machine_explains": sum(
            stall["seconds"] - stall["starved"] <= STALL for stall in found.stalls
        ),
        "stalls": [
            {key: stall.get(key) for key in ("node", "seconds", "computed", "starved", "held_by")}
            for stall in found.stalls
        ],
        "bugs": found.bugs[:10],
    }


def thinned(samples: Sequence[Sample]) -> list[tuple[int, float]]:
    """A dozen of them: signatures and MiB."""
    every = max(len(samples) // 12, 1)
    return [(each.done, round(each.bytes / MIB, 1)) for each in samples[::every]]


def complaints(found: Findings, *, lengthy: bool = False) -> list[str]:
    """Everything that must not be. A ``lengthy`` soak also says whether memory stays as it is."""
    return list(_complaints(found, lengthy))


def _complaints(found: Findings, lengthy: bool) -> Iterator[str]:
    yield from (f"lost: {each}" for each in found.lost)
    yield from (f"wrong: {each}" for each in found.wrong)
    yield from (f"not final: {each}" for each in found.open)
    yield from (f"ended otherwise: {each}" for each in found.different)
    yield from (f"bug: {each}" for each in found.bugs)
    yield from (f"stall: {each}" for each in found.stalls if each["computed"] > STALL)
    for name in NAMES if lengthy else ():
        if (grown := found.memory.grown(name)) > GROWTH:
            yield f"memory: {name} grew by {grown:.1%} in the last part of the soak"
