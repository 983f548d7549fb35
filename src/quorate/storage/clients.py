"""Who may call this node: what each client may do, and what it proves itself by."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from quorate.ceremony.views import OWNER
from quorate.errors import Corrupt, UsageError
from quorate.storage.audit import AuditBook, acting

ROLES = ("admin", "signer", "approver", "viewer")
EVERY = "*"
LONGEST_OVERLAP_MS = 30 * 24 * 3600 * 1000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The secrets are 256 random bits, so no guess is likely at any cost; the hash is for a store that leaks.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)


class Certificate(NamedTuple):
    """A client's certificate. ``pin``: SHA-256 of its SubjectPublicKeyInfo (32 bytes)."""

    pin: bytes
    pem: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on these vaults, by id or name; ``*`` for every one, those to come too."""

    role: str
    vaults: tuple[str, ...] = (EVERY,)

    @property
    def everywhere(self) -> bool:
        return EVERY in self.vaults

    def covers(self, *vault: str) -> bool:
        """Whether the vault with this id, or this name, is one of them."""
        return self.everywhere or any(name in self.vaults for name in vault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a client proves itself by: a secret, or the key with this ``pin`` (SHA-256 of its SubjectPublicKeyInfo).
    ``until_ms`` is set from the moment another one takes its place."""

    pin: bytes | None
    created_ms: int
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A caller of this node. A revoked one has no credentials."""

    id: str
    grants: tuple[Grant, ...]
    created_ms: int
    revoked_ms: int | None = None
    credentials: tuple[Credential, ...] = ()

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(grant.role for grant in self.grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A live client that has proved itself, or would with this certificate; good until ``until_ms``, if set."""

    client: Client
    until_ms: int | None
    certificate: Certificate | None = None


