"""The verbs a protocol is written in.

A protocol is an ``async def`` that awaits nothing but these; the bare ``yield`` in ``_park`` is its only suspension
point. A message's slot is the path it travels on and its type, so early and reordered messages simply wait.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar, overload

from quorate.curves import Group
from quorate.errors import Bug, Diverged, EncodingError, ProtocolAbort, require
from quorate.identifiers import DeviceId, SessionId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import Message, decode
from quorate.wire.courier import Courier, exchange_public, open_with
from quorate.wire.envelope import ALL, MAX_SLOT, Envelope, SignedHeader, unpack

M = TypeVar("M", bound=Message)
T = TypeVar("T")
U = TypeVar("U")

PARKED: Final = object()
"""What a protocol yields, and nothing else does: a coroutine that awaits anything else is found out."""

LABEL = re.compile("[a-z0-9-]+")


@types.coroutine
def _park() -> Generator[object, None, None]:
    yield PARKED


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In a lenient scatter, what stands for a private body that does not open or does not decode."""

    reason: str


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
    read: set[tuple[str, DeviceId]] = field(default_factory=set)
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
            await _park()
        for sender in senders:
            self.read.add((slot, sender))
            self.early[sender].pop(slot, None)
        return {p: self.letters[slot, p] for p in senders}


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """One party's end of a session, at one path. ``parties`` are in order of id and include us.

    Verbs of one path may run side by side, except that an ``echo`` must be alone on its path and below it.
    """

    me: DeviceId
    parties: tuple[DeviceId, ...]
    sid: SessionId
    box: Mailbox = field(repr=False)
    path: str = ""
    curve_group: Group | None = None
    inherited: View = NOTHING

    @property
    def others(self) -> tuple[DeviceId, ...]:
        return tuple(p for p in self.parties if p != self.me)

    @property
    def group(self) -> Group:
        if self.curve_group is None:
            raise Bug(f"no group was chosen at {self.path or '/'}: call over(group)")
        return self.curve_group

    @property
    def view(self) -> View:
        """What our next message here says we saw: the hash of the last echoed round here, else of the one before this
        path was opened, else nothing."""
        return self.box.views.get(self.path, self.inherited)

    def at(self, label: str) -> Net:
        """The same parties on a path below this one."""
        if not LABEL.fullmatch(label):
            raise Bug(f"{label!r} cannot be part of a path")
        return replace(self, path=f"{self.path}/{label}", inherited=self.view)

    def over(self, group: Group) -> Net:
        """Below this path, with points and scalars decoded in ``group``."""
        return replace(self.at(group.curve.value), curve_group=group)

    def pair(self, peer: DeviceId, label: str) -> Pair:
        """The two-party net with ``peer``; both ends name it alike."""
        if peer not in self.others:
            raise Bug(f"{peer} is not another party of this session")
        low, high = sorted((self.me, peer))
        below = self.at(label)
        return Pair(net=replace(below, parties=(low, high), path=f"{below.path}[{low},{high}]"), peer=peer)

    def slot(self, kind: type[Message]) -> str:
        return f"{self.path}/{kind.__name__}"

    async def broadcast(self, message: M) -> dict[DeviceId, M]:
        """Tell all the same; everyone's message."""
        return await self._broadcast(message, echoed=False)

    async def echo(self, message: M) -> dict[DeviceId, M]:
        """Tell all the same, and have it compared: the messages that follow here and below carry the hash of this
        round as their sender saw it, and ``Diverged`` ends the session where two hashes differ. So at least one round
        must follow."""
        return await self._broadcast(message, echoed=True)

    @overload
    async def scatter(self, messages: Mapping[DeviceId, M]) -> dict[DeviceId, M]: ...

    @overload
    async def scatter(
        self, messages: Mapping[DeviceId, M], *, lenient: Literal[True]
    ) -> dict[DeviceId, M | Unreadable]: ...

    async def scatter(
        self, messages: Mapping[DeviceId, M], *, lenient: bool = False
    ) -> dict[DeviceId, M] | dict[DeviceId, M | Unreadable]:
        """A private message to each party; the one each had for us, and our own. ``lenient``: ``Unreadable`` for one
        that does not open or decode, where else its sender is blamed."""
        if set(messages) != set(self.parties):
            raise Bug("a scatter has one message for each party, our own included")
        mine = messages[self.me]
        kind, view = type(mine), self.view
        for party in self.others:
            self.box.send(
                Draft(recipient=party, slot=self.slot(kind), view=view.hash, message=messages[party])
            )
        with _Verb(self, alone=False):
            heard: dict[DeviceId, M | Unreadable] = dict(
                await self._read(kind, self.others, view, lenient=lenient)
            )
        return {p: mine if p == self.me else heard[p] for p in self.parties}

    def evidence(self, party: DeviceId, kind: type[Message]) -> bytes:
        """The signed envelope in which ``party`` sent us its ``kind`` on this path."""
        return self.box.letters[self.slot(kind), party].frame

    def disclose(self) -> bytes:
        """Our session private key, to support a complaint. The session can seal nothing after it."""
        return self.box.courier.disclose()

    def open_disclosed(
        self, frame: bytes, *, dealer: DeviceId, complainer: DeviceId, kind: type[M], private_key: bytes
    ) -> M | Unreadable:
        """What ``dealer`` sent ``complainer`` in the slot of ``kind`` here, opened with the session private key the
        complainer published. ``Unreadable`` is the dealer's doing; ``ProtocolAbort`` blames the complainer, whose key
        or envelope is not the one it was bound to."""
        return open_disclosed(
            self, frame, dealer=dealer, complainer=complainer, kind=kind, private_key=private_key
        )

    async def _broadcast(self, message: M, *, echoed: bool) -> dict[DeviceId, M]:
        kind, view = type(message), self.view
        slot = self.slot(kind)
        with _Verb(self, alone=echoed):
            self.box.send(Draft(recipient=ALL, slot=slot, view=view.hash, message=message))
            heard = await self._read(kind, self.others, view, public=True)
        if echoed:
            letters = [self.box.letters[slot, p].signed for p in self.parties]
            self.box.views[self.path] = View(slot, view_of(self.sid, slot, letters))
        return {p: message if p == self.me else heard[p] for p in self.parties}

    @overload
    async def _read(
        self, kind: type[M], senders: tuple[DeviceId, ...], view: View, *, public: bool = False
    ) -> dict[DeviceId, M]: ...

    @overload
    async def _read(
        self,
        kind: type[M],
        senders: tuple[DeviceId, ...],
        view: View,
        *,
        public: bool = False,
        lenient: bool,
    ) -> dict[DeviceId, M | Unreadable]: ...

    async def _read(
        self,
        kind: type[M],
        senders: tuple[DeviceId, ...],
        view: View,
        *,
        public: bool = False,
        lenient: bool = False,
    ) -> dict[DeviceId, M] | dict[DeviceId, M | Unreadable]:
        """The barrier: everybody's message, then the checks, in order of id, those that name someone first."""
        letters = await self.box.receive(self.slot(kind), senders)
        heard: dict[DeviceId, M | Unreadable] = {}
        for party, letter in letters.items():
            envelope = letter.envelope
            addressed = (ALL, False) if public else (self.me, True)
            require((envelope.recipient, envelope.sealed) == addressed, "W-4.1 audience", party)
            require(len(envelope.view) == len(view.hash), "W-4.2 view present", party)
            try:
                heard[party] = self._message(kind, envelope)
            except EncodingError as error:
                if not lenient:
                    raise ProtocolAbort("W-1.1 malformed", party) from error
                heard[party] = Unreadable(str(error))
        if any(letter.envelope.view != view.hash for letter in letters.values()):
            self.box.split = Split(slot=self.slot(kind), parties=senders, view=view.hash)
            raise Diverged(view.slot)
        return heard

    def _message(self, kind: type[M], envelope: Envelope) -> M:
        body = envelope.body
        if envelope.sealed:
            body = self.box.courier.open(envelope.sender, envelope.slot, body)
        return decode(kind, body, self.curve_group, private=envelope.sealed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A two-party sub-protocol. Everything said in it is private."""

    net: Net
    peer: DeviceId

    def at(self, label: str) -> Pair:
        return replace(self, net=self.net.at(label))

    def over(self, group: Group) -> Pair:
        return replace(self, net=self.net.over(group))

    def send(self, message: Message) -> None:
        net = self.net
        net.box.send(
            Draft(recipient=self.peer, slot=net.slot(type(message)), view=net.view.hash, message=message)
        )

    async def recv(self, kind: type[M]) -> M:
        net = self.net
        with _Verb(net, alone=False):
            heard = await net._read(kind, (self.peer,), net.view)  # noqa: SLF001 - the same module
        return heard[self.peer]


class _Verb:
    """Marks a verb in flight, and keeps an echo apart from others: which view they carry must not depend on timing."""

    __slots__ = ("_alone", "_net")

    def __init__(self, net: Net, *, alone: bool) -> None:
        self._net, self._alone = net, alone

    def __enter__(self) -> None:
        path = self._net.path
        for mark in self._net.box.verbs:
            other, echoing = mark.removeprefix("!"), mark.startswith("!")
            if (self._alone and below(other, path)) or (echoing and below(path, other)):
                raise Bug(
                    f"an echo and another verb are in flight at {path or '/'}; use at() to keep them apart"
                )
        self._net.box.verbs.append(self._mark)

    def __exit__(self, *_: object) -> None:
        self._net.box.verbs.remove(self._mark)

    @property
    def _mark(self) -> str:
        return ("!" if self._alone else "") + self._net.path


def below(path: str, above: str) -> bool:
    """Whether ``path`` is ``above`` or branches off it."""
    return path == above or path.startswith((f"{above}/", f"{above}["))


def view_of(session: SessionId, slot: str, round_: Sequence[SignedHeader]) -> bytes:
    """The hash of one broadcast round as one party saw it: who said what, in order of id."""
    return digest(Domain.VIEW, session, slot, [(s.header.sender, s.header.body_hash) for s in round_])


def open_disclosed(
    net: Net, frame: bytes, *, dealer: DeviceId, complainer: DeviceId, kind: type[M], private_key: bytes
) -> M | Unreadable:
    """See ``Net.open_disclosed``."""
    courier, slot = net.box.courier, net.slot(kind)
    joined = courier.exchange_key(complainer)
    key = SecretBytes.of(private_key)
    require(len(private_key) == 32 and exchange_public(key) == joined, "W-3.2 disclosed key", complainer)
    try:
        signed = unpack(frame)
    except EncodingError:
        raise ProtocolAbort("W-3.3 disclosed envelope", complainer) from None
    envelope = signed.envelope
    place = (envelope.session, envelope.sender, envelope.recipient, envelope.slot, envelope.sealed)
    genuine = place == (net.sid, dealer, complainer, slot, True)
    genuine = genuine and courier.verify(dealer, envelope.header.digest, signed.signature)
    require(genuine, "W-3.3 disclosed envelope", complainer)
    try:
        body = open_with(
            key, courier.exchange_key(dealer), session=net.sid, slot=slot, sender=dealer, recipient=complainer,
            sealed=envelope.body,
        )  # fmt: skip
        return decode(kind, body, net.curve_group, private=True)
    except EncodingError as error:
        return Unreadable(str(error))


@overload
async def gather(first: Coroutine[Any, None, T], second: Coroutine[Any, None, U], /) -> tuple[T, U]: ...


@overload
async def gather(*protocols: Coroutine[Any, None, T]) -> tuple[T, ...]: ...


async def gather(*protocols: Coroutine[Any, None, Any]) -> tuple[Any, ...]:
    """Run sub-protocols side by side, in this order at every step; their results in this order. The first to fail ends
    the others."""
    results: dict[int, Any] = {}
    try:
        while True:
            for place, protocol in enumerate(protocols):
                if place not in results:
                    try:
                        step(protocol)
                    except StopIteration as stop:
                        results[place] = stop.value
            if len(results) == len(protocols):
                return tuple(results[place] for place in range(len(protocols)))
            await _park()
    finally:
        for protocol in protocols:
            protocol.close()


def step(protocol: Coroutine[Any, None, object]) -> None:
    """Run a protocol up to where it parks; ``StopIteration`` carries its result."""
    if protocol.send(None) is not PARKED:
        protocol.close()
        raise Bug("a protocol awaited something that is not a verb of its net")
