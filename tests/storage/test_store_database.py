from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.errors import Bug, Corrupt, DiskFull, ReadOnly, StoreError, StoreStuck, Unwritable
from quorate.storage.database import STUCK, Database
from tests.rules import breaks

ROOT = Path(__file__).parents[2]


def insert(value: int) -> Callable[[sqlite3.Connection], int]:
    def change(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO numbers (n) VALUES (?)", (value,))
        return value

    return change


def numbers(database: Database) -> list[int]:
    return database.read(lambda c: [n for (n,) in c.execute("SELECT n FROM numbers ORDER BY n")])


def make_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, text BLOB)")


class Gate:
    """Holds the first commit until opened, and notes the order of commits."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, point: str) -> None:
        self.points.append(point)
        if point == "before:first":
            self.reached.set()
            assert self.open.wait(10)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def database(tmp_path: Path, gate: Gate) -> Iterator[Database]:
    opened = Database(tmp_path / "home" / "store.db", on_commit=gate)
    opened.migrate()
    opened.write("make", make_table)
    gate.points.clear()
    yield opened
    opened.close()


def run_together(
    database: Database, gate: Gate, changes: dict[str, Callable[[sqlite3.Connection], int]]
) -> dict[str, object]:
    """Have all the changes wait for one commit; what each of them gave or raised."""
    outcomes: dict[str, object] = {}

    def run(name: str, change: Callable[[sqlite3.Connection], int]) -> None:
        try:
            outcomes[name] = database.write(name, change)
        except Exception as error:
            outcomes[name] = error

    threads = [threading.Thread(target=run, args=("first", insert(0)))]
    threads[0].start()
    assert gate.reached.wait(10)
    for number, (name, change) in enumerate(changes.items(), 1):
        threads.append(threading.Thread(target=run, args=(name, change)))
        threads[-1].start()
        while database._queue.qsize() < number:
            pass
    gate.open.set()
    for thread in threads:
        thread.join()
    return outcomes


@breaks("ST-1.1")
def test_changes_that_wait_together_share_one_commit(database: Database, gate: Gate) -> None:
    outcomes = run_together(database, gate, {"a": insert(1), "b": insert(2), "c": insert(3)})
    assert gate.points == [
        "before:first", "after:first", "before:a", "before:b", "before:c", "after:a", "after:b", "after:c",
    ]  # fmt: skip
    assert outcomes == {"first": 0, "a": 1, "b": 2, "c": 3}
    assert numbers(database) == [0, 1, 2, 3]


@breaks("ST-1.2")
def test_a_change_that_fails_takes_no_other_with_it(database: Database, gate: Gate) -> None:
    def fail(connection: sqlite3.Connection) -> int:
        insert(7)(connection)
        raise ValueError("of its own")

    changes = {"a": insert(1), "fails": fail, "collides": insert(0), "b": insert(2)}
    outcomes = run_together(database, gate, changes)
    assert isinstance(outcomes["fails"], ValueError)
    assert isinstance(outcomes["collides"], StoreError)
    assert "after:fails" not in gate.points
    assert numbers(database) == [0, 1, 2]


@breaks("ST-1.1")
def test_many_threads_write_and_each_reads_what_it_wrote(database: Database) -> None:
    missing = []

    def run(base: int) -> None:
        for value in range(base, base + 20):
            database.write("insert", insert(value))
            if value not in numbers(database):
                missing.append(value)

    threads = [threading.Thread(target=run, args=(100 * t,)) for t in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not missing
    assert len(numbers(database)) == 160


def test_a_change_within_a_change_is_a_bug_and_not_a_deadlock(database: Database) -> None:
    with pytest.raises(Bug, match="inner: a change cannot wait"):
        database.write("outer", lambda _: database.write("inner", insert(1)))


def test_a_closed_store_refuses_and_closing_twice_does_nothing(database: Database) -> None:
    database.close()
    database.close()
    with pytest.raises(StoreError, match="closed"):
        database.write("late", insert(1))
    with pytest.raises(StoreError, match="closed"):
        numbers(database)


@breaks("ST-1.4")
def test_a_full_disk_fails_the_change_and_loses_nothing(database: Database) -> None:
    database.write("insert", insert(1))

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (2, zeroblob(1 << 20))")

    def allow(pages: int) -> None:
        database._run_alone(f"PRAGMA max_page_count = {pages}")

    allow(1)  # which SQLite raises to what the file has now
    with pytest.raises(DiskFull, match=r"make room on the disk"):
        database.write("fill", fill)
    assert numbers(database) == [1]
    assert isinstance(database.fault, DiskFull)
    allow(1_000_000)
    database.write("fill", fill)
    assert database.fault is None
    assert numbers(database) == [1, 2]


@breaks("ST-1.4")
def test_a_read_only_store_says_so(database: Database) -> None:
    database._run_alone("PRAGMA query_only = ON")
    with pytest.raises(ReadOnly, match="read-only"):
        database.write("insert", insert(1))
    assert isinstance(database.fault, ReadOnly)


@breaks("ST-1.4")
def test_after_a_failed_disk_write_nothing_more_is_written(database: Database) -> None:
    database.write("insert", insert(1))

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (2, randomblob(1 << 20))")

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="the disk is failing"):
            database.write("fill", fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(StoreError, match="restart the node"):
        database.write("insert", insert(3))
    assert isinstance(database.fault, Unwritable)
    assert numbers(database) == [1]
    database.close()
    again = Database(database.path)
    assert again.write("insert", insert(3)) == 3
    assert numbers(again) == [1, 3]
    again.close()


@breaks("ST-1.8")
def test_while_a_commit_does_not_end_nothing_more_waits_for_it(tmp_path: Path, gate: Gate) -> None:
    now = 0.0
    database = Database(tmp_path / "home" / "store.db", on_commit=gate, clock=lambda: now)
    database.write("make", make_table)
    held = threading.Thread(target=database.write, args=("first", insert(1)))
    held.start()
    assert gate.reached.wait(10)
    assert database.fault is None
    now = STUCK
    assert isinstance(database.fault, StoreStuck)
    with pytest.raises(StoreStuck, match=r"ST-1\.8"):
        database.write("second", insert(2))
    assert numbers(database) == []  # reading goes on
    gate.open.set()
    held.join(10)
    assert database.fault is None
    assert database.write("third", insert(3)) == 3
    assert numbers(database) == [1, 3]
    database.close()


@breaks("ST-1.3")
def test_a_second_process_is_refused_and_told_who_holds_the_store(database: Database) -> None:
    program = "import sys, pathlib; from quorate.storage.database import Database; Database(pathlib.Path(sys.argv[1]))"
    ran = subprocess.run(
        [sys.executable, "-c", program, str(database.path)],
        env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode != 0
    assert f"already open in another process (pid {os.getpid()})" in ran.stderr


@breaks("ST-1.3")
def test_the_store_is_free_again_once_its_owner_closed_it(database: Database) -> None:
    with pytest.raises(StoreError, match="already open"):
        Database(database.path)
    database.close()
    Database(database.path).close()


@breaks("ST-1.5")
def test_only_the_owner_can_read_the_store(database: Database) -> None:
    database.write("insert", insert(1))
    for file in database.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(database.path.parent.stat().st_mode) == 0o700


@breaks("ST-1.5")
def test_rights_given_to_others_are_taken_back(database: Database) -> None:
    database.close()
    database.path.chmod(0o644)
    Database(database.path).close()
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600


@breaks("ST-1.5")
def test_a_directory_others_can_write_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    with pytest.raises(StoreError, match="chmod 700"):
        Database(shared / "store.db")
    assert list(shared.iterdir()) == []


def test_a_place_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Database(tmp_path / "file" / "store.db")
    (tmp_path / "store.db").mkdir()
    with pytest.raises(StoreError, match=r"store\.db"):
        Database(tmp_path / "store.db")


@breaks("ST-1.6")
@pytest.mark.parametrize("damage", ["cut", "overwritten", "no database"])
def test_a_damaged_file_is_named_at_once(database: Database, damage: str) -> None:
    rows = [(number, b"x" * 50) for number in range(2000)]
    database.write(
        "fill", lambda connection: connection.executemany("INSERT INTO numbers VALUES (?, ?)", rows).rowcount
    )
    database.close()
    whole = database.path.read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "overwritten": whole[:8192] + b"\xee" * 16384 + whole[24576:],
        "no database": b"not a database at all" * 100,
    }[damage]
    database.path.write_bytes(broken)
    with pytest.raises(Corrupt, match="restore a backup"):
        Database(database.path)
    assert database.path.read_bytes() == broken


@breaks("ST-1.6")
def test_another_programs_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (n)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a Quorate store"):
        Database(path)
    assert path.read_bytes() == before


@breaks("ST-1.6")
def test_a_newer_releases_store_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = Database(path)
    first.migrate()
    first.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer release"):
        Database(path)
    assert path.read_bytes() == before


def test_an_empty_file_is_migrated_once(tmp_path: Path) -> None:
    points: list[str] = []
    database = Database(tmp_path / "store.db", on_commit=points.append)
    assert database.version() == 0
    database.migrate()
    newest = database.version()
    database.migrate()
    database.close()
    assert newest >= 1
    assert points == ["before:migrate", "after:migrate"] * newest


MEDDLING = {
    "a trigger that loses records": "CREATE TRIGGER lost BEFORE INSERT ON audit BEGIN SELECT RAISE(IGNORE); END",
    "a trigger named as a table": "CREATE TRIGGER audit AFTER INSERT ON votes BEGIN DELETE FROM votes; END",
    "a view": "CREATE VIEW more AS SELECT * FROM node",
    "a table that forgets": "DROP TABLE audit; CREATE TABLE audit (sequence, body, hash, signature)",
    "no table": "DROP TABLE policy_in_force",
}


@breaks("ST-1.6")
@pytest.mark.parametrize("meddle", MEDDLING)
def test_a_schema_that_no_release_made_is_refused(tmp_path: Path, meddle: str) -> None:
    with contextlib.closing(Database(tmp_path / "store.db")) as database:
        database.migrate()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as raw:
        raw.executescript(MEDDLING[meddle])
    with (
        contextlib.closing(Database(tmp_path / "store.db")) as database,
        pytest.raises(Corrupt, match="restore a backup"),
    ):
        database.migrate()


@breaks("ST-1.6")
def test_an_index_or_trigger_of_ours_that_was_taken_away_is_put_back(tmp_path: Path) -> None:
    def schema(database: Database) -> list[tuple[str, str]]:
        query = "SELECT name, sql FROM sqlite_master ORDER BY type, name"
        return database.read(lambda connection: connection.execute(query).fetchall())

    with contextlib.closing(Database(tmp_path / "store.db")) as database:
        database.migrate()
        whole = schema(database)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as raw:
        raw.executescript("DROP TRIGGER audit_is_never_deleted; DROP INDEX one_active_epoch; ANALYZE")
    with contextlib.closing(Database(tmp_path / "store.db")) as database:
        database.migrate()
        assert [each for each in schema(database) if not each[0].startswith("sqlite_stat")] == whole
