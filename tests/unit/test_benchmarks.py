"""The harness counts right; what it times is nobody's business here."""

from __future__ import annotations

import json

from benchmarks.harness import Traffic, figure, measure

KEYS = "name parameters median p95 p99 min max runs cpu bytes messages rounds commit machine"


def test_a_figure_is_one_line_with_the_documented_keys() -> None:
    taken = figure("x", {"n": 3}, [3.0, 1.0, 8.0], cpu=2.0, traffic=Traffic(bytes=10, messages=4, rounds=2))
    line = json.loads(taken.line())
    assert list(line) == KEYS.split()
    assert (line["name"], line["parameters"]) == ("x", {"n": 3})
    assert [line[key] for key in KEYS.split()[2:12]] == [3.0, 8.0, 8.0, 1.0, 8.0, 3, 2.0, 10, 4, 2]


def test_a_function_is_called_once_to_warm_up_and_then_for_each_run_and_call() -> None:
    calls: list[None] = []
    taken = measure("x", {}, lambda: calls.append(None), 5, calls=3)
    assert (len(calls), taken.runs) == (1 + 5 * 3, 5)


def test_traffic_that_the_function_returns_is_in_the_figure() -> None:
    taken = measure("x", {}, lambda: Traffic(bytes=7, messages=2, rounds=1), 2)
    assert (taken.bytes, taken.messages, taken.rounds) == (7, 2, 1)
    assert taken.min <= taken.median <= taken.max


def test_ninety_five_of_a_hundred_runs_stay_within_the_ninety_fifth_percentile() -> None:
    taken = figure("x", {}, [float(n) for n in range(100, 0, -1)], cpu=0, traffic=Traffic())
    assert (taken.median, taken.p95, taken.p99, taken.max) == (50.5, 95.0, 99.0, 100.0)
