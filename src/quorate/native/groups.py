"""Group operations by libsecp256k1 and libsodium, out of the shared objects inside coincurve and PyNaCl.

A point here is ``POINT_SIZE`` opaque bytes, one value per point, valid once ``decode`` or another function of
this module gave them; the identity is one of them. Constant time in every ``SecretBytes``. Importing this
module finds and tests the two libraries, and fails if they are not what the program needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any

from quorate.errors import Bug
from quorate.identifiers import Curve
from quorate.native._native import ffi, lib
from quorate.native.scalars import CURVE_IDS, SIZE, Operand, address, count

POINT_SIZE = 64
ENCODED_SIZE = {Curve.SECP256K1: 33, Curve.ED25519: 32}


def _shared_object(package: str, module: str) -> bytes:
    """The path of a package's extension module, found without importing either."""
    spec = find_spec(package)
    found = PathFinder.find_spec(module, spec.submodule_search_locations) if spec else None
    if found is None or found.origin is None:
        raise ImportError(f"{package} has no {module}: install {package} again, from a wheel")
    return found.origin.encode()


def _load() -> None:
    problem = lib.quorate_groups_load(
        _shared_object("coincurve", "_libsecp256k1"), _shared_object("nacl", "_sodium")
    )
    if problem != ffi.NULL:
        raise ImportError(ffi.string(problem).decode())


_load()


def generator(curve: Curve) -> bytes:
    out = _point()
    lib.quorate_point_generator(CURVE_IDS[curve], out)
    return _bytes(out)


def identity(curve: Curve) -> bytes:
    out = _point()
    lib.quorate_point_identity(CURVE_IDS[curve], out)
    return _bytes(out)


def decode(curve: Curve, encoded: bytes) -> bytes | None:
    """The point of prime order, not the identity, that this is the one encoding of; None if there is none."""
    out = _point()
    if len(encoded) != ENCODED_SIZE[curve] or not lib.quorate_point_decode(CURVE_IDS[curve], out, encoded):
        return None
    return _bytes(out)


def encode(curve: Curve, point: bytes) -> bytes:
    """33 bytes (secp256k1, compressed) or 32 (Ed25519). The identity has no encoding: ``Bug``."""
    out = ffi.new("uint8_t[]", ENCODED_SIZE[curve])
    _done(lib.quorate_point_encode(CURVE_IDS[curve], out, _points([point])), "encoding")
    return bytes(ffi.buffer(out))


def negate(curve: Curve, point: bytes) -> bytes:
    out = _point()
    _done(lib.quorate_point_negate(CURVE_IDS[curve], out, _points([point])), "negation")
    return _bytes(out)


def add(curve: Curve, points: Sequence[bytes]) -> bytes:
    """The sum of any number of points; the identity for none."""
    out = _point()
    _done(lib.quorate_point_sum(CURVE_IDS[curve], out, _points(points), len(points)), "sum")
    return _bytes(out)


def base(curve: Curve, scalars: Operand) -> tuple[bytes, ...]:
    """Each scalar times the generator."""
    many = count(scalars)
    out = ffi.new("quorate_point[]", many)
    _done(lib.quorate_point_base(CURVE_IDS[curve], out, address(scalars), many), "multiple of the generator")
    data = _bytes(out)
    return tuple(data[i : i + POINT_SIZE] for i in range(0, len(data), POINT_SIZE))


def multiply(curve: Curve, scalar: Operand, point: bytes) -> bytes:
    """Constant time in the scalar. That the product is the identity, if it is, does not stay secret."""
    if len(scalar) != SIZE:
        raise Bug("one scalar was expected")
    out = _point()
    _done(lib.quorate_point_multiply(CURVE_IDS[curve], out, address(scalar), _points([point])), "product")
    return _bytes(out)


def combine_var(curve: Curve, scalars: bytes, points: Sequence[bytes]) -> bytes:
    """The sum of public scalars times points."""
    if len(scalars) != SIZE * len(points):
        raise Bug("a combination needs a scalar for each point")
    out = _point()
    many = len(points)
    _done(
        lib.quorate_point_combination_var(CURVE_IDS[curve], out, scalars, _points(points), many),
        "combination",
    )
    return _bytes(out)


def _point() -> Any:
    return ffi.new("quorate_point *")


def _points(points: Sequence[bytes]) -> Any:
    for point in points:
        if len(point) != POINT_SIZE:
            raise Bug("these bytes are not points")
    return ffi.from_buffer("quorate_point[]", b"".join(points))


def _bytes(points: Any) -> bytes:
    return bytes(ffi.buffer(points))


def _done(result: int, what: str) -> None:
    if not result:
        raise Bug(f"the {what} of points failed: they are not what decode gives, or memory ran out")
