"""The reference pages are made from the code, and say all of it."""

from __future__ import annotations

import ast
from pathlib import Path

from quorate.reasons import REASONS
from scripts import generate_reference
from tests.docs import reason_codes

ROOT = Path(__file__).parents[2]
FROM_METRICS = {"OTHER"}


def test_every_reason_code_of_the_source_has_a_row() -> None:
    found = reason_codes.codes()
    assert {"UNKNOWN_VAULT", "STORE_LOCKED", "EXPIRED", "BUSY", "UNREACHABLE", "NOT_A_PEER"} <= found.keys()
    assert {code: place for code, place in found.items() if code not in REASONS} == {}


def test_every_row_is_of_a_code_that_is_given() -> None:
    assert REASONS.keys() - reason_codes.codes().keys() - FROM_METRICS == set()


def test_codes_are_found_in_each_place_they_are_given_in() -> None:
    source = """
class E(Exception):
    reason: ClassVar[str] = "ANY_CLASS"
def f(*, code: str = "ANY_DEFAULT"): ...
ANY_NAME = "ANY_NAME"
ANOTHER = "no code"
raise E("words", code="ANY_CODE")
x.move(y, reason="ANY_REASON" if y else "ANOTHER_REASON")
self._end(operation, State.FAILED, "AN_END", "words")
raise RemoteError("ANY_REMOTE", "words")
print("NOT_A_CODE")
"""
    found = [code for node in ast.walk(ast.parse(source)) for code in reason_codes.given(node)]
    assert sorted(found) == sorted(
        [
            "ANY_CLASS",
            "ANY_DEFAULT",
            "ANY_NAME",
            "ANY_CODE",
            "ANY_REASON",
            "ANOTHER_REASON",
            "AN_END",
            "ANY_REMOTE",
        ]
    )


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    assert list(REASONS) == sorted(REASONS)
    for code, reason in REASONS.items():
        assert reason.meaning.endswith("."), code
        assert reason.remedy, code
        assert not reason.remedy.endswith("."), code


def test_the_pages_are_as_the_code_makes_them() -> None:
    pages = generate_reference.generate()
    held = {path.name: path.read_text() for path in (ROOT / "docs/reference").glob("*.md")}
    assert held.keys() >= pages.keys()
    assert [name for name, text in pages.items() if held[name] != text] == []
