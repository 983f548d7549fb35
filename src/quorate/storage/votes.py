"""What approvers decided and signers voted, on operations that are journalled."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

from quorate.ceremony.audit_heads import PeerHeads
from quorate.ceremony.ports import Decision, DecisionRow, Verdict
from quorate.ceremony.statements import Signed, Vote
from quorate.errors import Corrupt, EncodingError, StoreError, UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.effect_json import decode_effect
from quorate.storage.audit import AuditBook, short
from quorate.wire.codec import decode

MOST_ACTIONS = 5  # told of one operation


class VoteBook(AuditBook):
    """The part of the ledger that remembers who said yes."""

    def record_decision(self, row: DecisionRow, *, request: bytes = b"", effect: bytes = b"") -> None:
        """Keep what our approver said of a journalled operation. All are kept; the last one counts."""

        def change(connection: sqlite3.Connection) -> None:
            if _digest(connection, row.operation) != row.digest:
                raise StoreError(
                    f"ST-3.5 decision: operation {row.operation}: it is about another digest than the journal's"
                )
            said = row.decision
            connection.execute(
                "INSERT INTO decisions (operation, digest, verdict, approver, rule, explanation, at_ms, request,"
                " effect) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row.operation,
                    row.digest,
                    said.verdict.name,
                    said.approver,
                    said.rule,
                    said.explanation,
                    row.at_ms,
                    request,
                    effect,
                ),
            )
            self._tell(
                connection, "decided", row.operation, digest=row.digest.hex(), verdict=said.verdict.name,
                approver=said.approver, rule=said.rule, said=said.explanation,
                does=_does(effect), asked=short(request) if request else "",
            )  # fmt: skip

        self._database.write("record_decision", change, about=row.operation)

    def decision(self, operation: OperationId) -> DecisionRow | None:
        return self._database.glance(
            operation, "decision", lambda connection: last_decision(connection, operation)
        )

    def decided_request(self, operation: OperationId) -> bytes:
        query = "SELECT request FROM decisions WHERE operation = ? ORDER BY number DESC LIMIT 1"
        row = self._database.read(lambda connection: connection.execute(query, (operation,)).fetchone())
        return bytes(row[0]) if row is not None else b""

    def record_vote(
        self, operation: OperationId, voter: DeviceId, vote: bytes, *, heads: PeerHeads | None = None
    ) -> bytes:
        """ST-3.6 vote: the first one stands. ``StoreError`` for an operation that is not journalled."""

        def change(connection: sqlite3.Connection) -> bytes:
            _digest(connection, operation)
            kept = connection.execute(
                "INSERT OR IGNORE INTO votes (operation, voter, vote) VALUES (?, ?, ?)",
                (operation, voter, vote),
            ).rowcount
            if heads is not None:
                self._put_heads(connection, voter, heads)
            if kept:
                self._tell(
                    connection,
                    "vote",
                    operation,
                    voter=voter,
                    verdict=_verdict(vote),
                    vote=short(vote),
                    **_shown(heads),
                )
            standing: bytes
            (standing,) = connection.execute(
                "SELECT vote FROM votes WHERE operation = ? AND voter = ?", (operation, voter)
            ).fetchone()
            return standing

        return self._database.write("record_vote", change, about=operation)

    def votes(self, operation: OperationId) -> Mapping[DeviceId, bytes]:
        query = "SELECT voter, vote FROM votes WHERE operation = ? ORDER BY voter"
        return self._database.glance(
            operation,
            "votes",
            lambda connection: MappingProxyType(dict(connection.execute(query, (operation,)).fetchall())),
        )


def _verdict(vote: bytes) -> str:
    """What a signed vote says. Whoever keeps one has checked it."""
    try:
        return Vote.read(decode(Signed, vote).body).verdict
    except EncodingError:
        return ""


def _shown(heads: PeerHeads | None) -> dict[str, str]:
    """The head of the voter's chain that came with its vote: what our chain says of it nobody takes back."""
    return {} if heads is None else {"head": str(heads.highest)}


def _does(effect: bytes) -> str:
    """What an operation does, as this node read it, in a line."""
    try:
        actions = decode_effect(effect).actions if effect else ()
    except UsageError:
        return ""
    told = []
    for action in actions[:MOST_ACTIONS]:
        asset = action.asset
        of = "" if asset is None else f" of {asset.symbol or asset.chain} {asset.contract}".rstrip()
        amount = "" if action.amount is None else f" {action.amount}{of}"
        what = "opaque" if action.opaque else (action.method or "pay")
        told.append(f"{what}{amount}" + (f" to {action.receiver}" if action.receiver else ""))
    more = len(actions) - MOST_ACTIONS
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def last_decision(connection: sqlite3.Connection, operation: OperationId) -> DecisionRow | None:
    row = connection.execute(
        "SELECT digest, verdict, approver, rule, explanation, at_ms FROM decisions"
        " WHERE operation = ? ORDER BY number DESC LIMIT 1",
        (operation,),
    ).fetchone()
    if row is None:
        return None
    digest, verdict, approver, rule, explanation, at_ms = row
    if not isinstance(digest, bytes) or verdict not in Verdict.__members__ or not isinstance(at_ms, int):
        raise Corrupt(f"decisions: the decision on operation {operation} does not read")
    said = Decision(verdict=Verdict[verdict], approver=approver, rule=rule, explanation=explanation)
    return DecisionRow(operation=operation, digest=digest, decision=said, at_ms=at_ms)


def _digest(connection: sqlite3.Connection, operation: OperationId) -> object:
    """The digest of a journalled operation."""
    row = connection.execute("SELECT digest FROM operations WHERE id = ?", (operation,)).fetchone()
    if row is None:
        raise StoreError(f"operation {operation} is not in the journal")
    return row[0]
