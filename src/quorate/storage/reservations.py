"""What approved operations take of the limits of policies, until they end without a share having left."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import Reservation, State
from quorate.errors import Corrupt, StoreError
from quorate.identifiers import OperationId
from quorate.storage.database import Database

KEPT_MS = 366 * 24 * 3600 * 1000  # the longest window a policy can have

_GIVEN_BACK = ", ".join(f"'{state}'" for state in sorted(FINAL - {State.COMPLETED}))
_COUNTS = f"(operations.released OR operations.state NOT IN ({_GIVEN_BACK}))"


class ReservationBook:
    """The part of the ledger that limits over a window are counted from."""

    _database: Database

    def reserve(self, row: Reservation) -> None:
        """ST-3.7 reservation: of a journalled operation; the last one of each counts."""

        def change(connection: sqlite3.Connection) -> None:
            journalled = connection.execute(
                "SELECT 1 FROM operations WHERE id = ?", (row.operation,)
            ).fetchone()
            if journalled is None:
                raise StoreError(f"ST-3.7 reservation: operation {row.operation} is not in the journal")
            connection.execute("DELETE FROM reservations WHERE at_ms < ?", (row.at_ms - KEPT_MS,))
            connection.execute(
                "INSERT OR REPLACE INTO reservations (operation, effect, at_ms) VALUES (?, ?, ?)",
                (row.operation, row.effect, row.at_ms),
            )

        self._database.write("reserve", change)

    def reservations(self, since_ms: int) -> Sequence[Reservation]:
        """Those from then on that count, oldest first: their operation goes on, or was signed, or may have been."""
        query = (
            "SELECT operation, effect, at_ms FROM reservations JOIN operations ON operations.id = operation"  # noqa: S608
            f" WHERE at_ms >= ? AND {_COUNTS} ORDER BY at_ms, operation"
        )
        rows = self._database.read(lambda connection: connection.execute(query, (since_ms,)).fetchall())
        for operation, effect, at_ms in rows:
            if not isinstance(effect, bytes) or not isinstance(at_ms, int):
                raise Corrupt(f"reservations: that of operation {operation} does not read")
        return [Reservation(operation=OperationId(row[0]), effect=row[1], at_ms=row[2]) for row in rows]

    def still_counts(self, operation: OperationId) -> bool:
        query = f"SELECT {_COUNTS} FROM operations WHERE id = ?"  # noqa: S608
        row = self._database.read(lambda connection: connection.execute(query, (operation,)).fetchone())
        return row is not None and bool(row[0])
