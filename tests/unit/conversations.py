"""Small messages and protocols to exercise the engine with."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from quorate.curves import Point, Scalar
from quorate.errors import Diverged, ProtocolAbort
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.wire.codec import Count, Message
from quorate.wire.envelope import Envelope, Header, SignedHeader, pack, statement
from quorate.wire.net import Net, gather
from quorate.wire.simulator import Outcome, Simulator, Tamper, devices, signer

ALICE, BOB, CAROL = devices(3)
HONEST = (BOB, CAROL)


class Ping(Message):
    number: Count


class Pong(Message):
    number: Count


class Whisper(Message):
    text: str


class Secret(Message):
    value: SecretBytes


class Algebra(Message):
    point: Point
    scalar: Scalar


def run(
    protocol: Callable[[Net], Coroutine[Any, None, Any]], *, parties: int = 3, **options: Any
) -> Outcome[Any]:
    return Simulator(dict.fromkeys(devices(parties), protocol), **options).run()


def attested(header: Header, by: DeviceId) -> SignedHeader:
    """Signed alone."""
    flight = (header.digest,)
    return SignedHeader(header=header, flight=flight, signature=signer(by)(statement(flight)))


def framed(envelope: Envelope, by: DeviceId) -> bytes:
    """The frame of an envelope that is signed alone."""
    signed = attested(envelope.header, by)
    return pack(envelope, signed.flight, signed.signature)


def number(device: DeviceId) -> int:
    return devices(50).index(device)


async def converse(net: Net) -> Any:
    """Every verb once: what everybody heard, in a form that can be compared."""
    pings = await net.echo(Ping(number=number(net.me)))
    pongs = await net.broadcast(Pong(number=10 * number(net.me)))
    whispers = await net.scatter({p: Whisper(text=f"{net.me} to {p}") for p in net.parties})

    async def duet(peer: DeviceId) -> tuple[str, int]:
        pair = net.pair(peer, "duet")
        pair.send(Whisper(text=f"{net.me} alone to {peer}"))
        heard = await pair.recv(Whisper)
        pair.at("again").send(Ping(number=number(net.me)))
        return heard.text, (await pair.at("again").recv(Ping)).number

    async def chorus(label: str) -> list[int]:
        below = net.at(label)
        first = await below.echo(Ping(number=1))
        second = await below.broadcast(Pong(number=2))
        return [m.number for m in first.values()] + [m.number for m in second.values()]

    duets = await gather(*[duet(p) for p in net.others])
    choruses = await gather(chorus("left"), chorus("right"))
    return (
        {p: m.number for p, m in pings.items()}, {p: m.number for p, m in pongs.items()},
        {p: m.text for p, m in whispers.items()}, duets, choruses,
    )  # fmt: skip


def cheat(slot: str, *moves: Any, to: tuple[DeviceId, ...] = HONEST) -> Tamper:
    """Alice sends ``moves`` in place of what she should in ``slot``; a callable is given the honest message."""

    def tamper(sender: DeviceId, recipient: DeviceId, where: str, message: Message) -> Any:
        if sender != ALICE or where != slot or recipient not in to:
            return message
        return [move(message) if callable(move) else move for move in moves]

    return tamper


def assert_blamed(outcome: Outcome[Any], rule: str, by: tuple[DeviceId, ...] = HONEST) -> None:
    for device in by:
        failure = outcome.failures[device]
        assert isinstance(failure, (ProtocolAbort, Diverged)), failure
        assert (failure.rule.split()[0], failure.culprits) == (rule, frozenset({ALICE}))


async def ping_pong(net: Net) -> int:
    pings = await net.echo(Ping(number=1))
    pongs = await net.broadcast(Pong(number=2))
    await net.scatter({p: Whisper(text="x") for p in net.parties})
    return sum(m.number for m in pings.values()) + sum(m.number for m in pongs.values())
