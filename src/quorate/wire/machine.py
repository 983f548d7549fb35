"""A protocol as a value: bytes in, frames out. It owns no socket, clock, thread or lock; one caller at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from quorate.errors import Aborted, Diverged, EncodingError, ProtocolAbort, QuorateError, Stalled, UsageError
from quorate.identifiers import DeviceId, SessionId
from quorate.wire.codec import encode
from quorate.wire.courier import Courier
from quorate.wire.dispute import DISPUTE_SLOT, PROOF_SLOT, Dispute, Inquiry
from quorate.wire.envelope import (
    ALL,
    MAX_BODY,
    MAX_FLIGHT,
    MAX_SEALED,
    Envelope,
    SignedHeader,
    pack,
    statement,
    unpack,
)
from quorate.wire.mailbox import Draft, Letter, Mailbox, step
from quorate.wire.net import Net

T = TypeVar("T")

MAX_EARLY_MESSAGES = 128  # of one peer, for slots we have not come to
MAX_EARLY_BYTES = 4 << 20  # the same, bodies


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a frame was dropped without effect. For this node's own eyes: nobody can be blamed for it."""

    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What an observer sees of one message, sent or received: never its content. ``size`` is the body's, in bytes."""

    sender: DeviceId
    recipient: DeviceId
    slot: str
    size: int


Observer: TypeAlias = Callable[[Passage], None]


