"""Points and scalars as algebra: the same laws on both curves, public and secret."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.curves import ED25519, SECP256K1, Group, Scalar, SecretScalar, SecretVector, group_of
from quorate.errors import Bug, EncodingError
from quorate.identifiers import Curve
from quorate.native.memory import SecretBytes
from quorate.primitives.drbg import Drbg

groups = st.sampled_from((SECP256K1, ED25519))
both = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)
few = settings(max_examples=25)


def rng(seed: bytes = b"curves test seed") -> Drbg:
    return Drbg(SecretBytes.of(seed))


def hide(scalar: Scalar) -> SecretScalar:
    return scalar.group.secret_scalar(bytes(scalar))


@both
def test_there_is_one_group_per_curve(group: Group) -> None:
    assert group_of(Curve(group.curve)) is group


@both
def test_a_scalar_and_its_bytes_are_one_to_one(group: Group) -> None:
    for value in (0, 1, 2**200, group.order - 1):
        scalar = group.scalar_of(value)
        assert group.scalar(bytes(scalar)) == scalar
        assert int(scalar) == value
        assert group.secret_scalar(bytes(scalar)).publish() == scalar
    for wrong in (group.order, group.order + 5, 2**256 - 1):
        data = wrong.to_bytes(32, group.byteorder)
        for decode in (group.scalar, group.secret_scalar, group.secret_vector):
            with pytest.raises(EncodingError):
                decode(data)
    for length in (0, 31, 33, 64):
        for decode in (group.scalar, group.secret_scalar):
            with pytest.raises(EncodingError):
                decode(bytes(length))


@both
def test_bytes_are_in_the_groups_order(group: Group) -> None:
    assert bytes(group.scalar_of(1))[-1 if group is SECP256K1 else 0] == 1


@given(groups, st.integers(), st.integers())
def test_public_scalars_are_integers_modulo_the_order(group: Group, a: int, b: int) -> None:
    q, x, y = group.order, group.scalar_of(a), group.scalar_of(b)
    assert int(x + y) == (a + b) % q
    assert int(x - y) == (a - b) % q
    assert int(x * y) == a * b % q
    assert int(-x) == -a % q
    if not y.is_zero():
        assert x / y * y == x


@given(groups, st.integers(), st.integers())
def test_secret_scalars_obey_the_public_ones(group: Group, a: int, b: int) -> None:
    x, y = group.scalar_of(a), group.scalar_of(b)
    pairs: list[tuple[Any, Any]] = [(hide(x), hide(y)), (hide(x), y), (x, hide(y))]
    for left, right in pairs:
        assert (left + right).publish() == x + y
        assert (left - right).publish() == x - y
        assert (left * right).publish() == x * y
    assert -hide(x) == -x
    assert hide(x).is_zero() == x.is_zero()
    if not x.is_zero():
        assert hide(x).inverse() == x.inverse()


@both
def test_zero_has_no_inverse(group: Group) -> None:
    zero = group.scalar_of(0)
    for invert in (zero.inverse, hide(zero).inverse, lambda: zero / zero):
        with pytest.raises(ZeroDivisionError):
            invert()


@given(groups, st.binary(max_size=64))
def test_wide_numbers_reduce_alike_in_public_and_in_secret(group: Group, wide: bytes) -> None:
    reduced = group.reduce(wide)
    assert int(reduced) == int.from_bytes(wide, group.byteorder) % group.order
    if wide:
        assert group.reduce_secret(SecretBytes.of(wide)).publish() == reduced


@given(groups, st.integers(), st.integers())
def test_equality_of_secrets_is_that_of_values(group: Group, a: int, b: int) -> None:
    x, y = group.scalar_of(a), group.scalar_of(b)
    assert (hide(x) == hide(y)) is (hide(x) == y) is (x == hide(y)) is (x == y)
    assert hide(x) == x
    assert hide(x) != object()


def test_values_of_two_groups_never_meet() -> None:
    one, other = SECP256K1.scalar_of(1), ED25519.scalar_of(1)
    assert one != other
    assert hide(one) != hide(other)
    assert SECP256K1.identity != ED25519.identity
    meetings: list[Callable[[], object]] = [
        lambda: one + other,
        lambda: one - other,
        lambda: one * other,
        lambda: hide(one) + other,
        lambda: hide(one) - hide(other),
        lambda: hide(one) * hide(other),
        lambda: one * ED25519.generator,
        lambda: hide(one) * ED25519.generator,
        lambda: SECP256K1.generator + ED25519.generator,
        lambda: SECP256K1.sum([ED25519.generator]),
        lambda: SECP256K1.combination([one], [ED25519.generator]),
        lambda: SECP256K1.combination([other], [SECP256K1.generator]),
        lambda: SECP256K1.secret_vector(bytes(32)) + ED25519.secret_vector(bytes(32)),
        lambda: SECP256K1.secret_vector(bytes(32)).inner([other]),
        lambda: SECP256K1.commit(ED25519.secret_vector(bytes(32))),
    ]
    for meeting in meetings:
        with pytest.raises(Bug):
            meeting()


@both
def test_numbers_of_python_do_not_pass_for_scalars(group: Group) -> None:
    one: Any = group.scalar_of(1)
    secret: Any = hide(one)
    generator: Any = group.generator
    mistakes: list[Callable[[], object]] = [
        lambda: one + 1,
        lambda: one * 2,
        lambda: one - 1,
        lambda: one / 2,
        lambda: secret + 1,
        lambda: secret * 2,
        lambda: secret - 1,
        lambda: 1 - secret,
        lambda: 2 * generator,
        lambda: generator + one,
        lambda: generator - 1,
        lambda: generator * one,
        lambda: generator * generator,
    ]
    for mistake in mistakes:
        with pytest.raises(TypeError):
            mistake()


@few
@given(groups, st.integers(), st.integers())
def test_points_obey_the_laws_of_their_scalars(group: Group, a: int, b: int) -> None:
    x, y, g = group.scalar_of(a), group.scalar_of(b), group.generator
    p, q = x * g, hide(y) * g
    assert p == hide(x) * g
    assert p + q == q + p == (x + y) * g
    assert p - q == (x - y) * g
    assert -p == -x * g
    assert y * p == hide(y) * p == x * q == (x * y) * g
    assert group.combination((x, y), (g, q)) == (x + y * y) * g
    assert group.sum((p, q, -p)) == q
    assert p + group.identity == p
    assert p - p == group.identity
    assert p.is_identity == x.is_zero()


@both
def test_a_point_and_its_bytes_are_one_to_one(group: Group) -> None:
    for k in (1, 2, 3, -1, 10**30):
        point = group.scalar_of(k) * group.generator
        assert len(bytes(point)) == group.point_size
        decoded = group.point(bytes(point))
        assert decoded == point
        assert hash(decoded) == hash(point)
        assert bytes(point).hex() in repr(point)


@both
def test_the_identity_has_no_bytes(group: Group) -> None:
    with pytest.raises(Bug):
        bytes(group.identity)
    assert "identity" in repr(group.identity)
    for encoded in (bytes(group.point_size), b"\1" + bytes(group.point_size - 1), b"\0", b""):
        with pytest.raises(EncodingError):
            group.point(encoded)


@both
def test_random_secrets_are_their_seeds(group: Group) -> None:
    first, again, other = rng(), rng(), rng(b"another test seed")
    assert group.random_secret(first) == group.random_secret(again)
    assert group.random_secret(first) != group.random_secret(other)


@both
def test_a_random_secret_is_never_zero(group: Group) -> None:
    class ZeroFirst:
        def __init__(self) -> None:
            self.drawn = [group.order.to_bytes(64, group.byteorder), b"\5" * 64]

        def secret(self, size: int) -> SecretBytes:
            return SecretBytes.of(self.drawn.pop(0)[:size])

        def public(self, size: int) -> bytes:
            raise NotImplementedError

    assert group.random_secret(ZeroFirst()) == group.reduce(b"\5" * 64)


@both
def test_no_view_of_a_secret_scalar_shows_it(group: Group) -> None:
    secret = group.secret_scalar(bytes(group.scalar_of(0x1234567890ABCDEF)))
    for text in (repr(secret), str(secret), f"{[secret]}", repr(group.secret_vector(secret.reveal()))):
        assert "redacted" in text
        assert "1234" not in text
        assert str(0x1234567890ABCDEF) not in text


@pytest.mark.parametrize("convert", [bytes, int, hash, pickle.dumps, copy.copy, copy.deepcopy, float])
@both
def test_no_conversion_takes_secret_scalars(group: Group, convert: Callable[[Any], object]) -> None:
    for secret in (group.secret_scalar(bytes(32)), group.secret_vector(bytes(64))):
        with pytest.raises(TypeError):
            convert(secret)


@both
def test_no_secret_scalar_is_true_or_false(group: Group) -> None:
    with pytest.raises(TypeError):
        bool(group.secret_scalar(bytes(32)))


@both
def test_wiped_scalars_are_of_no_use(group: Group) -> None:
    scalar, vector = group.secret_scalar(b"\1" + bytes(31)), group.secret_vector(b"\1" + bytes(31))
    with scalar, vector:
        assert not scalar.is_zero()
    uses: list[Callable[[], object]] = [
        scalar.reveal,
        scalar.publish,
        lambda: scalar + scalar,
        lambda: scalar * group.generator,
        vector.reveal,
        lambda: vector[0],
        lambda: vector.inner([group.scalar_of(1)]),
    ]
    for use in uses:
        with pytest.raises(Bug):
            use()


@both
def test_random_secrets_are_as_many_as_asked_and_differ(group: Group) -> None:
    drawn = group.random_secrets(rng(), 4)
    assert len({int(scalar.publish()) for scalar in drawn}) == 4
    assert drawn == group.random_secrets(rng(), 4)
    assert len(group.random_secrets(rng(), 0)) == 0


@both
def test_none_of_many_random_secrets_is_zero(group: Group) -> None:
    class ZeroFirst:
        def __init__(self) -> None:
            zero, five = group.order.to_bytes(64, group.byteorder), b"\5" * 64
            self.drawn = [five + zero, zero + five, five + five]

        def secret(self, size: int) -> SecretBytes:
            return SecretBytes.of(self.drawn.pop(0)[:size])

        def public(self, size: int) -> bytes:
            raise NotImplementedError

    assert [each.publish() for each in group.random_secrets(ZeroFirst(), 2)] == [group.reduce(b"\5" * 64)] * 2


@both
def test_vectors_add_subtract_and_multiply_element_by_element(group: Group) -> None:
    one, other = group.random_secrets(rng(), 3), group.random_secrets(rng(b"another test seed"), 3)
    pairs = list(zip(one, other, strict=True))
    assert list(one + other) == [a + b for a, b in pairs]
    assert list(one - other) == [a - b for a, b in pairs]
    assert list(one * other) == [a * b for a, b in pairs]
    assert SecretVector.of(list(one)) == one


def test_vectors_of_two_groups_do_not_meet() -> None:
    one, other = SECP256K1.random_secrets(rng(), 1), ED25519.random_secrets(rng(), 1)
    mixtures: list[Callable[[], object]] = [
        lambda: one - other,
        lambda: one * other,
        lambda: SecretVector.of([one[0], other[0]]),
    ]
    for mixed in mixtures:
        with pytest.raises(Bug, match="another group"):
            mixed()


@both
def test_a_weight_of_one_in_a_combination_is_the_point_itself(group: Group) -> None:
    one, p = group.scalar_of(1), group.scalar_of(7) * group.generator
    assert group.combination((one, one), (p, group.generator)) == p + group.generator
    assert group.combination((one,), (group.identity,)).is_identity


@both
def test_a_point_encodes_as_it_was_decoded(group: Group) -> None:
    computed = group.scalar_of(7) * group.generator
    assert bytes(group.point(bytes(computed))) == bytes(computed) == bytes(computed)
