"""Two curves in plain integers: slow, readable, nothing shared with the product.

Points are affine; None is the identity of secp256k1, (0, 1) that of Ed25519.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Affine: TypeAlias = "tuple[int, int] | None"


@dataclass(frozen=True)
class Secp256k1:
    p: int = 2**256 - 2**32 - 977
    q: int = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    identity: Affine = None
    generator: Affine = (
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    )

    def add(self, a: Affine, b: Affine) -> Affine:
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % self.p == 0:
            return None
        rise, run = (3 * a[0] * a[0], 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
        slope = rise * pow(run, -1, self.p)
        x = (slope * slope - a[0] - b[0]) % self.p
        return x, (slope * (a[0] - x) - a[1]) % self.p

    def encode(self, point: Affine) -> bytes:
        assert point is not None
        return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, "big")


@dataclass(frozen=True)
class Ed25519:
    p: int = 2**255 - 19
    q: int = 2**252 + 27742317777372353535851937790883648493
    identity: Affine = (0, 1)
    generator: Affine = (
        15112221349535400772501151409588531511454012693041857206046113283949847762202,
        46316835694926478169428394003475163141307993866256225615783033603165251855960,
    )

    def add(self, a: Affine, b: Affine) -> Affine:
        assert a is not None
        assert b is not None
        d = -121665 * pow(121666, -1, self.p)
        (x1, y1), (x2, y2) = a, b
        cross = d * x1 * x2 * y1 * y2
        x = (x1 * y2 + x2 * y1) * pow(1 + cross, -1, self.p)
        y = (y1 * y2 + x1 * x2) * pow(1 - cross, -1, self.p)
        return x % self.p, y % self.p

    def encode(self, point: Affine) -> bytes:
        assert point is not None
        return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, "little")


Curve: TypeAlias = Secp256k1 | Ed25519


def times(curve: Curve, scalar: int, point: Affine) -> Affine:
    total = curve.identity
    for bit in f"{scalar % curve.q:b}":
        total = curve.add(total, total)
        if bit == "1":
            total = curve.add(total, point)
    return total


def base(curve: Curve, scalar: int) -> bytes:
    """The encoding of a multiple of the generator."""
    return curve.encode(times(curve, scalar, curve.generator))