class ClientBook(AuditBook):
    """The part of the ledger that knows the callers. Whoever makes a credential names its act by an idempotency key:
    the same act again makes the same client, whose secret is then the one in the last answer."""

    def add_client(
        self, client: str, grants: Sequence[Grant], *, certificate: Certificate | None = None, key: str = ""
    ) -> str:
        """The new client's secret, which is kept nowhere; empty for one that has a ``certificate``. A
        revoked id may be given again, a live one not."""
        _require_sound(client, grants)
        (secret, hashed), by = _made(certificate), acting.get()

        def change(connection: sqlite3.Connection) -> None:
            held = _find(connection, client)
            live = held is not None and held.revoked_ms is None
            if live and not _repeated(connection, held, grants, certificate, key):
                raise UsageError(
                    f"client {client} exists: `quorate client rotate` gives it a new secret",
                    code="CLIENT_EXISTS",
                )
            connection.execute("DELETE FROM callers WHERE id = ?", (client,))
            connection.execute(
                "INSERT INTO callers (id, grants, created_ms) VALUES (?, ?, ?)",
                (client, msgspec.json.encode(list(grants)).decode(), self._now_ms()),
            )
            self._keep(connection, client, hashed, certificate, key)
            self._tell_client(connection, "client added", client, by, certificate, grants)

        self._database.write("add_client", change)
        return secret

    def rotate_client(
        self, client: str, *, certificate: Certificate | None = None, overlap_ms: int = 0, key: str = ""
    ) -> str:
        """A new secret, or a new certificate, for a live client; what it had is good for ``overlap_ms`` more, and
        what it had before that no longer."""
        if not 0 <= overlap_ms <= LONGEST_OVERLAP_MS:
            raise UsageError(f"an overlap is 0 to {LONGEST_OVERLAP_MS} ms, not {overlap_ms}")
        (secret, hashed), by = _made(certificate), acting.get()

        def change(connection: sqlite3.Connection) -> None:
            held = _live(connection, client)
            newest = connection.execute(
                "SELECT number, made_by FROM credentials WHERE client = ? ORDER BY number DESC", (held.id,)
            ).fetchone()
            if key and newest is not None and newest[1] == key:
                connection.execute("DELETE FROM credentials WHERE number = ?", (newest[0],))
            else:
                connection.execute(
                    "DELETE FROM credentials WHERE client = ? AND until_ms IS NOT NULL", (held.id,)
                )
                connection.execute(
                    "UPDATE credentials SET until_ms = ? WHERE client = ?",
                    (self._now_ms() + overlap_ms, held.id),
                )
            self._keep(connection, held.id, hashed, certificate, key)
            self._tell_client(connection, "client rotated", client, by, certificate)

        self._database.write("rotate_client", change)
        return secret

    def revoke_client(self, client: str) -> None:
        """Forget what a client proves itself by. Revoking a revoked one changes nothing."""
        by = acting.get()

        def change(connection: sqlite3.Connection) -> None:
            held = _find(connection, client)
            if held is None:
                raise UsageError(f"there is no client {client}", code="UNKNOWN_CLIENT")
            revoked = connection.execute(
                "UPDATE callers SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL",
                (self._now_ms(), client),
            ).rowcount
            connection.execute("DELETE FROM credentials WHERE client = ?", (client,))
            if revoked:
                self._tell(connection, "client revoked", client=client, by=by)

        self._database.write("revoke_client", change)

    def clients(self) -> Sequence[Client]:
        """All, the revoked too, in order of their ids."""

        def query(connection: sqlite3.Connection) -> Sequence[Client]:
            named = [row[0] for row in connection.execute("SELECT id FROM callers ORDER BY id")]
            return [client for name in named if (client := _find(connection, name)) is not None]

        return self._database.read(query)

    def authenticate(self, client: str, secret: str) -> Login | None:
        """ST-5.5 caller: the live client whose secret this is, or None, without saying which of the two was wrong.

        Costs a memory-hard hash for each secret that is good at the moment, and one where there is none. Blocking:
        call it from a worker thread, and not without a limit.
        """
        held = self._database.read(lambda connection: _login(connection, client))
        candidates = [] if held is None else [each for each in held[1] if self._good(each[1])]
        if held is None or not candidates:
            _matches(_decoy(), secret)  # takes as long as a wrong secret, so ids cannot be told by time
            return None
        for hashed, until_ms in candidates:
            if _matches(hashed, secret):
                return Login(client=held[0], until_ms=until_ms)
        return None

    def certified(self) -> Sequence[Login]:
        """Every live client's certificates."""

        def query(connection: sqlite3.Connection) -> Sequence[Login]:
            rows = connection.execute(
                "SELECT client, pin, certificate, until_ms FROM credentials WHERE pin IS NOT NULL ORDER BY number"
            ).fetchall()
            return [
                Login(client=_live(connection, client), until_ms=until_ms, certificate=Certificate(pin, pem))
                for client, pin, pem, until_ms in rows
            ]

        return [each for each in self._database.read(query) if self._good(each.until_ms)]

    def _tell_client(
        self,
        connection: sqlite3.Connection,
        event: str,
        client: str,
        by: str,
        certificate: Certificate | None,
        grants: Sequence[Grant] = (),
    ) -> None:
        facts = {"by": by, "credential": f"certificate {certificate.pin.hex()}" if certificate else "secret"}
        if grants:
            facts["grants"] = "; ".join(f"{grant.role} {' '.join(grant.vaults)}" for grant in grants)
        self._tell(connection, event, client=client, **facts)

    def _good(self, until_ms: int | None) -> bool:
        return until_ms is None or until_ms > self._now_ms()

    def _keep(
        self,
        connection: sqlite3.Connection,
        client: str,
        hashed: str,
        certificate: Certificate | None,
        key: str,
    ) -> None:
        now = self._now_ms()
        connection.execute("DELETE FROM credentials WHERE until_ms <= ?", (now,))
        pin, pem = certificate or (None, "")
        connection.execute("DELETE FROM credentials WHERE client = ? AND pin = ?", (client, pin))
        taken = connection.execute("SELECT client FROM credentials WHERE pin = ?", (pin,)).fetchone()
        if taken is not None:
            raise UsageError(
                f"ST-5.7 certificate: the key is that of client {taken[0]}: a key is one client's",
                code="CERTIFICATE_TAKEN",
            )
        connection.execute(
            "INSERT INTO credentials (client, secret_hash, pin, certificate, made_by, created_ms)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (client, hashed, pin, pem, key, now),
        )


