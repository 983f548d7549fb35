"""The mutations of ``make mutate`` take hours: that each still finds its place in the source is seen here."""

from __future__ import annotations

import ast
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts/mutate_durability.py"))


@pytest.mark.parametrize("mutation", SCRIPT["MUTATIONS"], ids=lambda mutation: mutation.name)
def test_a_mutation_of_durability_changes_the_source_into_other_source(tmp_path: Path, mutation: Any) -> None:
    package = tmp_path / "quorate"
    shutil.copytree(ROOT / "src/quorate", package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    names = {name for name, _, _ in mutation.edits}
    before = {name: (package / name).read_text() for name in names}
    SCRIPT["mutate"](mutation, package)
    for name, source in before.items():
        mutated = (package / name).read_text()
        assert mutated != source
        ast.parse(mutated, name)


def test_a_mutation_whose_place_is_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("a\n")
    gone = SCRIPT["Mutation"](name="gone", edits=(("here.py", "b", "c"),), cases=())
    with pytest.raises(SystemExit, match=r"gone: here.py has 'b' 0 times, not once"):
        SCRIPT["mutate"](gone, tmp_path)
