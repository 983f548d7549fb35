"""Group operations against an independent implementation (the ecdsa package), and strict decoding."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ecdsa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.curves import group_of
from quorate.errors import Bug
from quorate.identifiers import Curve
from quorate.native import groups
from quorate.native.memory import SecretBytes

P25519 = 2**255 - 19
SECP_P = 2**256 - 2**32 - 977
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",  # the identity
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 2
    "0000000000000000000000000000000000000000000000000000000000000000",  # order 4
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # order 8
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]

few = settings(max_examples=25)
curves = st.sampled_from(Curve)


def scalar(curve: Curve, value: int) -> bytes:
    group = group_of(curve)
    return (value % group.order).to_bytes(32, group.byteorder)


def oracle(curve: Curve, value: int) -> bytes:
    """value * generator, encoded, by the ecdsa package."""
    if curve is Curve.ED25519:
        return bytes((ecdsa.Ed25519.generator * value).to_bytes())
    return bytes((ecdsa.SECP256k1.generator * value).to_bytes("compressed"))


def multiple(curve: Curve, value: int) -> bytes:
    return groups.base(curve, SecretBytes.of(scalar(curve, value)))[0]


@st.composite
def factors(draw: st.DrawFn, curve: Curve) -> int:
    order = group_of(curve).order
    return draw(st.one_of(st.sampled_from([1, 2, 3, order - 2, order - 1]), st.integers(1, order - 1)))


@few
@given(curves, st.data())
def test_products_are_the_oracles(curve: Curve, data: st.DataObject) -> None:
    order = group_of(curve).order
    k, e = data.draw(factors(curve)), data.draw(factors(curve))
    point = multiple(curve, k)
    assert groups.encode(curve, point) == oracle(curve, k)
    product = groups.multiply(curve, SecretBytes.of(scalar(curve, e)), point)
    assert groups.encode(curve, product) == oracle(curve, k * e % order)
    assert groups.combine_var(curve, scalar(curve, e), [point]) == product


@few
@given(curves, st.data())
def test_sums_and_combinations_are_the_oracles(curve: Curve, data: st.DataObject) -> None:
    order = group_of(curve).order
    terms = data.draw(st.lists(st.tuples(st.integers(0, order - 1), st.integers(0, order - 1)), max_size=4))
    points = [multiple(curve, k) for k, _ in terms]
    total = groups.add(curve, points)
    assert total == multiple(curve, sum(k for k, _ in terms))
    combined = groups.combine_var(curve, b"".join(scalar(curve, e) for _, e in terms), points)
    expected = sum(k * e for k, e in terms) % order
    assert combined == multiple(curve, expected)
    if expected:
        assert groups.encode(curve, combined) == oracle(curve, expected)


@pytest.mark.parametrize("curve", Curve)
def test_the_identity_is_a_point_like_any_other(curve: Curve) -> None:
    identity, generator = groups.identity(curve), groups.generator(curve)
    point, opposite = multiple(curve, 5), multiple(curve, -5)
    zero, five = scalar(curve, 0), scalar(curve, 5)
    assert groups.add(curve, []) == identity
    assert groups.add(curve, [identity]) == identity
    assert groups.add(curve, [identity, identity]) == identity
    assert groups.add(curve, [identity, point]) == point
    assert groups.add(curve, [point, opposite]) == identity
    assert groups.add(curve, [point, generator, opposite]) == generator
    assert groups.negate(curve, identity) == identity
    assert groups.negate(curve, point) == opposite
    assert groups.base(curve, SecretBytes.of(zero + five + zero)) == (identity, point, identity)
    for some in (identity, generator, point):
        assert groups.multiply(curve, SecretBytes.of(zero), some) == identity
        assert groups.combine_var(curve, zero, [some]) == identity
    assert groups.multiply(curve, SecretBytes.of(five), identity) == identity
    assert groups.combine_var(curve, b"", []) == identity
    assert groups.combine_var(curve, five + zero + five, [identity, point, generator]) == point
    assert groups.combine_var(curve, five + five, [point, opposite]) == identity
    with pytest.raises(Bug):
        groups.encode(curve, identity)


@pytest.mark.parametrize("curve", Curve)
def test_a_decoded_point_is_the_computed_one(curve: Curve) -> None:
    for k in (1, 2, 3, 4, 5, -1, -2, 1234567):
        encoded = oracle(curve, k % group_of(curve).order)
        assert groups.decode(curve, encoded) == multiple(curve, k)


@pytest.mark.parametrize("curve", Curve)
def test_a_point_has_one_length(curve: Curve) -> None:
    encoded = groups.encode(curve, groups.generator(curve))
    for wrong in (b"", encoded[:-1], encoded + b"\0", encoded * 2):
        assert groups.decode(curve, wrong) is None


def test_secp256k1_points_come_compressed_only() -> None:
    point: Any = ecdsa.SECP256k1.generator * 7
    compressed, x = bytes(point.to_bytes("compressed")), bytes(point.to_bytes("raw"))[:32]
    assert groups.decode(Curve.SECP256K1, compressed) is not None
    for other in (
        bytes(point.to_bytes("uncompressed")),
        bytes(point.to_bytes("hybrid")),
        bytes(point.to_bytes("raw")),
    ):
        assert groups.decode(Curve.SECP256K1, other) is None
    for prefix in set(range(256)) - {2, 3}:
        assert groups.decode(Curve.SECP256K1, bytes([prefix]) + x) is None


def test_secp256k1_coordinates_are_canonical_and_on_the_curve() -> None:
    def decodes(x: int) -> bool:
        return groups.decode(Curve.SECP256K1, b"\2" + x.to_bytes(32, "big")) is not None

    assert not decodes(0)  # 7 is no square
    for x in range(1, 60):
        square = pow(x**3 + 7, (SECP_P - 1) // 2, SECP_P) == 1
        assert decodes(x) == square
        assert not decodes(SECP_P + x)
    assert not decodes(SECP_P)
    assert not decodes(2**256 - 1)


@pytest.mark.parametrize("encoded", SMALL_ORDER)
def test_ed25519_points_of_small_order_are_refused(encoded: str) -> None:
    assert groups.decode(Curve.ED25519, bytes.fromhex(encoded)) is None


@pytest.mark.parametrize("encoded", SMALL_ORDER[1:])
@pytest.mark.parametrize("k", [1, 2, 8, 12345])
def test_ed25519_points_with_a_torsion_component_are_refused(encoded: str, k: int) -> None:
    point: Any = ecdsa.ellipticcurve.PointEdwards.from_bytes(ecdsa.Ed25519.curve, bytes.fromhex(encoded))
    torsioned = bytes((point + ecdsa.Ed25519.generator * k).to_bytes())
    assert groups.decode(Curve.ED25519, torsioned) is None


def test_ed25519_coordinates_are_canonical() -> None:
    for y in range(P25519, 2**255):
        for sign in (0, 1 << 255):
            assert groups.decode(Curve.ED25519, (y | sign).to_bytes(32, "little")) is None


def test_ed25519_zero_has_no_negative() -> None:
    for y in (1, P25519 - 1):
        assert groups.decode(Curve.ED25519, (y | 1 << 255).to_bytes(32, "little")) is None


def test_ed25519_decodes_just_the_subgroup_of_prime_order() -> None:
    order, decoded = group_of(Curve.ED25519).order, 0
    for y in range(2, 60):
        encoded = y.to_bytes(32, "little")
        try:
            point: Any = ecdsa.ellipticcurve.PointEdwards.from_bytes(ecdsa.Ed25519.curve, encoded)
            inside = point * (order + 1) == point
        except ecdsa.errors.MalformedPointError:
            inside = False
        assert (groups.decode(Curve.ED25519, encoded) is not None) == inside
        decoded += inside
    assert decoded


@pytest.mark.parametrize("curve", Curve)
def test_what_is_no_point_is_a_bug_not_an_abort(curve: Curve) -> None:
    torn, one = bytes(63), scalar(curve, 1)
    with pytest.raises(Bug):
        groups.add(curve, [torn])
    with pytest.raises(Bug):
        groups.combine_var(curve, one, [])
    with pytest.raises(Bug):
        groups.multiply(curve, SecretBytes(31), groups.generator(curve))


def test_bytes_that_are_no_point_fail_in_the_library_without_killing_the_process() -> None:
    forged = bytes(32) + b"\x01" * 32  # x = 0, which libsecp256k1 takes for a misuse of its interface
    with pytest.raises(Bug):
        groups.multiply(Curve.SECP256K1, SecretBytes.of(scalar(Curve.SECP256K1, 5)), forged)
    assert multiple(Curve.SECP256K1, 1) == groups.generator(Curve.SECP256K1)


def test_a_library_that_is_not_there_is_named() -> None:
    for package, module in (("coincurve", "_no_such_module"), ("no_such_package", "_sodium")):
        with pytest.raises(ImportError, match=f"{package} has no {module}"):
            groups._shared_object(package, module)


def test_threads_compute_the_same_points() -> None:
    def work(curve: Curve) -> bytes:
        point = groups.generator(curve)
        for k in range(2, 40):
            point = groups.multiply(
                curve, SecretBytes.of(scalar(curve, k)), groups.add(curve, [point, point])
            )
            assert groups.decode(curve, groups.encode(curve, point)) == point
        return point

    with ThreadPoolExecutor(4) as pool:
        for curve in Curve:
            assert len(set(pool.map(work, [curve] * 8))) == 1


@pytest.mark.parametrize("curve", Curve)
def test_only_whole_points_reach_c(curve: Curve) -> None:
    """C reads 64 bytes for each: none, less, more, or what only adds up is our own mistake."""
    one, point = SecretBytes.of(scalar(curve, 1)), groups.generator(curve)
    for odd in (b"", point[:-1], point * 2):
        for use in (groups.encode, groups.negate):
            with pytest.raises(Bug):
                use(curve, odd)
        with pytest.raises(Bug):
            groups.multiply(curve, one, odd)
    for points in ([b"", b""], [point * 2, b""], [point[:-1], point + b"x"]):
        with pytest.raises(Bug):
            groups.add(curve, points)
        with pytest.raises(Bug):
            groups.combine_var(curve, scalar(curve, 1) * len(points), points)
    with pytest.raises(Bug):
        groups.base(curve, scalar(curve, 1) + b"x")
