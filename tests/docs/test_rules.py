"""The rules of docs/spec, the checks in the code and the tests that break them are the same set."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATED = re.compile(r"^- \*\*([A-Z]{1,3}-\d+\.\d+) [^*]+\*\* — ", re.MULTILINE)
NAMED = re.compile(r"([A-Z]{1,3}-\d+\.\d+) [a-zA-Z]")
ID = re.compile(r"[A-Z]{1,3}-\d+\.\d+")


def trees(folder: str) -> Iterator[ast.Module]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield ast.parse(path.read_text(), str(path))


def specified() -> list[str]:
    return [
        rule
        for path in sorted((ROOT / "docs/spec").glob("*.md"))
        for rule in STATED.findall(path.read_text())
    ]


def enforced() -> set[str]:
    """The ids that begin a string of the code, such as ``"KG-2.1 degree"``."""
    texts = (
        node.value
        for tree in trees("src/quorate")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {found[1] for text in texts if (found := NAMED.match(text))}


def broken() -> set[str]:
    """The ids in ``@breaks(...)`` on a test."""
    rules = set()
    for tree in trees("tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for mark in node.decorator_list:
                    if (
                        isinstance(mark, ast.Call)
                        and isinstance(mark.func, ast.Name)
                        and mark.func.id == "breaks"
                    ):
                        rules |= {ast.literal_eval(rule) for rule in mark.args}
    return rules


def test_every_rule_is_stated_once() -> None:
    rules = specified()
    assert rules
    assert sorted(rules) == sorted(set(rules))


def test_every_rule_of_the_specification_is_a_check_in_the_code() -> None:
    assert set(specified()) - enforced() == set()


def test_every_check_in_the_code_is_a_rule_of_the_specification() -> None:
    assert enforced() - set(specified()) == set()


def test_every_rule_is_broken_by_a_test_that_names_it() -> None:
    assert set(specified()) - broken() == set()


def test_no_test_breaks_a_rule_that_does_not_exist() -> None:
    assert all(ID.fullmatch(rule) for rule in broken())
    assert broken() - set(specified()) == set()
