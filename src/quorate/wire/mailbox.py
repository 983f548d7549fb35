"""What one machine holds of its session: the messages that came, those awaited, and the views of echoed rounds."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from msgspec import structs

from quorate.errors import Bug
from quorate.identifiers import DeviceId, SessionId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import Message
from quorate.wire.courier import Courier
from quorate.wire.envelope import ALL, MAX_SLOT, VIEW_SIZE, Envelope, Header, SignedHeader

PARKED: Final = object()
"""What a protocol yields, and nothing else does: a coroutine that awaits anything else is found out."""


@types.coroutine
def park() -> Generator[object, None, None]:
    yield PARKED


def step(protocol: Coroutine[Any, None, object]) -> None:
    """Run a protocol up to where it parks; ``StopIteration`` carries its result."""
    if protocol.send(None) is not PARKED:
        protocol.close()
        raise Bug("a protocol awaited something that is not a verb of its net")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message about to be sent. ``recipient`` is ``ALL`` for a broadcast; anything else is sealed."""

    recipient: DeviceId
    slot: str
    view: bytes
    message: Message

    @property
    def sealed(self) -> bool:
        return self.recipient != ALL


@dataclass(frozen=True, slots=True)
class View:
    """What we saw of an echoed round: its slot and the view of it, as ``view_of`` gives it."""

    slot: str
    hash: bytes


NOTHING: Final = View("", b"")
MARK_SIZE = VIEW_SIZE - 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Where a differing view came to light: the slot, whose messages were read there, and the hash we expected."""

    slot: str
    parties: tuple[DeviceId, ...]
    view: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """An authenticated envelope and the frame it came in; of our own, the last in its slot, which is not signed before
    all that leaves with it is written."""

    envelope: Envelope
    header: Header
    flight: tuple[bytes, ...] = ()
    signature: bytes = b""
    frame: bytes = b""

    @property
    def signed(self) -> SignedHeader:
        if not self.signature:
            raise Bug(f"the letter in {self.header.slot} is not signed yet")
        return SignedHeader(header=self.header, flight=self.flight, signature=self.signature)


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """What one machine holds of its session, shared by all its nets."""

    courier: Courier
    post: Callable[[Draft], None]
    dispatch: Callable[[], None]  # what was posted and has not left leaves
    early: dict[DeviceId, dict[str, int]]  # by sender: the slots we have not come to, with sizes
    letters: dict[tuple[str, DeviceId], Letter] = field(default_factory=dict)
    awaited: dict[str, frozenset[DeviceId]] = field(default_factory=dict)
    sent: dict[str, set[DeviceId]] = field(default_factory=dict)  # by slot: to whom
    views: dict[str, View] = field(default_factory=dict)  # by path: the round echoed there last
    verbs: list[str] = field(default_factory=list)  # the paths of the verbs in flight
    split: Split | None = None

    def send(self, draft: Draft) -> None:
        """Post once: a second message to a reader of the same slot would be our own equivocation."""
        if len(draft.slot) > MAX_SLOT:
            raise Bug(f"the slot {draft.slot} is too long")
        told = self.sent.setdefault(draft.slot, set())
        if told & {draft.recipient, ALL} or (told and draft.recipient == ALL):
            raise Bug(
                f"a second message for {draft.recipient or 'all'} in {draft.slot}; use at() to tell them apart"
            )
        told.add(draft.recipient)
        self.post(draft)

    async def receive(self, slot: str, senders: tuple[DeviceId, ...]) -> dict[DeviceId, Letter]:
        """The letters of all ``senders`` in ``slot``, once the last of them is here."""
        letters = self.letters
        missing = senders
        while missing := tuple([p for p in missing if (slot, p) not in letters]):
            self.awaited[slot] = self.awaited.get(slot, frozenset()).union(missing)
            await park()
        for sender in senders:
            self.early[sender].pop(slot, None)
        return {p: letters[slot, p] for p in senders}

    def shed(self, path: str) -> None:
        """Drop the bodies of what was said at ``path`` and below it; who signed which hash stays known."""
        self.dispatch()
        for place, letter in self.letters.items():
            if letter.frame and below(place[0].rpartition("/")[0], path):
                bare = structs.replace(letter.envelope, body=b"")
                self.letters[place] = replace(letter, envelope=bare, frame=b"")


def view_of(session: SessionId, slot: str, round_: Sequence[Header]) -> bytes:
    """One broadcast round as one party saw it: which round, and the hash of who said what, in order of id. Which, so
    that nobody can pass the view of another round off as a different view of this one."""
    said = digest(Domain.VIEW, session, slot, [(header.sender, header.body_hash) for header in round_])
    return mark_of(slot) + said


def mark_of(slot: str) -> bytes:
    """How the views of the round in ``slot`` begin."""
    return digest(Domain.ROUND, slot, size=MARK_SIZE)


def below(path: str, above: str) -> bool:
    """Whether ``path`` is ``above`` or branches off it."""
    return path == above or path.startswith((f"{above}/", f"{above}["))
