"""What a restored store, or one that was set back, must not use; and what peers say of their own starts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from quorate.ceremony.audit_heads import Head
from quorate.ceremony.confinement import Confined, Start, Why
from quorate.ceremony.ports import EpochState, SealedShare, SetupState
from quorate.errors import Corrupt, StoreError
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.protocols.certificate import Certificate
from quorate.storage.database import Database
from quorate.storage.epochs import EpochShelf
from quorate.storage.sharing import SharingKey
from quorate.wire.codec import decode, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a backup brings back of one vault: the line of its certificates, and the shares of the last."""

    name: str
    line: tuple[Certificate, ...]
    shares: Sequence[SealedShare]


_ABOUT = "epochs"  # what ends a quarantine changes these


class QuarantineShelf(EpochShelf):
    """The part of the ledger that knows what is in quarantine."""

    _database: Database
    _now_ms: Callable[[], int]

    def quarantine(self) -> Mapping[VaultId, Confined]:
        return self._database.glance(_ABOUT, "quarantine", _confined)

    def confine(self, vaults: Collection[VaultId], cause: Why) -> bool:
        """ST-8.1 confined: durably, with the end of every pair set-up in them."""
        now = self._now_ms()

        def change(connection: sqlite3.Connection) -> bool:
            changed = 0
            for vault in vaults:
                held = connection.execute("SELECT cause FROM quarantine WHERE vault = ?", (vault,)).fetchone()
                if held is not None and (cause is not Why.SHARE_LOST or held[0] == cause):
                    continue
                connection.execute(
                    "INSERT INTO quarantine (vault, cause, since_ms) VALUES (?, ?, ?)"
                    " ON CONFLICT (vault) DO UPDATE SET cause = excluded.cause",
                    (vault, cause.value, now),
                )
                connection.execute("UPDATE setups SET state = 'DEAD', sealed = x'' WHERE vault = ?", (vault,))
                if cause is Why.SHARE_LOST:
                    _erase_before_active(connection, vault)
                self._tell(connection, "vault confined", vault=vault, cause=cause.value)
                changed += 1
            return bool(changed)

        changed = self._database.write("confine", change, about=_ABOUT)
        if changed:
            self._database.scrub()
        return changed

    def free(self, vault: VaultId, record_hash: bytes, *, signer: bool = True) -> bool:
        """ST-8.2 freed: only while this sharing is ACTIVE, with shares of ours, or with none of the vault where we are
        no signer of it."""

        def change(connection: sqlite3.Connection) -> bool:
            live = "FROM epochs WHERE vault = ? AND record_hash = ? AND state = 'ACTIVE'"
            shares = "SELECT 1 FROM shares WHERE vault = epochs.vault"
            if signer:
                wanted = f"EXISTS ({shares} AND epoch = epochs.epoch AND attempt = epochs.attempt)"
            else:
                wanted = f"NOT EXISTS ({shares})"
            query = f"SELECT 1 {live} AND {wanted}"
            if connection.execute(query, (vault, record_hash)).fetchone() is None:
                return False
            freed = connection.execute(
                "DELETE FROM quarantine WHERE vault = ? AND cause != ?", (vault, Why.SHARE_LOST.value)
            ).rowcount
            if freed:
                self._tell(connection, "vault freed", vault=vault, record=record_hash.hex())
            return bool(freed)

        return self._database.write("free", change, about=_ABOUT)

    def note_start(self, device: DeviceId, start: Start) -> Start:
        """ST-8.4 starts: the latest stands."""
        held = self.start_of(device)
        if held is not None and held.counter >= start.counter:
            return held

        def change(connection: sqlite3.Connection) -> Start:
            before = _start(connection, device)
            if before is not None and before.counter >= start.counter:
                return before
            connection.execute(
                "INSERT OR REPLACE INTO starts VALUES (?, ?, ?, ?)",
                (device, start.counter, start.boot, start.statement),
            )
            return start

        return self._database.write("note_start", change, about="starts")

    def start_of(self, device: DeviceId) -> Start | None:
        return self._database.glance("starts", device, lambda connection: _start(connection, device))

    def raise_boots(self, above: int) -> int:
        def change(connection: sqlite3.Connection) -> int:
            connection.execute("UPDATE node SET boots = max(boots, ?)", (above + 1,))
            return int(connection.execute("SELECT boots FROM node").fetchone()[0])

        return self._database.write("raise_boots", change)

    def raise_attempts(self, vault: VaultId, epoch: Epoch, attempt: int) -> None:
        if attempt <= self.attempt_floor(vault, epoch):
            return

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO attempt_floors VALUES (?, ?, ?) ON CONFLICT (vault, epoch)"
                " DO UPDATE SET attempt = max(attempt, excluded.attempt)",
                (vault, epoch, attempt),
            )

        self._database.write("raise_attempts", change, about="floors")

    def attempt_floor(self, vault: VaultId, epoch: int) -> int:
        def query(connection: sqlite3.Connection) -> int:
            row = connection.execute(
                "SELECT attempt FROM attempt_floors WHERE vault = ? AND epoch = ?", (vault, epoch)
            ).fetchone()
            return 0 if row is None else int(row[0])

        return self._database.glance("floors", f"{vault} {epoch}", query)

    def bury_setup(
        self, vault: VaultId, epoch: Epoch, attempt: int, peer: DeviceId, generation: int, setup: bytes
    ) -> None:
        """ST-8.3 buried: what the peer has of before is never used here; another is of a later generation."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO setups VALUES (?, ?, ?, ?, ?, ?, ?, x'')",
                (setup, *key, peer, generation, SetupState.DEAD.value),
            )

        self._database.write("bury_setup", change)

    def lose_head(self, sequence: int, record: bytes) -> None:
        """ST-8.7 lost: said in the chain that goes on, and kept, once."""

        def change(connection: sqlite3.Connection) -> None:
            row = (sequence, record)
            if connection.execute("INSERT OR IGNORE INTO lost_heads VALUES (?, ?)", row).rowcount:
                self._tell(connection, "record lost", sequence=sequence, record=record.hex())

        self._database.write("lose_head", change, about="lost")

    def lost_heads(self) -> frozenset[tuple[int, bytes]]:
        query = "SELECT sequence, hash FROM lost_heads"
        return self._database.glance(
            "lost", "heads", lambda connection: frozenset(connection.execute(query).fetchall())
        )

    def forget_heads(self, device: DeviceId) -> None:
        def change(connection: sqlite3.Connection) -> None:
            query = "SELECT highest FROM peer_heads WHERE device = ?"
            if (held := connection.execute(query, (device,)).fetchone()) is not None:
                connection.execute("DELETE FROM peer_heads WHERE device = ?", (device,))
                self._tell(connection, "chain begun anew", peer=device, head=decode(Head, held[0]))

        self._database.write("forget_heads", change, about="peer_heads")

    def vault_name(self, vault: VaultId) -> str:
        def query(connection: sqlite3.Connection) -> str:
            row = connection.execute("SELECT name FROM vault_names WHERE vault = ?", (vault,)).fetchone()
            return "" if row is None else str(row[0])

        return self._database.glance("names", vault, query)

    def restore_vault(self, restored: Restored) -> None:
        """ST-8.5 restored: into a store that has nothing of this vault, and in quarantine from the same transaction on.
        Earlier epochs are there as ERASED, by their certificates alone."""
        line, now = restored.line, self._now_ms()
        record = line[-1].record
        vault, key = (
            VaultId(record.vault),
            SharingKey(VaultId(record.vault), Epoch(record.epoch), record.attempt),
        )
        sealed = [
            (
                *key, share.curve.value, json.dumps(share.indices),
                self._sealer.seal(self._place(key, share.curve, share.indices, record.hash), share.secret),
            )
            for share in restored.shares
        ]  # fmt: skip

        def change(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM epochs WHERE vault = ?", (vault,)).fetchone() is not None:
                raise StoreError(f"ST-8.5 restored: vault {vault} is in this store already")
            for certificate in line:
                each = certificate.record
                last = each.hash == record.hash
                connection.execute(
                    "INSERT INTO epochs (vault, epoch, attempt, record_hash, record, state, operation, certificate)"
                    " VALUES (?, ?, ?, ?, ?, ?, '', ?)",
                    (
                        vault, each.epoch, each.attempt, each.hash, encode(each),
                        (EpochState.ACTIVE if last else EpochState.ERASED).value, encode(certificate),
                    ),
                )  # fmt: skip
            connection.executemany("INSERT INTO shares VALUES (?, ?, ?, ?, ?, ?)", sealed)
            connection.execute("INSERT INTO vault_names VALUES (?, ?)", (vault, restored.name))
            connection.execute(
                "INSERT INTO quarantine (vault, cause, since_ms) VALUES (?, ?, ?)",
                (vault, Why.RESTORED.value, now),
            )
            self._tell(
                connection, "vault restored", vault=vault, epoch=record.epoch, attempt=record.attempt,
                record=record.hash.hex(),
            )  # fmt: skip

        self._database.write("restore_vault", change, about=_ABOUT)


def _confined(connection: sqlite3.Connection) -> Mapping[VaultId, Confined]:
    found: dict[VaultId, Confined] = {}
    for vault, cause, since_ms in connection.execute("SELECT vault, cause, since_ms FROM quarantine"):
        try:
            found[VaultId(str(vault))] = Confined(
                vault=VaultId(str(vault)), cause=Why(str(cause)), since_ms=int(since_ms)
            )
        except (ValueError, TypeError) as error:
            raise Corrupt(f"quarantine: vault {vault} does not read: {error}") from None
    return MappingProxyType(found)


def _start(connection: sqlite3.Connection, device: DeviceId) -> Start | None:
    row = connection.execute(
        "SELECT counter, boot, statement FROM starts WHERE device = ?", (device,)
    ).fetchone()
    return None if row is None else Start(counter=int(row[0]), boot=bytes(row[1]), statement=bytes(row[2]))


def _erase_before_active(connection: sqlite3.Connection, vault: VaultId) -> None:
    """Of every sharing that another took the place of, a sibling too."""
    lost = (
        "WHERE vault = ?1 AND (epoch, attempt) <"
        " (SELECT epoch, attempt FROM epochs WHERE vault = ?1 AND state = 'ACTIVE')"
    )
    connection.execute(f"DELETE FROM shares {lost}", (vault,))  # noqa: S608
    connection.execute(f"UPDATE epochs SET state = 'ERASED' {lost}", (vault,))  # noqa: S608
