"""A set of signers makes a valid signature exactly if its weight reaches the threshold."""

from __future__ import annotations

from itertools import combinations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from quorate.curves import ED25519
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.eddsa import frost
from tests.oracle import frost as oracle
from tests.protocols.vaults import Vault, sign, vault_of

SMALL = [
    ([1], 1),
    ([2], 2),
    ([1, 1], 2),
    ([2, 1, 1], 3),
    ([2, 1], 1),
    ([1, 1, 1], 2),
    ([3, 2, 2, 1], 5),
    ([4, 6, 10], 11),
]

EXAMPLES = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])


def verifies(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """The two independent verifiers, asked directly; they must agree."""
    try:
        VerifyKey(public_key).verify(message, signature)
        sodium = True
    except BadSignatureError:
        sodium = False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        openssl = True
    except InvalidSignature:
        openssl = False
    assert sodium is openssl
    return sodium


def signs(vault: Vault, signers: tuple[DeviceId, ...], message: bytes, tweak: int = 0) -> bool:
    """Whether these signers make a signature, by the product."""
    delta = ED25519.scalar_of(tweak) if tweak else None
    try:
        outcome = sign(vault, signers, [message], tweak=delta)
    except UsageError:
        return False
    assert not outcome.failures
    ((signature,),) = set(outcome.results.values())
    key = frost.tweaked(ED25519.point(vault.public_key(Curve.ED25519)), delta)
    assert verifies(key, message, signature)
    return True


def signs_if_forced(vault: Vault, signers: tuple[DeviceId, ...], message: bytes) -> bool:
    """Whether their shares make a signature, by plain integers that refuse nothing."""
    shares = {}
    for device in signers:
        share = vault.shelves[device].shares[Curve.ED25519]
        shares[share.indices.start] = {
            x: oracle.scalar(share.secret[place].reveal()) for place, x in enumerate(share.indices)
        }
    nonces = {i: (7 * i + 1, 11 * i + 2) for i in shares}
    public_key = vault.public_key(Curve.ED25519)
    _, signature = oracle.sign(shares, nonces, message, public_key)
    return verifies(public_key, message, signature)


@pytest.mark.parametrize(("weights", "threshold"), SMALL)
def test_every_subset_signs_exactly_if_it_reaches_the_threshold(weights: list[int], threshold: int) -> None:
    vault = vault_of(weights, threshold)
    by_device = dict(zip(vault.devices, weights, strict=True))
    for size in range(1, len(weights) + 1):
        for signers in combinations(vault.devices, size):
            enough = sum(by_device[device] for device in signers) >= threshold
            assert signs(vault, signers, b"subset") is enough
            assert signs_if_forced(vault, signers, b"subset") is enough


@given(
    weights=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    message=st.binary(max_size=200),
    tweak=st.one_of(st.just(0), st.integers(1, ED25519.order - 1)),
    data=st.data(),
)
@EXAMPLES
def test_random_vaults_sign_exactly_with_enough_weight(
    weights: list[int], message: bytes, tweak: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, sum(weights)), label="threshold")
    vault = vault_of(weights, threshold)
    chosen = data.draw(st.sets(st.sampled_from(vault.devices), min_size=1), label="signers")
    enough = sum(w for d, w in zip(vault.devices, weights, strict=True) if d in chosen) >= threshold
    assert signs(vault, tuple(sorted(chosen)), message, tweak) is enough


@given(
    weights=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@EXAMPLES
def test_any_quorum_collapses_to_the_same_key(weights: list[int], seed: int, data: st.DataObject) -> None:
    """Σ x_i^S is one secret for all sets that reach the threshold, and Σ P_{i,S} its public key, on both curves."""
    threshold = data.draw(st.integers(1, sum(weights)), label="threshold")
    vault = vault_of(weights, threshold, seed=seed % 3)
    curve = data.draw(st.sampled_from(Curve), label="curve")
    for signers in vault.record.sharing.minimal_sets():
        quorums = [vault.quorum(device, signers, curve) for device in signers]
        group = quorums[0].public_key.group
        total = sum((quorum.secret.publish() for quorum in quorums), start=group.scalar_of(0))
        assert bytes(total * group.generator) == vault.public_key(curve)
        for quorum in quorums:
            assert quorum.images == quorums[0].images
            assert quorum.images[quorum.me] == quorum.secret * group.generator
