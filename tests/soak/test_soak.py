"""A short soak: what `make soak` does at length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quorate.cli.cluster import Cluster
from tests.soak.memory import Sample, slope
from tests.soak.plan import ALGORITHMS, NAMES, plan
from tests.soak.report import complaints, figures
from tests.soak.run import SETTINGS, Soak
from tests.soak.verify import is_signed

SIGNATURES = 100
RESTARTS = 3
IN_FLIGHT = 6


@pytest.mark.xdist_group("soak")
async def test_restarts_lose_no_signature_and_spoil_none(tmp_path: Path) -> None:
    planned = plan(signatures=SIGNATURES, restarts=RESTARTS, in_flight=IN_FLIGHT, seed=7, calm=0.2)
    async with Cluster(tmp_path, dict.fromkeys(NAMES, SETTINGS)) as cluster:
        await cluster.linked()
        found = await Soak(cluster, planned).run()
    print(json.dumps(figures(found)))
    assert complaints(found) == []
    assert found.signatures.total() == planned.signatures >= SIGNATURES
    assert found.restarts.total() == sum(len(blow.nodes) for blow in planned.blows) >= RESTARTS
    assert all(found.signatures[algorithm] for algorithm in ALGORITHMS)


def test_a_plan_is_the_same_for_the_same_seed_and_has_everything_in_it() -> None:
    one, again = (plan(signatures=2000, restarts=10, in_flight=8, seed=3, calm=0.4) for _ in range(2))
    assert one == again != plan(signatures=2000, restarts=10, in_flight=8, seed=4, calm=0.4)
    assert {ask.algorithm for ask in one.asks if len(ask.messages) > 1} == set(ALGORITHMS)
    assert {ask.node for ask in one.asks} == set(NAMES)
    assert {blow.how.name for blow in one.blows} == {"SIGKILL", "SIGTERM"}
    assert NAMES in {blow.nodes for blow in one.blows}
    assert len({ask.key for ask in one.asks}) == len(one.asks)
    assert max(blow.after for blow in one.blows) < 2000 * 0.6


def test_a_steady_process_has_no_slope_and_a_growing_one_has_its_own() -> None:
    assert slope([Sample(done=done, bytes=50) for done in range(5)]) == 0
    assert slope([Sample(done=done, bytes=7 * done + 3) for done in range(5)]) == pytest.approx(7)
    assert slope([Sample(done=1, bytes=1)]) == 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_no_signature_is_found_wrong(algorithm: str) -> None:
    key = bytes.fromhex(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        if algorithm == "EDDSA"
        else "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    )
    assert not is_signed(algorithm, key, b"hello", b"\x01" * 64)
