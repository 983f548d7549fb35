"""A wall clock that is set is counted and said; what NTP does to it all day is not."""

from __future__ import annotations

import structlog

from quorate.node.metrics import Metrics
from quorate.node.wall_clock import JUMP, WallClock
from tests.ceremony.test_clocks import Clocks


def jumps(metrics: Metrics, direction: str) -> float:
    counted = metrics.registry.get_sample_value("quorate_clock_jumps_total", {"direction": direction})
    return counted or 0.0


def test_a_clock_that_is_set_is_counted_once_in_its_direction_and_logged() -> None:
    metrics, clocks = Metrics(), Clocks()
    watch = WallClock(clocks, metrics)
    clocks.wall += 3_600_000
    with structlog.testing.capture_logs() as logged:
        assert watch.look() == 3600
        clocks.passes(1000)
        assert watch.look() == 0
    assert [line["seconds"] for line in logged] == [3600]
    clocks.wall -= 60_000
    watch.look()
    assert (jumps(metrics, "forward"), jumps(metrics, "back")) == (1, 1)


def test_a_clock_that_is_slewed_and_a_node_that_looks_late_are_no_jumps() -> None:
    metrics, clocks = Metrics(), Clocks()
    watch = WallClock(clocks, metrics)
    for _ in range(100):
        clocks.passes(1000)
        clocks.wall += 1  # 1000 parts in a million, twice what is allowed to NTP
        assert watch.look() == 0
    clocks.passes(100_000)
    assert watch.look() == 0
    clocks.wall += round(JUMP * 1000) - 1
    assert watch.look() == 0
    assert jumps(metrics, "forward") == jumps(metrics, "back") == 0
