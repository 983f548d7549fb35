"""The guide to the doctor names every code it gives, and no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from quorate.reasons import REASONS
from tests.docs.reason_codes import SOURCE, given

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "doctor.md"
CODE = re.compile(r"`([A-Z][A-Z_]+)`")
LATER = {"MALFORMED", "TIMEOUT", "NO_PEERS"}  # a peer's code as it comes, and what needs no row


def test_the_guide_has_the_codes_of_the_doctor() -> None:
    guide = set(CODE.findall(GUIDE.read_text()))
    doctor = {
        code
        for path in (SOURCE / "node" / "doctor").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for code in given(node)
    }
    assert doctor - LATER - guide == set()
    assert guide - REASONS.keys() == set()
