"""What honest parties must say about a session that one party spoiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quorate.curves import ED25519, SECP256K1, Group
from quorate.errors import Aborted, Contested, Diverged, ProtocolAbort, Stalled
from quorate.identifiers import DeviceId
from quorate.wire.codec import Message, encode
from quorate.wire.simulator import Outcome, Tamper

WEIGHTS, THRESHOLD = [2, 1, 1], 3
GROUPS = {f"/{group.curve}/": group for group in (SECP256K1, ED25519)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat:
    """One way to cheat: what to send in place of a message of one slot, to everyone or to one victim only."""

    name: str
    rule: str
    slot: str
    change: Callable[[Any, Group], Any]
    one_victim: bool = False

    @property
    def id(self) -> str:
        return f"{self.rule.replace(' ', '-')}:{self.name}"

    def played_by(self, cheat: DeviceId, victim: DeviceId) -> Tamper:
        group = next((group for path, group in GROUPS.items() if self.slot.startswith(path)), ED25519)

        def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
            aimed = sender == cheat and slot == self.slot and (not self.one_victim or recipient == victim)
            return self.change(message, group) if aimed else message

        return tamper


def honest(outcome: Outcome[Any], cheat: DeviceId) -> list[DeviceId]:
    return sorted({*outcome.results, *outcome.failures} - {cheat})


def assert_all_name(outcome: Outcome[Any], cheat: DeviceId, rule: str) -> None:
    """Every honest party ends the session under ``rule`` and blames the cheat alone."""
    assert len(honest(outcome, cheat)) >= 2
    for device in honest(outcome, cheat):
        failure = outcome.failures.get(device)
        assert isinstance(failure, ProtocolAbort), (device, failure)
        assert failure.rule.split()[0] == rule.split()[0], (device, failure)
        assert failure.culprits == {cheat}, (device, failure)


def assert_all_name_the_two(
    outcome: Outcome[Any], cheat: DeviceId, other: DeviceId, rule: str = "RS-2.2"
) -> None:
    """Every honest party ends the session under ``rule``, which cannot tell the cheat from the other."""
    for device in honest(outcome, cheat):
        failure = outcome.failures.get(device)
        assert isinstance(failure, Contested), (device, failure)
        assert failure.rule.split()[0] == rule, (device, failure)
        assert failure.culprits == {cheat, other}, (device, failure)


def assert_all_name_nobody(outcome: Outcome[Any], cheat: DeviceId, rule: str) -> None:
    for device in honest(outcome, cheat):
        failure = outcome.failures.get(device)
        assert isinstance(failure, ProtocolAbort), (device, failure)
        assert failure.rule.split()[0] == rule.split()[0], (device, failure)
        assert not failure.culprits, (device, failure)


def assert_no_honest_party_is_named(outcome: Outcome[Any], cheat: DeviceId) -> None:
    """And nobody ends with a result that others do not have."""
    for device in honest(outcome, cheat):
        failure = outcome.failures.get(device)
        assert isinstance(failure, Aborted), (device, failure)
        assert failure.culprits <= {cheat}, (device, failure)


def assert_a_split_is_seen(outcome: Outcome[Any], cheat: DeviceId) -> None:
    """Somebody noticed, nobody honest is named, and those who came to name anyone name the equivocator."""
    assert_no_honest_party_is_named(outcome, cheat)
    failures = [outcome.failures[device] for device in honest(outcome, cheat)]
    assert any(isinstance(failure, (Diverged, ProtocolAbort)) for failure in failures)


def assert_all_wait_for(outcome: Outcome[Any], silent: DeviceId) -> None:
    for device in honest(outcome, silent):
        failure = outcome.failures.get(device)
        assert isinstance(failure, Stalled), (device, failure)
        assert failure.waiting_on == {silent}, (device, failure)


def rewritten(message: Message, old: bytes, new: bytes) -> bytes:
    """The message's body with one value in it replaced by bytes that no honest encoder writes."""
    body = encode(message)
    assert body.count(old) >= 1
    assert len(old) == len(new)
    return body.replace(old, new, 1)


ORDER_TWO = (2**255 - 20).to_bytes(32, "little")  # (0, -1)
IDENTITY = (1).to_bytes(32, "little")
NOT_REDUCED = (2**255 - 19 + 3).to_bytes(32, "little")  # y = 3, written with p added
NOT_ON_CURVE = (2).to_bytes(32, "little")


def torsioned(point: bytes) -> bytes:
    """An honest Ed25519 point plus the point of order two: -y and -x, so the sign bit flips and y is p - y."""
    number = int.from_bytes(point, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    return ((2**255 - 19 - y) | (1 - sign) << 255).to_bytes(32, "little")


def bad_points(group: Group) -> dict[str, Callable[[bytes], bytes]]:
    """Ways to write a point that must not be read, each from a good one."""
    if group is ED25519:
        return {
            "torsion": torsioned,
            "order two": lambda _: ORDER_TWO,
            "identity": lambda _: IDENTITY,
            "not reduced": lambda _: NOT_REDUCED,
            "not on the curve": lambda _: NOT_ON_CURVE,
        }
    return {
        "not on the curve": lambda _: b"\x02" + (5).to_bytes(32, "big"),
        "not reduced": lambda _: b"\x02" + (2**256 - 2**32 - 977 + 1).to_bytes(32, "big"),
        "identity": lambda _: bytes(33),
        "another form": lambda point: b"\x06" + point[1:],
    }
