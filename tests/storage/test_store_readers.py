"""Who reads waits for nobody who reads."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from quorate.errors import StoreError
from quorate.storage.database import Database

PATIENCE = 20.0


def test_a_read_goes_on_while_another_has_not_ended(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    database.migrate()
    begun, over = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> bool:
        begun.set()
        return over.wait(PATIENCE)

    ended: list[bool] = []
    reader = threading.Thread(target=lambda: ended.append(database.read(slow)))
    reader.start()
    assert begun.wait(PATIENCE)
    assert database.version() > 0
    assert not ended
    over.set()
    reader.join(PATIENCE)
    assert ended == [True]
    database.close()


def test_a_connection_that_reads_writes_nothing_and_is_used_again(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    database.migrate()
    used: set[int] = set()

    def note(connection: sqlite3.Connection) -> None:
        used.add(id(connection))
        connection.execute("DELETE FROM votes")

    for _ in range(3):
        with pytest.raises(StoreError, match="readonly"):
            database.read(note)
    assert len(used) == 1
    database.close()


def test_a_store_is_closed_while_somebody_reads_and_read_no_more(tmp_path: Path) -> None:
    database = Database(tmp_path / "store.db")
    database.migrate()
    begun, over, used = threading.Event(), threading.Event(), list[sqlite3.Connection]()

    def slow(connection: sqlite3.Connection) -> None:
        used.append(connection)
        begun.set()
        over.wait(PATIENCE)

    reader = threading.Thread(target=lambda: database.read(slow))
    reader.start()
    assert begun.wait(PATIENCE)
    database.close()
    over.set()
    reader.join(PATIENCE)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used[0].execute("SELECT 1")
    with pytest.raises(StoreError, match="closed"):
        database.version()
