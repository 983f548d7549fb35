"""Sessions in memory: real machines, signatures and sealing; delivery in an order the seed decides; cheats by a hook.

For tests, benchmarks and replays. Identity keys follow from the device's name alone and session keys from the seed, so
two simulations with different seeds are two sessions of the same devices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, partial
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from quorate.errors import Bug, QuorateError
from quorate.identifiers import DeviceId, SessionId
from quorate.native import keys
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import Drbg
from quorate.primitives.transcript import digest
from quorate.wire.codec import Message, encode
from quorate.wire.courier import SessionCourier
from quorate.wire.envelope import Envelope
from quorate.wire.machine import Machine, Passage
from quorate.wire.mailbox import Draft, Letter
from quorate.wire.net import Net

T = TypeVar("T")


class Fate(Enum):
    DROP = "drop"


DROP = Fate.DROP
"""From a tamper hook: this recipient gets nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """From a tamper hook: these bytes on the link, as they are."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Rewritten:
    """From a tamper hook: an envelope with these fields changed, then signed. ``message`` as in the hook's result."""

    message: Message | bytes
    fields: Mapping[str, Any] = field(default_factory=dict)


Cheat: TypeAlias = Message | bytes | Rewritten | Frame | Fate
Tamper: TypeAlias = "Callable[[DeviceId, DeviceId, str, Message], Cheat | list[Cheat]]"
"""``tamper(sender, recipient, slot, message)``: what ``sender`` sends ``recipient`` in place of ``message``: a message,
a raw body (sealed where the message would be), a rewritten envelope, a raw frame, ``DROP``, or several of these.
Called once per recipient, of broadcasts too; a hook returns ``message`` itself where it does not cheat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One frame on one link. ``round`` is one more than the latest that had reached its sender."""

    sender: DeviceId
    recipient: DeviceId
    slot: str
    frame: bytes
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[T]):
    """How a simulation ended: one result or failure for each party; frames and their bytes on all links together."""

    results: Mapping[DeviceId, T]
    failures: Mapping[DeviceId, QuorateError]
    sent: tuple[Sent, ...]

    @property
    def messages(self) -> int:
        return len(self.sent)

    @property
    def bytes(self) -> int:
        return sum(len(each.frame) for each in self.sent)

    @property
    def rounds(self) -> int:
        """Flights one after the other: exact in lockstep, an upper bound in random order."""
        return max((each.round for each in self.sent), default=0)

    @property
    def slots(self) -> Mapping[str, int]:
        """How many frames were sent in each slot, in order of first use."""
        return Counter(each.slot for each in self.sent)


class Simulator(Generic[T]):
    """Runs one protocol per device to the end. ``tamper`` makes cheats; ``inject`` puts (channel, recipient, frame) on
    the links beforehand; ``observe`` sees what each device's observer would. Any message in flight may arrive next; in
    ``lockstep``, the one sent first does."""

    def __init__(
        self,
        protocols: Mapping[DeviceId, Callable[[Net], Coroutine[Any, None, T]]],
        *,
        seed: int = 0,
        lockstep: bool = False,
        tamper: Tamper | None = None,
        session: SessionId | None = None,
        inject: Iterable[tuple[DeviceId, DeviceId, bytes]] = (),
        observe: Callable[[DeviceId, Passage], None] | None = None,
    ) -> None:
        self.devices = tuple(sorted(protocols))
        self._rng = randomness(f"simulation {seed}")
        self.session = session or SessionId(digest(Domain.SESSION, "simulation", seed, self.devices))
        self.couriers = self._make_couriers()
        self._protocols = protocols
        self._lockstep = lockstep
        self._tamper = tamper
        self._injected = tuple(inject)
        self._observe = observe

    def start(self) -> dict[DeviceId, _Player[T]]:
        """The machines, each past its first step, nothing delivered yet."""
        return {device: self._player(device) for device in self.devices}

    def run(self) -> Outcome[T]:
        players = self.start()
        order = self._rng.fork("order")
        sent: list[Sent] = []
        flying = [
            Sent(sender=channel, recipient=recipient, slot="", frame=frame, round=0)
            for channel, recipient, frame in self._injected
        ]
        for player in players.values():
            flying += player.depart(sent)
        while flying:
            arrived = flying.pop(0 if self._lockstep else order.below(len(flying)))
            player = players[arrived.recipient]
            player.arrive(arrived)
            flying += player.depart(sent)
        for player in players.values():
            player.stall()
        return Outcome(
            results={d: p.result for d, p in players.items() if p.failure is None and p.done},  # type: ignore[misc]
            failures={d: p.failure for d, p in players.items() if p.failure is not None},
            sent=tuple(sent),
        )

    def _player(self, device: DeviceId) -> _Player[T]:
        seen = self._observe
        return _Player(
            device, self.devices, self.session, self.couriers[device], self._protocols[device], self._tamper,
            None if seen is None else lambda passage: seen(device, passage),
        )  # fmt: skip

    def _make_couriers(self) -> dict[DeviceId, SessionCourier]:
        privates = {device: self._rng.fork(f"session key {device}").secret(32) for device in self.devices}
        publics = {device: keys.exchange_public(key) for device, key in privates.items()}
        return {
            device: SessionCourier(
                session=self.session, me=device, sign=signer(device),
                identity_keys={d: identity_key(d) for d in self.devices}, session_private=privates[device],
                session_publics=publics,
            )
            for device in self.devices
        }  # fmt: skip


