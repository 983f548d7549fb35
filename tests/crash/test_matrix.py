"""A sample of what can befall nodes at the points of an operation. ``make crash`` goes through all of it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.disk import SECTOR, build, mixed, preloaded
from tests.crash.matrix import FATES, cases, examine, parsed

POINTS = [
    "bob write mark_signed before 1",
    "bob write mark_signed after 1",
    "bob request Begin of alice comes 1",
]


@pytest.mark.xdist_group("crash")
@pytest.mark.parametrize("operation", ["keygen", "signing", "reshare"])
def test_whatever_befalls_nodes_one_epoch_lives_and_signs(operation: str, tmp_path: Path) -> None:
    arguments = (operation, "--ideal", "--sample", "4", "--seed", operation, "--folder", str(tmp_path))
    found = examine(arguments, parsed(arguments))
    assert not [(verdict.case, verdict.complaints) for verdict in found.violations]
    assert not found.missed
    assert found.struck == found.points > 0


def test_every_point_has_the_fates_that_can_befall_it() -> None:
    every = [(case.point, case.fate) for case in cases("keygen", POINTS, list(FATES))]
    assert {fate for point, fate in every if point == POINTS[0]} == set(FATES) - {"lost", "late"}
    assert {fate for point, fate in every if point == POINTS[1]} == {"death", "deaths"}
    assert {fate for point, fate in every if point == POINTS[2]} == {"death", "deaths", "lost", "late"}
    beside = {case.beside for case in cases("reshare", POINTS, ["deaths"])}
    assert beside == {"alice", "carol", "dave"}


def test_a_torn_file_has_old_and_new_sectors() -> None:
    was, now = b"a" * 8 * SECTOR, b"b" * 12 * SECTOR
    torn = mixed(was, now, random.Random(1))
    assert set(torn) == set(b"ab")
    assert len(torn) % SECTOR == 0
    assert len(was) <= len(torn) <= len(now)


FORGETFUL = """
import json, sqlite3, sys
from pathlib import Path
from tests.crash.disk import Disk
root = Path(sys.argv[1])
disk = Disk(root)
(root / "there").mkdir()
file = sqlite3.connect(root / "there" / "store.db", isolation_level=None)
file.execute("PRAGMA journal_mode = WAL")
for text, level in (("kept", "FULL"), ("lost", "OFF")):
    file.execute(f"PRAGMA synchronous = {level}")
    file.execute(f"CREATE TABLE {text} (x)")
disk.after_power_cut(root / "there", root / "cut")
disk.after_exit(root / "there", root / "ended")
disk.fault(root / "there", "fsync", 1)
file.execute("PRAGMA synchronous = FULL")
errors = []
for kind in ("fsync", "full"):
    disk.fault(root / "there", kind, 1)
    try:
        file.execute("CREATE TABLE another (x)")
    except sqlite3.Error as error:
        errors.append(error.sqlite_errorname)
def tables(folder):
    held = sqlite3.connect(root / folder / "store.db")
    return sorted(name for (name,) in held.execute("SELECT name FROM sqlite_master"))
print(json.dumps([tables("cut"), tables("ended"), errors, disk.failed]))
"""


def test_a_power_cut_takes_what_was_not_synced_and_an_exit_does_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", FORGETFUL, str(root)], env=preloaded(build(tmp_path)), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    cut, ended, errors, failed = json.loads(ran.stdout)
    assert cut == ["kept"]
    assert ended == ["kept", "lost"]
    assert errors == ["SQLITE_IOERR_FSYNC", "SQLITE_FULL"]
    assert failed == 1
