"""The private half of a dealing: what a dealer sends each party, and whether it fits what the dealer committed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.curves import Group, Point, Randomness, Scalar, SecretVector
from quorate.errors import EncodingError
from quorate.native.memory import SecretBytes
from quorate.primitives import feldman
from quorate.wire.codec import Message
from quorate.wire.net import Unreadable


class Shares(Message):
    """f_i(x) for every index x of the receiver, in order, 32 bytes each."""

    values: SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """The batch check of all shares for one party's indices, good for every dealer."""

    group: Group
    blinders: tuple[Scalar, ...]
    sums: tuple[Scalar, ...]

    def accept(self, dealt: Shares | Unreadable, commitment: Sequence[Point]) -> SecretVector | None:
        """The scalars, or None where they do not open, decode or fit."""
        if isinstance(dealt, Unreadable) or len(dealt.values) != 32 * len(self.blinders):
            return None
        try:
            shares = self.group.secret_vector(dealt.values)
        except EncodingError:
            return None
        return shares if feldman.fits(shares, commitment, self.blinders, self.sums) else None


def inspection(group: Group, indices: Sequence[int], terms: int, rng: Randomness) -> Inspection:
    """Draws the check's coefficients: call it when all that is to be checked has been received."""
    blinders = feldman.blinders(group, len(indices), rng)
    sums = feldman.power_sums(group, indices, blinders, terms)
    return Inspection(group=group, blinders=blinders, sums=sums)
