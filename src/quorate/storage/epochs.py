"""Sharings: epoch records, certificates, acknowledgements, and the sealed shares."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import msgspec

from quorate.ceremony.ports import EpochRow, EpochState, SealedSetup, SealedShare, SetupState
from quorate.errors import Bug, Corrupt, StaleEpoch, StoreError
from quorate.identifiers import Curve, DeviceId, Epoch, OperationId, VaultId
from quorate.storage.audit import acting
from quorate.storage.sealed import Place
from quorate.storage.setups import SetupShelf, keep_setups
from quorate.storage.sharing import HERE, SharingKey, note_active, note_signed

_KEPT = "vault, epoch, attempt, record_hash, record, state, operation, certificate"
_COLUMNS = f"{_KEPT}, trial, waived"
_SELECT = f"SELECT {_COLUMNS} FROM epochs"  # noqa: S608 - the columns are ours
_INSERT = f"INSERT INTO epochs ({_KEPT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_EPOCHS = "epochs"
MOST_FORKS = 16  # of one vault: whoever makes one can make many


class EpochShelf(SetupShelf):
    """The part of the ledger that keeps the sharings of each vault, and decides which one lives."""

    def store_pending(
        self, row: EpochRow, shares: Sequence[SealedShare], setups: Sequence[SealedSetup]
    ) -> None:
        """Seal and keep. ``StaleEpoch`` unless (epoch, attempt) is above every sharing of the vault held so far:
        attempts are taken part in in strictly rising order."""
        key = SharingKey(row.vault, row.epoch, row.attempt)
        if row.state is not EpochState.PENDING or row.certificate or row.acknowledgements:
            raise Bug(f"{key}: a new sharing is PENDING, without certificate or acknowledgement")
        if any(setup.generation for setup in setups):
            raise Bug(f"{key}: the set-ups of a new sharing are of generation 0")
        sealed = []
        for share in shares:
            place = self._place(key, share.curve, share.indices, row.record_hash)
            sealed.append(
                (*key, share.curve.value, json.dumps(share.indices), self._sealer.seal(place, share.secret))
            )
        paired = [self._sealed_setup(key, row.record_hash, setup, SetupState.LIVE) for setup in setups]

        def change(connection: sqlite3.Connection) -> None:
            highest = connection.execute(
                "SELECT epoch, attempt FROM epochs WHERE vault = ? ORDER BY epoch DESC, attempt DESC LIMIT 1",
                (row.vault,),
            ).fetchone()
            if highest is not None and tuple(highest) >= (row.epoch, row.attempt):
                raise StaleEpoch(
                    f"ST-4.1 rising: {key}: epoch {highest[0]}, attempt {highest[1]} is already held"
                )
            connection.execute(
                _INSERT, (*key, row.record_hash, row.record, row.state.value, row.operation, b"")
            )
            connection.executemany("INSERT INTO shares VALUES (?, ?, ?, ?, ?, ?)", sealed)
            keep_setups(connection, paired)
            self._tell_epoch(connection, "epoch kept", key, row.record_hash, row.operation)

        self._database.write("store_pending", change, about=_EPOCHS)

    def mark_signed(self, vault: VaultId, epoch: Epoch, attempt: int) -> None:
        """PENDING → SIGNED. ``StaleEpoch`` when a later sharing of the vault has been signed, ``StoreError`` when this
        one is not PENDING."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> None:
            row = _existing(connection, key)
            if row.state is not EpochState.PENDING:
                raise StoreError(f"ST-4.2 signed: {key} is {row.state}: only a PENDING sharing is signed")
            _refuse_behind(
                connection, key, "ST-4.2 signed", EpochState.SIGNED, EpochState.ACTIVE, EpochState.RETIRED
            )
            _set_state(connection, key, EpochState.SIGNED)
            self._tell_epoch(connection, "epoch signed", key, row.record_hash, row.operation)
            note_signed(connection, key)

        self._database.write("mark_signed", change, about=_EPOCHS)

    def activate(self, vault: VaultId, epoch: Epoch, attempt: int, certificate: bytes) -> None:
        """SIGNED → ACTIVE; nothing to do where it is ACTIVE already (the first certificate stands). Every sharing of an
        earlier epoch is RETIRED, and so is the one that was ACTIVE. ``StaleEpoch`` when a later sharing lives or lived,
        ``StoreError`` when this one was never signed by us."""
        key = SharingKey(vault, epoch, attempt)
        if not certificate:
            raise Bug(f"{key}: activated without a certificate")

        def change(connection: sqlite3.Connection) -> None:
            row = _existing(connection, key)
            if row.state is EpochState.ACTIVE:
                return
            _refuse_behind(
                connection, key, "ST-4.3 active", EpochState.ACTIVE, EpochState.RETIRED, EpochState.ERASED
            )
            if row.state is not EpochState.SIGNED:
                raise StoreError(f"ST-4.3 active: {key} is {row.state}: only a SIGNED sharing becomes ACTIVE")
            _retire_before(connection, key)
            connection.execute(
                f"UPDATE epochs SET state = 'ACTIVE', certificate = ? {HERE}",  # noqa: S608
                (certificate, *key),
            )
            self._tell_epoch(connection, "epoch active", key, row.record_hash, row.operation)
            note_active(connection, key)

        self._database.write("activate", change, about=_EPOCHS)

    def adopt(self, row: EpochRow) -> None:
        """ST-4.6 adopted: a certified sharing of which nothing is ours, as the ACTIVE one."""
        key = SharingKey(row.vault, row.epoch, row.attempt)
        if row.state is not EpochState.ACTIVE or not row.certificate:
            raise Bug(f"{key}: what is adopted is ACTIVE and has a certificate")

        def change(connection: sqlite3.Connection) -> None:
            every = EpochState.SIGNED, EpochState.ACTIVE, EpochState.RETIRED, EpochState.ERASED
            _refuse_behind(connection, key, "ST-4.6 adopted", *every)
            if connection.execute(f"SELECT 1 FROM epochs {HERE}", key).fetchone() is not None:  # noqa: S608
                raise StaleEpoch(f"ST-4.6 adopted: {key} is already held")
            _retire_before(connection, key)
            values = (row.record_hash, row.record, row.state.value, row.operation, row.certificate)
            connection.execute(_INSERT, (*key, *values))
            self._tell_epoch(connection, "epoch adopted", key, row.record_hash, row.operation)

        self._database.write("adopt", change, about=_EPOCHS)

    def record_fork(self, vault: VaultId, record_hash: bytes, certificate: bytes) -> None:
        """ST-4.10 forks: what was refused is kept once, and of each vault the first."""

        def change(connection: sqlite3.Connection) -> None:
            held = connection.execute("SELECT count(*) FROM forks WHERE vault = ?", (vault,)).fetchone()[0]
            if held < MOST_FORKS:
                kept = connection.execute(
                    "INSERT OR IGNORE INTO forks (vault, record_hash, certificate) VALUES (?, ?, ?)",
                    (vault, record_hash, certificate),
                ).rowcount
                if kept:
                    self._tell(connection, "epoch fork", vault=vault, record=record_hash.hex())

        self._database.write("record_fork", change)

    def forks(self, vault: VaultId) -> Sequence[bytes]:
        query = "SELECT certificate FROM forks WHERE vault = ? ORDER BY record_hash"
        rows = self._database.read(lambda connection: connection.execute(query, (vault,)).fetchall())
        return [certificate for (certificate,) in rows]

    def record_trial(self, vault: VaultId, epoch: Epoch, attempt: int, trial: bytes) -> None:
        """ST-4.7 tried: the first trial signatures stand, for a sharing we hold."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> None:
            _existing(connection, key)
            connection.execute(f"UPDATE epochs SET trial = ? {HERE} AND trial = x''", (trial, *key))  # noqa: S608

        self._database.write("record_trial", change, about=_EPOCHS)

    def waive(self, vault: VaultId, epoch: Epoch, attempt: int) -> None:
        """ST-4.8 waived: only an ACTIVE sharing that replaced another goes on without acknowledgements."""
        key, by = SharingKey(vault, epoch, attempt), acting.get()

        def change(connection: sqlite3.Connection) -> None:
            if epoch == 0 or _existing(connection, key).state is not EpochState.ACTIVE:
                raise StoreError(f"ST-4.8 waived: {key} is not the ACTIVE sharing after another one")
            connection.execute(f"UPDATE epochs SET waived = 1 {HERE}", key)  # noqa: S608
            self._tell_epoch(connection, "epoch waived", key, by=by)

        self._database.write("waive", change, about=_EPOCHS)

    def erase_before(self, vault: VaultId, epoch: Epoch, attempt: int) -> int:
        """ST-4.9 erased: the shares and set-ups of every earlier epoch, out of the file and its log; how many
        sharings they were of. ``StaleEpoch`` unless this sharing is ACTIVE. Records and certificates stay."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> int:
            if _existing(connection, key).state is not EpochState.ACTIVE:
                raise StaleEpoch(f"ST-4.9 erased: {key} is not ACTIVE: nothing before it is erased")
            earlier = "WHERE vault = ? AND epoch < ?"
            for table in ("shares", "setups"):
                connection.execute(f"DELETE FROM {table} {earlier}", (vault, epoch))  # noqa: S608
            query = f"UPDATE epochs SET state = 'ERASED' {earlier} AND state != 'ERASED'"  # noqa: S608
            erased = connection.execute(query, (vault, epoch)).rowcount
            if erased:
                self._tell_epoch(connection, "epochs erased", key, sharings=erased)
            return erased

        erased = self._database.write("erase_before", change, about=_EPOCHS)
        if erased:
            self._database.scrub()
        return erased

    def drop_pending(self, vault: VaultId, epoch: Epoch, attempt: int) -> bool:
        """ST-4.4 drop: a PENDING sharing, its shares and set-ups, out of the file and its log."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> bool:
            query = f"DELETE FROM epochs {HERE} AND state = 'PENDING'"  # noqa: S608 - the rest goes with it
            dropped = connection.execute(query, key).rowcount == 1
            if dropped:
                self._tell_epoch(connection, "epoch dropped", key)
            return dropped

        dropped = self._database.write("drop_pending", change, about=_EPOCHS)
        if dropped:
            self._database.scrub()
        return dropped

    def record_acknowledgement(
        self, vault: VaultId, epoch: Epoch, attempt: int, device: DeviceId, ack: bytes
    ) -> None:
        """ST-4.5 acknowledged: the first one of each device stands, for a sharing we hold."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> None:
            _existing(connection, key)
            connection.execute(
                "INSERT OR IGNORE INTO acknowledgements VALUES (?, ?, ?, ?, ?)", (*key, device, ack)
            )

        self._database.write("record_acknowledgement", change, about=_EPOCHS)

    def epochs(self, vault: VaultId | None = None) -> Sequence[EpochRow]:
        """In rising order of (vault, epoch, attempt)."""

        def query(connection: sqlite3.Connection) -> tuple[EpochRow, ...]:
            where, values = ("", ()) if vault is None else ("WHERE vault = ?", (vault,))
            rows = connection.execute(f"{_SELECT} {where} ORDER BY vault, epoch, attempt", values).fetchall()
            return tuple(_epoch(connection, row) for row in rows)

        return self._database.glance(_EPOCHS, f"of {vault or 'all'}", query)

    def active_epoch(self, vault: VaultId) -> EpochRow | None:
        def query(connection: sqlite3.Connection) -> EpochRow | None:
            row = connection.execute(f"{_SELECT} WHERE vault = ? AND state = 'ACTIVE'", (vault,)).fetchone()
            return None if row is None else _epoch(connection, row)

        return self._database.glance(_EPOCHS, f"live of {vault}", query)

    def share(self, vault: VaultId, epoch: Epoch, attempt: int, curve: Curve) -> SealedShare:
        key = SharingKey(vault, epoch, attempt)

        def query(connection: sqlite3.Connection) -> tuple[bytes, str, bytes] | None:
            row: tuple[bytes, str, bytes] | None = connection.execute(
                f"SELECT record_hash, indices, sealed FROM epochs NATURAL JOIN shares {HERE} AND curve = ?",  # noqa: S608
                (*key, curve.value),
            ).fetchone()
            return row

        row = self._database.read(query)
        if row is None:
            raise StoreError(f"{key}: no share on {curve} is held")
        record_hash, text, sealed = row
        try:
            indices = msgspec.json.decode(text, type=tuple[int, ...])
            place = self._place(key, curve, indices, bytes(record_hash))
            blob = bytes(sealed)
        except (msgspec.MsgspecError, ValueError, TypeError):
            raise Corrupt(f"shares: {key}, curve {curve}: the row does not read") from None
        return SealedShare(curve=curve, indices=indices, secret=self._sealer.open(place, blob))

    def _tell_epoch(
        self, connection: sqlite3.Connection, event: str, key: SharingKey, record: bytes = b"",
        operation: OperationId | str = "", **more: object,
    ) -> None:  # fmt: skip
        """``record``: its hash, which is what its certificate signs."""
        facts = {"record": record.hex()} if record else {}
        self._tell(
            connection,
            event,
            operation,
            vault=key.vault,
            epoch=key.epoch,
            attempt=key.attempt,
            **facts,
            **more,
        )

    def _place(self, key: SharingKey, curve: Curve, indices: Sequence[int], record_hash: bytes) -> Place:
        return Place(
            device=self._device,
            kind="share",
            vault=key.vault,
            epoch=key.epoch,
            attempt=key.attempt,
            curve=curve.value,
            indices=tuple(indices),
            record_hash=record_hash,
        )


