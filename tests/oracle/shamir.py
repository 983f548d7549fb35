"""Shamir's sharing in plain integers, and how rosters own indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, gcd


def evaluate(coefficients: Sequence[int], x: int, q: int) -> int:
    return sum(a * pow(x, k, q) for k, a in enumerate(coefficients)) % q


def lagrange(x: int, at: int, indices: Sequence[int], q: int) -> int:
    """The coefficient of the value at ``x`` when the value at ``at`` is interpolated from ``indices``."""
    numerator = denominator = 1
    for m in indices:
        if m != x:
            numerator = numerator * (at - m) % q
            denominator = denominator * (x - m) % q
    return numerator * pow(denominator, -1, q) % q


def interpolate(values: Mapping[int, int], at: int, q: int) -> int:
    return sum(value * lagrange(x, at, tuple(values), q) for x, value in values.items()) % q


def coefficients_of(values: Mapping[int, int], q: int) -> list[int]:
    """The polynomial of least degree through the values, constant first (Lagrange's form, multiplied out)."""
    total = [0] * len(values)
    for x, value in values.items():
        product = [value]
        for m in values:
            if m != x:
                scale = pow(x - m, -1, q)
                shifted = [0, *product]
                product = [
                    (shifted[k] - m * (product[k] if k < len(product) else 0)) * scale % q
                    for k in range(len(shifted))
                ]
        total = [(a + b) % q for a, b in zip(total, product, strict=True)]
    return total


def reduced(weights: Sequence[int], threshold: int) -> tuple[list[int], int]:
    divisor = gcd(*weights)
    return [weight // divisor for weight in weights], ceil(threshold / divisor)


def indices(weights: Sequence[int]) -> list[list[int]]:
    """1..W dealt out in order of the roster."""
    owned, first = [], 1
    for weight in weights:
        owned.append(list(range(first, first + weight)))
        first += weight
    return owned
