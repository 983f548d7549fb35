"""Who told different parties different things: signed headers, exchanged once views of a round turn out to differ.

A party that sees a differing view sends a dispute: the headers of the echoed round as it holds them, and two claims:
its own header with the view they give, and the other's with another view of that round. Those that hear it stop and
answer with the headers they hold, and show a proof that comes to them later. Two headers an honest sender never signs
both name it, whoever brought them; nothing else does, save that a party whose account of the round does not give the
view it signed lied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from quorate.errors import EncodingError
from quorate.identifiers import DeviceId, SessionId
from quorate.wire.codec import Message, decode, encode
from quorate.wire.envelope import ALL, SignedHeader, Slot, conflict
from quorate.wire.mailbox import Mailbox, Split, mark_of, view_of

DISPUTE_SLOT = "!dispute"
PROOF_SLOT = "!proof"
"""Where a party sends its dispute, and a proof that came to it after that. No path begins with an exclamation mark."""

Headers = Annotated[tuple[SignedHeader, ...], Meta(max_length=100)]
Proofs = Annotated[tuple[SignedHeader, ...], Meta(max_length=200)]


class Dispute(Message):
    """``slot`` is the echoed round's, or that of a proof; ``round`` is what its sender holds there of broadcasts,
    always. In an answer to somebody else's dispute ``claims`` is empty, and ``held`` is the conflicting headers the
    answerer found, and what it has in the places of the claims it was shown."""

    slot: Slot
    round: Headers
    claims: Headers
    held: Proofs


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a dispute comes to. ``shown``: it proves that somebody's view differs from its sender's. ``answer``: what we
    have to say to it, if our session was going on."""

    culprits: frozenset[DeviceId]
    evidence: tuple[bytes, ...]
    shown: bool
    answer: Dispute


