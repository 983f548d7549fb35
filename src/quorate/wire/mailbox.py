"""What one machine holds of its session: the messages that came, those awaited, and the views of echoed rounds."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.errors import Bug
from quorate.identifiers import DeviceId, SessionId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import Message
from quorate.wire.courier import Courier
from quorate.wire.envelope import ALL, MAX_SLOT, Envelope, SignedHeader

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
    """What we saw of an echoed round: its slot and the hash of it."""

    slot: str
    hash: bytes


NOTHING: Final = View("", b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Where a differing view came to light: the slot, whose messages were read there, and the hash we expected."""

    slot: str
    parties: tuple[DeviceId, ...]
    view: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """An authenticated envelope and the frame it came in; of our own, the last in its slot."""

    envelope: Envelope
    signed: SignedHeader
    frame: bytes


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """What one machine holds of its session, shared by all its nets."""

    courier: Courier
    post: Callable[[Draft], None]
    early: dict[DeviceId, dict[str, int]]  # by sender: the slots we have not come to, with sizes
    letters: dict[tuple[str, DeviceId], Letter] = field(default_factory=dict)
    awaited: dict[str, frozenset[DeviceId]] = field(default_factory=dict)
    sent: set[tuple[str, DeviceId]] = field(default_factory=set)
    views: dict[str, View] = field(default_factory=dict)  # by path: the round echoed there last
    verbs: list[str] = field(default_factory=list)  # the paths of the verbs in flight
    split: Split | None = None

    def send(self, draft: Draft) -> None:
        """Post once: a second message to a reader of the same slot would be our own equivocation."""
        if len(draft.slot) > MAX_SLOT:
            raise Bug(f"the slot {draft.slot} is too long")
        if {(draft.slot, draft.recipient), (draft.slot, ALL)} & self.sent:
            raise Bug(
                f"a second message for {draft.recipient or 'all'} in {draft.slot}; use at() to tell them apart"
            )
        self.sent.add((draft.slot, draft.recipient))
        self.post(draft)

    async def receive(self, slot: str, senders: tuple[DeviceId, ...]) -> dict[DeviceId, Letter]:
        """The letters of all ``senders`` in ``slot``, once the last of them is here."""
        while missing := frozenset(p for p in senders if (slot, p) not in self.letters):
            self.awaited[slot] = self.awaited.get(slot, frozenset()) | missing
            await park()
        for sender in senders:
            self.early[sender].pop(slot, None)
        return {p: self.letters[slot, p] for p in senders}


def view_of(session: SessionId, slot: str, round_: Sequence[SignedHeader]) -> bytes:
    """The hash of one broadcast round as one party saw it: who said what, in order of id."""
    return digest(Domain.VIEW, session, slot, [(s.header.sender, s.header.body_hash) for s in round_])


def below(path: str, above: str) -> bool:
    """Whether ``path`` is ``above`` or branches off it."""
    return path == above or path.startswith((f"{above}/", f"{above}["))
