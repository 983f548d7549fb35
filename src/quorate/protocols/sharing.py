"""Who holds which indices of a key: weights, reduced, and the rosters that are refused.

A party of reduced weight w owns w consecutive x-coordinates of one Shamir sharing. docs/spec/keygen.md, "Notation".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from typing import Protocol

from quorate.errors import UsageError
from quorate.identifiers import DeviceId

MAX_PARTIES = 50
MAX_REDUCED_WEIGHT = 1000


class Member(Protocol):
    """Anything that says who takes part and with how much weight, as given by people."""

    @property
    def device(self) -> str: ...

    @property
    def identity_key(self) -> bytes: ...

    @property
    def weight(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One party's place: its weight as given, and the x-coordinates it owns (as many as its reduced weight)."""

    device: DeviceId
    identity_key: bytes
    weight: int
    indices: range

    @property
    def id(self) -> int:
        """The least of its indices: its identifier in RFC 9591's sense."""
        return self.indices.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """A roster with its threshold. ``seats`` are sorted by device id; together they own 1..``total``.

    ``threshold`` is in weight as given, ``terms`` the same reduced: the number of coefficients of the polynomial.
    """

    seats: tuple[Seat, ...]
    threshold: int
    terms: int

    @property
    def total(self) -> int:
        return sum(len(seat.indices) for seat in self.seats)

    @property
    def devices(self) -> tuple[DeviceId, ...]:
        return tuple(seat.device for seat in self.seats)

    def seat(self, device: DeviceId) -> Seat:
        for seat in self.seats:
            if seat.device == device:
                return seat
        raise UsageError(f"{device} is not in the roster")

    def weight_of(self, devices: Iterable[DeviceId]) -> int:
        """The weight as given of a set of devices; one named twice counts once."""
        return sum(self.seat(device).weight for device in set(devices))

    def reaches(self, devices: Iterable[DeviceId]) -> bool:
        return self.weight_of(devices) >= self.threshold

    @property
    def handover_weight(self) -> int:
        """What it takes to deal the next epoch: the threshold, and more than half of all, so that no two sets that have
        nobody in common can."""
        return max(self.threshold, self.weight_of(self.devices) // 2 + 1)

    def minimal_sets(self) -> Iterator[tuple[DeviceId, ...]]:
        """Every set that reaches the threshold and would not without any one of its members. As many as 2^n: lazily."""
        for size in range(1, len(self.seats) + 1):
            for seats in combinations(self.seats, size):
                weight = sum(seat.weight for seat in seats)
                if 0 <= weight - self.threshold < min(seat.weight for seat in seats):
                    yield tuple(seat.device for seat in seats)


def told_apart(named: Iterable[tuple[str, bytes]]) -> bool:
    """Whether each of these devices, given with its identity key, has one that no other has. It may be given twice."""
    devices = set(named)
    return len(devices) == len({name for name, _ in devices}) == len({key for _, key in devices})


def sharing_of(members: Iterable[Member], threshold: int, *, allow_sole_signer: bool = False) -> Sharing:
    """The sharing of a roster. Weights and threshold are divided by the weights' common divisor: the same sets of
    members reach the threshold, with shorter polynomials.

    ``UsageError`` says what is wrong and with whom. A member that could sign alone is refused unless it is the whole
    roster or ``allow_sole_signer``.
    """
    roster = sorted(members, key=lambda member: member.device.encode())
    if not 1 <= len(roster) <= MAX_PARTIES:
        raise UsageError(f"a vault has 1 to {MAX_PARTIES} signers, not {len(roster)}")
    for one, other in combinations(roster, 2):
        if one.device == other.device or one.identity_key == other.identity_key:
            raise UsageError(
                f"{one.device} and {other.device} are the same device: each signer is named once"
            )
    for member in roster:
        if member.weight < 1:
            raise UsageError(f"{member.device} has weight {member.weight}: a weight is at least 1")
    given = sum(member.weight for member in roster)
    if not 1 <= threshold <= given:
        raise UsageError(f"threshold {threshold} is not between 1 and the total weight {given}")
    for member in roster:
        if len(roster) > 1 and member.weight >= threshold and not allow_sole_signer:
            raise UsageError(
                f"{member.device} has weight {member.weight} and could sign alone at threshold {threshold}: "
                "raise the threshold, or allow a sole signer"
            )
    divisor = gcd(*(member.weight for member in roster))
    if given // divisor > MAX_REDUCED_WEIGHT:
        raise UsageError(
            f"weights add up to {given // divisor} after division by {divisor}, more than {MAX_REDUCED_WEIGHT}: "
            "choose weights with a larger common divisor"
        )
    seats, first = [], 1
    for member in roster:
        indices = range(first, first + member.weight // divisor)
        device = DeviceId(member.device)
        seats.append(
            Seat(device=device, identity_key=member.identity_key, weight=member.weight, indices=indices)
        )
        first = indices.stop
    return Sharing(seats=tuple(seats), threshold=threshold, terms=-(-threshold // divisor))
