"""Shamir's polynomials (A. Shamir, "How to share a secret", 1979) and interpolation at zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.curves.group import Group, Point, Randomness
from quorate.curves.scalar import Scalar, SecretScalar, SecretVector, require_one_group
from quorate.native import scalars
from quorate.native.memory import concatenate

LARGEST_INDEX = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class SecretPolynomial:
    """A polynomial with secret coefficients, the constant first."""

    coefficients: SecretVector

    @classmethod
    def random(
        cls, group: Group, terms: int, rng: Randomness, constant: SecretScalar | None = None
    ) -> SecretPolynomial:
        """``terms`` coefficients, uniform and independent but for the constant if that is given: of degree at
        most ``terms`` - 1, it takes ``terms`` values to know its constant."""
        if terms < 1:
            raise ValueError("a polynomial has at least its constant term")
        drawn = terms if constant is None else terms - 1
        with rng.secret(64 * drawn) as wide:
            memory = scalars.reduce(group.curve, wide, 64)
        if constant is not None:
            require_one_group(group, constant.group)
            memory = concatenate((constant.memory, memory))
        return cls(SecretVector(group, memory))

    @property
    def group(self) -> Group:
        return self.coefficients.group

    @property
    def constant(self) -> SecretScalar:
        return self.coefficients[0]

    def at(self, xs: Sequence[int]) -> SecretVector:
        """Its values at indices from 1 to 2^32 - 1 (``ValueError``): not at zero, where the secret is."""
        _require_indices(xs)
        return SecretVector(self.group, scalars.evaluate(self.group.curve, self.coefficients.memory, xs))

    def commitment(self) -> tuple[Point, ...]:
        """Each coefficient times the generator (P. Feldman, "A practical scheme for non-interactive
        verifiable secret sharing", 1987)."""
        return self.group.commit(self.coefficients)

    def wipe(self) -> None:
        self.coefficients.wipe()


def lagrange_at_zero(group: Group, indices: Sequence[int]) -> tuple[Scalar, ...]:
    """The weights under which values at these public indices add up to the value at zero. ``ValueError``
    unless the indices are distinct and from 1 to 2^32 - 1."""
    _require_indices(indices)
    weights = scalars.lagrange_at_zero_var(group.curve, indices)
    if weights is None:
        raise ValueError("indices repeat")
    return tuple(group.scalar(weights[i : i + scalars.SIZE]) for i in range(0, len(weights), scalars.SIZE))


def _require_indices(indices: Sequence[int]) -> None:
    if not all(1 <= index <= LARGEST_INDEX for index in indices):
        raise ValueError("an index is a number from 1 to 2^32 - 1")
