"""Algebra that reads like algebra: groups, points, scalars, polynomials."""

from quorate.curves.ed25519 import ED25519
from quorate.curves.group import Group, Point, Randomness
from quorate.curves.polynomial import SecretPolynomial, lagrange_at_zero
from quorate.curves.scalar import Scalar, SecretScalar, SecretVector
from quorate.curves.secp256k1 import SECP256K1
from quorate.identifiers import Curve

__all__ = [
    "ED25519",
    "SECP256K1",
    "Group",
    "Point",
    "Randomness",
    "Scalar",
    "SecretPolynomial",
    "SecretScalar",
    "SecretVector",
    "group_of",
    "lagrange_at_zero",
]

_GROUPS = {group.curve: group for group in (SECP256K1, ED25519)}


def group_of(curve: Curve) -> Group:
    return _GROUPS[curve]
