"""Pair set-ups on whole nodes: made with a vault, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.ceremony.ports import SetupState, State
from quorate.errors import ProtocolAbort
from quorate.protocols import pairing
from quorate.protocols.certificate import EpochRecord
from quorate.wire.codec import decode
from tests.ceremony.world import World
from tests.protocols.ideal import deal_setup

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


async def test_a_spoilt_set_up_costs_an_attempt_of_which_nothing_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, carol = world["bob"].device, world["carol"].device
    spoilt: list[int] = []

    async def set_up(pair: Any, context: Any, rng: Any) -> Any:
        if (pair.net.me, pair.peer) == (bob, carol) and not spoilt:
            spoilt.append(context.attempt)
            raise ProtocolAbort("OT-2.1 trees", carol)
        return await deal_setup(pair, context, rng)

    monkeypatch.setattr(pairing, "set_up", set_up)
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert made.state is State.COMPLETED, made
    assert spoilt == [1]
    for node in world.nodes.values():
        vault = await node.ready("ops")
        [row] = node.ledger.epochs()
        assert row.attempt > 1
        kept = node.ledger.setups(vault.id, row.epoch, row.attempt)
        assert [each.state for each in kept] == [SetupState.LIVE] * 2
        assert {each.id for each in kept} < set(decode(EpochRecord, row.record).setups)
        assert not node.ledger.setups(vault.id, row.epoch, 1)


async def test_a_vault_of_one_has_no_set_ups_and_is_ready(world: World) -> None:
    made = await world["alice"].create_vault("mine", {"alice": 1}, 1)
    assert made.state is State.COMPLETED, made
    vault = await world["alice"].ready("mine")
    [row] = world["alice"].ledger.epochs()
    assert not world["alice"].ledger.setups(vault.id, row.epoch, row.attempt)
    assert decode(EpochRecord, row.record).setups == ()


async def test_a_vault_is_not_ready_until_its_members_have_signed_by_ecdsa(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's disk loses its half of a set-up before the trial: the vault is certified and never becomes ready."""
    bob = world["bob"]
    activate = bob.ledger.activate

    def lose(vault: Any, epoch: Any, attempt: int, certificate: bytes) -> None:
        activate(vault, epoch, attempt, certificate)
        for row in bob.ledger.setups(vault, epoch, attempt):
            bob.ledger.kill_setup(row.id)

    monkeypatch.setattr(bob.ledger, "activate", lose)
    made = await world["alice"].create_vault("ops", WEIGHTS, 3, seconds=3)
    assert made.state is not State.COMPLETED, made
    for node in world.nodes.values():
        assert (await node.ceremonies.clients.vault(None, "ops")).state == "active"  # type: ignore[arg-type]
