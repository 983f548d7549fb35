"""What C makes of a lane against the same algebra, scalar by scalar and point by point."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.curves import SECP256K1, Point, Scalar
from quorate.errors import Bug
from quorate.native import lane
from quorate.native.memory import SecretBytes

few = settings(max_examples=15)
Q, G = SECP256K1.order, SECP256K1.generator
edges = st.sampled_from([0, 1, 2, Q - 2, Q - 1])
scalars = st.one_of(edges, st.integers(0, Q - 1)).map(SECP256K1.scalar_of)


def joined(numbers: list[Scalar]) -> bytes:
    return b"".join(map(bytes, numbers))


def secret(numbers: list[Scalar]) -> SecretBytes:
    return SecretBytes.of(joined(numbers))


def many(count: int) -> st.SearchStrategy[list[Scalar]]:
    return st.lists(scalars, min_size=count, max_size=count)


def products(
    weights: list[Scalar],
    choices: list[Scalar],
    shares: list[Scalar],
    points: list[list[Point]],
    image: Point,
) -> tuple[bool, bool]:
    nonces, nonce_shares, key_shares = ([point.data for point in some] for some in points)
    return lane.check(
        joined(weights),
        secret(choices),
        secret(shares),
        nonces=nonces,
        image=image.data,
        nonce_shares=nonce_shares,
        key_shares=key_shares,
    )


@few
@given(st.data(), st.integers(1, 4))
def test_the_check_holds_for_products_and_fails_for_either_that_is_not(
    data: st.DataObject, count: int
) -> None:
    weights, choices, r, x = (data.draw(many(n)) for n in (count, count, count, 1))
    d = data.draw(many(2 * count))
    nonces, image = [each * G for each in r], x[0] * G
    # What the other must have for its halves: c = χ·r - d, and χ·x - d.
    on_nonces = [(chi * k - half) * G for chi, k, half in zip(choices, r, d[::2], strict=True)]
    on_key = [(chi * x[0] - half) * G for chi, half in zip(choices, d[1::2], strict=True)]
    assert products(weights, choices, d, [nonces, on_nonces, on_key], image) == (True, True)

    place = data.draw(st.integers(0, count - 1))
    wrong = list(on_nonces)
    wrong[place] += G
    seen = weights[place].is_zero()  # what has no weight is not looked at
    assert products(weights, choices, d, [nonces, wrong, on_key], image) == (seen, True)
    wrong = list(on_key)
    wrong[place] += G
    assert products(weights, choices, d, [nonces, on_nonces, wrong], image) == (True, seen)
    d[2 * place] += SECP256K1.scalar_of(1)
    assert products(weights, choices, d, [nonces, on_nonces, on_key], image) == (seen, True)


@few
@given(st.data(), st.integers(1, 4), st.integers(0, 3))
def test_what_is_published_is_what_the_formulas_give(data: st.DataObject, count: int, peers: int) -> None:
    inputs, masks = data.draw(many(2 * count)), data.draw(many(count))
    differences = [data.draw(many(count)) for _ in range(peers)]
    halves = [data.draw(many(2 * count)) for _ in range(2 * peers)]
    messages = data.draw(st.lists(st.binary(min_size=32, max_size=32), min_size=count, max_size=count))
    coordinates = data.draw(many(count))

    expected = []
    for k in range(count):
        mask = sum((each[k] for each in differences), start=masks[k])
        u = sum((each[2 * k] for each in halves), start=inputs[2 * k] * mask)
        v = sum((each[2 * k + 1] for each in halves), start=inputs[2 * k + 1] * mask)
        expected += [u, SECP256K1.reduce(messages[k]) * masks[k] + coordinates[k] * v]
    published = lane.publish(
        secret(inputs),
        secret(masks),
        [secret(each) for each in differences],
        [secret(each) for each in halves],
        b"".join(messages),
        joined(coordinates),
    )
    assert published == joined(expected)


def test_a_digest_of_ones_is_reduced() -> None:
    one, zero = SECP256K1.scalar_of(1), SECP256K1.scalar_of(0)
    published = lane.publish(secret([zero, zero]), secret([one]), [], [], b"\xff" * 32, bytes(zero))
    assert published[32:] == bytes(SECP256K1.reduce(b"\xff" * 32))


def test_another_number_of_anything_is_our_mistake() -> None:
    one = SECP256K1.scalar_of(1)
    with pytest.raises(Bug):
        products([one], [one], [one], [[G], [G], [G]], G)
    with pytest.raises(Bug):
        products([one], [one, one], [one, one], [[G], [G], [G]], G)
    with pytest.raises(Bug):
        products([one], [one], [one, one], [[G], [G, G], [G]], G)
    with pytest.raises(Bug):
        products([], [], [], [[], [], []], G)
    with pytest.raises(Bug):
        lane.publish(
            secret([one, one]), secret([one]), [secret([one])], [secret([one, one])], bytes(32), bytes(32)
        )
    with pytest.raises(Bug):
        lane.publish(secret([one, one]), secret([one]), [], [], bytes(64), bytes(32))
