"""Signers join, leave and change weight, on whole nodes: the keys stay, and one epoch lives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from quorate.ceremony.ports import EpochState, State
from quorate.identifiers import Curve
from tests.ceremony.resets import until
from tests.ceremony.world import Node, World

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


@pytest_asyncio.fixture
async def four(tmp_path: Path) -> AsyncIterator[World]:
    """Alice, bob and carol have a vault of threshold 3; dave is there as well."""
    made = World(tmp_path, ("alice", "bob", "carol", "dave"))
    await made.start()
    view = await made["alice"].create_vault("ops", WEIGHTS, 3, seconds=40)
    assert view.state is State.COMPLETED, view
    for name in WEIGHTS:
        await made[name].ready("ops")
    yield made
    await made.stop()


def states(node: Node) -> list[tuple[int, EpochState]]:
    return [(row.epoch, row.state) for row in node.ledger.epochs()]


def shares(node: Node) -> int:
    with __import__("sqlite3").connect(node.path) as file:
        return int(file.execute("SELECT count(*) FROM shares").fetchone()[0])


async def both_curves(node: Node, text: str) -> None:
    for algorithm in ("EDDSA", "ES256K"):
        view = await node.sign("ops", text, algorithm=algorithm)
        assert view.state is State.COMPLETED, view


async def test_one_joins_one_leaves_the_threshold_rises_and_the_keys_stay(four: World) -> None:
    before = await four["alice"].ready("ops")
    view = await four["alice"].reshare("ops", {"dave": 2}, removed=("carol",), threshold=4)
    assert view.state is State.COMPLETED, view
    for name in ("alice", "bob", "dave"):
        after = await four[name].ready("ops")
        assert (after.epoch, after.threshold) == (1, 4)
        assert after.public_keys == before.public_keys
        assert after.chain_codes == before.chain_codes
        assert {signer.name: signer.weight for signer in after.signers} == {"alice": 2, "bob": 1, "dave": 2}
    await until(lambda: states(four["carol"]) == [(0, EpochState.ERASED), (1, EpochState.ACTIVE)])
    assert shares(four["carol"]) == 0
    assert [shares(four[name]) for name in ("alice", "bob", "dave")] == [len(Curve)] * 3
    assert not await four["carol"].ceremonies.clients.vaults(None)  # type: ignore[arg-type]
    await both_curves(four["dave"], "under the same keys")
