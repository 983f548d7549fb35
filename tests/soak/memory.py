"""What a process holds over time, and whether that grows: by process, since every restart begins anew."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
ENOUGH = 20  # samples


def resident(pid: int) -> int:
    """Bytes; 0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """``done``: signatures since the soak began."""

    done: int
    bytes: int


@dataclass(slots=True)
class Memory:
    """Of every process of the soak, by node and pid."""

    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)

    def note(self, node: str, pid: int, done: int) -> None:
        if held := resident(pid):
            self.samples.setdefault((node, pid), []).append(Sample(done=done, bytes=held))

    def last(self, node: str) -> list[Sample]:
        """Of the process that this node ended with."""
        return [held for (name, _), held in self.samples.items() if name == node][-1]

    def grown(self, node: str) -> float:
        """The part by which the line through the samples rises over the second half of what the node's last process
        has done: by then it has what it keeps. 0 for too few samples to tell."""
        samples = self.last(node)
        half = samples[len(samples) // 2 :]
        if len(half) < ENOUGH:
            return 0.0
        return slope(half) * (half[-1].done - half[0].done) / half[0].bytes

    def most(self, node: str) -> float:
        """MiB that any process of this node has held."""
        return max(each.bytes for key, held in self.samples.items() if key[0] == node for each in held) / MIB


def slope(samples: Sequence[Sample]) -> float:
    """Bytes a signature, by least squares; 0 for fewer than two points."""
    if len({each.done for each in samples}) < 2:
        return 0.0
    mean_done = sum(each.done for each in samples) / len(samples)
    mean_bytes = sum(each.bytes for each in samples) / len(samples)
    over = sum((each.done - mean_done) * (each.bytes - mean_bytes) for each in samples)
    return over / sum((each.done - mean_done) ** 2 for each in samples)
