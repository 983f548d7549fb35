"""The peers as this node sees them, and each other: reached or not and why, clocks, versions, cards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from quorate.ceremony.greetings import Acquaintance, Greetings
from quorate.ceremony.ports import Peer
from quorate.ceremony.statements import Sight
from quorate.ceremony.versions import SPOKEN, Versions, common
from quorate.errors import EncodingError, PeerError, QuorateError
from quorate.identifiers import DeviceId
from quorate.node.doctor.verdicts import fine, problem, warning
from quorate.rpc.findings import Finding, Pair
from quorate.rpc.tls import end_of

ENDS_SOON = 30  # days
UNEASY = 5.0  # seconds between clocks
RECONNECTED = 1.5  # seconds: by then a connection was tried anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Who was asked, who answered what, and why the others did not."""

    me: Peer
    peers: Sequence[Peer]
    answers: Mapping[DeviceId, Acquaintance]
    failures: Mapping[DeviceId, tuple[str, str]]  # code, words
    holds: Mapping[DeviceId, int]  # the rev of our card that each holds, by its last word


async def greet_all(me: Peer, peers: Sequence[Peer], greetings: Greetings) -> Mesh:
    """Ask every peer, side by side, how it is and how it sees the others."""
    devices = [peer.device for peer in peers]
    outcomes = await asyncio.gather(
        *(_greet(device, devices, greetings) for device in devices), return_exceptions=True
    )
    answers: dict[DeviceId, Acquaintance] = {}
    failures: dict[DeviceId, tuple[str, str]] = {}
    for peer, outcome in zip(peers, outcomes, strict=True):
        match outcome:
            case Acquaintance():
                answers[peer.device] = outcome
            case QuorateError() | EncodingError():
                words = str(outcome).removeprefix(f"{peer.device}: Hello: ")
                failures[peer.device] = (_code_of(outcome), words)
            case BaseException():
                raise outcome
    holds = {device: known.holds for device, known in greetings.heard.items()}
    return Mesh(me=me, peers=peers, answers=answers, failures=failures, holds=holds)


def examine_peers(
    mesh: Mesh, *, version: str, tolerance: float, now: datetime, speaks: Versions = SPOKEN
) -> Iterator[Finding]:
    """``tolerance``: seconds that clocks may be apart; ``speaks``: this node, of the protocol."""
    if not mesh.peers:
        yield problem("peers", code="NO_PEERS", said="no other signer is known here")
    for peer in mesh.peers:
        yield _reached(peer, mesh)
    yield from _clocks(mesh, tolerance)
    for peer in mesh.peers:
        if (answer := mesh.answers.get(peer.device)) is not None:
            yield _version(peer, answer, version, speaks)
    for peer in (mesh.me, *mesh.peers):
        yield _certificate(peer, now)
    for peer in mesh.peers:
        yield from _cards(peer, mesh)
    for observer in mesh.peers:
        if (answer := mesh.answers.get(observer.device)) is not None:
            yield from _between(observer, answer, mesh)


def pairs(mesh: Mesh) -> Iterator[Pair]:
    """Each node's view of each other, as far as it was told."""
    for peer in mesh.peers:
        answer = mesh.answers.get(peer.device)
        yield Pair(
            observer=mesh.me.name,
            peer=peer.name,
            connected=answer is not None,
            rtt=answer.rtt if answer else None,
            clock_offset=answer.clock_offset if answer else None,
            version=answer.version if answer else "",
            certificate_ends_ms=_ends_ms(peer),
        )
    for observer in mesh.peers:
        answer = mesh.answers.get(observer.device)
        for peer in mesh.peers if answer else ():
            if peer is not observer and answer is not None:
                yield _pair(observer, peer, answer.sights.get(peer.device))


def _pair(observer: Peer, peer: Peer, sight: Sight | None) -> Pair:
    if sight is None:
        return Pair(observer=observer.name, peer=peer.name, connected=False)
    measured = sight.rtt_us > 0
    return Pair(
        observer=observer.name,
        peer=peer.name,
        connected=sight.connected,
        rtt=sight.rtt_us / 1e6 if measured else None,
        clock_offset=sight.offset_ms / 1000 if measured else None,
        version=sight.version,
        certificate_ends_ms=_ends_ms(peer) if sight.rev == peer.rev else None,
    )


async def _greet(device: DeviceId, asking: Sequence[DeviceId], greetings: Greetings) -> Acquaintance:
    """Twice if need be: between two attempts to connect, the first answer is how the last one failed."""
    try:
        return await greetings.greet(device, asking=asking)
    except PeerError:
        await asyncio.sleep(RECONNECTED)
        return await greetings.greet(device, asking=asking)


def _code_of(error: BaseException) -> str:
    if isinstance(error, EncodingError):
        return "MALFORMED"
    return str(getattr(error, "code", getattr(error, "reason", "FAILED")))


