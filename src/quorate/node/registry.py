"""Whom this node trusts and whom it serves: the same acts on a running node and on one at rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from quorate.ceremony.ports import Peer
from quorate.identifiers import DeviceId
from quorate.node.config import Settings
from quorate.rpc.client import Credentials
from quorate.storage import Client, SqliteLedger
from quorate.storage.clients import EVERY


class Registry:
    """Every method blocks until the change is on disk. ``changed`` hears who the peers are now, after they changed."""

    def __init__(
        self,
        ledger: SqliteLedger,
        settings: Settings,
        changed: Callable[[Mapping[DeviceId, Peer]], None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._changed = changed

    def peers(self) -> Sequence[Peer]:
        """Every card this node trusts, its own first."""
        me = self._ledger.me
        return (me, *(peer for peer in self._ledger.peers().values() if peer.device != me.device))

    def add_peer(self, card: str) -> Peer:
        """Trust a device card whose fingerprint somebody has compared."""
        peer = self._ledger.add_peer(card)
        if self._changed is not None:
            self._changed(self._ledger.peers())
        return peer

    def clients(self) -> Sequence[Client]:
        return self._ledger.clients()

    def add_client(self, client: str, role: str, vaults: Sequence[str]) -> Credentials:
        """A new caller, for every vault if none is listed; its secret is in the answer and nowhere else."""
        secret = self._ledger.add_client(client, role, vaults or (EVERY,))
        return Credentials(
            endpoint=self._settings.client.address,
            client_id=client,
            secret=secret,
            ca_pem=self._ledger.me.certificate_pem,
        )

    def revoke_client(self, client: str) -> None:
        self._ledger.revoke_client(client)
