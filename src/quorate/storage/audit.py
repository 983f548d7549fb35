"""The audit chain in the store: a record is written by the change that it records, and by nobody else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from hashlib import sha256
from typing import Any

from quorate.ceremony.audit import AuditVerdict, Entry, Verification, Witness, follow
from quorate.ceremony.audit_heads import Head, PeerHeads
from quorate.ceremony.statements import Signer
from quorate.errors import Corrupt, EncodingError
from quorate.identifiers import DeviceId
from quorate.storage.database import Database
from quorate.wire.codec import decode, encode

PAGE = 500  # records read at once

acting: ContextVar[str] = ContextVar("acting", default="this node")
"""Who asked for what is being changed: a client, by id and role. To be read by the caller of a change, not in it: the
store's writer is another thread."""

_HEAD = "SELECT sequence, hash, signature FROM audit_head"
_NEWEST = "SELECT max(sequence) FROM audit"
_END = (
    "SELECT head.sequence, head.hash, head.signature, (SELECT max(sequence) FROM audit), last.hash"
    " FROM audit_head AS head LEFT JOIN audit AS last ON last.sequence = head.sequence"
)
_RECORDS = "SELECT sequence, body, hash, signature FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"


def append(
    connection: sqlite3.Connection,
    signer: Signer,
    at_ms: int,
    event: str,
    operation: str,
    facts: Mapping[str, object],
) -> None:
    """AU-1.1 together: one more record, in the transaction that does what it says. If it cannot be written, nothing
    of that is done either. ``Corrupt`` where the chain that is here does not end as it was signed."""
    end = connection.execute(_END).fetchone()
    if (end is None and has_chain(connection)) or (end is not None and end[3:] != end[:2]):
        raise Corrupt(
            "AU-1.3 chain: the last record of the audit chain is not that of its signed head, and nothing is added:"
            " `quorate audit verify` says what is wrong"
        )
    before = None if end is None else Head(sequence=end[0], hash=end[1], signature=end[2])
    entry, head = follow(signer, before, at_ms, event, operation, facts)
    connection.execute(
        "INSERT INTO audit (sequence, body, hash, signature) VALUES (?, ?, ?, ?)",
        (entry.place, entry.body, entry.hash, entry.signature),
    )
    connection.execute(
        "INSERT OR REPLACE INTO audit_head (id, sequence, hash, signature) VALUES (1, ?, ?, ?)",
        (head.sequence, head.hash, head.signature),
    )


class AuditBook:
    """AU-1.2 stays: the part of the ledger that remembers what was done, and what peers signed of their own chains. The
    schema lets nobody change a record."""

    _database: Database
    _now_ms: Callable[[], int]
    _device: DeviceId
    identity: Any  # the device's, as soon as the store is open

    def _tell(self, connection: sqlite3.Connection, event: str, operation: str = "", **facts: object) -> None:
        """To be called within a change."""
        append(connection, self.identity, self._now_ms(), event, operation, facts)

    def audit_head(self) -> Head:
        """Of what is on disk, so that no crash takes back what was told."""
        head = self._database.read(_head)
        if head is None:
            raise Corrupt("audit_head: the chain has no head")
        return head

    def audit_hash(self, sequence: int) -> bytes | None:
        query = "SELECT hash FROM audit WHERE sequence = ?"
        row = self._database.read(lambda connection: connection.execute(query, (sequence,)).fetchone())
        return None if row is None else bytes(row[0])

    def audit_entries(self, *, after: int = 0, limit: int = PAGE) -> Sequence[Entry]:
        """As they stand, in the order they stand in."""
        rows = self._database.read(lambda connection: connection.execute(_RECORDS, (after, limit)).fetchall())
        return [
            Entry(place=place, body=_blob(body), hash=_blob(hashed), signature=_blob(signature))
            for place, body, hashed, signature in rows
        ]

    def verify_audit(self, witnesses: Sequence[Witness] = ()) -> AuditVerdict:
        """Of the whole chain as it is now; what is written meanwhile is no part of it."""
        head, newest = self._database.read(
            lambda connection: (_head(connection), connection.execute(_NEWEST).fetchone()[0])
        )
        verification, after = Verification(self.identity.identity_key, witnesses), -(2**63)
        while page := self.audit_entries(after=after):
            for entry in page:
                after = entry.place or 0
                if after <= newest:
                    verification.take(entry)
            if after > newest:
                break
        return verification.end(head)

    def peer_heads(self) -> Mapping[DeviceId, PeerHeads]:
        query = "SELECT device, confirmed, highest FROM peer_heads ORDER BY device"
        rows = self._database.read(lambda connection: connection.execute(query).fetchall())
        try:
            return {
                DeviceId(device): PeerHeads(confirmed=decode(Head, confirmed), highest=decode(Head, highest))
                for device, confirmed, highest in rows
            }
        except (EncodingError, TypeError) as error:
            raise Corrupt(f"peer_heads: a row does not read: {error}") from None

    def keep_heads(self, device: DeviceId, heads: PeerHeads) -> None:
        self._database.write("keep_heads", lambda connection: self._put_heads(connection, device, heads))

    def _put_heads(self, connection: sqlite3.Connection, device: DeviceId, heads: PeerHeads) -> None:
        row = (device, encode(heads.confirmed), encode(heads.highest))
        connection.execute("INSERT OR REPLACE INTO peer_heads VALUES (?, ?, ?)", row)


def has_chain(connection: sqlite3.Connection) -> bool:
    """Whether one was begun: by its head or by any record, so that neither can be taken away to begin anew."""
    query = "SELECT EXISTS (SELECT 1 FROM audit) OR EXISTS (SELECT 1 FROM audit_head)"
    return bool(connection.execute(query).fetchone()[0])


def short(data: bytes) -> str:
    """The SHA-256 of what a record must not hold itself."""
    return sha256(data).hexdigest()


def _head(connection: sqlite3.Connection) -> Head | None:
    row = connection.execute(_HEAD).fetchone()
    if row is None:
        return None
    sequence, hashed, signature = row
    return Head(sequence=sequence, hash=_blob(hashed), signature=_blob(signature))


def _blob(value: object) -> bytes:
    """What is no bytes is nothing that was ever hashed."""
    return value if isinstance(value, bytes) else repr(value).encode()