def _existing(connection: sqlite3.Connection, key: SharingKey) -> EpochRow:
    row = connection.execute(f"{_SELECT} {HERE}", key).fetchone()
    if row is None:
        raise StoreError(f"{key}: no such sharing is held")
    return _epoch(connection, row)


def _set_state(connection: sqlite3.Connection, key: SharingKey, state: EpochState) -> None:
    connection.execute(f"UPDATE epochs SET state = ? {HERE}", (state.value, *key))  # noqa: S608


def _retire_before(connection: sqlite3.Connection, key: SharingKey) -> None:
    """What was ACTIVE, and every sibling of an earlier epoch."""
    connection.execute(
        "UPDATE epochs SET state = 'RETIRED' WHERE vault = ? AND"
        " (state = 'ACTIVE' OR (epoch < ? AND state IN ('PENDING', 'SIGNED')))",
        key[:2],
    )


def _refuse_behind(connection: sqlite3.Connection, key: SharingKey, rule: str, *states: EpochState) -> None:
    """Raise ``StaleEpoch`` if a later sharing of the vault is in one of ``states``."""
    later = connection.execute(
        "SELECT epoch, attempt, state FROM epochs WHERE vault = ? AND (epoch, attempt) > (?, ?)"
        " ORDER BY epoch DESC, attempt DESC",
        key,
    )
    for epoch, attempt, state in later:
        if state in states:
            raise StaleEpoch(f"{rule}: {key}: epoch {epoch}, attempt {attempt} is {state}")


