"""One SQLite file: a single writer with group commit, readers that wait for nobody, one owner.

Whoever calls ``write`` blocks until the commit that holds its change is on disk. Changes that arrive while a commit is
under way share the next one, so a busy node pays one fsync for many. Each change has its own savepoint: one that fails
takes nothing of the others with it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from quorate.errors import Bug, Corrupt, DiskFull, ReadOnly, StoreError, StoreStuck, Unwritable
from quorate.storage.ownership import owned, prepare_directory, prepare_file
from quorate.storage.readers import Readers
from quorate.storage.recent import Recent

APPLICATION_ID = 0x51525431  # "QRT1" in the file's header
MAX_GROUP = 128
STUCK = 10.0  # seconds in one commit
UNKNOWN = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})  # whether it is on disk

_STATISTICS = frozenset({("table", "sqlite_stat1"), ("table", "sqlite_stat4")})

T = TypeVar("T")
Change = Callable[[sqlite3.Connection], T]


class _Job:
    __slots__ = ("change", "error", "future", "name", "value")

    def __init__(self, name: str, change: Change[Any]) -> None:
        self.name, self.change = name, change
        self.future: Future[Any] = Future()
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class Database:
    """``on_commit`` is called in the writer with ``before:NAME`` and ``after:NAME`` around the commit of each change:
    the seam at which crash tests kill the process. It must not raise."""

    def __init__(
        self,
        path: Path,
        *,
        on_commit: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._on_commit = on_commit or (lambda _: None)
        self._clock = clock
        self._begun: float | None = None  # the commit under way
        self._fault: Unwritable | None = None  # what the last commit met
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate, self._writing = threading.Lock(), threading.Lock()
        self._closed = False
        self._broken = False
        prepare_directory(path.parent)
        with contextlib.ExitStack() as undo:
            undo.enter_context(owned(path))
            prepare_file(path)
            self._writes = undo.enter_context(contextlib.closing(self._connect()))
            with self._explained("open"):
                self._check_file()
            self._readers = undo.enter_context(contextlib.closing(Readers(self._connect)))
            self._resources = undo.pop_all()
        self._recent = Recent()
        self._writer = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._writer.start()

    def write(self, name: str, change: Change[T], *, about: Hashable = None) -> T:
        """ST-1.1 durable: run ``change`` in the writer; its value once the commit that holds it is on disk.

        ``about`` is the subject it changes, of which ``glance`` keeps what was read.

        What ``change`` raises reaches the caller and undoes only that change. Raises ``Unwritable`` when the disk is
        full, read-only, failing or stuck, ``Corrupt`` when the file is damaged.
        """
        if threading.current_thread() is self._writer:
            raise Bug(f"{name}: a change cannot wait for another change")
        job = _Job(name, change)
        with self._gate:
            if self._closed:
                raise StoreError(f"{self.path}: the store is closed")
            if self.commit_takes >= STUCK:
                raise self._stuck()  # nobody queues, each with a thread, behind what may never end
            self._queue.put(job)
        try:
            value: T = job.future.result()
        finally:
            self._recent.forget(about)
        return value

    def glance(
        self, about: Hashable, part: str, query: Change[T], *, worth: Callable[[T], bool] = lambda _: True
    ) -> T:
        """``read``, or what the same read gave since the last write about the same subject, if it was ``worth``
        keeping."""
        return self._recent.get(about, part, lambda: self.read(query), worth=worth)

    def read(self, query: Change[T]) -> T:
        """Run ``query`` against one consistent snapshot of what is committed."""
        if self._closed:
            raise StoreError(f"{self.path}: the store is closed")
        with self._explained("read"), self._readers.one() as connection:
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @property
    def fault(self) -> Unwritable | None:
        """Why nothing can be written, as far as the last commit and the one under way tell. Asks no disk."""
        return self._stuck() if self.commit_takes >= STUCK else self._fault

    @property
    def commit_takes(self) -> float:
        """Seconds that the commit under way has taken so far; 0 if there is none."""
        begun = self._begun
        return 0.0 if begun is None else self._clock() - begun

    def version(self) -> int:
        """The schema version; 0 for a file that has none yet."""
        return self.read(lambda connection: int(connection.execute("PRAGMA user_version").fetchone()[0]))

    def migrate(self) -> None:
        """Bring the schema to the newest version, one transaction a step. ``Corrupt`` if it is not what our own steps
        made of it so far."""
        known = self.version()
        self._restore_schema(known)
        for number, script in enumerate(_migrations()[known:], known + 1):
            self._on_commit("before:migrate")
            self._run_alone(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number};"
                f"PRAGMA application_id = {APPLICATION_ID}; COMMIT"
            )
            self._on_commit("after:migrate")

    def _restore_schema(self, version: int) -> None:
        """ST-1.6 sound: SQLite does what its schema says, so a trigger that somebody put there undoes what is written.
        Of ours, an index or a trigger that was taken away is put back."""
        made, held = _schema(version), self.read(_objects)
        if strange := held - made:
            names = ", ".join(sorted({f"{each.type} {each.name}" for each in strange}))
            raise Corrupt(
                f"ST-1.6 sound: {self.path}: no release made this of its schema: {names}; restore a backup"
            )
        for each in made - held:
            if each.type == "table":
                raise Corrupt(f"ST-1.6 sound: {self.path}: the table {each.name} is gone; restore a backup")
            self._run_alone(each.sql)

    def scrub(self) -> None:
        """Fold the log into the file and empty it, so that what was deleted is overwritten in both. Best effort."""
        with contextlib.suppress(StoreError):
            self._run_alone("PRAGMA wal_checkpoint(TRUNCATE)")

    def purge(self) -> None:
        """``scrub``, and every page written anew, so that nothing of what was there before is in the file."""
        self._run_alone("PRAGMA wal_checkpoint(TRUNCATE)")
        self._run_alone("VACUUM")
        self._run_alone("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Finish the changes that wait, and let go of the file. A second call does nothing."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._writer.join()
        self._resources.close()

    # --- the writer's side

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            group: list[_Job] = [job]
            last = False
            while len(group) < MAX_GROUP and not last:
                try:
                    another = self._queue.get_nowait()
                except queue.Empty:
                    break
                if another is None:
                    last = True
                else:
                    group.append(another)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[_Job]) -> None:
        self._begun = self._clock()
        with self._writing:
            try:
                if self._broken:
                    raise Unwritable(
                        f"ST-1.4 disk: {self.path} failed earlier; restart the node once it is sound"
                    )
                self._writes.execute("BEGIN IMMEDIATE")
                for job in group:
                    self._apply(job)
                kept = [job.name for job in group if job.error is None]
                for name in kept:
                    self._on_commit(f"before:{name}")
                self._writes.execute("COMMIT")
                for name in kept:
                    self._on_commit(f"after:{name}")
            except BaseException as error:
                self._abandon(group, error)
        self._begun = None
        faults = [job.error for job in group if isinstance(job.error, Unwritable)]
        if faults or any(job.error is None for job in group):
            self._fault = faults[0] if faults else None
        for job in group:
            job.settle()

    def _apply(self, job: _Job) -> None:
        """ST-1.2 whole: a change that fails goes back to its savepoint, alone."""
        self._writes.execute("SAVEPOINT change")
        try:
            job.value = job.change(self._writes)
        except Exception as error:
            if not self._writes.in_transaction:
                raise  # SQLite itself rolled everything back: nobody's change is there
            self._writes.execute("ROLLBACK TO change")
            job.error = self._explain(error, job.name)
        self._writes.execute("RELEASE change")

    def _abandon(self, group: list[_Job], error: BaseException) -> None:
        # after a failed fsync nobody knows what is on disk, and asking again would be told all is well
        self._broken |= _code(error) == sqlite3.SQLITE_IOERR and type(self._explain(error, "")) is Unwritable
        if self._writes.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._writes.execute("ROLLBACK")
        for job in group:
            job.error = job.error or self._explain(error, job.name)

    def _run_alone(self, script: str) -> None:
        """Run a script that is, or cannot be within, a transaction."""
        with self._writing, self._explained("maintenance"):
            try:
                self._writes.executescript(script)
            finally:
                if self._writes.in_transaction:
                    self._writes.execute("ROLLBACK")

    # --- opening, and what can go wrong

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
            # text that is no text is for whoever reads the row to refuse, by its name
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            return connection
        except sqlite3.Error as error:
            raise self._explain(error, "open") from error

    def _check_file(self) -> None:
        """Refuse what is not a sound store of a version we know, before anything in it is changed."""
        ask = self._writes.execute
        application, version = (
            ask(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        empty = ask("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if application != APPLICATION_ID and not (application == 0 and empty):
            raise StoreError(f"ST-1.6 sound: {self.path} is a database, but not a Quorate store")
        if version > len(_migrations()):
            raise StoreError(
                f"ST-1.6 sound: {self.path} was written by a newer release (schema {version}); use that one"
            )
        if (fault := ask("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Corrupt(f"ST-1.6 sound: {self.path} is damaged ({fault}); restore a backup")
        if (mode := ask("PRAGMA journal_mode = WAL").fetchone()[0]) != "wal":
            raise StoreError(
                f"{self.path}: this file system cannot hold the store (journal mode {mode}, WAL needed)"
            )
        ask("PRAGMA synchronous = FULL")
        ask("PRAGMA foreign_keys = ON")
        ask("PRAGMA secure_delete = ON")
        ask("PRAGMA trusted_schema = OFF")

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error, name) from error

    def _explain(self, error: BaseException, name: str) -> BaseException:
        """What SQLite says, as one of ours with a remedy; what is not SQLite's stays as it is."""
        if not isinstance(error, sqlite3.Error):
            return error
        text = f"{self.path}: {name}: {error}"
        match _code(error):
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return Corrupt(f"ST-1.6 sound: {text}; the file is damaged or no store: restore a backup")
            case sqlite3.SQLITE_FULL:
                return self._full(text)
            case sqlite3.SQLITE_READONLY:
                return self._read_only(text)
            case sqlite3.SQLITE_IOERR:
                if getattr(error, "sqlite_errorcode", 0) not in UNKNOWN:
                    with contextlib.suppress(OSError):
                        disk = os.statvfs(self.path)
                        if disk.f_flag & os.ST_RDONLY:
                            return self._read_only(text)
                        if disk.f_bavail == 0:
                            return self._full(text)
                return Unwritable(
                    f"ST-1.4 disk: {text}; the disk is failing: check it, then restart the node"
                )
            case sqlite3.SQLITE_CANTOPEN:
                return StoreError(f"{text}; the directory must exist and be ours to write")
            case _:
                return StoreError(text)

    def _full(self, text: str) -> DiskFull:
        return DiskFull(f"ST-1.4 disk: {text}; nothing was changed: make room on the disk")

    def _read_only(self, text: str) -> ReadOnly:
        return ReadOnly(f"ST-1.4 disk: {text}; nothing was changed: the file or its disk is read-only")

    def _stuck(self) -> StoreStuck:
        return StoreStuck(
            f"ST-1.8 stuck: {self.path}: the disk has not ended a commit for {STUCK:.0f} s; nothing more is begun"
        )


def _code(error: BaseException) -> int:
    """SQLite's primary result code, or 0."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class _Object(NamedTuple):
    type: str
    name: str
    table: str
    sql: str


def _objects(connection: sqlite3.Connection) -> set[_Object]:
    """What the schema consists of, but the indices that SQLite makes for itself, and its statistics."""
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"
    objects = itertools.starmap(_Object, connection.execute(query))
    return {each for each in objects if (each.type, each.name) not in _STATISTICS}


def _schema(version: int) -> set[_Object]:
    """What the first so many migrations make."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for script in _migrations()[:version]:
            connection.executescript(script)
        return _objects(connection)


def _migrations() -> list[str]:
    """One that was released is never edited, not even a comment: stores hold the text of their schema, and are compared
    with it (ST-1.6)."""
    folder = resources.files("quorate.storage") / "migrations"
    scripts = sorted(
        (each for each in folder.iterdir() if each.name.endswith(".sql")), key=lambda each: each.name
    )
    return [each.read_text() for each in scripts]