@dataclass(slots=True, kw_only=True)
class Inquiry:
    """One machine's part in disputes: the headers it was shown, and who still owes an account of a view it signed.

    ``disputed`` is the slot of the round our session ended over, and ``claims`` the headers with views of it, each its
    signer's to account for; ``accounts``, by sender, the slot of its dispute and the view that its account gives.
    """

    session: SessionId
    me: DeviceId
    parties: tuple[DeviceId, ...]
    box: Mailbox
    witnessed: dict[tuple[str, DeviceId], list[SignedHeader]] = field(default_factory=dict)
    heard: set[tuple[str, DeviceId]] = field(default_factory=set)
    accounts: dict[DeviceId, tuple[str, bytes | None]] = field(default_factory=dict)
    disputed: str = ""
    claims: dict[DeviceId, SignedHeader] = field(default_factory=dict)

    @property
    def owing(self) -> frozenset[DeviceId]:
        """Who has claimed a view of the disputed round and not yet accounted for it."""
        return frozenset(p for p in self.claims if self.accounts.get(p, ("", None))[0] != self.disputed)

    @property
    def liars(self) -> dict[DeviceId, SignedHeader]:
        """Whose account does not give the view it claimed, and the claim."""
        accounted = {p: claim for p, claim in self.claims.items() if p not in self.owing}
        return {p: claim for p, claim in accounted.items() if self.accounts[p][1] != claim.header.view}

    def contradiction(self, signed: SignedHeader) -> tuple[SignedHeader, SignedHeader] | None:
        """What we hold or were shown that a peer cannot honestly have signed besides ``signed``."""
        place = (signed.header.slot, signed.header.sender)
        if place[1] == self.me:
            return None
        letter = self.box.letters.get(place)
        if letter is not None and conflict(letter.header, signed.header):
            return letter.signed, signed
        for each in self.witnessed.get(place, ()):
            if conflict(each.header, signed.header):
                return each, signed
        return None

    def account(self, slot: str, split: Split | None) -> Dispute:
        """What we hold of the round echoed in ``slot``, and where its views ``split`` before us."""
        claims: tuple[SignedHeader, ...] = ()
        if split is not None:
            said = [self.box.letters[split.slot, party].signed for party in split.parties]
            differing = [each for each in said if each.header.view != split.view]
            self._owe(slot, differing)
            ours = self._own_claim(split.view)
            claims = (ours, *differing) if ours else ()
        return Dispute(slot=slot, round=self._round(slot), claims=claims, held=())

    def proof(self, pair: tuple[SignedHeader, SignedHeader]) -> Dispute:
        """Two conflicting headers, and what we hold of their round: we may owe an account of it."""
        slot = pair[0].header.slot
        return Dispute(slot=slot, round=self._round(slot), claims=(), held=pair)

    def hear(self, slot: str, sender: DeviceId, body: bytes) -> Finding | None:
        """Weigh a peer's first dispute in ``slot``; ``EncodingError`` if it is not one, or shows what nobody signed.
        None for a later one."""
        if (slot, sender) in self.heard:
            return None
        self.heard.add((slot, sender))
        dispute = decode(Dispute, body)
        shown_us = (*dispute.round, *dispute.claims, *dispute.held)
        for signed in shown_us:
            self._authenticate(signed)
        found: dict[DeviceId, tuple[SignedHeader, ...]] = {}
        for signed in shown_us:
            pair = self.contradiction(signed)
            if pair is not None:
                found.setdefault(signed.header.sender, pair)
            self.witnessed.setdefault((signed.header.slot, signed.header.sender), []).append(signed)
        proofs = tuple(each for pair in found.values() for each in pair)
        if slot == DISPUTE_SLOT:
            self.accounts[sender] = (dispute.slot, self._view(dispute))
        shown = self._shows(sender, dispute)
        if shown and not self.disputed:
            self._owe(dispute.slot, dispute.claims)
        found = {liar: (claim,) for liar, claim in self.liars.items()} | found
        if dispute.claims and not shown and not found:
            raise EncodingError("a dispute that shows no difference")
        places = [(claim.header.slot, claim.header.sender) for claim in dispute.claims]
        held = tuple(self.box.letters[place].signed for place in places if place in self.box.letters)
        return Finding(
            culprits=frozenset(found),
            evidence=tuple(encode(each) for headers in found.values() for each in headers),
            shown=shown,
            answer=Dispute(
                slot=dispute.slot, round=self._round(dispute.slot), claims=(), held=(*proofs, *held)
            ),
        )

    def _owe(self, slot: str, claims: Iterable[SignedHeader]) -> None:
        """The round in ``slot`` is disputed: the others that claim views of it are to account for them."""
        mark = mark_of(slot)
        said = [
            each for each in claims if each.header.sender != self.me and each.header.view.startswith(mark)
        ]
        self.disputed, self.claims = slot, {each.header.sender: each for each in said}

    def _round(self, slot: str) -> Headers:
        held = (self.box.letters[slot, p].signed for p in self.parties if (slot, p) in self.box.letters)
        return tuple(signed for signed in held if signed.header.recipient == ALL)

    def _authenticate(self, signed: SignedHeader) -> None:
        header = signed.header
        known = header.session == self.session and header.sender in self.parties
        if not known or not signed.is_genuine(self.box.courier.verify):
            raise EncodingError("a dispute over an envelope that its sender did not sign")

    def _own_claim(self, view: bytes) -> SignedHeader | None:
        ours = (letter for (_, sender), letter in self.box.letters.items() if sender == self.me)
        return next((letter.signed for letter in ours if letter.envelope.view == view), None)

    def _view(self, dispute: Dispute) -> bytes | None:
        """The hash of the round a dispute accounts for; None if it does not account for a whole one."""
        senders = tuple(s.header.sender for s in dispute.round)
        places = {(s.header.slot, s.header.recipient) for s in dispute.round}
        if senders != self.parties or places != {(dispute.slot, ALL)}:
            return None
        return view_of(self.session, dispute.slot, [signed.header for signed in dispute.round])

    def _shows(self, sender: DeviceId, dispute: Dispute) -> bool:
        view, mark = self._view(dispute), mark_of(dispute.slot)
        claims = [s.header for s in dispute.claims if s.header.view.startswith(mark)]
        return (
            view is not None
            and any(claim.sender == sender and claim.view == view for claim in claims)
            and any(claim.sender != sender and claim.view != view for claim in claims)
        )
