"""Vectors of secrets, polynomials and interpolation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.curves import ED25519, SECP256K1, Group, SecretPolynomial, lagrange_at_zero
from quorate.errors import Bug, EncodingError
from quorate.native.memory import SecretBytes
from quorate.primitives.drbg import Drbg

groups = st.sampled_from((SECP256K1, ED25519))
both = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)
few = settings(max_examples=25)


def rng(seed: int = 0) -> Drbg:
    return Drbg(SecretBytes.of(seed.to_bytes(16, "big")))


def vector(group: Group, *values: int) -> bytes:
    return b"".join(bytes(group.scalar_of(value)) for value in values)


@both
def test_a_vector_is_its_scalars(group: Group) -> None:
    secrets = group.secret_vector(SecretBytes.of(vector(group, 3, 0, -1)))
    assert len(secrets) == 3
    assert [secret.publish() for secret in secrets] == [group.scalar_of(v) for v in (3, 0, -1)]
    assert secrets.reveal() == secrets.secret().reveal() == vector(group, 3, 0, -1)
    for outside in (-1, 3):
        with pytest.raises(IndexError):
            secrets[outside]
    assert secrets == group.secret_vector(vector(group, 3, 0, -1))
    assert secrets != group.secret_vector(vector(group, 3, 0, 1))
    assert secrets != group.secret_vector(vector(group, 3, 0))


@both
def test_a_vector_is_canonical_in_every_element(group: Group) -> None:
    too_large = group.order.to_bytes(32, group.byteorder)
    for place in range(3):
        parts = [vector(group, 1)] * 3
        parts[place] = too_large
        with pytest.raises(EncodingError):
            group.secret_vector(b"".join(parts))
    with pytest.raises(EncodingError):
        group.secret_vector(bytes(33))


@both
def test_a_vector_keeps_a_copy(group: Group) -> None:
    with SecretBytes.of(vector(group, 5, 6)) as data:
        secrets = group.secret_vector(data)
    sealed = secrets.secret()
    secrets.wipe()
    assert sealed == vector(group, 5, 6)


@both
def test_vectors_add_and_weigh_element_by_element(group: Group) -> None:
    a, b = group.secret_vector(vector(group, 1, 2, 3)), group.secret_vector(vector(group, 10, -2, 0))
    assert a + b == group.secret_vector(vector(group, 11, 0, 3))
    weights = [group.scalar_of(v) for v in (7, 11, -1)]
    assert a.inner(weights) == group.scalar_of(7 + 22 - 3)
    with pytest.raises(Bug):
        a.inner(weights[:2])
    with pytest.raises(Bug):
        a + group.secret_vector(vector(group, 1))


@few
@given(
    groups, st.integers(1, 6), st.integers(0, 99), st.sets(st.integers(1, 2**32 - 1), min_size=6, max_size=8)
)
def test_as_many_values_as_terms_give_the_constant(group: Group, terms: int, seed: int, xs: set[int]) -> None:
    polynomial = SecretPolynomial.random(group, terms, rng(seed))
    for count in range(terms, len(xs) + 1):
        indices = sorted(xs)[:count]
        assert polynomial.at(indices).inner(lagrange_at_zero(group, indices)) == polynomial.constant
    indices = sorted(xs)[: terms - 1]
    assert polynomial.at(indices).inner(lagrange_at_zero(group, indices)) != polynomial.constant


@few
@given(groups, st.integers(1, 5), st.integers(1, 2**32 - 1))
def test_values_match_the_commitment_in_the_exponent(group: Group, terms: int, x: int) -> None:
    polynomial = SecretPolynomial.random(group, terms, rng())
    commitment = polynomial.commitment()
    assert len(commitment) == terms
    powers = [group.scalar_of(x**i) for i in range(terms)]
    assert group.combination(powers, commitment) == polynomial.at([x])[0] * group.generator


@both
def test_a_given_constant_is_the_constant(group: Group) -> None:
    for constant in (group.random_secret(rng(7)), group.secret_scalar(bytes(32))):
        for terms in (1, 2, 5):
            polynomial = SecretPolynomial.random(group, terms, rng(8), constant)
            assert polynomial.constant == constant
            assert polynomial.commitment()[0] == constant * group.generator
            indices = range(1, terms + 1)
            assert polynomial.at(indices).inner(lagrange_at_zero(group, indices)) == constant


@both
def test_a_polynomial_outlives_the_constant_it_was_given(group: Group) -> None:
    with group.random_secret(rng()) as constant:
        polynomial = SecretPolynomial.random(group, 2, rng(), constant)
        expected = constant.publish()
    assert polynomial.constant == expected


@both
def test_polynomials_differ_by_their_randomness_alone(group: Group) -> None:
    first, again, other = (SecretPolynomial.random(group, 3, rng(seed)) for seed in (1, 1, 2))
    assert first.coefficients == again.coefficients
    assert first.coefficients != other.coefficients


@both
def test_a_polynomial_has_a_constant_term(group: Group) -> None:
    with pytest.raises(ValueError, match="constant"):
        SecretPolynomial.random(group, 0, rng())


@pytest.mark.parametrize("index", [0, -1, 2**32, SECP256K1.order])
@both
def test_zero_is_no_index_and_large_numbers_are_none(group: Group, index: int) -> None:
    with pytest.raises(ValueError, match="index"):
        SecretPolynomial.random(group, 2, rng()).at([1, index])
    with pytest.raises(ValueError, match="index"):
        lagrange_at_zero(group, [1, index])


@both
def test_indices_do_not_repeat(group: Group) -> None:
    with pytest.raises(ValueError, match="repeat"):
        lagrange_at_zero(group, [4, 5, 4])


@both
def test_lagrange_weights_of_constants_add_up_to_one(group: Group) -> None:
    total = group.scalar_of(0)
    for weight in lagrange_at_zero(group, range(1, 40)):
        total += weight
    assert total == group.scalar_of(1)
    assert lagrange_at_zero(group, [9]) == (group.scalar_of(1),)
    assert lagrange_at_zero(group, []) == ()
