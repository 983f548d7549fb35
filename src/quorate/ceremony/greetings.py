"""What peers say of themselves: version, clock, boot, which epoch of each shared vault they hold, and new cards.

But for the cards, which prove themselves, for clocks that are too far apart (rule CE-1.12) and for another protocol
(CE-1.13), nothing is decided by it: it is what this node knows of the others when it tells its operator how things
stand.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from quorate.ceremony.allowance import Allowance
from quorate.ceremony.context import Context
from quorate.ceremony.ports import Method, Peer
from quorate.ceremony.statements import MAX_ASKED, Hello, Sight, VaultHead, hear, state
from quorate.ceremony.versions import Versions, common
from quorate.errors import EncodingError, QuorateError, Sealed, UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.protocols.policy import PolicyHead

log = structlog.get_logger()

ROUND = 1.0  # seconds between looks at whom to greet
AGAIN = 5.0  # seconds until a peer is greeted again; at once where it does not hold our vaults as we do


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquaintance:
    """A peer as it last spoke. ``at`` is on the monotonic clock; ``clock_offset`` is how far its wall clock is ahead of
    ours in seconds, give or take half of ``rtt``, as ``measured`` when it last answered a greeting of ours, None until
    then. ``sights``: how it sees those we asked it about."""

    version: str
    versions: Versions
    boot_counter: int
    heads: Mapping[VaultId, VaultHead]
    at: float
    clock_offset: float | None
    rtt: float | None
    measured: float  # on the monotonic clock
    sights: Mapping[DeviceId, Sight]
    holds: int  # the rev of our card that it holds

    @property
    def clock_apart(self) -> float:
        """Seconds that its clock and ours are apart at least, whatever the round trip did; 0 if nobody knows."""
        if self.clock_offset is None or self.rtt is None:
            return 0.0
        return max(abs(self.clock_offset) - self.rtt / 2, 0.0)


class Greetings:
    def __init__(
        self, context: Context, version: str, on_cards: Callable[[DeviceId, int], None] = lambda *_: None
    ) -> None:
        """``on_cards`` hears of a peer that has another card than before, or holds another one of ours, and of which
        rev."""
        self._context = context
        self._version = version
        self._on_cards = on_cards
        self._heard: dict[DeviceId, Acquaintance] = {}
        self._cards = Allowance(context.clock)

    @property
    def heard(self) -> Mapping[DeviceId, Acquaintance]:
        return MappingProxyType(self._heard)

    def mismatch(self, peer: DeviceId) -> str:
        """That we and the peer speak no protocol in common; empty where it does not, as far as is known."""
        known, ours = self._heard.get(peer), self._context.versions
        if known is None or common((known.versions, ours)) is not None:
            return ""
        return (
            f"CE-1.13 protocol: {self._context.name_of(peer)} speaks protocol {known.versions},"
            f" {self._context.name_of(self._context.me)} {ours}: run releases that have one in common"
        )

    def versions(self, device: DeviceId) -> Versions:
        """What it speaks, as it last said; where it said nothing, what we do."""
        known = self._heard.get(device)
        return self._context.versions if known is None else known.versions

    def hello(
        self, peer: DeviceId, *, asking: Collection[DeviceId] = (), about: Collection[str] = ()
    ) -> bytes:
        """Ours to a peer, with the vaults it is a member of, ``asking`` how it sees others, or saying how we see those
        that it asked ``about``."""
        context, known = self._context, self._heard.get(peer)
        cards = context.ledger.peers()
        held, own = cards.get(peer), cards[context.me]
        sealed = isinstance(context.ledger.fault, Sealed)
        heads = tuple(
            VaultHead(
                vault=v.id,
                epoch=v.epoch,
                certificate=v.certificate_hash,
                ready=v.ready and not sealed and context.quarantine.of(v.id) is None,
            )
            for v in context.vaults.all()
            if peer in v.sharing.devices
        )
        hello = Hello(
            version=self._version, protocol=context.versions.newest, clock_ms=context.clock.now_ms(),
            boot_counter=context.boot.counter, boot=context.boot.id, vaults=heads,
            asked=tuple(sorted(set(asking) - {peer})[:MAX_ASKED]), sights=self._sights(set(about) - {peer}),
            holds=held.rev if held is not None else 0,
            card=own.card if known is not None and known.holds < own.rev else "", policy=self._policy(peer),
            oldest=context.versions.oldest,
        )  # fmt: skip
        return state(context.identity, hello)

    def _policy(self, peer: DeviceId) -> PolicyHead | None:
        """Told to the signers of the governing vault alone."""
        policies = self._context.policies
        try:
            return policies.head if peer in policies.signers else None
        except QuorateError as error:
            log.error("policy unreadable", why=str(error))
            return None

    async def note(self, peer: DeviceId, hello: Hello) -> None:
        """Keep what a peer says when it greets us. When it said it we cannot tell, so not what its clock shows.
        ``UsageError`` for a card that is none of its own or not later than the one held."""
        known = self._heard.get(peer)
        if known is None:
            await self._keep(peer, hello, None, None, 0.0)
        else:
            await self._keep(peer, hello, known.clock_offset, known.rtt, known.measured)

    def _sights(self, devices: Collection[str]) -> tuple[Sight, ...]:
        """Of those that are our peers, and that the asker knew to name."""
        peers = self._context.ledger.peers()
        return tuple(
            self._sight(peers[device]) for device in map(DeviceId, sorted(devices))
            if device in peers and device != self._context.me
        )  # fmt: skip

    def _sight(self, peer: Peer) -> Sight:
        heard = self._heard.get(peer.device)
        rtt, offset = (heard.rtt or 0, heard.clock_offset or 0) if heard else (0, 0)
        return Sight(
            device=peer.device,
            rev=peer.rev,
            connected=self._context.mesh.connected(peer.device),
            rtt_us=math.ceil(rtt * 1e6),
            offset_ms=round(offset * 1000),
            version=heard.version if heard else "",
        )

    async def greet(self, peer: DeviceId, *, asking: Collection[DeviceId] = ()) -> Acquaintance:
        """Ask one peer how it is, and how it sees those in ``asking``, of whom it thereby learns that they are peers of
        ours. ``PeerError`` if it does not answer, ``UsageError`` for what is no hello of its own."""
        context, clock = self._context, self._context.clock
        started, sent_ms = clock.monotonic(), clock.now_ms()
        answer = await context.mesh.request(
            peer, Method.HELLO, self.hello(peer, asking=asking), timeout=context.limits.ask
        )
        rtt = clock.monotonic() - started
        signer, hello = hear(Hello, answer, context.key_of)
        if signer != peer:
            raise UsageError(f"CE-1.1 speaker: {peer} answered with a hello of {signer}", code="WRONG_SENDER")
        offset = (hello.clock_ms - sent_ms) / 1000 - rtt / 2
        return await self._keep(peer, hello, offset, rtt, clock.monotonic())

    async def keep_greeting(self) -> None:
        """Until cancelled: every peer that is connected, now and then; who is gone is forgotten with its card."""
        while True:
            context = self._context
            peers = context.ledger.peers()
            self._heard = {peer: known for peer, known in self._heard.items() if peer in peers}
            due = [peer for peer in peers if peer != context.me and self._due(peer)]
            for met in await asyncio.gather(*(self._try(peer) for peer in due), return_exceptions=True):
                if isinstance(met, Exception):
                    log.error("bug in a greeting", error=repr(met))
            await asyncio.sleep(ROUND)

    def _due(self, peer: DeviceId) -> bool:
        if not self._context.mesh.connected(peer):
            return False
        known = self._heard.get(peer)
        if known is None or known.clock_offset is None:
            return True
        late = known.holds < self._context.ledger.peers()[self._context.me].rev
        return late or self._context.clock.monotonic() - known.measured >= AGAIN or self._at_odds(peer, known)

    def _at_odds(self, peer: DeviceId, known: Acquaintance) -> bool:
        return any(
            (head := known.heads.get(vault.id)) is None
            or (head.epoch, head.certificate, head.ready)
            != (vault.epoch, vault.certificate_hash, vault.ready)
            for vault in self._context.vaults.all()
            if vault.active and peer in vault.sharing.devices
        )

    async def _try(self, peer: DeviceId) -> None:
        try:
            await self.greet(peer)
        except (QuorateError, EncodingError) as error:
            log.debug("no greeting", peer=peer, why=str(error))

    async def announce(self) -> None:
        """Greet everybody who is connected, at once: our card is another."""
        context = self._context
        connected = [peer for peer in context.ledger.peers() if context.mesh.connected(peer)]
        await asyncio.gather(*(self._try(peer) for peer in connected if peer != context.me))

    async def _learn(self, peer: DeviceId, hello: Hello) -> None:
        """Take a later card of the peer's, and tell who dials it what changed between us. ST-5.8 learned: one too many
        is left for now, and shown again until we hold it."""
        known, learned = self._heard.get(peer), False
        if hello.card and self._cards.has(peer):
            ledger = self._context.ledger
            try:
                learned = await self._context.aside(lambda: ledger.learn_card(peer, hello.card))
            except UsageError as error:
                log.warning("card refused", peer=peer, why=str(error))
                raise
        if learned:
            self._cards.take(peer)
            log.info("a peer has a new card", peer=peer, rev=self._context.peer(peer).rev)
        if learned or known is None or known.holds != hello.holds:
            self._on_cards(peer, hello.holds)

    def _note_policy(self, peer: DeviceId, head: PolicyHead | None) -> None:
        policies = self._context.policies
        try:
            if peer in policies.signers:
                policies.note(peer, head)
        except QuorateError as error:
            log.warning("policy refused", peer=peer, why=str(error))

    async def _keep(
        self, peer: DeviceId, hello: Hello, clock_offset: float | None, rtt: float | None, measured: float
    ) -> Acquaintance:
        await self._learn(peer, hello)
        self._note_policy(peer, hello.policy)
        heard = self._heard[peer] = Acquaintance(
            version=hello.version, versions=hello.versions, boot_counter=hello.boot_counter,
            heads=MappingProxyType({VaultId(head.vault): head for head in hello.vaults}),
            at=self._context.clock.monotonic(), clock_offset=clock_offset, rtt=rtt, measured=measured,
            sights=MappingProxyType({DeviceId(sight.device): sight for sight in hello.sights}),
            holds=hello.holds,
        )  # fmt: skip
        return heard