def _made(certificate: Certificate | None) -> tuple[str, str]:
    """A new secret and its hash; both empty where a certificate is used instead."""
    if certificate is not None:
        return "", ""
    secret = secrets.token_urlsafe(32)
    return secret, _HASHER.hash(secret)


def _repeated(
    connection: sqlite3.Connection,
    held: Client | None,
    grants: Sequence[Grant],
    certificate: Certificate | None,
    key: str,
) -> bool:
    """Whether what is asked for is the very act that made this client, and nothing came after it."""
    if held is None:
        return False
    made = connection.execute("SELECT made_by, pin FROM credentials WHERE client = ?", (held.id,)).fetchall()
    pin = None if certificate is None else certificate[0]
    return bool(key) and held.grants == tuple(grants) and made == [(key, pin)]


def _require_sound(client: str, grants: Sequence[Grant]) -> None:
    if not _ID.fullmatch(client):
        raise UsageError(f"client name {client!r}: letters, digits, '.', '_' and '-', at most 64")
    if client == OWNER:
        raise UsageError(f"client name {client!r} is that of whoever owns the node's Unix socket")
    if not grants:
        raise UsageError("a client has at least one role")
    for grant in grants:
        if grant.role not in ROLES:
            raise UsageError(f"role {grant.role!r} is none of {', '.join(ROLES)}")
        if not grant.vaults or not all(grant.vaults):
            raise UsageError(f"the role {grant.role} names no vault; * means every one")
    roles = {grant.role for grant in grants}
    if "approver" in roles and roles & {"admin", "signer"}:
        raise UsageError("who approves neither signs nor administers: give the approver a client of its own")


@cache
def _decoy() -> str:
    return _HASHER.hash(os.urandom(32))


def _matches(hashed: str, secret: str) -> bool:
    try:
        return _HASHER.verify(hashed, secret.encode(errors="replace"))
    except InvalidHashError:
        raise Corrupt("credentials: a secret's hash does not read") from None
    except VerificationError:
        return False


def _login(connection: sqlite3.Connection, client: str) -> tuple[Client, list[tuple[str, int | None]]] | None:
    """The client and its secrets' hashes with their ends, newest first."""
    found = _find(connection, client)
    if found is None or found.revoked_ms is not None:
        return None
    rows = connection.execute(
        "SELECT secret_hash, until_ms FROM credentials WHERE client = ? AND pin IS NULL ORDER BY number DESC",
        (client,),
    )
    return found, [(str(hashed), until_ms) for hashed, until_ms in rows]


def _live(connection: sqlite3.Connection, client: str) -> Client:
    found = _find(connection, client)
    if found is None:
        raise UsageError(f"there is no client {client}", code="UNKNOWN_CLIENT")
    if found.revoked_ms is not None:
        raise UsageError(
            f"client {client} was revoked: `quorate client add` makes it anew", code="UNKNOWN_CLIENT"
        )
    return found


def _find(connection: sqlite3.Connection, client: str) -> Client | None:
    row = connection.execute(
        "SELECT id, grants, created_ms, revoked_ms FROM callers WHERE id = ?", (client,)
    ).fetchone()
    if row is None:
        return None
    held = connection.execute(
        "SELECT pin, created_ms, until_ms FROM credentials WHERE client = ? ORDER BY number", (client,)
    )
    return _client(row, held.fetchall())


def _client(row: Sequence[object], held: Sequence[Sequence[object]]) -> Client:
    identifier, grants, created_ms, revoked_ms = row
    try:
        granted = msgspec.json.decode(str(grants), type=tuple[Grant, ...])
        credentials = tuple(
            msgspec.convert(
                {"pin": pin, "created_ms": made, "until_ms": until}, type=Credential, builtin_types=(bytes,)
            )
            for pin, made, until in held
        )
        sound = all(grant.role in ROLES for grant in granted) and bool(granted)
    except (msgspec.MsgspecError, UnicodeError):
        sound = False
    if not sound or not isinstance(created_ms, int) or not isinstance(revoked_ms, int | None):
        raise Corrupt(f"callers: client {identifier} does not read")
    return Client(
        id=str(identifier),
        grants=granted,
        created_ms=created_ms,
        revoked_ms=revoked_ms,
        credentials=credentials,
    )
