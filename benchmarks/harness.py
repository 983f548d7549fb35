"""One figure: a thing done many times, and what it cost."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, TypeAlias

Parameters: TypeAlias = Mapping[str, object]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What one run put on the wire, over all parties. A measured function may return it."""

    bytes: int = 0
    messages: int = 0
    rounds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Times are milliseconds of one run; ``p95`` and ``p99`` are what 95 and 99 of 100 runs stay within; ``cpu`` is
    the mean CPU time of one, all threads."""

    name: str
    parameters: Parameters
    median: float
    p95: float
    p99: float
    min: float
    max: float
    runs: int
    cpu: float
    bytes: int
    messages: int
    rounds: int
    commit: str
    machine: str

    def line(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A figure that this machine cannot give."""

    name: str
    reason: str

    def line(self) -> str:
        return json.dumps({"name": self.name, "skipped": self.reason})


class Tier(Protocol):
    """What a module of this package offers: its figures, each ready as soon as it is measured."""

    def figures(self) -> Iterator[Figure | Skipped]: ...


def measure(
    name: str,
    parameters: Parameters,
    fn: Callable[[], Traffic | object],
    runs: int,
    *,
    calls: int = 1,
    cpu_seconds: Callable[[], float] = time.process_time,
) -> Figure:
    """Time ``fn`` ``runs`` times after one run to warm up.

    ``calls`` repeats a quick function within each run; the times are divided by it. ``cpu_seconds`` reads the CPU
    clock, for work done in other processes.
    """
    traffic = fn()
    times = []
    cpu_before = cpu_seconds()
    for _ in range(runs):
        before = time.perf_counter()
        for _ in range(calls):
            fn()
        times.append((time.perf_counter() - before) * 1000 / calls)
    cpu = (cpu_seconds() - cpu_before) * 1000 / (runs * calls)
    return figure(
        name, parameters, times, cpu=cpu, traffic=traffic if isinstance(traffic, Traffic) else Traffic()
    )


def figure(
    name: str, parameters: Parameters, milliseconds: list[float], *, cpu: float, traffic: Traffic
) -> Figure:
    """The figure of times taken elsewhere."""
    return Figure(
        name=name,
        parameters=parameters,
        median=rounded(statistics.median(milliseconds)),
        p95=rounded(within(milliseconds, 95)),
        p99=rounded(within(milliseconds, 99)),
        min=rounded(min(milliseconds)),
        max=rounded(max(milliseconds)),
        runs=len(milliseconds),
        cpu=rounded(cpu),
        bytes=traffic.bytes,
        messages=traffic.messages,
        rounds=traffic.rounds,
        commit=commit(),
        machine=machine(),
    )


def within(values: list[float], percent: int) -> float:
    """What that many of a hundred values stay within."""
    return sorted(values)[-(-len(values) * percent // 100) - 1]


def rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")


@cache
def commit() -> str:
    """The commit measured, with a + where the tree has changes on top."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


@cache
def machine() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{os.cpu_count()} x {model or platform.machine()}, Python {platform.python_version()}"
