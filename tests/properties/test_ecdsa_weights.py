"""A set of signers makes a valid ECDSA signature exactly if its weight reaches the threshold."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.curves import SECP256K1
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.ecdsa.terms import tweaked
from tests.protocols.ecdsa_sessions import assert_verifies, ecdsa_sign
from tests.protocols.vaults import Vault, vault_of

SMALL = [([1], 1), ([1, 1], 2), ([2, 1], 1), ([2, 1, 1], 3), ([2, 1, 2], 4), ([3, 2, 2, 1], 5)]

EXAMPLES = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
DIGEST = bytes(range(32))


def signs(
    vault: Vault, signers: tuple[DeviceId, ...], messages: list[bytes], tweak: int = 0, seed: int = 0
) -> bool:
    """Whether these signers make signatures, all of which every verifier takes."""
    delta = SECP256K1.scalar_of(tweak) if tweak else None
    try:
        outcome = ecdsa_sign(vault, signers, messages, tweak=delta, seed=seed)
    except UsageError:
        return False
    assert not outcome.failures
    (signatures,) = set(outcome.results.values())
    key = bytes(tweaked(SECP256K1.point(vault.public_key(Curve.SECP256K1)), delta))
    for message, signature in zip(messages, signatures, strict=True):
        assert_verifies(key, message, signature)
    return True


@pytest.mark.parametrize(("weights", "threshold"), SMALL)
def test_every_subset_signs_exactly_if_it_reaches_the_threshold(weights: list[int], threshold: int) -> None:
    vault = vault_of(weights, threshold)
    by_device = dict(zip(vault.devices, weights, strict=True))
    for size in range(1, len(weights) + 1):
        for signers in combinations(vault.devices, size):
            enough = sum(by_device[device] for device in signers) >= threshold
            assert signs(vault, signers, [DIGEST]) is enough


@given(
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    messages=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3),
    tweak=st.one_of(st.just(0), st.integers(1, SECP256K1.order - 1)),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@EXAMPLES
def test_random_vaults_sign_exactly_with_enough_weight(
    weights: list[int], messages: list[bytes], tweak: int, seed: int, data: st.DataObject
) -> None:
    """Whoever is named first and in whatever order messages arrive."""
    threshold = data.draw(st.integers(1, sum(weights)), label="threshold")
    vault = vault_of(weights, threshold)
    some = data.draw(st.sets(st.sampled_from(vault.devices), min_size=1), label="signers")
    chosen = tuple(data.draw(st.permutations(sorted(some)), label="order"))
    enough = sum(w for d, w in zip(vault.devices, weights, strict=True) if d in some) >= threshold
    assert signs(vault, chosen, messages, tweak, seed) is enough
