"""What policies remember: what approved operations take of their limits, and what was decided on which effect."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import Decided, Decision, DecisionRow, Reservation, State, Verdict
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

    def decided(self, since_ms: int, *, after: int = 0, limit: int = 1000) -> Sequence[Decided]:
        """Decisions from then on whose effect was kept, in the order they were made, above the number ``after``."""
        query = (
            "SELECT number, operation, decisions.digest, verdict, approver, rule, explanation, at_ms, effect,"  # noqa: S608
            f" {_COUNTS} FROM decisions JOIN operations ON operations.id = operation"
            " WHERE at_ms >= ? AND number > ? AND effect <> X'' ORDER BY number LIMIT ?"
        )
        place = (since_ms, after, limit)
        rows = self._database.read(lambda connection: connection.execute(query, place).fetchall())
        return [_decided(row) for row in rows]

    def still_counts(self, operation: OperationId) -> bool:
        query = f"SELECT {_COUNTS} FROM operations WHERE id = ?"  # noqa: S608
        row = self._database.read(lambda connection: connection.execute(query, (operation,)).fetchone())
        return row is not None and bool(row[0])


def _decided(row: Sequence[Any]) -> Decided:
    number, operation, digest, verdict, approver, rule, explanation, at_ms, effect, counts = row
    if verdict not in Verdict.__members__ or not isinstance(effect, bytes) or not isinstance(at_ms, int):
        raise Corrupt(f"decisions: the decision on operation {operation} does not read")
    said = Decision(verdict=Verdict[verdict], approver=approver, rule=rule, explanation=explanation)
    made = DecisionRow(operation=OperationId(operation), digest=digest, decision=said, at_ms=at_ms)
    return Decided(number=number, row=made, effect=effect, counts=bool(counts))
