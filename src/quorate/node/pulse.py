"""Whether the event loop turns, how late it is, and what held it up when it stalls."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import structlog

from quorate.ceremony.ports import Clock
from quorate.node.metrics import STALL, Metrics

BEAT = (
    0.02  # seconds between beats: a stall that is not longer than the threshold and one beat may go uncounted
)
DEPTH = 4  # calls of a stack that are worth a line
WAITING = frozenset({"threading", "queue", "selectors", "thread", "socketserver", "database._serve"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """What a thread has spent so far, in seconds: ``computed`` on a CPU, ``starved`` in line for one because the
    machine was busy (0 where the system does not tell)."""

    computed: float
    starved: float


class Tolls:
    """Of the thread that opens it."""

    def __init__(self) -> None:
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._file = os.open(path, os.O_RDONLY) if path.exists() else -1

    def read(self) -> Toll:
        starved = int(os.pread(self._file, 80, 0).split()[1]) / 1e9 if self._file >= 0 else 0.0
        return Toll(computed=time.thread_time(), starved=starved)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


class Pulse:
    """A timer on the event loop that is looked at from a thread beside it."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock, self._metrics = clock, metrics
        self._beat_at = clock.monotonic()
        self._culprit: tuple[float, str] = (0.0, "")  # the beat that was late, and what ran then
        self._toll = Toll(computed=0.0, starved=0.0)
        self._over = threading.Event()

    @property
    def silence(self) -> float:
        """Seconds since the last beat. From any thread."""
        return self._clock.monotonic() - self._beat_at

    async def keep_beating(self) -> None:
        """Until cancelled."""
        self._over.clear()
        self._beat_at = self._clock.monotonic()
        loop_thread = threading.get_ident()
        watch = threading.Thread(target=self._watch, args=(loop_thread,), name="pulse", daemon=True)
        watch.start()
        tolls = Tolls()
        self._toll = tolls.read()
        try:
            while True:
                await asyncio.sleep(BEAT)
                self._beat(tolls.read())
        finally:
            self._over.set()
            tolls.close()

    def _beat(self, toll: Toll) -> None:
        now, last = self._clock.monotonic(), self._beat_at
        computed, starved = toll.computed - self._toll.computed, toll.starved - self._toll.starved
        self._toll = toll
        late = max(now - last - BEAT, 0.0)
        self._beat_at = now
        self._metrics.lag.observe(late)
        if late > STALL:
            self._metrics.stalls.inc()
            beat, held_by = self._culprit
            seen = held_by if beat == last else ""
            log.warning(
                "event loop stalled", seconds=round(late, 3), computed=round(computed, 3),
                starved=round(starved, 3), held_by=seen or "not seen",
            )  # fmt: skip

    def _watch(self, loop_thread: int) -> None:
        """Look once at what runs whenever a beat is overdue."""
        while not self._over.wait(STALL / 2):
            beat = self._beat_at
            if self._culprit[0] != beat and self._clock.monotonic() - beat > BEAT + STALL:
                self._culprit = (beat, "; ".join(running(loop_thread)))


def running(loop_thread: int) -> Iterator[str]:
    """What the event loop's thread is at, and every other that does not wait: names of functions and lines, no values.

    If the loop itself waits for events here, it was kept from running by the machine or by who holds the interpreter.
    """
    frames, names = sys._current_frames(), {each.ident: each.name for each in threading.enumerate()}  # noqa: SLF001
    for thread, innermost in frames.items():
        if thread == threading.get_ident():
            continue
        if thread == loop_thread:
            yield f"event loop: {calls(innermost)}"
        elif not WAITING & {module_of(innermost), call_of(innermost)}:
            yield f"{names.get(thread, 'a thread')}: {calls(innermost)}"


def calls(frame: FrameType | None) -> str:
    """The innermost calls, outermost of them first."""
    stack: list[str] = []
    while frame is not None and len(stack) < DEPTH:
        stack.append(f"{call_of(frame)}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(stack))


def call_of(frame: FrameType) -> str:
    return f"{module_of(frame)}.{frame.f_code.co_name}"


def module_of(frame: FrameType) -> str:
    return Path(frame.f_code.co_filename).stem
