"""Whole protocols over the in-memory simulator: the computing of all parties together, envelopes included."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from benchmarks.harness import Figure, Traffic, figure, measure
from quorate.curves import ED25519
from quorate.identifiers import Curve
from quorate.wire.simulator import Outcome
from tests.protocols.vaults import Vault, generate, sign, try_out, vault_of

HEAVY, LIGHT = ([499, 307, 194], 501), ([1, 1, 1], 2)
TWEAK = ED25519.scalar_of(2**200 + 1)


def figures() -> Iterator[Figure]:
    yield from _keygen([2], 2, runs=10)
    yield from _keygen([1, 1], 2, runs=10)
    yield from _keygen(*LIGHT, runs=10)
    yield from _keygen(*HEAVY, runs=3)
    for weights, threshold in (LIGHT, HEAVY):
        vault = vault_of(weights, threshold)
        yield from _first_use(vault, weights, threshold)
        yield _sign(vault, weights, threshold, signers=2)
        yield _sign(vault, weights, threshold, signers=3)
    yield _by_weight()
    light = vault_of(*LIGHT)
    yield _sign(light, *LIGHT, signers=2, tweaked=True)
    yield _sign(light, *LIGHT, signers=2, messages=100, runs=5)
    yield _sign(light, *LIGHT, signers=3, messages=100, runs=5)
    yield measure("protocol/trial", _parameters(*LIGHT), lambda: _traffic(try_out(light, lockstep=True)), 20)


def _keygen(weights: Sequence[int], threshold: int, *, runs: int) -> Iterator[Figure]:
    seeds = count(1)

    def run() -> Traffic:
        return _traffic(generate(weights, threshold, seed=next(seeds), lockstep=True, ideally=False)[0])

    yield measure("protocol/keygen", _parameters(weights, threshold), run, runs)


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


def _sign(
    vault: Vault,
    weights: Sequence[int],
    threshold: int,
    *,
    signers: int,
    messages: int = 1,
    tweaked: bool = False,
    runs: int = 50,
) -> Figure:
    chosen, batch = vault.devices[:signers], [b"message %d" % n for n in range(messages)]
    seeds = count(1)

    def run() -> Traffic:
        tweak = TWEAK if tweaked else None
        return _traffic(sign(vault, chosen, batch, tweak=tweak, seed=next(seeds), lockstep=True))

    more = {"signers": signers, "messages": messages, "tweaked": tweaked}
    return measure("protocol/ed25519 sign", {**_parameters(weights, threshold), **more}, run, runs)


def _by_weight() -> Figure:
    """Signing with heavy weights over signing with light ones, in turn: a ratio, not milliseconds."""
    vaults = [vault_of(*HEAVY), vault_of(*LIGHT)]
    ratios, cpu_before = [], time.process_time()
    for seed in range(1, 52):
        times = []
        for vault in vaults:
            before = time.perf_counter()
            traffic = _traffic(
                sign(vault, vault.devices[:2], [b"message"], tweak=None, seed=seed, lockstep=True)
            )
            times.append(time.perf_counter() - before)
        ratios.append(times[0] / times[1])
    parameters = {"over": _parameters(*LIGHT), **_parameters(*HEAVY), "signers": 2, "unit": "ratio"}
    cpu = (time.process_time() - cpu_before) * 1000 / len(ratios)
    # The first of each sets the caches of its vault up.
    return figure("protocol/ed25519 sign, heavy over light", parameters, ratios[1:], cpu=cpu, traffic=traffic)


def _parameters(weights: Sequence[int], threshold: int) -> dict[str, object]:
    return {"weights": list(weights), "threshold": threshold}


def _traffic(outcome: Outcome[Any]) -> Traffic:
    if outcome.failures:
        raise RuntimeError(f"a benchmark failed: {outcome.failures}")
    return Traffic(bytes=outcome.bytes, messages=outcome.messages, rounds=outcome.rounds)
