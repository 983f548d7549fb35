"""Scalars in C against Python's integers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.curves import group_of
from quorate.errors import Bug
from quorate.identifiers import Curve
from quorate.native import scalars
from quorate.native.memory import SecretBytes

curves = st.sampled_from(Curve)


def encode(curve: Curve, *values: int) -> bytes:
    group = group_of(curve)
    return b"".join(value.to_bytes(32, group.byteorder) for value in values)


def decode(curve: Curve, data: SecretBytes | bytes) -> list[int]:
    raw = data if isinstance(data, bytes) else data.reveal()
    return [int.from_bytes(raw[i : i + 32], group_of(curve).byteorder) for i in range(0, len(raw), 32)]


@st.composite
def numbers(draw: st.DrawFn, curve: Curve) -> int:
    order = group_of(curve).order
    near = [
        v for edge in (0, order // 2, order - 1, 2**64, 2**128, 2**192) for v in range(edge - 2, edge + 3)
    ]
    edges = st.sampled_from([value for value in near if 0 <= value < order])
    return draw(st.one_of(edges, st.integers(0, order - 1)))


@given(curves, st.data())
def test_sums_differences_and_products_are_those_of_integers(curve: Curve, data: st.DataObject) -> None:
    order = group_of(curve).order
    pairs = data.draw(st.lists(st.tuples(numbers(curve), numbers(curve)), max_size=5))
    a, b = (
        SecretBytes.of(encode(curve, *column)) for column in (zip(*pairs, strict=True) if pairs else ((), ()))
    )
    assert decode(curve, scalars.add(curve, a, b)) == [(x + y) % order for x, y in pairs]
    assert decode(curve, scalars.subtract(curve, a, b)) == [(x - y) % order for x, y in pairs]
    assert decode(curve, scalars.multiply(curve, a, b)) == [x * y % order for x, y in pairs]
    assert decode(curve, scalars.inner(curve, a, b)) == [sum(x * y for x, y in pairs) % order]


@given(curves, st.data())
def test_inverses_are_those_of_integers_and_zero_stays_zero(curve: Curve, data: st.DataObject) -> None:
    order = group_of(curve).order
    values = data.draw(st.lists(numbers(curve), max_size=5))
    inverses = scalars.invert(curve, SecretBytes.of(encode(curve, *values)))
    assert decode(curve, inverses) == [pow(value, -1, order) if value else 0 for value in values]


@given(curves, st.integers(1, 64), st.data())
def test_reduction_is_that_of_integers_at_every_size(curve: Curve, size: int, data: st.DataObject) -> None:
    group = group_of(curve)
    values = data.draw(
        st.lists(
            st.one_of(st.integers(0, 2 ** (8 * size) - 1), st.just(2 ** (8 * size) - 1), st.just(0)),
            max_size=4,
        )
    )
    wide = b"".join(value.to_bytes(size, group.byteorder) for value in values)
    reduced = scalars.reduce(curve, SecretBytes.of(wide), size)
    assert decode(curve, reduced) == [value % group.order for value in values]


@given(curves, st.data())
def test_multiples_of_the_order_reduce_to_zero(curve: Curve, data: st.DataObject) -> None:
    group = group_of(curve)
    factor = data.draw(st.integers(0, 2**512 // group.order - 1))
    for offset in (0, 1):
        wide = (factor * group.order + offset).to_bytes(64, group.byteorder)
        assert decode(curve, scalars.reduce(curve, wide, 64)) == [offset]


@pytest.mark.parametrize("curve", Curve)
def test_canonical_means_less_than_the_order(curve: Curve) -> None:
    order = group_of(curve).order
    for value in (0, 1, order - 1):
        assert scalars.are_canonical(curve, encode(curve, value))
    for value in (order, order + 1, 2 * order - 1 if order < 2**255 else order, 2**256 - 1):
        assert not scalars.are_canonical(curve, encode(curve, value))
    for place in range(3):
        values = [1, 2, 3]
        values[place] = order
        assert not scalars.are_canonical(curve, encode(curve, *values))


@pytest.mark.parametrize("curve", Curve)
def test_only_zero_is_zero(curve: Curve) -> None:
    assert scalars.is_zero(bytes(32))
    for bit in range(256):
        assert not scalars.is_zero((1 << bit).to_bytes(32, "big"))


@given(curves, st.lists(st.integers(0, 2**32 - 1), max_size=6), st.data())
def test_polynomials_evaluate_as_over_the_integers(curve: Curve, xs: list[int], data: st.DataObject) -> None:
    order = group_of(curve).order
    coefficients = data.draw(st.lists(numbers(curve), max_size=6))
    values = scalars.evaluate(curve, SecretBytes.of(encode(curve, *coefficients)), xs)
    assert decode(curve, values) == [sum(c * x**i for i, c in enumerate(coefficients)) % order for x in xs]


@given(curves, st.lists(st.integers(1, 2**32 - 1), max_size=8, unique=True))
def test_lagrange_coefficients_are_the_quotients_of_the_formula(curve: Curve, xs: list[int]) -> None:
    order = group_of(curve).order
    expected = []
    for x in xs:
        above = below = 1
        for other in xs:
            if other != x:
                above, below = above * other % order, below * (other - x) % order
        expected.append(above * pow(below, -1, order) % order)
    found = scalars.lagrange_at_zero_var(curve, xs)
    assert found is not None
    assert decode(curve, found) == expected


@pytest.mark.parametrize("curve", Curve)
def test_indices_that_repeat_or_are_zero_have_no_lagrange_coefficients(curve: Curve) -> None:
    assert scalars.lagrange_at_zero_var(curve, [1, 2, 1]) is None
    assert scalars.lagrange_at_zero_var(curve, [1, 0, 2]) is None


def test_lengths_that_do_not_fit_never_reach_c() -> None:
    curve, one, two, torn = Curve.ED25519, SecretBytes(32), SecretBytes(64), SecretBytes(33)
    for f in (scalars.add, scalars.subtract, scalars.multiply, scalars.inner):
        for a, b in ((one, two), (two, one), (torn, torn)):
            with pytest.raises(Bug):
                f(curve, a, b)
    with pytest.raises(Bug):
        scalars.invert(curve, torn)
    with pytest.raises(Bug):
        scalars.evaluate(curve, torn, [1])
    with pytest.raises(Bug):
        scalars.are_canonical(curve, torn)
    for wrong in (SecretBytes(31), two):
        with pytest.raises(Bug):
            scalars.is_zero(wrong)
    for size in (0, 65, 7):
        with pytest.raises(Bug):
            scalars.reduce(curve, SecretBytes(65), size)


def test_operands_are_left_as_they_were() -> None:
    a, b = (SecretBytes.of(encode(Curve.SECP256K1, value)) for value in (5, 7))
    for f in (scalars.add, scalars.subtract, scalars.multiply, scalars.inner):
        f(Curve.SECP256K1, a, b)
    scalars.invert(Curve.SECP256K1, a)
    assert a == encode(Curve.SECP256K1, 5)
    assert b == encode(Curve.SECP256K1, 7)
