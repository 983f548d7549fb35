"""Feldman's verifiable sharing (FOCS 1987): f(x)·G from the committed coefficients F_k = a_k·G.

Every check here is one combination of as many points as the polynomial has coefficients, whatever the number of
indices: what stands before a point is worked out in scalars first.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.curves import Group, Point, Randomness, Scalar, SecretVector

_COEFFICIENT_BYTES = 16


def power_sums(
    group: Group, indices: Sequence[int], weights: Sequence[Scalar], terms: int
) -> tuple[Scalar, ...]:
    """Σ_x weight_x·x^k for k = 0..terms-1."""
    powers = [int(weight) for weight in weights]
    sums = []
    for _ in range(terms):
        sums.append(group.scalar_of(sum(powers)))
        powers = [power * x % group.order for power, x in zip(powers, indices, strict=True)]
    return tuple(sums)


def blinders(group: Group, count: int, rng: Randomness) -> tuple[Scalar, ...]:
    """Random 128-bit coefficients of a batch check. Draw them after the values to be checked were received."""
    return tuple(group.scalar_of(int.from_bytes(rng.public(_COEFFICIENT_BYTES), "big")) for _ in range(count))


def fits(
    shares: SecretVector, commitment: Sequence[Point], blinders: Sequence[Scalar], sums: Sequence[Scalar]
) -> bool:
    """Whether shares are those of the committed polynomial at the indices that ``sums`` is made of, all at once.

    ``sums`` is ``power_sums`` of the indices and ``blinders``, made once for all dealers. A wrong share passes with
    probability 2^-128.
    """
    group = commitment[0].group
    return shares.inner(blinders) * group.generator == group.combination(sums, commitment)
