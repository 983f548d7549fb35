"""Pair set-ups: sealed like shares, and LIVE until a cheat or a successor ends them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal

from quorate.ceremony.ports import SealedSetup, SetupRow, SetupState
from quorate.errors import Corrupt, NoSetup, StaleEpoch, StoreError
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.storage.audit import AuditBook
from quorate.storage.sealed import Place, Sealer
from quorate.storage.sharing import HERE, SharingKey

_INSERT = "INSERT INTO setups VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_DEAD = "state = 'DEAD', sealed = x''"


class SetupShelf(AuditBook):
    """The part of the ledger that keeps what ECDSA multiplies with, and never hands out what is dead."""

    _sealer: Sealer

    def setups(self, vault: VaultId, epoch: Epoch, attempt: int) -> Sequence[SetupRow]:
        """In rising order of (peer, generation)."""
        key = SharingKey(vault, epoch, attempt)
        query = f"SELECT peer, generation, id, state FROM setups {HERE} ORDER BY peer, generation"  # noqa: S608
        rows = self._database.read(lambda connection: connection.execute(query, key).fetchall())
        return tuple(_setup(key, row) for row in rows)

    def setup(self, vault: VaultId, epoch: Epoch, attempt: int, peer: DeviceId) -> SealedSetup:
        """ST-6.2 live: the one with this peer."""
        key = SharingKey(vault, epoch, attempt)
        row = self._find_live(key, peer, "peer, generation, id, setups.state, sealed, record_hash")
        held, (sealed, record_hash) = _setup(key, row[:4]), row[4:]
        if not isinstance(sealed, bytes) or not isinstance(record_hash, bytes):
            raise Corrupt(f"setups: {key}, peer {peer}: the row does not read")
        place = self._setup_place(key, peer, held.generation, held.id, record_hash)
        secret = self._sealer.open(place, sealed)
        return SealedSetup(id=held.id, peer=peer, generation=held.generation, secret=secret)

    def live_setup(self, vault: VaultId, epoch: Epoch, attempt: int, peer: DeviceId) -> bytes:
        """ST-6.2 live: the id of the one with this peer, which is not unsealed for it."""
        key = SharingKey(vault, epoch, attempt)
        row = self._find_live(key, peer, "peer, generation, id, setups.state")
        return _setup(key, row).id

    def _find_live(self, key: SharingKey, peer: DeviceId, columns: str) -> Sequence[object]:
        def query(connection: sqlite3.Connection) -> Sequence[object] | None:
            row: tuple[object, ...] | None = connection.execute(
                f"SELECT {columns} FROM epochs JOIN setups USING (vault, epoch, attempt) {HERE}"  # noqa: S608
                " AND peer = ? AND setups.state = 'LIVE' AND epochs.state = 'ACTIVE'",
                (*key, peer),
            ).fetchone()
            return row

        row = self._database.read(query)
        if row is None:
            raise NoSetup(f"ST-6.2 live: {_none_with(key.vault, peer)}")
        return row

    def store_setup(
        self,
        vault: VaultId,
        epoch: Epoch,
        attempt: int,
        setup: SealedSetup,
        state: Literal[SetupState.PENDING, SetupState.LIVE],
    ) -> None:
        """ST-6.4 next: above every generation that lived, for the sharing that lives."""
        key = SharingKey(vault, epoch, attempt)

        def change(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                f"SELECT record_hash FROM epochs {HERE} AND state = 'ACTIVE'",  # noqa: S608
                key,
            ).fetchone()
            if row is None:
                raise StaleEpoch(f"ST-6.4 next: {key} is not ACTIVE: it takes no set-up")
            pair = (*key, setup.peer)
            connection.execute(f"DELETE FROM setups {HERE} AND peer = ? AND state = 'PENDING'", pair)  # noqa: S608
            (highest,) = connection.execute(
                f"SELECT max(generation) FROM setups {HERE} AND peer = ?",  # noqa: S608
                pair,
            ).fetchone()
            if highest is not None and highest >= setup.generation:
                raise StoreError(
                    f"ST-6.4 next: {key}, peer {setup.peer}: generation {setup.generation} after {highest}"
                )
            connection.execute(
                f"UPDATE setups SET {_DEAD} {HERE} AND peer = ? AND state = 'LIVE'",  # noqa: S608
                pair,
            )
            connection.execute(_INSERT, self._sealed_setup(key, row[0], setup, state))
            self._tell(
                connection, "pair set-up kept", vault=vault, epoch=epoch, attempt=attempt, peer=setup.peer,
                generation=setup.generation, setup=setup.id.hex(), state=state.value,
            )  # fmt: skip

        self._database.write("store_setup", change)
        self._database.scrub()

    def enliven_setup(self, vault: VaultId, epoch: Epoch, peer: DeviceId, setup: bytes) -> bool:
        """ST-6.5 enliven: what is PENDING with this peer in the sharing that lives."""

        def change(connection: sqlite3.Connection) -> bool:
            query = (
                "UPDATE setups SET state = 'LIVE' WHERE id = ? AND peer = ? AND state = 'PENDING' AND"
                " (vault, epoch, attempt) IN (SELECT vault, epoch, attempt FROM epochs"
                " WHERE vault = ? AND epoch = ? AND state = 'ACTIVE')"
            )
            changed = connection.execute(query, (setup, peer, vault, epoch)).rowcount == 1
            if changed:
                self._tell(
                    connection, "pair set-up live", vault=vault, epoch=epoch, peer=peer, setup=setup.hex()
                )
            return changed

        return self._database.write("enliven_setup", change)

    def kill_setup(self, setup: bytes) -> None:
        """ST-6.6 dead: for ever, and its secret out of the file and its log."""

        def change(connection: sqlite3.Connection) -> bool:
            query = f"UPDATE setups SET {_DEAD} WHERE id = ? AND state != 'DEAD'"  # noqa: S608
            changed = connection.execute(query, (setup,)).rowcount == 1
            if changed:
                self._tell(connection, "pair set-up dead", setup=setup.hex())
            return changed

        if self._database.write("kill_setup", change):
            self._database.scrub()

    def _sealed_setup(
        self, key: SharingKey, record_hash: bytes, setup: SealedSetup, state: SetupState
    ) -> tuple[object, ...]:
        place = self._setup_place(key, setup.peer, setup.generation, setup.id, record_hash)
        sealed = self._sealer.seal(place, setup.secret)
        return (setup.id, *key, setup.peer, setup.generation, state.value, sealed)

    def _setup_place(
        self, key: SharingKey, peer: DeviceId, generation: int, setup: bytes, record_hash: bytes
    ) -> Place:
        return Place(
            device=self._device,
            kind="setup",
            vault=key.vault,
            epoch=key.epoch,
            attempt=key.attempt,
            record_hash=record_hash,
            peer=peer,
            generation=generation,
            setup=setup,
        )


def keep_setups(connection: sqlite3.Connection, sealed: Iterable[Sequence[object]]) -> None:
    """ST-6.1 together: within the change that keeps the shares of their sharing."""
    connection.executemany(_INSERT, sealed)


def require_live(connection: sqlite3.Connection, setups: Iterable[bytes]) -> None:
    """ST-6.3 attempt: ``NoSetup`` unless each is LIVE in an ACTIVE sharing."""
    for setup in setups:
        row = connection.execute(
            "SELECT vault, peer, setups.state = 'LIVE' AND epochs.state = 'ACTIVE'"
            " FROM setups JOIN epochs USING (vault, epoch, attempt) WHERE id = ?",
            (setup,),
        ).fetchone()
        if row is None:
            raise NoSetup(f"ST-6.3 attempt: no pair set-up {setup.hex()} is held")
        vault, peer, live = row
        if not live:
            raise NoSetup(f"ST-6.3 attempt: {_none_with(vault, peer)}")


def _none_with(vault: str, peer: str) -> str:
    remedy = f"quorate vault pair-reset {vault} {peer}"
    return f"vault {vault} has no live pair set-up with {peer} for ECDSA; make one: {remedy}"


def _setup(key: SharingKey, row: Sequence[object]) -> SetupRow:
    peer, generation, identifier, state = row
    try:
        if not isinstance(generation, int) or not isinstance(identifier, bytes):
            raise TypeError("the generation is an integer, the id bytes")
        return SetupRow(
            vault=key.vault,
            epoch=key.epoch,
            attempt=key.attempt,
            peer=DeviceId(str(peer)),
            generation=generation,
            id=identifier,
            state=SetupState(str(state)),
        )
    except (ValueError, TypeError) as error:
        raise Corrupt(f"setups: {key}, peer {peer} does not read: {error}") from None
