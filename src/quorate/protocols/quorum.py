"""Who holds which indices of a key, and what a set of signers makes of them.

A party of reduced weight w owns w consecutive x-coordinates of one Shamir sharing. Whatever its weight, it signs with
one additive share: its shares times their Lagrange coefficients, summed ("the collapse"). So a signature costs what
the number of signers costs. docs/spec/keygen.md, "Notation".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from math import gcd
from typing import Protocol

from quorate.curves import Point, Scalar, SecretScalar, SecretVector, group_of, lagrange_at_zero
from quorate.errors import Bug, Corrupt, UsageError
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.primitives import feldman

MAX_PARTIES = 50
MAX_REDUCED_WEIGHT = 1000
_CACHED_QUORUMS = 32


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

    def minimal_sets(self) -> Iterator[tuple[DeviceId, ...]]:
        """Every set that reaches the threshold and would not without any one of its members. As many as 2^n: lazily."""
        for size in range(1, len(self.seats) + 1):
            for seats in combinations(self.seats, size):
                weight = sum(seat.weight for seat in seats)
                if 0 <= weight - self.threshold < min(seat.weight for seat in seats):
                    yield tuple(seat.device for seat in seats)


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyShare:
    """What one party holds of one key in one epoch: a secret scalar per index, and what everybody knows.

    ``commitment`` is F, one point per coefficient of the joint polynomial; the public key is F[0].
    """

    curve: Curve
    device: DeviceId
    indices: range
    secret: SecretVector
    commitment: tuple[Point, ...]
    chain_code: bytes
    quorums: dict[frozenset[DeviceId], Quorum] = field(default_factory=dict, repr=False)

    @property
    def public_key(self) -> Point:
        return self.commitment[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quorum:
    """One set of signers of one epoch, as one of them sees it.

    ``secret`` is its additive share x_i^S; ``images`` are everyone's P_{i,S} = x_i^S·G, which add up to the public
    key. ``hedge`` is 32 secret bytes that depend on every share it holds (RFC 9591, nonce_generate).
    """

    curve: Curve
    vault: VaultId
    epoch: Epoch
    certificate: bytes
    terms: int
    me: DeviceId
    seats: tuple[Seat, ...]
    secret: SecretScalar
    images: Mapping[DeviceId, Point]
    public_key: Point
    chain_code: bytes
    hedge: SecretBytes

    @property
    def devices(self) -> tuple[DeviceId, ...]:
        return tuple(seat.device for seat in self.seats)


def quorum_of(
    share: KeyShare,
    sharing: Sharing,
    signers: Iterable[DeviceId],
    *,
    vault: VaultId,
    epoch: Epoch,
    certificate: bytes,
) -> Quorum:
    """The quorum of ``signers``, from the share's cache when they met before.

    ``UsageError`` when they are not enough, not of the roster, or without us; ``Corrupt`` when our own share does not
    fit the epoch's public commitment.
    """
    chosen = frozenset(signers)
    if (known := share.quorums.get(chosen)) is not None:
        return known
    seats = tuple(seat for seat in sharing.seats if seat.device in chosen)
    if strangers := chosen - set(sharing.devices):
        raise UsageError(f"{', '.join(sorted(strangers))}: not in the roster")
    if share.device not in chosen:
        raise UsageError(f"{share.device} is not one of the signers")
    if not sharing.reaches(chosen):
        weight = sharing.weight_of(chosen)
        raise UsageError(
            f"{', '.join(sorted(chosen))}: weight {weight} is below the threshold {sharing.threshold}"
        )
    group = group_of(share.curve)
    coefficients = iter(lagrange_at_zero(group, [x for seat in seats for x in seat.indices]))
    weights = {seat.device: tuple(next(coefficients) for _ in seat.indices) for seat in seats}
    images = {s.device: feldman.image(share.commitment, s.indices, weights[s.device]) for s in seats}
    if group.sum(images.values()) != share.public_key:
        raise Bug("the images of a quorum do not add up to the public key")
    secret = share.secret.inner(weights[share.device])
    if images[share.device] != secret * group.generator:
        raise Corrupt(
            f"our {share.curve} share of vault {vault}, epoch {epoch}, does not fit its public commitment"
        )
    quorum = Quorum(
        curve=share.curve, vault=vault, epoch=epoch, certificate=certificate, terms=sharing.terms, me=share.device,
        seats=seats, secret=secret, images=images, public_key=share.public_key, chain_code=share.chain_code,
        hedge=_hedge(share.secret),
    )  # fmt: skip
    while len(share.quorums) >= _CACHED_QUORUMS:
        share.quorums.pop(next(iter(share.quorums)), None)
    share.quorums[chosen] = quorum
    return quorum


def _hedge(shares: SecretVector) -> SecretBytes:
    if len(shares) == 1:
        return SecretBytes.of(shares.reveal())
    return SecretBytes.of(
        hashlib.sha512(b"FROST-ED25519-SHA512-v1" + b"hedge" + shares.reveal()).digest()[:32]
    )
