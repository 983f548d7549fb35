"""Scalars modulo the orders of the two groups, as C has them: 32 canonical bytes each, in the group's own
byte order.

Constant time in every ``SecretBytes``; several scalars stand one after another in one of them. Lengths are
checked here, since C cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.errors import Bug
from quorate.identifiers import Curve
from quorate.native._native import ffi, lib
from quorate.native.memory import SecretBytes

SIZE = 32

Operand = SecretBytes | bytes

CURVE_IDS = {Curve.SECP256K1: int(lib.QUORATE_SECP256K1), Curve.ED25519: int(lib.QUORATE_ED25519)}


def count(scalars: Operand) -> int:
    """How many scalars these bytes are."""
    size = len(scalars)
    if size % SIZE:
        raise Bug(f"{size} bytes are not a number of scalars")
    return size // SIZE


def address(operand: Operand) -> Any:
    return operand.pointer if isinstance(operand, SecretBytes) else operand


def are_canonical(curve: Curve, scalars: Operand) -> bool:
    """Whether each of any 32 bytes is a number less than the group's order."""
    return bool(lib.quorate_scalars_are_canonical(CURVE_IDS[curve], address(scalars), count(scalars)))


def is_zero(scalar: Operand) -> bool:
    _equal_counts(scalar, bytes(SIZE))
    return bool(lib.quorate_scalar_is_zero(address(scalar)))


def have_zero(scalars: Operand) -> bool:
    """Whether any of them is."""
    return bool(lib.quorate_scalars_have_zero(address(scalars), count(scalars)))


def reduce(curve: Curve, numbers: Operand, size: int) -> SecretBytes:
    """Each ``size`` bytes (1 to 64) of ``numbers``, a number in the group's byte order, modulo the order."""
    if not 0 < size <= 64 or len(numbers) % size:
        raise Bug(f"{len(numbers)} bytes are not numbers of {size} bytes")
    many = len(numbers) // size
    out = SecretBytes(SIZE * many)
    _done(lib.quorate_scalar_reduce(CURVE_IDS[curve], out.pointer, address(numbers), size, many))
    return out


def add(curve: Curve, a: Operand, b: Operand) -> SecretBytes:
    """Element by element."""
    many = _equal_counts(a, b)
    out = SecretBytes(SIZE * many)
    lib.quorate_scalar_add(CURVE_IDS[curve], out.pointer, address(a), address(b), many)
    return out


def subtract(curve: Curve, a: Operand, b: Operand) -> SecretBytes:
    """Element by element."""
    many = _equal_counts(a, b)
    out = SecretBytes(SIZE * many)
    lib.quorate_scalar_subtract(CURVE_IDS[curve], out.pointer, address(a), address(b), many)
    return out


def multiply(curve: Curve, a: Operand, b: Operand) -> SecretBytes:
    """Element by element."""
    many = _equal_counts(a, b)
    out = SecretBytes(SIZE * many)
    lib.quorate_scalar_multiply(CURVE_IDS[curve], out.pointer, address(a), address(b), many)
    return out


def invert(curve: Curve, scalars: Operand) -> SecretBytes:
    """Element by element, for little more than the price of one. Zero gives zero."""
    out = SecretBytes(len(scalars))
    _done(lib.quorate_scalar_invert(CURVE_IDS[curve], out.pointer, address(scalars), count(scalars)))
    return out


def inner(curve: Curve, a: Operand, b: Operand) -> SecretBytes:
    """The sum of the products of the elements."""
    out = SecretBytes(SIZE)
    lib.quorate_scalar_inner(CURVE_IDS[curve], out.pointer, address(a), address(b), _equal_counts(a, b))
    return out


def evaluate(curve: Curve, coefficients: Operand, xs: Sequence[int]) -> SecretBytes:
    """The polynomial with these coefficients, constant first, at public ``xs`` of at most 32 bits."""
    out = SecretBytes(SIZE * len(xs))
    indices, terms = ffi.new("uint32_t[]", list(xs)), count(coefficients)
    _done(
        lib.quorate_polynomial_at(
            CURVE_IDS[curve], out.pointer, indices, len(xs), address(coefficients), terms
        )
    )
    return out


def lagrange_at_zero_var(curve: Curve, xs: Sequence[int]) -> bytes | None:
    """The coefficients that interpolate at zero from public ``xs`` of at most 32 bits; None unless these are
    distinct and nonzero."""
    out = ffi.new("uint8_t[]", SIZE * len(xs))
    fine = lib.quorate_lagrange_at_zero_var(CURVE_IDS[curve], out, ffi.new("uint32_t[]", list(xs)), len(xs))
    return bytes(ffi.buffer(out)) if fine else None


def _equal_counts(a: Operand, b: Operand) -> int:
    if len(a) != len(b):
        raise Bug(f"{len(a)} bytes of scalars against {len(b)}")
    return count(a)


def _done(result: int) -> None:
    if not result:
        raise MemoryError("no memory for secret scalars")
