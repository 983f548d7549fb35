"""The verbs a protocol is written in.

A protocol is an ``async def`` that awaits nothing but these; the ``yield`` in ``mailbox.park`` is its only suspension
point. A message's slot is the path it travels on and its type, so early and reordered messages simply wait.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, overload

from quorate.curves import Group
from quorate.errors import Bug, Diverged, EncodingError, ProtocolAbort, require
from quorate.identifiers import DeviceId, SessionId
from quorate.wire.codec import Message, decode
from quorate.wire.disclosure import open_disclosed
from quorate.wire.envelope import ALL, Envelope
from quorate.wire.mailbox import MARK_SIZE, NOTHING, Draft, Mailbox, Split, View, below, park, step, view_of

M = TypeVar("M", bound=Message)
T = TypeVar("T")
U = TypeVar("U")

LABEL = re.compile("[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """In a lenient scatter, what stands for a private body that does not open or does not decode."""

    reason: str


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
        return tuple([p for p in self.parties if p != self.me])

    @property
    def group(self) -> Group:
        if self.curve_group is None:
            raise Bug(f"no group was chosen at {self.path or '/'}: call over(group)")
        return self.curve_group

    @property
    def view(self) -> View:
        """What our next message here says we saw: the view of the last echoed round here, else of the one before this
        path was opened, else nothing."""
        return self.box.views.get(self.path, self.inherited)

    def at(self, label: str) -> Net:
        """The same parties on a path below this one."""
        return self._below(self._branch(label), self.parties, self.curve_group)

    def over(self, group: Group) -> Net:
        """Below this path, with points and scalars decoded in ``group``."""
        return self._below(f"{self.path}/{group.curve.value}", self.parties, group)

    def pair(self, peer: DeviceId, label: str) -> Pair:
        """The two-party net with ``peer``; both ends name it alike."""
        if peer == self.me or peer not in self.parties:
            raise Bug(f"{peer} is not another party of this session")
        low, high = (self.me, peer) if self.me < peer else (peer, self.me)
        path = f"{self._branch(label)}[{low},{high}]"
        return Pair(net=self._below(path, (low, high), self.curve_group), peer=peer)

    def _branch(self, label: str) -> str:
        if not LABEL.fullmatch(label):
            raise Bug(f"{label!r} cannot be part of a path")
        return f"{self.path}/{label}"

    def _below(self, path: str, parties: tuple[DeviceId, ...], group: Group | None) -> Net:
        return Net(
            me=self.me, parties=parties, sid=self.sid, box=self.box, path=path, curve_group=group,
            inherited=self.view,
        )  # fmt: skip

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

    def shed(self) -> None:
        """Free the memory of what was said on this path and below it, once all of it was read: a long session need not
        hold on to it. There is no ``evidence`` of it any more; equivocation in it is still found out."""
        self.box.shed(self.path)

    def disclose(self) -> bytes:
        """Our session private key, to support a complaint. The session can seal nothing after it."""
        return self.box.courier.disclose()

    def open_disclosed(
        self, frame: bytes, *, dealer: DeviceId, complainer: DeviceId, kind: type[M], private_key: bytes
    ) -> M | Unreadable:
        """What ``dealer`` sent ``complainer`` in the slot of ``kind`` here, opened with the session private key the
        complainer published. ``Unreadable`` is the dealer's doing; ``ProtocolAbort`` blames the complainer, whose key
        or envelope is not the one it was bound to."""
        try:
            body = open_disclosed(
                frame,
                courier=self.box.courier,
                session=self.sid,
                slot=self.slot(kind),
                dealer=dealer,
                complainer=complainer,
                private_key=private_key,
            )
            return decode(kind, body, self.curve_group, private=True)
        except EncodingError as error:
            return Unreadable(str(error))

    async def _broadcast(self, message: M, *, echoed: bool) -> dict[DeviceId, M]:
        kind, view = type(message), self.view
        slot = self.slot(kind)
        with _Verb(self, alone=echoed):
            self.box.send(Draft(recipient=ALL, slot=slot, view=view.hash, message=message))
            heard = await self._read(kind, self.others, view, public=True)
        if echoed:
            round_ = [self.box.letters[slot, p].header for p in self.parties]
            self.box.views[self.path] = View(slot, view_of(self.sid, slot, round_))
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
            said = (len(envelope.view), envelope.view[:MARK_SIZE])
            require(said == (len(view.hash), view.hash[:MARK_SIZE]), "W-4.2 view of the round due", party)
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
            await park()
    finally:
        for protocol in protocols:
            protocol.close()
