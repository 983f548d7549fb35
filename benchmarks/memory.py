"""What a daemon keeps in memory: idle with a vault, and after thousands of signatures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Figure, Traffic, figure
from benchmarks.node import ALGORITHMS, NAMES, Bench, running

WARM, SIGNATURES, IN_FLIGHT = 1_000, 10_000, 32
PAGE = os.sysconf("SC_PAGE_SIZE") / 2**20


def figures(warm: int = WARM, signatures: int = SIGNATURES) -> Iterator[Figure]:
    """Resident MiB of each daemon, and how many times that the signatures left, once caches had filled."""
    with running() as bench:
        vault = bench.run(bench.create(dict.fromkeys(NAMES, 1), 2))
        yield _of("idle", resident(bench), unit="MiB")
        _sign(bench, vault, warm)
        before = resident(bench)
        _sign(bench, vault, signatures)
        after = resident(bench)
        grown = [late / early for early, late in zip(before, after, strict=True)]
        yield _of("after signing over before", grown, unit="ratio", warm=warm, signatures=signatures)


def resident(bench: Bench) -> list[float]:
    daemons = [member.running for member in bench.cluster.members.values()]
    return [int(Path(f"/proc/{one.pid}/statm").read_text().split()[1]) * PAGE for one in daemons if one]


def _sign(bench: Bench, vault: str, signatures: int) -> None:
    for algorithm in ALGORITHMS:
        bench.run(bench.sign_side_by_side(vault, algorithm, IN_FLIGHT, signatures // len(ALGORITHMS)))


def _of(what: str, values: list[float], **parameters: object) -> Figure:
    return figure(f"node/memory, {what}", parameters, values, cpu=0, traffic=Traffic())
