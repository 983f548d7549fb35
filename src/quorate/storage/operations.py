"""The operation journal: operations, their attempts, and the sessions these consumed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec

from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import NO_VOTES, OperationRow, State, Unfinished, Verdict
from quorate.errors import Corrupt, Sealed, UsageError
from quorate.identifiers import DeviceId, OperationId, SessionId, VaultId
from quorate.storage.audit import AuditBook, short
from quorate.storage.policies import share_policy
from quorate.storage.sealed import SEALED, Sealer
from quorate.storage.setups import require_live
from quorate.storage.sharing import require_active, require_free
from quorate.storage.votes import last_decision

SMALL = 16 << 10  # bytes
_COLUMNS = (
    "id, digest, kind, vault, proposer, proposal, state, created_ms, expires_ms, ends_ms, attempt, released, reason,"
    " detail, culprits, result, updated_ms"
)
_SELECT = f"SELECT {_COLUMNS} FROM operations"  # noqa: S608 - the columns are ours
_BEGINNABLE = (State.VOTING, State.APPROVED, State.RUNNING)
# written out as in the partial index, or SQLite does not use it
_UNFINISHED = "state IN ('PROPOSED', 'VOTING', 'APPROVED', 'RUNNING')"


class OperationJournal(AuditBook):
    """The part of the ledger that remembers what was asked for, and how far it got."""

    _sealer: Sealer

    def add_operation(self, row: OperationRow, *, client: str = "", role: str = "") -> OperationRow:
        """ST-3.1 first: insert, or return the row already there under this id. ``client`` and ``role``: who asked, for
        the audit chain; the role is known where it was asked."""

        def change(connection: sqlite3.Connection) -> OperationRow:
            if (known := _find(connection, row.id)) is not None:
                return known
            kept = replace(row, updated_ms=row.updated_ms or self._now_ms())
            connection.execute(
                f"INSERT INTO operations ({_COLUMNS}) VALUES ({', '.join('?' * 17)})",  # noqa: S608
                (
                    row.id, row.digest, row.kind, row.vault, row.proposer, row.proposal, row.state.value,
                    row.created_ms, row.expires_ms, row.ends_ms, row.attempt, row.released, row.reason,
                    row.detail, json.dumps(row.culprits), row.result, kept.updated_ms,
                ),
            )  # fmt: skip
            self._tell(
                connection, "asked", row.id, kind=row.kind, digest=row.digest.hex(), vault=row.vault or "",
                proposer=row.proposer, client=client, role=role, expires_ms=row.expires_ms,
            )  # fmt: skip
            return kept

        return self._database.write("add_operation", change, about=row.id)

    def operation(self, operation: OperationId) -> OperationRow | None:
        return self._database.glance(
            operation, "row", lambda connection: _find(connection, operation), worth=_is_small
        )

    def operations(self, *, limit: int = 1000) -> Sequence[OperationRow]:
        query = f"{_SELECT} ORDER BY created_ms DESC, rowid DESC LIMIT ?"
        return self._database.read(
            lambda connection: [_operation(row) for row in connection.execute(query, (limit,))]
        )

    def operations_of(self, kind: str) -> Sequence[OperationId]:
        query = "SELECT id FROM operations WHERE kind = ? ORDER BY created_ms DESC, rowid DESC"
        rows = self._database.read(lambda connection: connection.execute(query, (kind,)).fetchall())
        return [OperationId(row[0]) for row in rows]

    def operation_ids(self, *, limit: int, after: OperationId | None = None) -> Sequence[OperationId]:
        def find(connection: sqlite3.Connection) -> Sequence[OperationId]:
            where, place = "", ()
            if after is not None:
                place = connection.execute(
                    "SELECT created_ms, rowid FROM operations WHERE id = ?", (after,)
                ).fetchone()
                if place is None:
                    raise UsageError(f"there is no operation {after} on this node", code="UNKNOWN_OPERATION")
                where = "WHERE (created_ms, rowid) < (?, ?)"
            query = f"SELECT id FROM operations {where} ORDER BY created_ms DESC, rowid DESC LIMIT ?"  # noqa: S608
            return [OperationId(row[0]) for row in connection.execute(query, (*place, limit))]

        return self._database.read(find)

    def unfinished(self) -> Sequence[Unfinished]:
        columns = "id, proposer, state, expires_ms, ends_ms, length(proposal)"
        order = "ORDER BY created_ms DESC, rowid DESC"
        query = f"SELECT {columns} FROM operations WHERE {_UNFINISHED} {order}"  # noqa: S608
        rows = self._database.read(lambda connection: connection.execute(query).fetchall())
        return tuple(
            Unfinished(
                id=row[0],
                proposer=row[1],
                state=State(row[2]),
                expires_ms=row[3],
                ends_ms=row[4],
                size=row[5],
            )
            for row in rows
        )

    def move_operation(
        self,
        operation: OperationId,
        frm: Sequence[State],
        to: State,
        *,
        reason: str = "",
        detail: str = "",
        culprits: Sequence[DeviceId] = (),
        result: bytes = b"",
        released: bool = False,
    ) -> bool:
        """ST-3.2 move: only from one of ``frm``.

        The reason, detail and culprits are those of this move; a result, once there, stays, and so does RELEASED.
        """

        def change(connection: sqlite3.Connection) -> bool:
            row = _find(connection, operation)
            if row is None or row.state not in frm:
                return False
            connection.execute(
                "UPDATE operations SET state = ?, reason = ?, detail = ?, culprits = ?, result = ?,"
                " released = ?, updated_ms = ? WHERE id = ?",
                (
                    to.value,
                    reason,
                    detail,
                    json.dumps(culprits),
                    result or row.result,
                    released or row.released,
                    self._now_ms(),
                    operation,
                ),
            )
            if to in FINAL:
                self._tell(
                    connection, "ended", operation, state=to.value, reason=reason, detail=detail,
                    culprits=" ".join(culprits), result=short(result or row.result) if result or row.result else "",
                    released=int(released or row.released),
                )  # fmt: skip
            return True

        return self._database.write("move_operation", change, about=operation)

    def begin_attempt(
        self,
        operation: OperationId,
        attempt: int,
        session: SessionId,
        *,
        released: bool = False,
        setups: Sequence[bytes] = (),
        sharing: bytes = b"",
        votes: Mapping[DeviceId, bytes] = NO_VOTES,
    ) -> bool:
        """ST-3.3 attempt: between voting and the end, above every attempt before, with a session never had."""
        if len(session) != 32:
            raise ValueError("a session id is 32 bytes")

        def change(connection: sqlite3.Connection) -> bool:
            row = _find(connection, operation)
            if row is None or row.state not in _BEGINNABLE or attempt <= row.attempt:
                return False
            used = connection.execute(
                "SELECT 1 FROM consumed_sessions WHERE session = ?", (session,)
            ).fetchone()
            if used is not None:
                return False
            require_live(connection, setups)
            require_active(connection, sharing, "ST-3.3 attempt")
            now = self._now_ms()
            connection.execute(
                "INSERT INTO consumed_sessions (session, operation, attempt, at_ms, sharing) VALUES (?, ?, ?, ?, ?)",
                (session, operation, attempt, now, sharing),
            )
            connection.execute(
                "UPDATE operations SET state = 'RUNNING', attempt = ?, released = ?, updated_ms = ? WHERE id = ?",
                (attempt, released or row.released, now, operation),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO votes (operation, voter, vote) VALUES (?, ?, ?)",
                [(operation, voter, vote) for voter, vote in votes.items()],
            )
            self._tell(
                connection, "attempt", operation, attempt=attempt, session=session.hex(), sharing=sharing.hex(),
                others_sign=int(released), votes=" ".join(f"{voter}:{short(vote)}" for voter, vote in votes.items()),
            )  # fmt: skip
            return True

        return self._database.write("begin_attempt", change, about=operation)

    def release(self, operation: OperationId, attempt: int, digest: bytes) -> bool:
        """ST-3.4 release: of the running attempt, begun by ``begin_attempt``, of what our approver last approved, while
        the sharing that it was begun under is the one that lives."""
        return self._release(operation, attempt, digest, lambda _: None)

    def release_policy(
        self, operation: OperationId, attempt: int, digest: bytes, *, version: int, policy: bytes
    ) -> bool:
        """``release``, and in the same transaction that this node gives its share for this policy."""
        return self._release(
            operation, attempt, digest, lambda connection: share_policy(connection, version, policy)
        )

    def _release(
        self, operation: OperationId, attempt: int, digest: bytes, also: Callable[[sqlite3.Connection], None]
    ) -> bool:
        def change(connection: sqlite3.Connection) -> bool:
            if self._sealer.wiped:
                raise Sealed(SEALED)
            row = _find(connection, operation)
            if (
                row is None
                or row.state is not State.RUNNING
                or row.attempt != attempt
                or row.digest != digest
            ):
                return False
            # begin_attempt alone opens an attempt; a RUNNING row without one never consumed a session
            begun = connection.execute(
                "SELECT sharing, session FROM consumed_sessions WHERE operation = ? AND attempt = ?",
                (operation, attempt),
            ).fetchone()
            decided = last_decision(connection, operation)
            if begun is None or decided is None or decided.digest != digest:
                return False
            if decided.decision.verdict is not Verdict.APPROVE:
                return False
            require_active(connection, begun[0], "ST-3.4 release")
            require_free(connection, begun[0], "ST-8.6 free")
            also(connection)
            connection.execute(
                "UPDATE operations SET released = 1, updated_ms = ? WHERE id = ?", (self._now_ms(), operation)
            )
            self._tell(
                connection,
                "released",
                operation,
                attempt=attempt,
                session=begun[1].hex(),
                digest=digest.hex(),
            )
            return True

        return self._database.write("release", change, about=operation)


def _find(connection: sqlite3.Connection, operation: OperationId) -> OperationRow | None:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (operation,)).fetchone()
    return None if row is None else _operation(row)


def _is_small(row: OperationRow | None) -> bool:
    """Of thousands of operations kept in memory none takes megabytes, and ids that are none take nothing."""
    return row is not None and len(row.proposal) + len(row.result) <= SMALL


def _operation(row: Sequence[object]) -> OperationRow:
    (
        identifier, digest, kind, vault, proposer, proposal, state, created_ms, expires_ms, ends_ms, attempt, released,
        reason, detail, culprits, result, updated_ms,
    ) = row  # fmt: skip
    try:
        return OperationRow(
            id=OperationId(str(identifier)),
            digest=_bytes(digest),
            kind=str(kind),
            vault=None if vault is None else VaultId(str(vault)),
            proposer=DeviceId(str(proposer)),
            proposal=_bytes(proposal),
            state=State(str(state)),
            created_ms=_int(created_ms),
            expires_ms=_int(expires_ms),
            ends_ms=_int(ends_ms),
            attempt=_int(attempt),
            released=bool(_int(released)),
            reason=str(reason),
            detail=str(detail),
            culprits=msgspec.json.decode(str(culprits), type=tuple[DeviceId, ...]),
            result=_bytes(result),
            updated_ms=_int(updated_ms),
        )
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise Corrupt(f"operations: operation {identifier} does not read: {error}") from None


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{value!r} is not bytes")
    return value


def _int(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not an integer")
    return value
