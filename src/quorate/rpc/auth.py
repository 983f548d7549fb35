"""Who calls, and what they may call. What no line here allows is denied."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from quorate.ceremony.ports import OWNER
from quorate.errors import UsageError
from quorate.rpc import failures
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY
from quorate.storage.clients import EVERY, Client

Authenticate = Callable[[str, str], Client | None]
"""Client id and secret to the live client they belong to. Blocking and slow: called in a worker thread."""

ADMIN = frozenset({"admin"})
ANYONE = frozenset({"admin", "signer"})

ALLOWED: Mapping[str, frozenset[str]] = {
    "quorate.v1.VaultService.CreateVault": ADMIN,
    "quorate.v1.VaultService.GetVault": ANYONE,
    "quorate.v1.VaultService.ListVaults": ANYONE,
    "quorate.v1.VaultService.PairReset": ADMIN,
    "quorate.v1.SigningService.Sign": ANYONE,
    "quorate.v1.SigningService.BatchSign": ANYONE,
    "quorate.v1.SigningService.GetSignature": ANYONE,
    "quorate.v1.OperationService.GetOperation": ANYONE,
    "quorate.v1.OperationService.ListOperations": ANYONE,
    "quorate.v1.OperationService.WaitOperation": ANYONE,
    "quorate.v1.OperationService.WatchOperations": ANYONE,
    "quorate.v1.OperationService.CancelOperation": ANYONE,  # of what it asked for itself; an admin of any
    "quorate.v1.OperationService.GetApprovalRequest": ANYONE,
    "quorate.v1.ApprovalService.ListPending": ADMIN,
    "quorate.v1.ApprovalService.Decide": ADMIN,  # and never on what it asked for itself (PD-1.4)
    "quorate.v1.AdminService.GetStatus": ADMIN,
    "quorate.v1.AdminService.ListPeers": ADMIN,
    "quorate.v1.AdminService.AddPeer": ADMIN,
    "quorate.v1.AdminService.TryApprover": ADMIN,
    "quorate.v1.AdminService.Examine": ADMIN,
    "quorate.v1.AdminService.ListClients": ADMIN,
    "quorate.v1.AdminService.AddClient": ADMIN,
    "quorate.v1.AdminService.RevokeClient": ADMIN,
}

CHECKS_AT_ONCE = 2  # each may take the memory of a memory-hard hash
CHECKS_WAITING = 32
CALLS_PER_CLIENT = 256
REMEMBERED = 256
LONGEST = 256  # characters of an id or a secret


class Gate(Protocol):
    async def identify(self, metadata: Mapping[str, str]) -> Client:
        """Who calls; ``UsageError`` UNAUTHENTICATED if that cannot be told, BUSY if not now."""
        ...


class LocalGate:
    """Whoever can open the Unix socket owns the node: the admin "local"."""

    async def identify(self, metadata: Mapping[str, str]) -> Client:  # noqa: ARG002 - nothing is asked for
        return Client(id=OWNER, role="admin", vaults=(EVERY,), created_ms=0)


class SecretGate:
    """Client id and secret in the call's metadata.

    A proof of each success stays in memory under a key of this process, so that a busy client pays for the
    slow check once; ``forget`` drops them, also for checks that are under way.
    """

    def __init__(self, authenticate: Authenticate) -> None:
        self._authenticate = authenticate
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, Client] = OrderedDict()
        self._generation = 0
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._waiting = 0

    def forget(self) -> None:
        """Ask the store again about everybody. Call it whenever a client is added or revoked."""
        self._known.clear()
        self._generation += 1

    async def identify(self, metadata: Mapping[str, str]) -> Client:
        name, secret = metadata.get(CLIENT_KEY, ""), metadata.get(SECRET_KEY, "")
        if not name or not secret:
            raise _unauthenticated("this call needs a client id and a secret")
        if len(name) > LONGEST or len(secret) > LONGEST:
            raise _unauthenticated("client id or secret is too long")
        proof = hmac.digest(self._key, hashlib.sha256(name.encode()).digest() + secret.encode(), "sha256")
        client = self._known.get(proof)
        if client is None:
            client = await self._check(name, secret, proof)
        return client

    async def _check(self, name: str, secret: str, proof: bytes) -> Client:
        if self._waiting >= CHECKS_WAITING:
            raise UsageError("too many callers to check at once; try again", code=failures.BUSY)
        self._waiting += 1
        try:
            async with self._checks:
                generation = self._generation
                client = await asyncio.to_thread(self._authenticate, name, secret)
        finally:
            self._waiting -= 1
        if client is None:
            raise _unauthenticated("client id or secret is wrong, or the client was revoked")
        if generation == self._generation:
            self._known[proof] = client
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return client


class Turnstile:
    """How many calls a client has under way."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    @contextmanager
    def passing(self, client: Client) -> Iterator[None]:
        if self._calls[client.id] >= CALLS_PER_CLIENT:
            raise UsageError(f"{client.id} has {CALLS_PER_CLIENT} calls under way", code=failures.BUSY)
        self._calls[client.id] += 1
        try:
            yield
        finally:
            self._calls[client.id] -= 1
            if not self._calls[client.id]:
                del self._calls[client.id]


def authorise(client: Client, method: str) -> None:
    """``method`` is its full name in the descriptor."""
    if client.role not in ALLOWED.get(method, frozenset()):
        raise UsageError(
            f"{client.id} has the role {client.role}, which may not call {method}", code=failures.NOT_ALLOWED
        )


def _unauthenticated(message: str) -> UsageError:
    return UsageError(message, code=failures.UNAUTHENTICATED)
