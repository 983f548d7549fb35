"""Who calls: by a client id and a secret, by a certificate, or by having opened the Unix socket."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from quorate.ceremony.views import OWNER
from quorate.errors import UsageError
from quorate.rpc import failures
from quorate.rpc.access import OWNS
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY
from quorate.rpc.limits import Buckets, Limits, RateLimited, source_of
from quorate.rpc.tls import pin_of
from quorate.storage.clients import Client, Grant, Login

CHECKS_AT_ONCE = 2  # each may take the memory of a memory-hard hash
CHECKS_WAITING = 32
REMEMBERED = 256
REMEMBERED_FOR = 300.0  # seconds since its last call
LONGEST = 256  # characters of an id or a secret


class Logins(Protocol):
    """The clients as the store has them. Blocking: called in a worker thread."""

    def authenticate(self, client: str, secret: str) -> Login | None:
        """The live client whose secret this is. Slow: it costs a memory-hard hash."""
        ...

    def certified(self) -> Sequence[Login]:
        """Every live client's certificates."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A call, before it is known whose. ``peer``: the other end in gRPC's words; ``certificate_pem``: the one that
    TLS has seen proved, if there is one."""

    metadata: Mapping[str, str] = field(repr=False)
    peer: str = ""
    certificate_pem: bytes | None = None


class Gate(Protocol):
    async def identify(self, arrival: Arrival) -> Login:
        """Who calls; ``UsageError`` UNAUTHENTICATED if that cannot be told, BUSY or RATE_LIMITED if not now."""
        ...


class LocalGate:
    """Whoever can open the Unix socket owns the node."""

    async def identify(self, arrival: Arrival) -> Login:  # noqa: ARG002 - nothing is asked for
        return Login(client=Client(id=OWNER, grants=(Grant(OWNS),), created_ms=0), until_ms=None)


@dataclass(frozen=True, slots=True)
class _Known:
    login: Login
    idle_at: float


class ClientGate:
    """The client port: a secret in the call's metadata, or a certificate.

    A proof of each success stays in memory under a key of this process, for a while after its last use, so that a busy
    client pays for the slow check once; ``forget`` drops a client's, also for checks that are under way. Callers not
    known yet are slowed down by where they come from, and those that fail much more, before any slow check.
    """

    def __init__(
        self,
        logins: Logins,
        limits: Limits | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        limits = limits or Limits()
        self._logins, self._now, self._wall_ms = logins, now, wall_ms
        self._calls, self._strangers = Buckets(limits.calls, now), Buckets(limits.strangers, now)
        self._failures, self._checks = Buckets(limits.failures, now), Buckets(limits.checks, now)
        self._key = os.urandom(32)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._certified: dict[bytes, Login] = {}
        self._generation = 0
        self._refreshing = asyncio.Lock()
        self._slots = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._waiting = 0

    def limit(self, limits: Limits) -> None:
        """From now on. From any thread."""
        self._calls.pace, self._strangers.pace = limits.calls, limits.strangers
        self._failures.pace, self._checks.pace = limits.failures, limits.checks

    @property
    def certificates_pem(self) -> str:
        """Every certificate a client may show, one after the other."""
        return "".join(each.certificate.pem for each in self._certified.values() if each.certificate)

    def forget(self, client: str) -> None:
        """Ask the store again about this client."""
        for proof in [proof for proof, known in self._known.items() if known.login.client.id == client]:
            del self._known[proof]
        self._generation += 1

    async def refresh(self) -> None:
        """Read the clients' certificates again. One after the other: what was read before a client was revoked does
        not take the place of what was read after."""
        async with self._refreshing:
            held = await asyncio.to_thread(self._logins.certified)
            self._certified = {each.certificate.pin: each for each in held if each.certificate is not None}

    async def identify(self, arrival: Arrival) -> Login:
        source = source_of(arrival.peer)
        if arrival.certificate_pem is not None:
            login = self._certified.get(_pin_of(arrival.certificate_pem))
            if login is None or not self._good(login):
                self._pass_stranger(source)
                raise _unauthenticated("this certificate is no client's, or the client was revoked")
            if arrival.metadata.get(CLIENT_KEY, login.client.id) != login.client.id:
                raise _unauthenticated("this certificate is another client's than the call says")
            return self._counted(login)
        name, secret = arrival.metadata.get(CLIENT_KEY, ""), arrival.metadata.get(SECRET_KEY, "")
        short = 0 < len(name) <= LONGEST and 0 < len(secret) <= LONGEST
        proof = hmac.digest(
            self._key, hashlib.sha256(name[:LONGEST].encode()).digest() + secret[:LONGEST].encode(), "sha256"
        )
        if short and (login := self._remembered(proof)) is not None:
            return self._counted(login)
        self._pass_stranger(source)
        if not short:
            missing = not name or not secret
            raise _unauthenticated(
                "this call needs a client id and a secret" if missing else "client id or secret is too long"
            )
        login = await self._check(name, secret, proof)
        if login is None:
            raise _unauthenticated("client id or secret is wrong, or the client was revoked")
        self._failures.give_back(source)
        return self._counted(login)

    def admit_stranger(self, peer: str) -> None:
        """``RateLimited`` unless somebody from there may call once more without saying who it is."""
        if wait := self._strangers.take(source_of(peer)):
            raise RateLimited("too many calls from this address", retry_after=wait)

    def _pass_stranger(self, source: str) -> None:
        """``RateLimited`` unless the source may try once more. A failure is taken for granted, and given back."""
        if wait := self._strangers.take(source):
            raise RateLimited(
                "too many calls from this address that do not say who makes them", retry_after=wait
            )
        if wait := self._failures.take(source):
            raise RateLimited("too many failures from this address to prove who calls", retry_after=wait)

    def _counted(self, login: Login) -> Login:
        if wait := self._calls.take(login.client.id):
            raise RateLimited(f"{login.client.id} calls too often", retry_after=wait)
        return login

    def _remembered(self, proof: bytes) -> Login | None:
        known = self._known.get(proof)
        if known is None:
            return None
        if known.idle_at <= self._now() or not self._good(known.login):
            del self._known[proof]
            return None
        self._remember(proof, known.login)
        return known.login

    def _remember(self, proof: bytes, login: Login) -> None:
        self._known[proof] = _Known(login, self._now() + REMEMBERED_FOR)
        self._known.move_to_end(proof)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _good(self, login: Login) -> bool:
        return login.until_ms is None or login.until_ms > self._wall_ms()

    async def _check(self, name: str, secret: str, proof: bytes) -> Login | None:
        if self._waiting >= CHECKS_WAITING:
            raise UsageError("too many callers to check at once; try again", code=failures.BUSY)
        if wait := self._checks.take():
            raise RateLimited("too many callers to check", retry_after=wait)
        self._waiting += 1
        try:
            async with self._slots:
                while True:
                    generation = self._generation
                    login = await asyncio.to_thread(self._logins.authenticate, name, secret)
                    if generation == self._generation:
                        break  # else somebody was added or revoked meanwhile: perhaps this one
        finally:
            self._waiting -= 1
        if login is not None:
            self._remember(proof, login)
        return login


_pin_of = lru_cache(maxsize=REMEMBERED)(pin_of)


def _unauthenticated(message: str) -> UsageError:
    return UsageError(message, code=failures.UNAUTHENTICATED)
