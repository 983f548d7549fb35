"""What one party holds of a key, and what a set of signers makes of it.

Whatever its weight, a party signs with one additive share: its shares times their Lagrange coefficients, summed ("the
collapse"). So a signature costs what the number of signers costs. docs/spec/keygen.md, "Notation".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from quorate.curves import Group, Point, Scalar, SecretScalar, SecretVector, group_of, lagrange_at_zero
from quorate.errors import Bug, Corrupt, UsageError, require
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.primitives import feldman
from quorate.protocols.sharing import Member, Seat, Sharing, sharing_of

__all__ = ["KeyShare", "Member", "Quorum", "Seat", "Sharing", "quorum_of", "sharing_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyShare:
    """What one party holds of one key in one epoch: a secret scalar per index, and what everybody knows.

    ``commitment`` is F, one point per coefficient of the joint polynomial; the public key is F[0]. ``quorums`` keeps
    those it was part of: see ``EpochRecord.quorum``.
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

    def wipe(self) -> None:
        """The share, and what was made of it for each quorum."""
        self.secret.wipe()
        for quorum in self.quorums.values():
            quorum.secret.wipe()
            quorum.hedge.wipe()


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
    """The quorum of ``signers``: a point multiplication per signer and coefficient, so keep it.

    ``UsageError`` when they are not enough, not of the roster, or without us; ``Corrupt`` when our own share does not
    fit the epoch's public commitment.
    """
    chosen = frozenset(signers)
    seats = tuple(seat for seat in sharing.seats if seat.device in chosen)
    if share.device not in chosen:
        raise UsageError(f"{share.device} is not one of the signers")
    if not sharing.reaches(chosen):
        weight = sharing.weight_of(chosen)
        raise UsageError(
            f"{', '.join(sorted(chosen))}: weight {weight} is below the threshold {sharing.threshold}"
        )
    group = group_of(share.curve)
    weights = _weights(group, seats)
    images = _images(share.commitment, seats, weights)
    secret = share.secret.inner(weights[share.device])
    if images[share.device] != secret * group.generator:
        raise Corrupt(
            f"our {share.curve} share of vault {vault}, epoch {epoch}, does not fit its public commitment"
        )
    return Quorum(
        curve=share.curve, vault=vault, epoch=epoch, certificate=certificate, terms=sharing.terms, me=share.device,
        seats=seats, secret=secret, images=images, public_key=share.public_key, chain_code=share.chain_code,
        hedge=_hedge(share.secret),
    )  # fmt: skip


def images_of(
    commitment: tuple[Point, ...], sharing: Sharing, signers: Iterable[DeviceId]
) -> dict[DeviceId, Point]:
    """Everyone's P_{i,S}, from what is public: they add up to the public key."""
    chosen = frozenset(signers)
    seats = tuple(seat for seat in sharing.seats if seat.device in chosen)
    return _images(commitment, seats, _weights(commitment[0].group, seats))


def _weights(group: Group, seats: tuple[Seat, ...]) -> dict[DeviceId, tuple[Scalar, ...]]:
    """λ_x of every index of every seat."""
    coefficients = iter(lagrange_at_zero(group, [x for seat in seats for x in seat.indices]))
    return {seat.device: tuple(next(coefficients) for _ in seat.indices) for seat in seats}


def _images(
    commitment: tuple[Point, ...], seats: tuple[Seat, ...], weights: Mapping[DeviceId, tuple[Scalar, ...]]
) -> dict[DeviceId, Point]:
    images = {seat.device: _image(commitment, seat.indices, weights[seat.device]) for seat in seats}
    if commitment[0].group.sum(list(images.values())) != commitment[0]:
        raise Bug("the images of a quorum do not add up to the public key")
    return images


def _image(commitment: tuple[Point, ...], indices: range, weights: tuple[Scalar, ...]) -> Point:
    """P_{i,S} = Σ_k (Σ_x λ_x·x^k)·F_k: as many points as the polynomial has coefficients, whatever the weight.

    Where those sums all vanish a party adds nothing to this set, whatever the key. That takes more indices than the
    threshold, and is no reason to refuse.
    """
    group = commitment[0].group
    sums = feldman.power_sums(group, indices, weights, len(commitment))
    image = group.combination(sums, commitment)
    idle = all(total.is_zero() for total in sums)
    require(idle or not image.is_identity, "KG-5.3 image")
    return image


def _hedge(shares: SecretVector) -> SecretBytes:
    if len(shares) == 1:
        return SecretBytes.of(shares.reveal())
    return SecretBytes.of(
        hashlib.sha512(b"FROST-ED25519-SHA512-v1" + b"hedge" + shares.reveal()).digest()[:32]
    )
