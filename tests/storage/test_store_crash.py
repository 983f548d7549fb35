from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.rules import breaks
from tests.storage.devices import create
from tests.storage.story import CHANGES, facts, facts_of, tell


@breaks("ST-1.1", "ST-1.2")
def test_a_node_killed_at_any_commit_finds_each_change_whole_or_not_at_all(tmp_path: Path) -> None:
    points: list[str] = []
    history: list[dict[str, Any] | None] = [None]
    (tmp_path / "whole").mkdir(mode=0o700)
    for step, _ in enumerate(tell(tmp_path / "whole", points.append)):
        copy = tmp_path / f"after-{step}"  # of the open store, as a power cut would leave it
        shutil.copytree(tmp_path / "whole", copy)
        history.append(facts_of(copy))
    assert len(history) == len(CHANGES) + 2

    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.storage.crash", str(tmp_path / "crashed")],
        cwd=root, env={"PYTHONPATH": f"{root / 'src'}:{root}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == points

    changes = 0  # of the story, durable so far; migrating an empty file is none of them
    for number, point in enumerate(points):
        changes += point.startswith("after:") and point != "after:migrate"
        assert facts_of(tmp_path / "crashed" / str(number)) == history[changes], point


@breaks("ST-1.2")
def test_a_store_whose_making_was_cut_short_is_made_again(tmp_path: Path) -> None:
    class PowerCutError(Exception): ...

    def cut(point: str) -> None:
        if point == "before:create":
            raise PowerCutError

    for _ in range(2):
        try:
            create(tmp_path, on_commit=cut)
        except PowerCutError:
            assert facts_of(tmp_path) is None
    with create(tmp_path) as ledger:
        assert facts(ledger)["boots"] == 1
