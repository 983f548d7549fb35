"""Random chains of reshares: the keys stay, a quorum of each roster has them, and nobody else."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.certificate import Certificate
from quorate.protocols.history import verify_chain
from quorate.protocols.quorum import Sharing
from quorate.wire.simulator import devices
from tests.oracle import curve as oracle
from tests.oracle import shamir
from tests.protocols.ecdsa_sessions import assert_verifies, ecdsa_sign
from tests.protocols.vaults import Vault, handed_over, roster_of, sign, vault_of

CURVES: dict[Curve, oracle.Curve] = {Curve.SECP256K1: oracle.Secp256k1(), Curve.ED25519: oracle.Ed25519()}
POOL = devices(10)
DIGEST = bytes(range(32))

EXAMPLES = settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def rosters(draw: st.DrawFn) -> Sharing:
    """1 to 7 of ten devices, weights 1 to 5, and any threshold: two in a row may have anybody or nobody in common."""
    chosen = draw(st.lists(st.sampled_from(POOL), min_size=1, max_size=7, unique=True))
    weights = {device: draw(st.integers(1, 5)) for device in chosen}
    return roster_of(weights, draw(st.integers(1, sum(weights.values()))))


def some_dealers(vault: Vault, order: list[DeviceId]) -> list[DeviceId]:
    """The first in this order that weigh enough."""
    sharing, chosen = vault.record.sharing, list[DeviceId]()
    for device in order:
        chosen.append(device)
        if sharing.weight_of(chosen) >= sharing.handover_weight:
            break
    return chosen


CHAINS = given(
    weights=st.lists(st.integers(1, 5), min_size=1, max_size=7),
    chain=st.lists(rosters(), min_size=1, max_size=3),
    data=st.data(),
)


@CHAINS
@EXAMPLES
def test_whatever_the_rosters_the_keys_stay_and_only_quorums_of_the_last_have_them(
    weights: list[int], chain: list[Sharing], data: st.DataObject
) -> None:
    run_chain(weights, chain, data)


@pytest.mark.slow
@CHAINS
@settings(EXAMPLES, max_examples=200)
def test_many_more_chains_of_rosters(weights: list[int], chain: list[Sharing], data: st.DataObject) -> None:
    run_chain(weights, chain, data)


def run_chain(weights: list[int], chain: list[Sharing], data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, sum(weights)), label="threshold")
    vaults = [vault_of(weights, threshold)]
    for place, target in enumerate(chain):
        order = data.draw(st.permutations(vaults[-1].devices), label="dealers, in order")
        vaults.append(handed_over(vaults[-1], target, some_dealers(vaults[-1], order), seed=place))
        assert_handed_over(vaults[-2], vaults[-1])
    verify_chain([certificate_of(vault) for vault in vaults])


GROWING = [{0: 1}, {0: 1, 1: 1}, {0: 1, 1: 1, 2: 1}, {0: 2, 1: 2, 2: 1, 3: 1, 4: 1, 5: 5, 6: 3}]
SHRINKING = GROWING[::-1]
DISJOINT = [{0: 2, 1: 1, 2: 1}, {3: 1, 4: 2}, {5: 5}, {6: 1, 7: 1, 8: 1, 9: 1}]
SAME = [{0: 2, 1: 1, 2: 2}] * 3


@pytest.mark.parametrize(
    "chain", [GROWING, SHRINKING, DISJOINT, SAME], ids=["growing", "shrinking", "disjoint", "refreshed"]
)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["threshold 1", "half", "all"])
def test_rosters_may_grow_shrink_and_change_altogether(chain: list[dict[int, int]], share: float) -> None:
    targets = [
        roster_of(
            {POOL[place]: weight for place, weight in weights.items()},
            max(1, int(share * sum(weights.values()))),
        )
        for weights in chain
    ]
    vault = handed_over(vault_of([1, 1], 2), targets[0])
    for target in targets[1:]:
        dealers = some_dealers(vault, list(vault.devices)[::-1])
        vault, before = handed_over(vault, target, dealers), vault
        assert_handed_over(before, vault)


def certificate_of(vault: Vault) -> Certificate:
    certificate = next(iter(vault.shelves.values())).certificate
    assert certificate is not None
    return certificate


def assert_handed_over(before: Vault, after: Vault) -> None:
    for curve in Curve:
        old, new = before.record.key(curve), after.record.key(curve)
        assert (new.public_key, new.chain_code) == (old.public_key, old.chain_code)
        assert_shares_are_of_the_key(before, after, curve)
    sharing = after.record.sharing
    quorum = next(sharing.minimal_sets())
    assert_signs(after, quorum)
    if len(quorum) > 1:
        assert not sharing.reaches(quorum[1:])
        with pytest.raises(UsageError, match="below the threshold"):
            sign(after, quorum[1:], [b"message"])


def assert_shares_are_of_the_key(before: Vault, after: Vault, curve: Curve) -> None:
    """In plain integers that refuse nothing: every smallest number of shares has the key, one fewer does not, and
    neither do shares of two epochs together."""
    math = CURVES[curve]
    old, new = (plain_shares(vault, curve) for vault in (before, after))
    terms = after.record.terms
    public = after.public_key(curve)

    def opens(values: dict[int, int]) -> bool:
        return oracle.base(math, shamir.interpolate(values, 0, math.q)) == public

    for chosen in list(combinations(new, terms))[:3]:
        assert opens({x: new[x] for x in chosen})
    assert opens(new)
    if terms > 1:
        some = list(new)[:terms]
        assert not opens({x: new[x] for x in some[1:]})
        shared = [x for x in some if x in old]
        assert shared, "every sharing has an index 1"
        assert not opens({x: (old if x == shared[0] else new)[x] for x in some})


def plain_shares(vault: Vault, curve: Curve) -> dict[int, int]:
    held: dict[int, int] = {}
    for device in vault.devices:
        share = vault.shelves[device].shares[curve]
        numbers = (CURVES[curve].number(share.secret[place].reveal()) for place in range(len(share.indices)))
        held |= dict(zip(share.indices, numbers, strict=True))
    return held


def assert_signs(vault: Vault, signers: tuple[DeviceId, ...]) -> None:
    """On both curves. Every other smallest set could: its images add up to the key, and its secrets fit them."""
    assert not sign(vault, signers, [b"message"]).failures
    outcome: Any = ecdsa_sign(vault, signers, [DIGEST])
    assert not outcome.failures
    ((signature,),) = set(outcome.results.values())
    assert_verifies(vault.public_key(Curve.SECP256K1), DIGEST, signature)
    for chosen in list(vault.record.sharing.minimal_sets())[:5]:
        for curve in Curve:
            for device in chosen:
                vault.quorum(device, chosen, curve)
