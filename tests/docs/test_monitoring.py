"""Alerts and the dashboard speak only of metrics, labels and reasons that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorate.node.metrics import Metrics
from quorate.reasons import REASONS
from scripts.generate_reference import labels_of

DEPLOY = Path(__file__).parents[2] / "deploy"
OF_PROMETHEUS = {"up": ("job", "instance")}
OF_THE_SCRAPE = ("instance", "job", "le")
WORDS = {
    "and",
    "or",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "bool",
    "offset",
}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}

TEXT = re.compile(r'"[^"]*"')
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
NAME = re.compile(r"(?<![\w$.])([a-zA-Z_:][\w:]*)\b(?!\s*\()")


def series() -> dict[str, tuple[str, ...]]:
    """Every series a node can have, with its labels."""
    metrics = Metrics()
    return {
        family.name + suffix: labels_of(metrics, family.name)
        for family in metrics.registry.collect()
        for suffix in SUFFIXES.get(family.type, ("",))
    }


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return dict(json.loads((DEPLOY / "grafana/dashboard.json").read_text()))


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and the PromQL."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def named(expression: str) -> set[str]:
    """The metrics of an expression: its words that are no function, keyword, label, text, number or duration."""
    bare = SELECTOR.sub(lambda found: f" {found[1] or ''} ", expression)
    bare = re.sub(r"\[[^\]]*\]", " ", GROUPING.sub(" ", TEXT.sub(" ", bare)))
    return {word for word in NAME.findall(bare) if word not in WORDS}


def test_every_metric_of_an_expression_is_found() -> None:
    assert named('sum by (le, a) (rate(x_bucket{b="c", d=~"e.*"}[5m])) > 0.5 and on (f) y{} == 1e3') == {
        "x_bucket",
        "y",
    }
    assert named("max by (vault) (m:n) != min by (vault) (o)") == {"m:n", "o"}
    assert named("a - b{c='d'} - abs(e) > 10 unless g offset 5m") == {"a", "b", "e", "g"}


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_an_expression_uses_metrics_labels_and_reasons_that_exist(where: str, expression: str) -> None:
    there = series() | OF_PROMETHEUS
    used = named(expression)
    assert used
    assert used <= there.keys(), where
    possible = {label for name in used for label in there[name]} | set(OF_THE_SCRAPE)
    for _, grouped in GROUPING.findall(expression):
        assert {label.strip() for label in grouped.split(",")} <= possible, where
    for name, inside in SELECTOR.findall(expression):
        for label, value in MATCHER.findall(inside):
            assert label in (*there[name], *OF_THE_SCRAPE), where
            if label == "reason":
                assert set(value.split("|")) <= REASONS.keys(), where


def test_a_text_names_only_labels_its_alert_has() -> None:
    there = series() | OF_PROMETHEUS
    for rule in alerts():
        grouped = [label.strip() for _, group in GROUPING.findall(rule["expr"]) for label in group.split(",")]
        own = {label for name in named(rule["expr"]) for label in there[name]}
        possible = set(grouped) if grouped else own | {"instance", "job"}
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= possible, rule["alert"]


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names)) > 10
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]


def test_the_dashboard_shows_every_metric() -> None:
    shown = {
        name for panel in dashboard()["panels"] for each in panel["targets"] for name in named(each["expr"])
    }
    families = {family.name for family in Metrics().registry.collect()}
    stems = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    assert families - stems == set()


def test_the_panels_do_not_lie_over_each_other() -> None:
    board = dashboard()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