class Machine(Generic[T]):
    """Runs one party's protocol in one session, from its first step on.

    ``deliver`` never raises for what a peer sent: a frame that does not authenticate is dropped, anything else that is
    wrong ends the session with ``failure``. After that the machine only listens for evidence.
    """

    def __init__(
        self,
        me: DeviceId,
        parties: Iterable[DeviceId],
        sid: SessionId,
        courier: Courier,
        protocol: Callable[[Net], Coroutine[Any, None, T]],
        *,
        observe: Observer | None = None,
    ) -> None:
        self.me = me
        self.parties = tuple(sorted(parties))
        if me not in self.parties or len(set(self.parties)) != len(self.parties):
            raise UsageError(f"{me} must be one of the session's parties, each named once")
        self.sid = sid
        self.result: T | None = None
        self.failure: QuorateError | None = None
        self.done = False
        self._courier = courier
        self._observe = observe
        self._outbox: deque[tuple[DeviceId, bytes]] = deque()
        self._flight: list[tuple[Draft, Letter]] = []  # written, not signed
        self._peers = tuple(p for p in self.parties if p != me)
        early: dict[DeviceId, dict[str, int]] = {p: {} for p in self._peers}
        self.box = Mailbox(courier=courier, post=self._post, dispatch=self._dispatch, early=early)
        self._proved = False
        self._inquiry = Inquiry(session=sid, me=me, parties=self.parties, box=self.box)
        self._protocol = protocol(Net(me=me, parties=self.parties, sid=sid, box=self.box))
        self._step()

    @property
    def waiting_on(self) -> tuple[frozenset[DeviceId], str]:
        """Who has yet to speak before this machine can go on, and the first slot of those awaited. After ``Diverged``
        with nobody to blame: who has yet to account for the view it signed."""
        if self.done:
            unsettled = isinstance(self.failure, Diverged) and not self.failure.culprits
            return self._inquiry.owing if unsettled else frozenset(), DISPUTE_SLOT if unsettled else ""
        awaited = self.box.awaited
        return frozenset().union(*awaited.values()), next(iter(awaited), "")

    def deliver(self, frame: bytes, channel: DeviceId) -> Rejected | None:
        """Take in a frame from the link to ``channel``; why it was dropped, if it was."""
        try:
            signed = unpack(frame)
        except EncodingError:
            return Rejected("W-2.1 frame")
        envelope = signed.envelope
        if channel != envelope.sender or channel not in self._peers:
            return Rejected("W-2.2 sender")
        if envelope.session != self.sid:
            return Rejected("W-2.3 session")
        if envelope.recipient not in (ALL, self.me):
            return Rejected("W-2.4 recipient")
        if self.done and not isinstance(self.failure, Diverged):
            return Rejected("W-2.5 over")
        held = self.box.letters.get((envelope.slot, envelope.sender))
        if held is not None and held.frame == frame:
            return None
        header = signed.signed_header
        if not header.is_genuine(self._courier.verify):
            return Rejected("W-2.6 signature")
        if envelope.slot in (DISPUTE_SLOT, PROOF_SLOT):
            self._hear(envelope)
        else:
            self._accept(envelope, header, frame)
        return None

    def drain(self) -> list[tuple[DeviceId, bytes]]:
        """The frames to put on the links, in order. Those sent before a failure are still due."""
        out = list(self._outbox)
        self._outbox.clear()
        return out

    def stall(self) -> None:
        """Give up waiting: the session fails as ``Stalled``, naming who it waits on."""
        self.end(Stalled(*self.waiting_on))

    def end(self, failure: QuorateError) -> None:
        """End the session from outside, unless it is over."""
        if not self.done:
            self._fail(failure)

    def _accept(self, envelope: Envelope, signed: SignedHeader, frame: bytes) -> None:
        place = (envelope.slot, envelope.sender)
        held = self.box.letters.get(place)
        pair = self._inquiry.contradiction(signed)
        if pair is not None:
            self._equivocated(envelope.sender, pair)
        if self.done or held is not None:
            return
        self.box.letters[place] = Letter(envelope, signed.header, signed.flight, signed.signature, frame)
        self._saw(envelope)
        awaited = self.box.awaited.get(envelope.slot, frozenset())
        if envelope.sender in awaited:
            missing = awaited - {envelope.sender}
            if missing:
                self.box.awaited[envelope.slot] = missing
            else:
                self._step()
            return
        early = self.box.early[envelope.sender]
        early[envelope.slot] = len(envelope.body)
        if len(early) > MAX_EARLY_MESSAGES or sum(early.values()) > MAX_EARLY_BYTES:
            self._fail(ProtocolAbort("W-4.3 early", envelope.sender))

    def _step(self) -> None:
        self.box.awaited.clear()
        try:
            self._run()
        except StopIteration as stop:
            self.result, self.done = stop.value, True
            self.box.letters.clear()  # nothing is looked up any more, and bodies are large
        except Diverged as failure:
            self._fail(failure)
            self._tell(self._inquiry.account(failure.slot, self.box.split), DISPUTE_SLOT)
            liars = self._inquiry.liars
            self._learn(frozenset(liars), tuple(map(encode, liars.values())))
        except QuorateError as failure:
            self._fail(failure)
        except BaseException:
            self._fail(Aborted("an internal error ended the session"))
            raise

    def _run(self) -> None:
        """Up to where the protocol waits or ends. All it has said then leaves together, however it ended."""
        try:
            step(self._protocol)
        finally:
            self._dispatch()

    def _equivocated(self, culprit: DeviceId, pair: tuple[SignedHeader, SignedHeader]) -> None:
        evidence = tuple(encode(each) for each in pair)
        proof = self._inquiry.proof(pair)
        if not isinstance(self.failure, Diverged):
            self._fail(ProtocolAbort("W-5.1 one envelope per slot", culprit, evidence=evidence))
            self._tell(proof, DISPUTE_SLOT)
        elif culprit not in self.failure.culprits:
            self._learn(frozenset({culprit}), evidence)
            if not self._proved:
                self._proved = True
                self._tell(proof, PROOF_SLOT)

    def _hear(self, envelope: Envelope) -> None:
        try:
            finding = self._inquiry.hear(envelope.slot, envelope.sender, envelope.body)
        except EncodingError:
            if not self.done:
                self._fail(ProtocolAbort("W-5.3 dispute", envelope.sender))
            return
        if finding is None:
            return
        if self.done:
            self._learn(finding.culprits, finding.evidence)
        elif finding.shown:
            self._fail(Diverged(finding.answer.slot, finding.culprits, finding.evidence))
            self._tell(finding.answer, DISPUTE_SLOT)
        elif finding.culprits:
            rule = "W-5.1 one envelope per slot"
            self._fail(ProtocolAbort(rule, *finding.culprits, evidence=finding.evidence))
            self._tell(finding.answer, DISPUTE_SLOT)

    def _learn(self, culprits: frozenset[DeviceId], evidence: tuple[bytes, ...]) -> None:
        """Name those that came to light after the session had diverged."""
        if isinstance(self.failure, Diverged) and not culprits <= self.failure.culprits:
            known = self.failure
            self.failure = Diverged(known.slot, known.culprits | culprits, (*known.evidence, *evidence))

    def _tell(self, dispute: Dispute, slot: str) -> None:
        """Each slot once, as everywhere."""
        self._post(Draft(recipient=ALL, slot=slot, view=b"", message=dispute))
        self._dispatch()

    def _fail(self, failure: QuorateError) -> None:
        self._protocol.close()
        self.failure, self.done = failure, True

    def _post(self, draft: Draft) -> None:
        letter = self.write(draft, encode(draft.message, private=draft.sealed))
        self._saw(letter.envelope)
        self.box.letters[draft.slot, self.me] = letter
        self._flight.append((draft, letter))

    def _dispatch(self) -> None:
        written, self._flight = self._flight, []
        for first in range(0, len(written), MAX_FLIGHT):
            together = written[first : first + MAX_FLIGHT]
            letters = self.sign([letter for _, letter in together])
            for (draft, _), letter in zip(together, letters, strict=True):
                self.box.letters[draft.slot, self.me] = letter
                for recipient in self._peers if draft.recipient == ALL else (draft.recipient,):
                    self._outbox.extend((recipient, frame) for frame in self.copies(draft, recipient, letter))

    def copies(self, draft: Draft, recipient: DeviceId, letter: Letter) -> Iterable[bytes]:  # noqa: ARG002
        """What goes to one recipient: the letter, once. The simulator's cheaters think otherwise."""
        return (letter.frame,)

    def write(self, draft: Draft, body: bytes) -> Letter:
        """Seal ``body`` if it is private, and put it with all that places it; to be signed."""
        sealed = draft.sealed
        if sealed:
            body = self._courier.seal(draft.recipient, draft.slot, body)
        limit = MAX_SEALED if sealed else MAX_BODY
        if len(body) > limit:
            raise UsageError(f"a message of {len(body)} bytes for {draft.slot}; at most {limit} travel")
        envelope = Envelope(
            session=self.sid, sender=self.me, recipient=draft.recipient, slot=draft.slot, view=draft.view,
            sealed=sealed, body=body,
        )  # fmt: skip
        return Letter(envelope, envelope.header)

    def sign(self, letters: Sequence[Letter]) -> list[Letter]:
        """One flight of them."""
        flight = tuple([letter.header.digest for letter in letters])
        signature = self._courier.sign(statement(flight))
        return [
            Letter(each.envelope, each.header, flight, signature, pack(each.envelope, flight, signature))
            for each in letters
        ]

    def _saw(self, envelope: Envelope) -> None:
        if self._observe is not None:
            size = len(envelope.body)
            self._observe(
                Passage(sender=envelope.sender, recipient=envelope.recipient, slot=envelope.slot, size=size)
            )
