"""Which certificate is which peer. The one place a channel gets its identity from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import grpc

from quorate.ceremony.ports import Peer
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.rpc.tls import TlsIdentity, pin_of, server_name_of


class Trust:
    """This node's certificate and its peers' pinned ones, replaceable while servers and channels are open.

    TLS lets in only holders of a peer's certificate; the pin of the one presented then says which peer it is.
    """

    def __init__(self, me: DeviceId, identity: TlsIdentity, peers: Mapping[DeviceId, Peer]) -> None:
        self.me = me
        self.identity = identity
        self.version = 0
        self.peers: Mapping[DeviceId, Peer] = {}
        self._by_pin: dict[bytes, DeviceId] = {}
        self._seen: dict[bytes, DeviceId] = {}
        self._served = -1
        self.replace(peers)

    def replace(self, peers: Mapping[DeviceId, Peer]) -> None:
        """Trust exactly these from now on, for new connections and for the next message on open ones.

        ``UsageError``, and nothing changed, if a card's pin is not its certificate's or two cards share one.
        """
        others = {device: peer for device, peer in peers.items() if device != self.me}
        by_pin: dict[bytes, DeviceId] = {}
        for device, peer in others.items():
            pin = pin_of(peer.certificate_pem)
            if pin != peer.certificate_pin:
                raise UsageError(
                    f"the certificate on the card of {peer.name} ({device}) is not the one it pins"
                )
            if pin in by_pin or pin == self.identity.pin:
                raise UsageError(f"the certificate on the card of {peer.name} ({device}) is another device's")
            by_pin[pin] = device
        self.peers, self._by_pin, self._seen = others, by_pin, {}
        self.version += 1

    def device_of(self, certificate_pem: bytes) -> DeviceId | None:
        """The peer whose certificate this is, if it is one's."""
        known = self._seen.get(certificate_pem)
        if known is None:
            known = self._by_pin.get(pin_of(certificate_pem))
            if known is not None:
                self._seen[certificate_pem] = known
        return known

    def server_credentials(self) -> grpc.ServerCredentials:
        """Mutual TLS that takes up a change of peers at the next handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._changed),  # None: unchanged
            require_client_authentication=True,
        )

    def channel_credentials(self, peer: Peer) -> grpc.ChannelCredentials:
        """For dialling this peer, and nobody else."""
        return grpc.ssl_channel_credentials(
            root_certificates=peer.certificate_pem.encode(),
            private_key=self.identity.private_key_pem,
            certificate_chain=self.identity.certificate_pem.encode(),
        )

    def server_name(self, peer: Peer) -> str:
        return server_name_of(peer.certificate_pem)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        own = self.identity.certificate_pem
        # With no peers our own certificate stands in: no roots at all could mean the system's.
        roots = "".join(peer.certificate_pem for peer in self.peers.values()) or own
        self._served = self.version
        return grpc.ssl_server_certificate_configuration(
            [(self.identity.private_key_pem, own.encode())], roots.encode()
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        return self._configuration() if self._served != self.version else None
