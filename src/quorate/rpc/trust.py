"""Which certificate is which peer. The one place a channel gets its identity from.

Certificates change while connections are open. For an overlap a peer's earlier certificate still counts as the peer,
and ours is still shown to peers that hold a card with it: a dialler asks for the one on the card it holds by its name.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import grpc

from quorate.ceremony.ports import Peer
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.rpc.tls import TlsIdentity, pin_of, server_name_of

OVERLAP = 7 * 24 * 3600.0  # seconds that a replaced certificate counts, unless the new one is seen sooner
MOST_REPLACED = 4  # of one peer; a peer may show card after card
PARTING = 10.0  # seconds that it counts once the new one was seen: for what is under way


@dataclass(frozen=True, slots=True)
class Earlier:
    """A certificate of ours that was on our card up to ``rev``; shown until ``ends``, monotonic."""

    rev: int
    identity: TlsIdentity
    ends: float


@dataclass(slots=True)
class Replaced:
    """A certificate that a peer has replaced."""

    device: DeviceId
    certificate_pem: str
    ends: float


class Trust:
    """This node's certificate and its peers' pinned ones, replaceable while servers and channels are open.

    TLS lets in only holders of a peer's certificate; the pin of the one presented then says which peer it is. Use it
    from one thread.
    """

    def __init__(
        self,
        me: DeviceId,
        identity: TlsIdentity,
        peers: Mapping[DeviceId, Peer],
        *,
        earlier: Sequence[Earlier] = (),
        overlap: float = OVERLAP,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.me = me
        self.identity = identity
        self.overlap = overlap
        self.peers: Mapping[DeviceId, Peer] = {}
        self._earlier = tuple(earlier)
        self._holds: dict[DeviceId, int] = {}
        self._now = now
        self._version = 0
        self._by_pin: dict[bytes, DeviceId] = {}
        self._replaced: dict[bytes, Replaced] = {}
        self._seen: dict[bytes, DeviceId] = {}
        self._served = -1
        self.replace(peers)

    @property
    def version(self) -> int:
        """Another one whenever it may have changed who is whom."""
        now = self._now()
        ends = [each.ends for each in self._replaced.values()] + [each.ends for each in self._earlier]
        if min(ends, default=math.inf) <= now:
            self._replaced = {pin: each for pin, each in self._replaced.items() if each.ends > now}
            self._earlier = tuple(each for each in self._earlier if each.ends > now)
            self._changed()
        return self._version

    def replace(self, peers: Mapping[DeviceId, Peer]) -> None:
        """Trust exactly these from now on, for new connections and for the next message on open ones. A certificate of
        theirs that another takes the place of counts for the overlap too.

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
            # An earlier one of ours on a peer's card is no reason to stop: nobody but us has its key.
            if pin in by_pin or pin == self.identity.pin:
                raise UsageError(f"the certificate on the card of {peer.name} ({device}) is another device's")
            by_pin[pin] = device
        kept = {
            pin: each for pin, each in self._replaced.items() if each.device in others and pin not in by_pin
        }
        for device, before in self.peers.items():
            if device in others and before.certificate_pin not in by_pin:
                former = [pin for pin, each in kept.items() if each.device == device]
                for pin in former[: max(0, len(former) + 1 - MOST_REPLACED)]:
                    del kept[pin]
                kept[before.certificate_pin] = Replaced(
                    device, before.certificate_pem, self._now() + self.overlap
                )
        self.peers, self._by_pin, self._replaced = others, by_pin, kept
        self._holds = {device: rev for device, rev in self._holds.items() if device in others}
        self._changed()

    def renew(self, identity: TlsIdentity, earlier: Sequence[Earlier]) -> None:
        """Show another certificate of ours; ``earlier`` ones to those that hold a card with them."""
        self.identity, self._earlier = identity, tuple(earlier)
        self._changed()

    def confirm(self, device: DeviceId, rev: int) -> None:
        """A peer says that it holds our card of this rev."""
        if device in self.peers:
            self._holds[device] = rev

    def identity_for(self, device: DeviceId) -> TlsIdentity:
        """Our certificate as this peer knows us: the one on the card it holds."""
        holds = self._holds.get(device)
        if holds is None:
            return self.identity
        return next((each.identity for each in self._earlier if holds <= each.rev), self.identity)

    @property
    def unconfirmed(self) -> bool:
        """Whether earlier certificates are kept, and some peer has not said that it holds a card with the newest."""
        last = max((each.rev for each in self._earlier), default=0)
        return bool(self._earlier) and any(self._holds.get(device, 0) <= last for device in self.peers)

    @property
    def overlapping(self) -> bool:
        return bool(self._earlier)

    def device_of(self, certificate_pem: bytes) -> DeviceId | None:
        """The peer whose certificate this is, or was until not long ago, if it is one's."""
        known = self._seen.get(certificate_pem)
        if known is not None:
            return known
        pin = pin_of(certificate_pem)
        if (device := self._by_pin.get(pin)) is not None:
            self._seen[certificate_pem] = device
            for each in self._replaced.values():
                if each.device == device:
                    each.ends = min(each.ends, self._now() + PARTING)
            return device
        former = self._replaced.get(pin)
        return former.device if former is not None and former.ends > self._now() else None

    def server_credentials(self) -> grpc.ServerCredentials:
        """Mutual TLS that takes up a change of certificates at the next handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._reconfigured),  # None: unchanged
            require_client_authentication=True,
        )

    def channel_credentials(self, peer: Peer) -> grpc.ChannelCredentials:
        """For dialling this peer, and nobody else."""
        own = self.identity_for(peer.device)
        return grpc.ssl_channel_credentials(
            root_certificates=peer.certificate_pem.encode(),
            private_key=own.private_key_pem,
            certificate_chain=own.certificate_pem.encode(),
        )

    def server_name(self, peer: Peer) -> str:
        return server_name_of(peer.certificate_pem)

    def _changed(self) -> None:
        self._seen = {}
        self._version += 1

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        own = self.identity.certificate_pem
        trusted = [peer.certificate_pem for peer in self.peers.values()]
        trusted += [each.certificate_pem for each in self._replaced.values()]
        # With no peers our own certificate stands in: no roots at all could mean the system's.
        roots = "".join(trusted) or own
        shown = [self.identity, *(each.identity for each in self._earlier)]
        self._served = self._version
        return grpc.ssl_server_certificate_configuration(
            [(each.private_key_pem, each.certificate_pem.encode()) for each in shown], roots.encode()
        )

    def _reconfigured(self) -> grpc.ServerCertificateConfiguration | None:
        return self._configuration() if self._served != self.version else None