def _reached(peer: Peer, mesh: Mesh) -> Finding:
    check = f"peer {peer.name}"
    if (failed := mesh.failures.get(peer.device)) is not None:
        code, words = failed
        return problem(check, code=code, said=words)
    rtt = mesh.answers[peer.device].rtt or 0.0
    return fine(check, f"answers at {peer.address} in {rtt * 1000:.1f} ms")


def _clocks(mesh: Mesh, tolerance: float) -> Iterator[Finding]:
    offsets = {
        peer.name: offset
        for peer in mesh.peers
        if (answer := mesh.answers.get(peer.device)) and (offset := answer.clock_offset) is not None
    }
    apart = [offset for offset in offsets.values() if abs(offset) > tolerance]
    if len(apart) == len(offsets) > 1 and max(apart) - min(apart) < tolerance:
        yield problem(
            "clock",
            code="CLOCK_OFF",
            said=f"this machine's clock is {_apart(-apart[0])} every peer's: it is the wrong one",
        )
        return
    for name, offset in offsets.items():
        check, said = f"clock {name}", f"{name}'s clock is {_apart(offset)} this machine's"
        if abs(offset) > tolerance:
            yield problem(check, code="CLOCK_OFF", said=f"{said}; {tolerance:g} s are tolerated")
        elif abs(offset) > UNEASY:
            yield warning(check, code="CLOCK_OFF", said=said)
        else:
            yield fine(check, said)


def _apart(offset: float) -> str:
    return f"{abs(offset):.3f} s {'ahead of' if offset >= 0 else 'behind'}"


def _version(peer: Peer, answer: Acquaintance, version: str, speaks: Versions) -> Finding:
    check = f"version {peer.name}"
    if common((answer.versions, speaks)) is None:
        return problem(
            check,
            code="PROTOCOL_MISMATCH",
            said=f"{peer.name} speaks protocol {answer.versions}, this node {speaks}: none in common",
        )
    if answer.version != version:
        return warning(
            check,
            code="VERSION_MISMATCH",
            said=f"{peer.name} runs version {answer.version}, this node {version}",
        )
    return fine(check, f"{peer.name} runs version {version} too")


def _certificate(peer: Peer, now: datetime) -> Finding:
    check, end = f"certificate {peer.name}", end_of(peer.certificate_pem)
    if end is None:
        return fine(check, "has no end")
    days = (end - now).days
    said = f"ends on {end:%Y-%m-%d}"
    if days < 0:
        return problem(check, code="CERTIFICATE_ENDS", said=f"ended on {end:%Y-%m-%d}")
    return warning(check, code="CERTIFICATE_ENDS", said=said) if days < ENDS_SOON else fine(check, said)


def _cards(peer: Peer, mesh: Mesh) -> Iterator[Finding]:
    """A card of ours that a peer holds, and one of a peer's that we hold, from before an address or a certificate
    changed: each is how one of the two looks for the other."""
    held = mesh.holds.get(peer.device)
    if held is not None and held < mesh.me.rev:
        said = f"{peer.name} holds card {held} of {mesh.me.name}, which is at {mesh.me.rev}"
        yield warning(f"card {mesh.me.name} at {peer.name}", code="OLD_CARD", said=said)
    seen = {
        sight.rev: other.name
        for other in mesh.peers
        if (answer := mesh.answers.get(other.device))
        and (sight := answer.sights.get(peer.device)) is not None
    }
    if (newest := max(seen, default=0)) > peer.rev:
        said = f"this node holds card {peer.rev} of {peer.name}, {seen[newest]} holds {newest}"
        yield warning(f"card {peer.name}", code="OLD_CARD", said=said)


def _between(observer: Peer, answer: Acquaintance, mesh: Mesh) -> Iterator[Finding]:
    """What is wrong between two others, by what one of them says. What is fine stands in the matrix."""
    for peer in mesh.peers:
        if peer is observer:
            continue
        check = f"pair {observer.name}-{peer.name}"
        sight = answer.sights.get(peer.device)
        if sight is None:
            yield warning(check, code="UNKNOWN_PEER", said=f"{observer.name} does not know {peer.name}")
        elif sight.rev < peer.rev:
            yield warning(
                check,
                code="OLD_CARD",
                said=f"{observer.name} holds card {sight.rev} of {peer.name}, which is at {peer.rev}",
            )
        elif not sight.connected and peer.device in mesh.answers:
            yield warning(check, code="UNREACHABLE", said=f"{observer.name} has no connection to {peer.name}")


def _ends_ms(peer: Peer) -> int | None:
    end = end_of(peer.certificate_pem)
    return None if end is None else round(end.astimezone(UTC).timestamp() * 1000)