class _Player(Machine[T]):
    """A machine whose sendings are logged, and go through the tamper hook."""

    def __init__(
        self, me: DeviceId, parties: tuple[DeviceId, ...], sid: SessionId, courier: SessionCourier,
        protocol: Callable[[Net], Coroutine[Any, None, T]], tamper: Tamper | None,
        observe: Callable[[Passage], None] | None,
    ) -> None:  # fmt: skip
        self._tamper = tamper
        self._log: list[Sent] = []
        self._round = 0
        super().__init__(me, parties, sid, courier, protocol, observe=observe)

    def arrive(self, sent: Sent) -> None:
        self._round = max(self._round, sent.round)
        self.deliver(sent.frame, sent.sender)

    def depart(self, log: list[Sent]) -> list[Sent]:
        departing, self._log = self._log, []
        if [(each.recipient, each.frame) for each in departing] != self.drain():
            raise Bug("a frame left that was not logged")
        log += departing
        return departing

    def copies(self, draft: Draft, recipient: DeviceId, letter: Letter) -> Iterable[bytes]:
        frames = (
            [letter.frame]
            if self._tamper is None
            else list(self._cheat(self._tamper, draft, recipient, letter))
        )
        self._log += [
            Sent(sender=self.me, recipient=recipient, slot=draft.slot, frame=frame, round=self._round + 1)
            for frame in frames
        ]
        return frames

    def _cheat(self, tamper: Tamper, draft: Draft, recipient: DeviceId, letter: Letter) -> Iterable[bytes]:
        outcome = tamper(self.me, recipient, draft.slot, draft.message)
        for cheat in outcome if isinstance(outcome, list) else [outcome]:
            match cheat:
                case Fate.DROP:
                    pass
                case Frame():
                    yield cheat.data
                case Rewritten():
                    envelope = self._forged(draft, cheat.message).envelope
                    yield self._alone(msgspec.structs.replace(envelope, **cheat.fields))
                case _:
                    honest = cheat is draft.message
                    yield letter.frame if honest else self._alone(self._forged(draft, cheat).envelope)

    def _alone(self, envelope: Envelope) -> bytes:
        """Signed by itself: what a cheat does not say to others cannot be in a flight with what they get."""
        return self.sign([Letter(envelope, envelope.header)])[0].frame

    def _forged(self, draft: Draft, content: Message | bytes) -> Letter:
        return self.write(
            draft, content if isinstance(content, bytes) else encode(content, private=draft.sealed)
        )


def silent_after(device: DeviceId, message: str) -> Tamper:
    """A hook: ``device`` sends nothing more once it has sent its ``message`` (a type's name) to everyone."""
    spoke: set[str] = set()

    def tamper(sender: DeviceId, _: DeviceId, slot: str, honest: Message) -> Cheat:
        if sender != device:
            return honest
        if spoke and slot not in spoke:
            return DROP
        if slot.rpartition("/")[2] == message:
            spoke.add(slot)
        return honest

    return tamper


def devices(count: int) -> tuple[DeviceId, ...]:
    """Names for simulated devices, well-formed and in order."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return tuple(DeviceId(f"device{letters[n // 26]}{letters[n % 26]}".ljust(24, "2")) for n in range(count))


def identity_key(device: DeviceId) -> bytes:
    """The Ed25519 public key of a simulated device, in every simulation."""
    return _identity(device)[1]


def signer(device: DeviceId) -> Callable[[bytes], bytes]:
    """The signing key of a simulated device, as the callable the product has of its own."""
    return partial(keys.sign, _identity(device)[0])


def randomness(label: str) -> Drbg:
    """A generator for tests: the same label gives the same bytes."""
    return Drbg(SecretBytes.of(digest(Domain.DRBG, "simulator", label)))


@cache
def _identity(device: DeviceId) -> tuple[SecretBytes, bytes]:
    return keys.signing_key(SecretBytes.of(randomness(f"identity {device}").public(32)))
