"""A peer that is trusted no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from quorate.ceremony.ports import EpochRow, State
from quorate.errors import UsageError
from quorate.node.config import Settings
from quorate.node.registry import Registry
from tests.ceremony.world import World


async def test_a_peer_is_removed_once_no_vault_needs_it(world: World) -> None:
    alice, bob, carol = world["alice"], world["bob"], world["carol"]
    heard: list[set[str]] = []
    registry = Registry(alice.ledger, Settings(), changed=lambda peers: heard.append(set(peers)))
    made = await alice.create_vault("ops", {"alice": 1, "bob": 1, "carol": 1}, 3)
    assert made.state is State.COMPLETED
    await alice.ready("ops")
    with pytest.raises(UsageError, match="bob is a signer of ops") as refused:
        registry.remove_peer(bob.device)
    assert refused.value.code == "STILL_A_SIGNER"
    changed = await alice.reshare("ops", removed=("bob",), threshold=2)
    assert changed.state is State.COMPLETED
    await alice.ready("ops")
    assert registry.remove_peer(bob.device).name == "bob"
    assert heard == [{alice.device, carol.device}]
    assert (await alice.sign("ops", "without bob")).state is State.COMPLETED
    with pytest.raises(UsageError, match="no peer"):
        registry.remove_peer(bob.device)
    with pytest.raises(UsageError, match=r"ST-5\.4"):
        registry.remove_peer(alice.device)
    async with asyncio.timeout(10):  # who has left learns it, and needs nobody any more
        while bob.ceremonies._context.vaults.all():  # noqa: ASYNC110 - it is read from the store
            await asyncio.sleep(0.05)
    bobs = Registry(bob.ledger, Settings())
    assert bobs.remove_peer(carol.device).name == "carol"


async def test_a_peer_that_leaves_is_kept_until_it_has_acknowledged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its acknowledgement the earlier epoch would never be over."""
    alice, bob = world["alice"], world["bob"]
    made = await alice.create_vault("ops", {"alice": 1, "bob": 1, "carol": 1}, 3)
    assert made.state is State.COMPLETED
    changed = await alice.reshare("ops", removed=("bob",), threshold=2)  # bob deals
    assert changed.state is State.COMPLETED
    await alice.ready("ops")
    rows = alice.ledger.epochs()

    def waiting(*_: object) -> list[EpochRow]:
        return [
            replace(row, acknowledgements={d: a for d, a in row.acknowledgements.items() if d != bob.device})
            for row in rows
        ]

    with monkeypatch.context() as patched:
        patched.setattr(alice.ledger, "epochs", waiting)
        with pytest.raises(UsageError, match="bob is a signer of ops"):
            Registry(alice.ledger, Settings()).remove_peer(bob.device)
    assert Registry(alice.ledger, Settings()).remove_peer(bob.device).name == "bob"
