"""Nodes hold each other to their audit chains: each keeps the signed heads that others showed, and shows them again.

docs/spec/audit.md, section AU-3. A node that is shown a head which it signed, and whose record its chain does not have,
was set back or forked: nobody else could have signed it. A peer that comes with less than it showed before is told of
here, and asked for its word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import structlog

from quorate.ceremony.allowance import Allowance
from quorate.ceremony.audit_heads import Head, PeerHeads
from quorate.ceremony.confinement import Why
from quorate.ceremony.context import Context
from quorate.ceremony.ports import Method
from quorate.ceremony.statements import Witness, hear, state
from quorate.errors import EncodingError, QuorateError, UsageError
from quorate.identifiers import DeviceId

log = structlog.get_logger()

ROUND = 1.0  # seconds between looks at whom to ask
AGAIN = 5.0  # seconds until a peer is asked again
LATER = 15.0  # the same, of one that did not answer


class Witnesses:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._held = dict(context.ledger.peer_heads())
        self._met: set[DeviceId] = set()  # since our start: they speak of heads
        self._shown_ours: set[DeviceId] = set()  # since our start: they showed what they hold of us
        self._due: dict[DeviceId, float] = {}
        self._doubts: dict[DeviceId, str] = {}
        self._anew = Allowance(context.clock)

    @property
    def held(self) -> Mapping[DeviceId, PeerHeads]:
        return MappingProxyType(self._held)

    @property
    def doubts(self) -> Mapping[DeviceId, str]:
        """Peers whose chain is not what they showed before, in words."""
        return MappingProxyType(self._doubts)

    # --- what we show

    def head_for(self, proposer: DeviceId) -> Head | None:
        """AU-3.2 votes: what rides on a vote for this proposer; None for one that never spoke of heads."""
        return self._context.ledger.audit_head() if proposer in self._met else None

    async def exchange(self, peer: DeviceId) -> None:
        """Show a peer our head and what we hold of it, and have its word on that. ``PeerError`` if it does not answer,
        ``UsageError`` for an answer that is none."""
        context, held = self._context, self._held.get(peer)
        shown = _shown(held)
        ours = await context.aside(context.ledger.audit_head)
        question = Witness(nonce=context.entropy.public(32), head=ours, held=shown, confirms=())
        answer = await context.mesh.request(
            peer, Method.WITNESS, state(context.identity, question), timeout=context.limits.ask
        )
        signer, said = hear(Witness, answer, context.key_of)
        if signer != peer or said.nonce != question.nonce:
            raise UsageError(
                f"AU-3.4 answer: {peer} answered with what is no answer of its own", code="WRONG_SENDER"
            )
        await self._look_at_ours(peer, said)
        self._judge(peer, shown, said)
        if not self._doubts.get(peer):
            before = self._held.get(peer) or PeerHeads(confirmed=said.head, highest=said.head)
            highest = max(before.highest, said.head, key=lambda head: head.sequence)
            await self._keep(peer, PeerHeads(confirmed=held.highest if held else said.head, highest=highest))
        self._met.add(peer)

    async def answer(self, sender: DeviceId, asked: Witness) -> bytes:
        """To a peer that shows its head, and what it holds of ours: which of that we stand by."""
        context = self._context
        found = await self._look_at_ours(sender, asked)
        self._require_own(sender, asked.head)
        shown = _shown(self._held.get(sender))  # as it was before: the asker compares it with its chain
        await self._see(sender, asked.head)
        ours = await context.aside(context.ledger.audit_head)
        self._met.add(sender)
        return state(context.identity, Witness(nonce=asked.nonce, head=ours, held=shown, confirms=found))

    def of_vote(self, voter: DeviceId, head: Head) -> PeerHeads | None:
        """What to keep of a head that came with a vote, in the transaction that keeps the vote; None for nothing. Its
        voter has seen what we held before, or it would have sent none."""
        self._require_own(voter, head)
        held = self._held.get(voter)
        if held is None or not self._follows(voter, held, head):
            return None
        self._held[voter] = replace(held, highest=head)
        return self._held[voter]

    async def keep_witnessing(self) -> None:
        """Until cancelled: every peer that is connected, now and then."""
        while True:
            context = self._context
            now, peers = context.clock.monotonic(), context.ledger.peers()
            for gone in (self._held.keys() | self._doubts.keys()) - peers.keys():
                self._held.pop(gone, None)
                self._doubts.pop(gone, None)
            due = [
                peer
                for peer in peers
                if peer != context.me and context.mesh.connected(peer) and self._due.get(peer, 0.0) <= now
            ]
            for met in await asyncio.gather(*map(self._try, due), return_exceptions=True):
                if isinstance(met, Exception):
                    log.error("bug in witnessing", error=repr(met))
            await asyncio.sleep(ROUND)

    async def _try(self, peer: DeviceId) -> None:
        try:
            await self.exchange(peer)
            self._due[peer] = self._context.clock.monotonic() + AGAIN
        except (QuorateError, EncodingError) as error:
            self._due[peer] = self._context.clock.monotonic() + LATER
            log.debug("no word on audit chains", peer=peer, why=str(error))

    async def begin_anew(self, peer: DeviceId) -> None:
        """With a peer that was restored or set back, said so, and is out of quarantine: what it lost is not asked for
        any more. Our own chain says that it was, with the head; of who begins without end it is not believed."""
        if not self._anew.has(peer):
            log.warning("a peer begins its audit chain anew too often", peer=peer)
            return
        self._anew.take(peer)
        self._held.pop(peer, None)
        self._doubts.pop(peer, None)
        await self._context.aside(lambda: self._context.ledger.forget_heads(peer))

    # --- what others show of theirs

    def _require_own(self, peer: DeviceId, head: Head) -> None:
        key = self._context.key_of(peer)
        if key is None or not head.signed_by(key):
            log.warning("AU-3.1 own: a peer shows a head of its audit chain that it did not sign", peer=peer)
            raise UsageError(f"AU-3.1 own: {peer} shows a head that it did not sign", code="FORGED_HEAD")

    def _follows(self, peer: DeviceId, held: PeerHeads, head: Head) -> bool:
        """AU-3.3 rising: whether it is a later one than all that we hold. One that is not may have been on its way for
        long, and the peer is asked; but of one number there is one."""
        for each in _shown(held):
            if each.sequence == head.sequence and each.hash != head.hash:
                self._doubt(peer, f"signed two records {head.sequence}")
                return False
        if head.sequence < held.highest.sequence:
            self._due.pop(peer, None)
        return head.sequence > held.highest.sequence

    async def _see(self, peer: DeviceId, head: Head) -> None:
        """A head that nobody has confirmed takes no other's place: its peer may be about to find that it lost that."""
        held = self._held.get(peer)
        if held is None:
            await self._keep(peer, PeerHeads(confirmed=head, highest=head))
        else:
            self._follows(peer, held, head)

    def _judge(self, peer: DeviceId, shown: tuple[Head, ...], said: Witness) -> None:
        """AU-3.3 rising: its answer was made after our question, so its head is none from before."""
        self._require_own(peer, said.head)
        held = shown[-1] if shown else None
        if held is not None and any(
            each.sequence == said.head.sequence and each.hash != said.head.hash for each in shown
        ):
            self._doubt(peer, f"signed two records {said.head.sequence}")
        elif held is not None and said.head.sequence < held.sequence:
            self._doubt(peer, f"is at record {said.head.sequence}, and showed record {held.sequence} before")
        elif lost := [each.sequence for each in shown if each not in said.confirms]:
            self._doubt(peer, f"does not stand by record {lost[0]}, which it signed")
        elif self._doubts.pop(peer, None) is not None:
            log.info("the audit chain of a peer is again what it showed", peer=peer)

    def _doubt(self, peer: DeviceId, why: str) -> None:
        if self._doubts.get(peer) != why:
            log.critical(
                "AU-3.3 rising: the audit chain of a peer was set back or forked", peer=peer,
                name=self._context.name_of(peer), why=why,
            )  # fmt: skip
        self._doubts[peer] = why

    async def _keep(self, peer: DeviceId, heads: PeerHeads) -> None:
        """Durable, but for a disk that takes nothing: then in memory until it does."""
        if self._held.get(peer) != heads:
            self._held[peer] = heads
            if self._context.ledger.fault is None:
                await self._context.aside(lambda: self._context.ledger.keep_heads(peer, heads))

    # --- what others hold of ours

    async def _look_at_ours(self, peer: DeviceId, said: Witness) -> tuple[Head, ...]:
        """Which of the heads that a peer holds of us are in our chain. One that is not, and that we signed, is the
        end of our part in anything (AU-3.5)."""
        context = self._context
        for head in said.held:
            if not head.signed_by(context.identity.identity_key):
                log.warning("AU-3.1 own: a peer shows a forged head of our audit chain", peer=peer)
                raise UsageError(f"AU-3.1 own: {peer} shows a head that we did not sign", code="FORGED_HEAD")
        found = await context.aside(lambda: [context.ledger.audit_hash(each.sequence) for each in said.held])
        heeded = peer not in self._shown_ours
        for head, own in zip(said.held, found, strict=True):
            if own != head.hash and (head.sequence, head.hash) not in context.ledger.lost_heads():
                if not heeded:
                    log.warning(
                        "AU-3.6 at once: a peer kept back what it holds", peer=peer, record=head.sequence
                    )
                    continue
                lacks = "has no such record" if own is None else "has another one"
                await self._refuse(
                    head,
                    f"{context.name_of(peer)} holds our signed head of record {head.sequence}, and our chain {lacks}",
                )
        self._shown_ours.add(peer)  # once that is durable
        return tuple(head for head, own in zip(said.held, found, strict=True) if own == head.hash)

    async def _refuse(self, head: Head, why: str) -> None:
        """AU-3.5 refusal: loudly, with the end of every session, and each head once: what a quarantine was about is no
        reason for the next."""
        context = self._context
        log.critical("AU-3.5 refusal: this node's store was set back or forked", why=why)
        await context.aside(lambda: context.quarantine.enter(Why.SET_BACK, f"AU-3.5 refusal: {why}"))
        await context.aside(lambda: context.ledger.lose_head(head.sequence, head.hash))
        context.set_back = context.set_back or why


def _shown(held: PeerHeads | None) -> tuple[Head, ...]:
    """In rising order."""
    return () if held is None else tuple(dict.fromkeys((held.confirmed, held.highest)))
