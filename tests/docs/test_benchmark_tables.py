"""The figures that benchmarks/README.md shows are those that were measured, and the tables bear what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.goals import GOALS
from benchmarks.harness import Skipped, Traffic, figure
from benchmarks.peers.build import built
from benchmarks.peers.conversation import ROUNDS, timed_in_turn
from benchmarks.peers.programs import PROGRAMS, Language, Program
from benchmarks.table import README, RESULTS, read, rendered, shown

STORED = read(sorted(RESULTS.glob("*.jsonl")))
PEER = """
import json, sys
case = {"operation": "sign", "scheme": "ECDSA", "protocol": "P", "threshold": 2, "parties": 3, "signers": 2}
print(json.dumps({"cases": [case]}), flush=True)
for line in sys.stdin:
    case, runs = map(int, line.split())
    print(json.dumps({"milliseconds": [300.0] * runs}), flush=True)
"""


def peer(library: str, signers: int, milliseconds: float) -> dict[str, Any]:
    parameters = {
        "library": library, "module": library, "version": "1", "licence": "MIT", "language": "Go", "toolchain": "go",
        "protocol": "P", "scheme": "ECDSA secp256k1", "parties": 3, "signers": signers,
    }  # fmt: skip
    made = figure("peers/sign", parameters, [milliseconds], cpu=0, traffic=Traffic())
    line: dict[str, Any] = json.loads(made.line())
    return line


def test_the_readme_shows_the_stored_figures_and_no_others() -> None:
    assert STORED
    assert rendered(README.read_text(), STORED) == README.read_text()


def test_every_library_is_measured_or_skipped_for_a_reason_in_what_is_stored() -> None:
    measured = {line["parameters"]["library"]: line for line in STORED if line["name"].startswith("peers/")}
    skipped = {line["name"]: line["skipped"] for line in STORED if "skipped" in line}
    assert measured.keys() | skipped.keys() == {program.name for program in PROGRAMS}
    assert all(skipped.values())


def test_every_goal_reads_a_figure_of_its_name() -> None:
    """A figure renamed would leave its goal unmeasured for good."""
    names = {line["name"] for line in STORED}
    assert {goal.name for goal in GOALS if not goal.name.startswith("node/memory")} <= names


def test_a_table_names_what_was_skipped_and_why() -> None:
    text = shown(
        [peer("Quorate", 2, 2.0), peer("other", 2, 8.0), {"name": "third", "skipped": "go is not installed"}]
    )
    assert "| other | P | ECDSA secp256k1 | 8 (8..8, 1) | x 4 | - | - |" in text
    assert "- not measured: third: go is not installed" in text


def test_a_table_without_ours_compares_with_nothing() -> None:
    assert "| other | P | ECDSA secp256k1 | 8 (8..8, 1) | - | - | - |" in shown([peer("other", 2, 8.0)])


def test_a_readme_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(LookupError, match="goals"):
        rendered("# Benchmarks\n", STORED)


def test_a_program_whose_tool_is_missing_is_skipped_by_the_tool_s_name() -> None:
    asked = Program(name="x", module="x", licence="MIT", language=Language.GO, tools=("no-such-compiler",))
    assert built(asked) == Skipped(name="x", reason="no-such-compiler is not installed")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_every_library_has_a_pinned_version(program: Program) -> None:
    assert program.version[:1].lstrip("v").isdigit() or program.version.startswith("v")


def test_programs_are_timed_in_turn_and_one_that_ends_early_is_skipped(tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text(PEER)
    good, bad = (
        Program(name=name, module="quorate", licence="MIT", language=Language.PYTHON)
        for name in ("good", "bad")
    )
    commands = {good: (sys.executable, f"{script}"), bad: (sys.executable, "-c", "raise SystemExit(3)")}
    skipped, timed = timed_in_turn(commands)
    assert skipped == Skipped(name="bad", reason="bad ended, with 3")
    assert not isinstance(timed, Skipped)
    assert (timed.name, timed.median, timed.runs) == ("peers/sign", 300.0, ROUNDS)
    assert timed.parameters["library"] == "good"


def test_ours_speaks_as_the_other_programs_do() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.ours"],
        cwd=README.parents[1],
        input="1 1\n3 2\n",
        capture_output=True,
        text=True,
        check=True,
    )
    offer, ecdsa, ed25519 = map(json.loads, said.stdout.splitlines())
    assert {(case["operation"], case["scheme"]) for case in offer["cases"]} >= {
        ("sign", "ECDSA secp256k1"),
        ("sign", "Ed25519"),
    }
    assert (len(ecdsa["milliseconds"]), len(ed25519["milliseconds"])) == (1, 2)
