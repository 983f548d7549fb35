"""Whole protocols over the in-memory simulator: the computing of all parties together, envelopes included."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from benchmarks.harness import Figure, Traffic, figure, measure
from quorate.curves import group_of
from quorate.identifiers import Curve, DeviceId
from quorate.wire.simulator import Outcome, devices
from tests.protocols.ecdsa_sessions import digests, sign_wholly
from tests.protocols.pairs import run_setup
from tests.protocols.vaults import Vault, generate, hand_over, roster_of, sign, try_out, vault_of

HEAVY, LIGHT, SEVEN = ([499, 307, 194], 501), ([1, 1, 1], 2), ([1] * 7, 4)
BATCHES = (64, 100)  # for ECDSA, what three rounds hold, and more
TWEAK = 2**200 + 1
NAMES = {Curve.ED25519: "ed25519", Curve.SECP256K1: "ecdsa"}


def figures() -> Iterator[Figure]:
    yield from _keygen([2], 2, runs=10)
    yield from _keygen([1, 1], 2, runs=10)
    yield from _keygen(*LIGHT, runs=10)
    yield from _keygen(*SEVEN, runs=3)
    yield from _keygen(*HEAVY, runs=3)
    for (weights, threshold), runs in ((LIGHT, 10), (SEVEN, 3), (HEAVY, 3)):
        yield _reshare("refresh", weights, threshold, joining=0, runs=runs)
        yield _reshare("reshare, one joins and one leaves", weights, threshold, joining=1, runs=runs)
    for weights, threshold in (LIGHT, HEAVY):
        vault = vault_of(weights, threshold)
        yield from _first_use(vault, weights, threshold)
        for curve in Curve:
            yield _sign(curve, weights, threshold, signers=2)
            yield _sign(curve, weights, threshold, signers=3)
    yield _sign(Curve.SECP256K1, [1] * 5, 5, signers=5, runs=20)
    for curve in Curve:
        yield _by_weight(curve)
        yield _sign(curve, *LIGHT, signers=2, tweaked=True)
        for messages in BATCHES:
            yield _sign(curve, *LIGHT, signers=2, messages=messages, runs=5)
            yield _sign(curve, *LIGHT, signers=3, messages=messages, runs=5)
    yield _pair()
    light = vault_of(*LIGHT)
    yield measure("protocol/trial", _parameters(*LIGHT), lambda: _traffic(try_out(light, lockstep=True)), 20)


def _keygen(weights: Sequence[int], threshold: int, *, runs: int) -> Iterator[Figure]:
    seeds = count(1)
    parameters = _parameters(weights, threshold)
    yield measure("protocol/keygen", parameters, lambda: keygen(weights, threshold, next(seeds)), runs)


def _reshare(name: str, weights: Sequence[int], threshold: int, *, joining: int, runs: int) -> Figure:
    """By as few dealers as may, to a roster of as many, in which the first ``joining`` have given way to new ones."""
    vault, seeds = vault_of(weights, threshold), count(1)
    sharing, dealers = vault.record.sharing, list[DeviceId]()
    for device in vault.devices:
        if sharing.weight_of(dealers) < sharing.handover_weight:
            dealers.append(device)
    roster = devices(len(weights) + joining)[joining:]
    target = roster_of(dict(zip(roster, weights, strict=True)), threshold)

    def run() -> Traffic:
        outcome, _ = hand_over(vault, target, dealers, seed=next(seeds), lockstep=True, ideally=False)
        return _traffic(outcome)

    parameters = {**_parameters(weights, threshold), "dealers": len(dealers)}
    return measure(f"protocol/{name}", parameters, run, runs)


def _first_use(vault: Vault, weights: Sequence[int], threshold: int) -> Iterator[Figure]:
    """What a quorum costs once per epoch: Lagrange coefficients, the collapse, every signer's image."""
    one, two, _ = vault.devices
    for curve in Curve:
        share = vault.shelves[one].shares[curve]

        def assemble() -> None:
            share.quorums.clear()  # noqa: B023 - called before the next round of the loop
            vault.record.quorum(share, (one, two))  # noqa: B023

        parameters = {**_parameters(weights, threshold), "curve": curve.value, "signers": 2}
        yield measure("protocol/quorum, first use", parameters, assemble, 5)


def _pair() -> Figure:
    """What key generation spends on each pair: base transfers and trees, both ways."""
    seeds = count(1)
    return measure(
        "protocol/pair set-up", {}, lambda: _traffic(run_setup(seed=next(seeds), lockstep=True)), 10
    )


def keygen(weights: Sequence[int], threshold: int, seed: int) -> Traffic:
    """A key generation on both curves, with the set-ups of all pairs and the certificate; the trial comes after."""
    return _traffic(generate(weights, threshold, seed=seed, lockstep=True, ideally=False)[0])


def session(
    curve: Curve, vault: Vault, signers: int, seed: int, *, messages: int = 1, tweaked: bool = False
) -> Traffic:
    """A signing session of the first ``signers`` devices."""
    chosen, tweak = vault.devices[:signers], group_of(curve).scalar_of(TWEAK) if tweaked else None
    if curve is Curve.ED25519:
        said = [b"message %d" % n for n in range(messages)]
        return _traffic(sign(vault, chosen, said, tweak=tweak, seed=seed, lockstep=True))
    return _traffic(sign_wholly(vault, chosen, digests(messages), tweak=tweak, seed=seed, lockstep=True))


def _sign(
    curve: Curve,
    weights: Sequence[int],
    threshold: int,
    *,
    signers: int,
    messages: int = 1,
    tweaked: bool = False,
    runs: int = 50,
) -> Figure:
    vault, seeds = vault_of(weights, threshold), count(1)

    def run() -> Traffic:
        return session(curve, vault, signers, next(seeds), messages=messages, tweaked=tweaked)

    more = {"signers": signers, "messages": messages, "tweaked": tweaked}
    return measure(f"protocol/{NAMES[curve]} sign", {**_parameters(weights, threshold), **more}, run, runs)


def _by_weight(curve: Curve) -> Figure:
    """Signing with heavy weights over signing with light ones, in turn: a ratio, not milliseconds."""
    vaults = [vault_of(*HEAVY), vault_of(*LIGHT)]
    ratios, cpu_before = [], time.process_time()
    for seed in range(1, 52):
        times = []
        for vault in vaults:
            before = time.perf_counter()
            traffic = session(curve, vault, 2, seed)
            times.append(time.perf_counter() - before)
        ratios.append(times[0] / times[1])
    parameters = {"over": _parameters(*LIGHT), **_parameters(*HEAVY), "signers": 2, "unit": "ratio"}
    cpu = (time.process_time() - cpu_before) * 1000 / len(ratios)
    name = f"protocol/{NAMES[curve]} sign, heavy over light"
    # The first of each sets the caches of its vault up.
    return figure(name, parameters, ratios[1:], cpu=cpu, traffic=traffic)


def _parameters(weights: Sequence[int], threshold: int) -> dict[str, object]:
    return {"weights": list(weights), "threshold": threshold}


def _traffic(outcome: Outcome[Any]) -> Traffic:
    if outcome.failures:
        raise RuntimeError(f"a benchmark failed: {outcome.failures}")
    return Traffic(bytes=outcome.bytes, messages=outcome.messages, rounds=outcome.rounds)
