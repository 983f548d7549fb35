"""The device cards this node trusts, its own among them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from quorate.ceremony.identity import check_address, fingerprint, read_card, require_dialable
from quorate.ceremony.ports import Peer
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import DeviceId
from quorate.storage.audit import AuditBook, acting


class PeerBook(AuditBook):
    """The part of the ledger that knows who the peers are. Adding a card is an act of trust: whoever adds one has
    compared its fingerprint. A later card of a known device needs only its signature and a higher ``rev``."""

    _known_peers: Mapping[DeviceId, Peer] | None
    _peers_lock: threading.Lock

    def peers(self) -> Mapping[DeviceId, Peer]:
        """By device id, in their order; every card verified when it was last read from disk."""
        with self._peers_lock:
            if (known := self._known_peers) is None:
                known = self._known_peers = MappingProxyType(self._database.read(_peers))
            return known

    @property
    def me(self) -> Peer:
        """Our own card."""
        return self.peers()[self._device]

    def add_peer(self, card: str) -> Peer:
        """Keep a device's card, new or in place of an earlier one. The same card again changes nothing.

        ``UsageError`` for a card that does not verify, is not newer than the one held, has other keys under the same
        id, or takes another device's name or certificate.
        """
        peer = read_card(card)
        require_dialable(peer)
        by = acting.get()

        def change(connection: sqlite3.Connection) -> None:
            if keep_card(connection, peer, self._now_ms()):
                self._tell(
                    connection, "peer card", device=peer.device, name=peer.name, rev=peer.rev, address=peer.address,
                    fingerprint=fingerprint(peer), certificate=peer.certificate_pin.hex(), by=by,
                )  # fmt: skip

        self._database.write("add_peer", change)
        self._forget_peers()
        return peer

    def learn_card(self, device: DeviceId, card: str) -> bool:
        """ST-5.8 learned: keep a card that a known peer showed of itself, nobody having compared anything: only another
        address and another certificate may stand on it. Whether it was new."""
        held = self.peers().get(device)
        if held is not None and held.card == card:
            return False
        peer = read_card(card)
        if held is None or peer.device != device or device == self._device:
            raise UsageError(
                f"ST-5.8 learned: {device} showed a card of {peer.device}, which is another's to show",
                code="INVALID_CARD",
            )
        if (peer.name, peer.hardware_id) != (held.name, held.hardware_id):
            raise UsageError(
                f"ST-5.8 learned: {held.name} ({device}) shows a card with another name or hardware id, {peer.name!r}: "
                "somebody has to add it by hand",
                code="INVALID_CARD",
            )
        asking = acting.set("the peer itself")
        try:
            self.add_peer(card)
        finally:
            acting.reset(asking)
        return True

    def set_dial(self, device: DeviceId, address: str) -> Peer:
        """From now on reach a peer at this address (host:port), until it announces another of its own; "" for the one
        on its card."""
        if device == self._device:
            raise UsageError("our own address stands on our card: renew it")
        if address:
            check_address(address)
        by = acting.get()

        def change(connection: sqlite3.Connection) -> None:
            if (
                connection.execute("UPDATE peers SET dial = ? WHERE device = ?", (address, device)).rowcount
                != 1
            ):
                raise UsageError(f"no peer {device} is known", code="UNKNOWN_PEER")
            self._tell(connection, "peer address", device=device, address=address, by=by)

        self._database.write("set_dial", change)
        self._forget_peers()
        return self.peers()[device]

    def remove_peer(self, device: DeviceId) -> None:
        if device == self._device:
            raise UsageError("ST-5.4 ourselves: a node cannot forget itself")
        by = acting.get()

        def change(connection: sqlite3.Connection) -> None:
            if connection.execute("DELETE FROM peers WHERE device = ?", (device,)).rowcount != 1:
                raise UsageError(f"no peer {device} is known")
            self._tell(connection, "peer removed", device=device, by=by)

        self._database.write("remove_peer", change)
        self._forget_peers()

    def _forget_peers(self) -> None:
        """Drop the copy in memory. Under the lock, so that a read of the old rows cannot put it back."""
        with self._peers_lock:
            self._known_peers = None


def keep_card(connection: sqlite3.Connection, peer: Peer, now_ms: int) -> bool:
    """Whether it was another one than the one held."""
    known = _peers(connection)
    if (held := known.get(peer.device)) is not None:
        if held.card == peer.card:
            return False
        if fingerprint(held) != fingerprint(peer):
            raise UsageError(
                f"ST-5.2 rev: {peer.name}: this card has other keys than the one held under {peer.device}"
            )
        if peer.rev <= held.rev:
            raise UsageError(
                f"ST-5.2 rev: {peer.name}: card rev {peer.rev} is not above rev {held.rev}, which is held",
                code="OLD_CARD",
            )
    for other in known.values():
        if other.device == peer.device:
            continue
        if other.name == peer.name:
            raise UsageError(
                f"ST-5.3 one device: the name {peer.name!r} is {other.device}'s already; rename one of the two devices"
            )
        if other.certificate_pin == peer.certificate_pin:
            raise UsageError(f"ST-5.3 one device: {peer.name}: its certificate is {other.name}'s")
    connection.execute(
        "INSERT INTO peers (device, name, pin, rev, card, added_ms) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (device)"
        " DO UPDATE SET name = excluded.name, pin = excluded.pin, rev = excluded.rev, card = excluded.card",
        (peer.device, peer.name, peer.certificate_pin, peer.rev, peer.card, now_ms),
    )
    # An address that an operator set stands until the peer itself announces another.
    if held is not None and read_card(held.card).address != peer.address:
        connection.execute("UPDATE peers SET dial = '' WHERE device = ?", (peer.device,))
    return True


def _peers(connection: sqlite3.Connection) -> dict[DeviceId, Peer]:
    found = {}
    for device, rev, card, dial in connection.execute(
        "SELECT device, rev, card, dial FROM peers ORDER BY device"
    ):
        try:
            peer = read_card(str(card))
        except UsageError as error:
            raise Corrupt(f"peers: the card of {device}: {error}") from None
        if (peer.device, peer.rev) != (device, rev):
            raise Corrupt(f"peers: the card of {device} is that of {peer.device}, rev {peer.rev}")
        found[peer.device] = replace(peer, address=str(dial)) if dial else peer
    return found
