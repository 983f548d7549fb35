"""Who may call this node: client ids, their roles and vaults, and the hash of each one's secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from quorate.ceremony.ports import OWNER
from quorate.errors import Corrupt, UsageError
from quorate.storage.database import Database

ROLES = ("admin", "signer")
EVERY = "*"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The secrets are 256 random bits, so no guess is likely at any cost; the hash is for a store that leaks.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A caller of this node. ``vaults`` are the ids or names of those it may use, ``*`` for every one."""

    id: str
    role: str
    vaults: tuple[str, ...]
    created_ms: int
    revoked_ms: int | None = None

    def may_use(self, *vault: str) -> bool:
        """Whether the vault with this id, or this name, is one of its own."""
        return EVERY in self.vaults or any(name in self.vaults for name in vault)


class ClientBook:
    """The part of the ledger that knows the callers."""

    _database: Database
    _now_ms: Callable[[], int]
    _proven: dict[str, bytes]
    _proof_key: bytes

    def add_client(self, client: str, role: str, vaults: Sequence[str] = (EVERY,)) -> str:
        """The new client's secret, which is kept nowhere. A revoked id may be given again, a live one not."""
        if not _ID.fullmatch(client):
            raise UsageError(f"client name {client!r}: letters, digits, '.', '_' and '-', at most 64")
        if client == OWNER:
            raise UsageError(f"client name {client!r} is that of whoever owns the node's Unix socket")
        if role not in ROLES:
            raise UsageError(f"role {role!r} is none of {', '.join(ROLES)}")
        secret = secrets.token_urlsafe(32)
        hashed = _HASHER.hash(secret)

        def change(connection: sqlite3.Connection) -> None:
            held = _find(connection, client)
            if held is not None and held[0].revoked_ms is None:
                raise UsageError(f"client {client} exists; revoke it first to give it a new secret")
            connection.execute(
                "INSERT OR REPLACE INTO clients (id, secret_hash, role, vaults, created_ms, revoked_ms)"
                " VALUES (?, ?, ?, ?, ?, NULL)",
                (client, hashed, role, json.dumps(list(vaults)), self._now_ms()),
            )

        self._database.write("add_client", change)
        self._proven.pop(client, None)
        return secret

    def revoke_client(self, client: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            query = "UPDATE clients SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL"
            if connection.execute(query, (self._now_ms(), client)).rowcount != 1:
                raise UsageError(f"no client {client} is live")

        self._database.write("revoke_client", change)
        self._proven.pop(client, None)

    def clients(self) -> Sequence[Client]:
        """All, the revoked too, in order of their ids."""
        query = "SELECT id, role, vaults, created_ms, revoked_ms, secret_hash FROM clients ORDER BY id"
        return self._database.read(lambda connection: [_client(row) for row in connection.execute(query)])

    def authenticate(self, client: str, secret: str) -> Client | None:
        """ST-5.5 caller: the live client whose secret this is, or None, without saying which of the two was wrong.

        The first success costs a memory-hard hash; later ones compare with a proof kept in memory under a key of this
        process, so that a busy caller does not pay it for each call. Blocking: call it from a worker thread.
        """
        held = self._database.read(lambda connection: _find(connection, client))
        proof = hashlib.blake2b(
            secret.encode(errors="replace"), key=self._proof_key, person=b"client"
        ).digest()
        if held is None or held[0].revoked_ms is not None:
            _matches(_decoy(), secret)  # takes as long as a wrong secret, so ids cannot be told by time
            return None
        found, hashed = held
        proven = hmac.digest(proof, hashed.encode(), "sha256")
        if hmac.compare_digest(self._proven.get(client, b""), proven):
            return found
        if not _matches(hashed, secret):
            return None
        self._proven[client] = proven
        return found


@cache
def _decoy() -> str:
    return _HASHER.hash(os.urandom(32))


def _matches(hashed: str, secret: str) -> bool:
    try:
        return _HASHER.verify(hashed, secret.encode(errors="replace"))
    except InvalidHashError:
        raise Corrupt("clients: a secret's hash does not read") from None
    except VerificationError:
        return False


def _find(connection: sqlite3.Connection, client: str) -> tuple[Client, str] | None:
    row = connection.execute(
        "SELECT id, role, vaults, created_ms, revoked_ms, secret_hash FROM clients WHERE id = ?", (client,)
    ).fetchone()
    return None if row is None else (_client(row), str(row[-1]))


def _client(row: Sequence[object]) -> Client:
    identifier, role, vaults, created_ms, revoked_ms, _ = row
    try:
        listed = msgspec.json.decode(str(vaults), type=tuple[str, ...])
    except (msgspec.MsgspecError, UnicodeError):
        raise Corrupt(f"clients: client {identifier} does not read") from None
    if role not in ROLES or not isinstance(created_ms, int) or not isinstance(revoked_ms, int | None):
        raise Corrupt(f"clients: client {identifier} does not read")
    return Client(
        id=str(identifier), role=str(role), vaults=listed, created_ms=created_ms, revoked_ms=revoked_ms
    )
