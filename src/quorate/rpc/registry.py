"""What the admin service needs to keep peers and callers: implemented by the node over its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from quorate.ceremony.ports import Decided, Peer
from quorate.identifiers import DeviceId
from quorate.storage.clients import Client, Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a client needs to call the node, beside a key of its own where it has a certificate: host:port, its secret
    (empty with a certificate), and the one certificate to trust there."""

    endpoint: str
    secret: str = field(repr=False)
    ca_pem: str


class Registry(Protocol):
    """Blocking: called in a worker thread. What was changed is durable, and in effect, when the call returns."""

    def peers(self) -> Sequence[Peer]:
        """Every card this node trusts, its own first."""
        ...

    def add_peer(self, card: str) -> Peer: ...

    def remove_peer(self, device: DeviceId) -> Peer: ...

    def decided(self, since_ms: int, *, after: int, limit: int) -> Sequence[Decided]:
        """Decisions of this node's approver from then on, above the number ``after``."""
        ...

    def clients(self) -> Sequence[Client]: ...

    def add_client(
        self, client: str, grants: Sequence[Grant], *, certificate_pem: str = "", idempotency_key: str = ""
    ) -> Access: ...

    def rotate_client(
        self, client: str, *, certificate_pem: str = "", overlap_ms: int = 0, idempotency_key: str = ""
    ) -> Access: ...

    def revoke_client(self, client: str) -> None: ...
