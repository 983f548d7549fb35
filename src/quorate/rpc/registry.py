"""What the admin service needs to keep peers and callers: implemented by the node over its store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quorate.ceremony.ports import Peer
from quorate.rpc.client import Credentials
from quorate.storage import Client


class Registry(Protocol):
    """Blocking: called in a worker thread. What was changed is durable, and in effect, when the call returns."""

    def peers(self) -> Sequence[Peer]:
        """Every card this node trusts, its own first."""
        ...

    def add_peer(self, card: str) -> Peer: ...

    def clients(self) -> Sequence[Client]: ...

    def add_client(self, client: str, role: str, vaults: Sequence[str]) -> Credentials: ...

    def revoke_client(self, client: str) -> None: ...
