"""The store of one node: its identity, and the ledger the ceremonies run on."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from quorate.ceremony.audit import BEGUN
from quorate.ceremony.identity import Identity, card_of, fingerprint, read_card
from quorate.ceremony.ports import KeptTime, Peer
from quorate.errors import Corrupt, DiskFull, Sealed, StoreError, Unwritable, UsageError
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.storage.audit import acting, append, has_chain
from quorate.storage.certificates import CertificateShelf, require_pair
from quorate.storage.clients import ClientBook
from quorate.storage.database import Database
from quorate.storage.keywrap import KeySource
from quorate.storage.locking import Begun, Lock, new_lock, node_place, note_begun, read_lock
from quorate.storage.operations import OperationJournal
from quorate.storage.peers import PeerBook, keep_card
from quorate.storage.policies import PolicyShelf, has_policy
from quorate.storage.quarantine import QuarantineShelf
from quorate.storage.reservations import ReservationBook
from quorate.storage.sealed import SEALED, NodeSecret, Sealer
from quorate.storage.votes import VoteBook

ROOM = 64 << 20


class Boot(NamedTuple):
    """One start of the node: a counter that only rises, and 32 random bytes that tell a rolled-back disk."""

    counter: int
    id: bytes


class SqliteLedger(
    OperationJournal,
    VoteBook,
    ReservationBook,
    QuarantineShelf,
    CertificateShelf,
    PolicyShelf,
    PeerBook,
    ClientBook,
):
    """``ceremony.ports.Ledger`` on one SQLite file, with what else a node keeps. One process at a time holds it."""

    def __init__(
        self, database: Database, sealer: Sealer, device: DeviceId, now_ms: Callable[[], int]
    ) -> None:
        """Use ``create`` or ``open``."""
        self._database, self._sealer, self._device, self._now_ms = database, sealer, device, now_ms
        self._low: DiskFull | None = None
        self._governed = False
        self._known_peers: Mapping[DeviceId, Peer] | None = None
        self._peers_lock = threading.Lock()
        if device not in self.peers():
            raise Corrupt(f"peers: the node's own card ({device}) is missing")
        self.identity = Identity.of(self._secret("identity"), self.me.name)
        if self.identity.device != device:
            raise Corrupt(f"node: the sealed identity is {self.identity.device}'s, not {device}'s")

    @classmethod
    def create(
        cls,
        path: Path,
        key: KeySource,
        *,
        identity: Identity,
        address: str,
        hardware_id: str,
        certificate_pem: str,
        tls_key: SecretBytes,
        card: str = "",
        boots: int = 0,
        on_commit: Callable[[str], None] | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> SqliteLedger:
        """A new store for this device, in one transaction; its first card has rev 1, unless it is one that the device
        had before. ``tls_key`` is the PEM of the certificate's key. ``UsageError`` if the path already holds a
        device."""
        clock = now_ms or _wall_clock_ms
        require_pair(certificate_pem, tls_key)
        now, device = clock(), identity.device
        first = card or card_of(identity, identity.name, address, certificate_pem, hardware_id, 1, now)
        me, why = read_card(first), "a store out of backups" if card else "a new store"
        lock, sealer = new_lock(device, key)
        sealed_identity = sealer.seal(node_place(device, "identity"), identity.secret())
        sealed_tls = sealer.seal(node_place(device, "tls-key"), tls_key)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO node (id, device, key_scheme, key_parameters, key_check, identity, tls_key, created_ms,"
                " boots) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*lock, sealed_identity, sealed_tls, now, boots),
            )
            keep_card(connection, me, now)
            append(connection, identity, now, BEGUN, "", _beginning(me, why))

        with contextlib.ExitStack() as undo:
            database = undo.enter_context(contextlib.closing(Database(path, on_commit=on_commit)))
            if database.version() and (held := database.read(read_lock)) is not None:
                raise UsageError(f"{path} already holds device {held.device}; a store is made once")
            database.migrate()
            database.write("create", change)
            ledger = cls(database, sealer, device, clock)
            undo.pop_all()
        return ledger

    @classmethod
    def open(
        cls,
        path: Path,
        key: KeySource,
        *,
        on_commit: Callable[[str], None] | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> SqliteLedger:
        """The store at ``path``; ``Locked``, with nothing in it touched, if the key is not the one it was
        made with."""
        if not path.exists():
            raise StoreError(f"there is no store at {path}: quorate init makes one")
        with contextlib.ExitStack() as undo:
            database = undo.enter_context(contextlib.closing(Database(path, on_commit=on_commit)))
            lock = database.read(read_lock) if database.version() else None
            if lock is None:
                raise StoreError(f"{path} was never finished: quorate init makes the store")
            sealer = lock.open(path, key)
            database.migrate()
            database.scrub()  # a crash may have kept us from it
            ledger = cls(database, sealer, lock.device, now_ms or _wall_clock_ms)
            ledger._begin(lock)
            undo.pop_all()
        return ledger

    def close(self) -> None:
        self._database.close()
        self._sealer.wipe()

    def __enter__(self) -> SqliteLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, lock: Lock) -> None:
        """AU-1.4 begins: with the first record, once; in a store of an earlier release when it is first opened. The
        lock says ever after that there is one, and of a signed policy as well."""
        begun = lock.begun(self._sealer)
        self._governed = Begun.POLICY in begun
        if not self._governed and self._database.read(has_policy):
            self._database.write(
                "begin_policy", lambda connection: note_begun(connection, self._sealer, Begun.POLICY)
            )
            self._governed = True
        if Begun.CHAIN in begun:
            return

        def change(connection: sqlite3.Connection) -> None:
            note_begun(connection, self._sealer, Begun.CHAIN)
            if has_chain(connection):
                return
            facts = _beginning(self.me, "a store of a release without an audit chain")
            (operations,) = connection.execute("SELECT count(*) FROM operations").fetchone()
            append(
                connection,
                self.identity,
                self._now_ms(),
                BEGUN,
                "",
                {**facts, "operations_before": operations},
            )

        self._database.write("begin_chain", change)

    # --- the node itself

    def boot(self, version: str = "", *, approver: str = "") -> Boot:
        """ST-5.6 boot: count one more start, of this release, with this kind of approver."""
        identifier = os.urandom(32)

        def change(connection: sqlite3.Connection) -> Boot:
            connection.execute("UPDATE node SET boots = boots + 1, boot_id = ?", (identifier,))
            count, key = connection.execute("SELECT boots, key_scheme FROM node").fetchone()
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            self._tell(
                connection, "started", boot=count, boot_id=identifier.hex(), version=version, schema=schema, key=key,
                approver=approver,
            )  # fmt: skip
            return Boot(count, identifier)

        return self._database.write("boot", change)

    def note_settings(self, changed: Sequence[str]) -> None:
        """The dotted names of settings that are about to change under the running node."""
        by = acting.get()
        self._database.write(
            "note_settings",
            lambda connection: self._tell(connection, "settings changed", names=" ".join(changed), by=by),
        )

    def stopped(self) -> None:
        """The node ends in good order. Of a crash there is no record but the next start."""
        self._database.write("stopped", lambda connection: self._tell(connection, "stopped"))

    def kept_time(self) -> KeptTime | None:
        query = "SELECT steady_ms, wall_ms FROM node"
        steady_ms, wall_ms = self._database.read(lambda connection: connection.execute(query).fetchone())
        if steady_ms is None or wall_ms is None:
            return None
        return KeptTime(steady_ms=steady_ms, wall_ms=wall_ms)

    def keep_time(self, time: KeptTime) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE node SET steady_ms = ?, wall_ms = ?", (time.steady_ms, time.wall_ms))

        self._database.write("keep_time", change)

    def require_key(self, key: KeySource) -> None:
        """``Locked`` unless ``key`` opens this store, as it will have to at the next start."""
        if (lock := self._database.read(read_lock)) is not None:
            lock.open(self._database.path, key).wipe()

    def seal(self) -> None:
        """ST-2.7 sealed: from now on nothing sealed opens, nothing is sealed and nothing released. Again changes
        nothing."""
        if not self._sealer.wiped:
            self._sealer.wipe()
            with contextlib.suppress(Unwritable):  # a disk in trouble is no reason to keep the key
                self._database.write("seal", lambda connection: self._tell(connection, "sealed"))

    def unseal(self, key: KeySource) -> None:
        """``Locked``, and still sealed, unless ``key`` opens this store. Blocking."""
        lock = self._database.read(read_lock)
        if lock is None:
            raise Corrupt("node: the row that says how the store is locked is gone")
        sealer = lock.open(self._database.path, key)
        if not self._sealer.wiped:
            sealer.wipe()
            return
        self._database.write("unseal", lambda connection: self._tell(connection, "unsealed", key=key.scheme))
        self._sealer = sealer

    @property
    def fault(self) -> Unwritable | None:
        """Why nothing new may be begun, as far as the last check and the last commit tell. Asks no disk."""
        return Sealed(SEALED) if self._sealer.wiped else self._database.fault or self._low

    @property
    def commit_takes(self) -> float:
        """Seconds that the commit under way has taken so far."""
        return self._database.commit_takes

    def check(self, room: int = ROOM) -> None:
        """``StoreError`` unless the store can be written and its disk has ``room`` bytes left: asked before a
        ceremony starts, so that none fails for want of either."""
        disk = os.statvfs(self._database.path)
        if (free := disk.f_bavail * disk.f_frsize) < room:
            self._low = DiskFull(
                f"ST-1.7 room: {self._database.path}: {free >> 20} MiB left on the disk, {room >> 20} MiB needed"
            )
            raise self._low
        self._low = None

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE node SET boots = boots")

        self._database.write("check", change)

    def _secret(self, kind: NodeSecret) -> SecretBytes:
        query = f"SELECT {kind.replace('-', '_')} FROM node"  # noqa: S608 - one of our columns
        (sealed,) = self._database.read(lambda connection: connection.execute(query).fetchone())
        if not isinstance(sealed, bytes):
            raise Corrupt(f"node: {kind} does not read")
        return self._sealer.open(node_place(self._device, kind), sealed)


def _beginning(me: Peer, why: str) -> dict[str, object]:
    return {"device": me.device, "name": me.name, "fingerprint": fingerprint(me), "why": why}


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
