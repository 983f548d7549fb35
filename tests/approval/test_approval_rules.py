"""The rules of docs/spec/approval.md, those the code names and those that tests break are the same."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATED = re.compile(r"^- \*\*(AP-\d+\.\d+ [^*]+)\*\* — ", re.MULTILINE)
NAMED = re.compile(r'"(AP-\d+\.\d+ [^"]+)"')
BROKEN = re.compile(r'"(AP-\d+\.\d+)"')


def found(pattern: re.Pattern[str], folder: str) -> set[str]:
    files = sorted((ROOT / folder).glob("*.py"))
    return {rule for file in files for rule in pattern.findall(file.read_text())}


def test_every_rule_stands_in_the_specification_in_the_code_and_on_a_test() -> None:
    stated = STATED.findall((ROOT / "docs/spec/approval.md").read_text())
    assert len(stated) == len(set(stated)) > 0
    assert found(NAMED, "src/quorate/approval") == set(stated)
    assert found(BROKEN, "tests/approval") == {rule.split()[0] for rule in stated}
