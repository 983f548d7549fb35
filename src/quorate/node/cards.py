"""This node's card and certificates, and its peers', as they change: on a running node and on one at rest."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import contextmanager
from pathlib import Path

import structlog

from quorate.ceremony.greetings import Greetings
from quorate.ceremony.identity import peer_named
from quorate.ceremony.ports import Peer
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.node import logs
from quorate.node.certificates import (
    client_authority,
    earlier_identities,
    issue_client_certificate,
    own_identity,
)
from quorate.node.config import Settings, load
from quorate.node.founding import opened, write_card
from quorate.rpc.mesh import GrpcMesh
from quorate.rpc.node_server import NodeServer
from quorate.rpc.tls import create_identity
from quorate.rpc.trust import Trust
from quorate.rpc.upkeep import Certificates, Earlier
from quorate.storage import SqliteLedger

ANNOUNCING = 10.0  # seconds that a change waits for the peers that are connected
REV_LEAP = (
    1000  # how far above our own a rev may be that a peer says it holds: a lie must not use up the numbers
)

log = structlog.get_logger()


class Cards:
    """``live`` is what a running node adds. Every method of this class blocks: not for the event loop."""

    def __init__(
        self,
        home: Path,
        ledger: SqliteLedger,
        settings: Callable[[], Settings],
        live: LiveCards | None = None,
    ) -> None:
        self._home, self._ledger, self._settings, self._live = home, ledger, settings, live
        self._one_at_a_time = threading.Lock()

    def certificates(self) -> Certificates:
        ledger = self._ledger
        return Certificates(
            me=ledger.me,
            earlier=tuple(
                Earlier(rev=each.rev, certificate_pem=each.certificate_pem, until_ms=each.until_ms)
                for each in ledger.retiring()
            ),
            awaited=self._live.awaited() if self._live is not None else (),
            authority_pem=client_authority(ledger).certificate_pem,
        )

    def peers(self) -> Sequence[Peer]:
        return tuple(self._ledger.peers().values())

    def rotate(self, *, rev: int, at_once: bool) -> Certificates:
        with self._one_at_a_time:
            ledger, above = self._ledger, self._highest_rev()
            if ledger.me.rev > rev:
                return self.certificates()
            made = create_identity(ledger.me.device, rev=above + 1)
            overlap = 0 if at_once else round(self._settings().limits.overlap * 1000)
            me = ledger.renew_card(
                certificate_pem=made.certificate_pem,
                tls_key=SecretBytes.of(made.private_key_pem),
                above=above,
                overlap_ms=overlap,
            )
            log.info("certificate rotated", rev=me.rev, at_once=at_once)
            self._tell(me)
        return self.certificates()

    def set_address(self, device: str, address: str) -> Peer:
        with self._one_at_a_time:
            ledger = self._ledger
            peer = peer_named(device, ledger.peers().values()) if device else ledger.me
            if peer.device != ledger.me.device:
                changed = ledger.set_dial(peer.device, address)
                log.info("peer is reached elsewhere", peer=peer.device, address=changed.address)
                if self._live is not None:
                    self._live.redial()
                return changed
            if peer.address != address:
                peer = ledger.renew_card(address=address, above=self._highest_rev())
                log.info("address changed", rev=peer.rev, address=address)
                self._tell(peer)
            return peer

    def _highest_rev(self) -> int:
        """Our card's, or a later one that peers hold: ours, if this store was restored from before it."""
        own = self._ledger.me.rev
        held = self._live.revs_held() if self._live is not None else ()
        return max([own, *(rev for rev in held if rev <= own + REV_LEAP)])

    def _tell(self, me: Peer) -> None:
        write_card(self._home, me)
        if self._live is not None:
            self._live.renewed()


class LiveCards:
    """What a change of cards means to the connections of a running node."""

    def __init__(
        self,
        ledger: SqliteLedger,
        trust: Trust,
        mesh: GrpcMesh,
        settings: Callable[[], Settings],
        now: Callable[[], tuple[int, float]],
    ) -> None:
        """``now``: wall clock in milliseconds, monotonic clock in seconds."""
        self._ledger, self._trust, self._mesh = ledger, trust, mesh
        self._settings, self._now = settings, now
        self._retiring: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._greetings: Greetings | None = None
        self._clients: NodeServer | None = None

    def begin(self, greetings: Greetings, clients: NodeServer) -> None:
        """On the event loop, before anything else is called."""
        self._loop, self._greetings, self._clients = asyncio.get_running_loop(), greetings, clients

    # --- from worker threads

    def awaited(self) -> tuple[DeviceId, ...]:
        own = self._ledger.me
        heard = self._greetings.heard if self._greetings is not None else {}
        return tuple(
            device for device in self._ledger.peers()
            if device != own.device and (device not in heard or heard[device].holds < own.rev)
        )  # fmt: skip

    def revs_held(self) -> tuple[int, ...]:
        return tuple(known.holds for known in self._greetings.heard.values()) if self._greetings else ()

    def redial(self) -> None:
        self._mesh.update(self._ledger.peers())

    def renewed(self) -> None:
        """Show what is on our card now and have the peers that are connected learn it."""
        self._mesh.renew(own_identity(self._ledger), earlier_identities(self._ledger, self._now))
        if self._clients is not None:
            self._clients.renew(issue_client_certificate(self._ledger, self._settings()))
        if self._loop is not None and self._greetings is not None:
            announcing = asyncio.run_coroutine_threadsafe(self._greetings.announce(), self._loop)
            try:
                announcing.result(ANNOUNCING)
            except NoAnswer:
                log.info("not every peer has answered yet", awaited=list(self.awaited()))

    # --- on the event loop

    def on_cards(self, peer: DeviceId, holds: int) -> None:
        """A peer has a new card, or holds our card of this rev by now."""
        self._mesh.update(self._ledger.peers())
        self._mesh.confirm(peer, holds)
        if self._trust.overlapping and not self._trust.unconfirmed and self._retiring is None:
            self._retiring = asyncio.get_running_loop().create_task(self._retire())

    async def _retire(self) -> None:
        """Every peer holds a card with the new certificate: nobody asks for an earlier one."""
        try:
            await asyncio.to_thread(self._ledger.retire)
            self._mesh.renew(self._trust.identity, ())
            log.info("earlier certificates retired")
        except Exception as error:
            log.warning("earlier certificates not retired yet", error=repr(error))
        finally:
            self._retiring = None


@contextmanager
def at_rest(home: Path) -> Iterator[Cards]:
    """The cards of a node that is not running."""
    logs.configure("error", "text", home.name)
    settings = load(home)
    with opened(home, settings) as ledger:
        yield Cards(home, ledger, lambda: settings)