def _epoch(connection: sqlite3.Connection, row: Sequence[object]) -> EpochRow:
    vault, epoch, attempt, record_hash, record, state, operation, certificate, trial, waived = row
    acknowledgements = connection.execute(
        f"SELECT device, acknowledgement FROM acknowledgements {HERE} ORDER BY device",  # noqa: S608
        (vault, epoch, attempt),
    ).fetchall()
    try:
        if not isinstance(epoch, int) or not isinstance(attempt, int):
            raise TypeError("epoch and attempt are integers")
        if not (
            isinstance(record_hash, bytes) and isinstance(record, bytes) and isinstance(certificate, bytes)
        ):
            raise TypeError("hash, record and certificate are bytes")
        if not isinstance(trial, bytes) or waived not in (0, 1):
            raise TypeError("the trial is bytes, and it was waived or was not")
        return EpochRow(
            vault=VaultId(str(vault)),
            epoch=Epoch(epoch),
            attempt=attempt,
            record_hash=record_hash,
            record=record,
            state=EpochState(str(state)),
            operation=OperationId(str(operation)),
            certificate=certificate,
            acknowledgements=dict(acknowledgements),
            trial=trial,
            waived=bool(waived),
        )
    except (ValueError, TypeError) as error:
        raise Corrupt(
            f"epochs: vault {vault}, epoch {epoch}, attempt {attempt} does not read: {error}"
        ) from None
