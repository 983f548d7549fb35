"""A stall of the event loop is counted, and what held it up is named."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest
import structlog

from quorate.node.metrics import Metrics
from quorate.node.pulse import Pulse, running
from tests.ceremony.world import SteadyClock

PATIENCE = 20.0
LONG = 0.4  # seconds: far over what counts as a stall


def dawdle() -> None:
    time.sleep(LONG)


@contextlib.asynccontextmanager
async def beating(metrics: Metrics) -> AsyncIterator[None]:
    task = asyncio.create_task(Pulse(SteadyClock(), metrics).keep_beating())
    await asyncio.sleep(0.1)
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def stalls(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("quorate_event_loop_stalls_total") or 0.0


async def test_what_holds_the_loop_up_is_counted_and_named_without_its_values() -> None:
    metrics = Metrics()
    with structlog.testing.capture_logs() as logged:
        async with beating(metrics):
            before = stalls(metrics)
            dawdle()
            async with asyncio.timeout(PATIENCE):
                while stalls(metrics) == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    told = [line["held_by"] for line in logged if line["event"] == "event loop stalled"]
    assert any("test_pulse.dawdle" in held_by for held_by in told), told


def compute() -> None:
    ends = time.thread_time() + LONG
    while time.thread_time() < ends:
        sum(range(1000))


@pytest.mark.parametrize(("hold", "computes"), [(compute, True), (dawdle, False)])
async def test_a_stall_says_what_of_it_the_loop_computed(hold: Callable[[], None], computes: bool) -> None:
    metrics = Metrics()
    with structlog.testing.capture_logs() as logged:
        async with beating(metrics):
            hold()
            async with asyncio.timeout(PATIENCE):
                while not stalls(metrics):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
    told = [line["computed"] for line in logged if line["event"] == "event loop stalled"]
    assert any(computed >= LONG for computed in told) == computes, told


async def test_a_loop_that_waits_is_no_stall_however_long() -> None:
    metrics = Metrics()
    async with beating(metrics):
        await asyncio.sleep(LONG)
        counted = metrics.registry.get_sample_value("quorate_event_loop_lag_seconds_count")
    assert counted


async def test_threads_that_work_are_named_and_those_that_wait_are_not() -> None:
    over, started = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        while not over.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=work, name="worker"), threading.Thread(target=over.wait, name="idler")]
    for thread in threads:
        thread.start()
    started.wait(PATIENCE)
    seen = await asyncio.to_thread(
        lambda: [list(running(threading.main_thread().ident or 0)) for _ in range(200)]
    )
    over.set()
    for thread in threads:
        thread.join()
    told = "\n".join(line for lines in seen for line in lines)
    assert "worker: " in told
    assert "test_pulse.work" in told
    assert "idler" not in told
    assert "event loop: " in told
