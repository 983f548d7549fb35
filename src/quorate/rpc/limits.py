"""How often somebody may do something: a bucket of tokens for each, filled at a steady pace."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from quorate.errors import UsageError
from quorate.rpc import failures

ROOM = 4096  # buckets kept; who has not come for longest is forgotten first


class RateLimited(UsageError):
    """Too often. ``retry_after`` is in seconds."""

    reason = failures.RATE_LIMITED

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(f"{message}; try again in {retry_after:.1f} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Pace:
    """So many a second for long, and ``burst`` of them at once."""

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the client port takes. ``calls``: of one client. ``strangers``: calls that do not prove at once who makes
    them, from one source address. ``failures``: those that fail to, from one source address. ``checks``: secrets
    checked slowly, of all the world together."""

    calls: Pace = Pace(500, 1000)
    strangers: Pace = Pace(10, 50)
    failures: Pace = Pace(0.2, 10)
    checks: Pace = Pace(10, 50)


class Buckets:
    """One bucket for each key. ``now`` is in seconds, and only rises. With another ``pace`` who has tokens keeps them,
    as far as there is room."""

    def __init__(self, pace: Pace, now: Callable[[], float] = time.monotonic) -> None:
        self.pace, self._now = pace, now
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, as of when

    def take(self, key: str = "") -> float:
        """Take one token: 0, or, where there is none, the seconds until there is one."""
        tokens = self._tokens(key)
        if tokens < 1:
            return (1 - tokens) / self.pace.per_second
        self._keep(key, tokens - 1)
        return 0.0

    def give_back(self, key: str = "") -> None:
        self._keep(key, min(self._tokens(key) + 1, self.pace.burst))

    def _tokens(self, key: str) -> float:
        now = self._now()
        tokens, at = self._held.get(key, (float(self.pace.burst), now))
        return min(tokens + (now - at) * self.pace.per_second, self.pace.burst)

    def _keep(self, key: str, tokens: float) -> None:
        self._held[key] = (tokens, self._now())
        self._held.move_to_end(key)
        while len(self._held) > ROOM:
            self._held.popitem(last=False)


def source_of(peer: str) -> str:
    """Whom a connection is from, out of gRPC's words for it: an IPv4 address, or the /64 that one host of IPv6 has
    to itself."""
    kind, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0].replace("%5B", "[").replace("%5D", "]").strip("[]")
    if kind not in ("ipv4", "ipv6"):
        return peer
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return peer.rpartition(":")[0]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
