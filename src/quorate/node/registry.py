"""Whom this node trusts and whom it serves: the same acts on a running node and on one at rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from quorate.ceremony.ports import Decided, Peer
from quorate.ceremony.vaults import Vaults
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.node.certificates import client_authority
from quorate.node.config import Settings
from quorate.rpc.client_certificates import read_certificate
from quorate.rpc.registry import Access
from quorate.storage import Client, SqliteLedger
from quorate.storage.clients import Certificate, Grant


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

    def remove_peer(self, device: DeviceId) -> Peer:
        """Trust a peer no more. ``UsageError`` where a vault cannot do without it: it is taken out of that first."""
        peer = self._ledger.peers().get(device)
        if peer is None:
            raise UsageError(f"no peer {device} is known here", code="UNKNOWN_PEER")
        me = self._ledger.me.device
        if device != me and (needed := Vaults(self._ledger, me).needing(device)):
            names = ", ".join(sorted({vault.name for vault in needed}))
            raise UsageError(
                f"{peer.name} is a signer of {names}: first quorate vault reshare VAULT --remove {peer.name}",
                code="STILL_A_SIGNER",
            )
        self._ledger.remove_peer(device)
        if self._changed is not None:
            self._changed(self._ledger.peers())
        return peer

    def decided(self, since_ms: int, *, after: int, limit: int) -> Sequence[Decided]:
        return self._ledger.decided(since_ms, after=after, limit=limit)

    def clients(self) -> Sequence[Client]:
        return self._ledger.clients()

    def add_client(
        self, client: str, grants: Sequence[Grant], *, certificate_pem: str = "", idempotency_key: str = ""
    ) -> Access:
        """A new caller; its secret is in the answer and nowhere else."""
        certificate = self._certificate(certificate_pem)
        secret = self._ledger.add_client(client, grants, certificate=certificate, key=idempotency_key)
        return self._access(secret)

    def rotate_client(
        self, client: str, *, certificate_pem: str = "", overlap_ms: int = 0, idempotency_key: str = ""
    ) -> Access:
        certificate = self._certificate(certificate_pem)
        secret = self._ledger.rotate_client(
            client, certificate=certificate, overlap_ms=overlap_ms, key=idempotency_key
        )
        return self._access(secret)

    def revoke_client(self, client: str) -> None:
        self._ledger.revoke_client(client)

    def _certificate(self, pem: str) -> Certificate | None:
        if not pem:
            return None
        if not self._settings.client.certificate_address:
            raise UsageError(
                "this node takes no client certificates: set client.certificate_port, and start it again"
            )
        return read_certificate(pem)

    def _access(self, secret: str) -> Access:
        client = self._settings.client
        return Access(
            endpoint=client.address if secret else client.certificate_address,
            secret=secret,
            ca_pem=client_authority(self._ledger).certificate_pem,
        )
