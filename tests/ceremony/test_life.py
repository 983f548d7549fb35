"""Operations from request to outcome, on whole nodes."""

from __future__ import annotations

import time
from typing import Any

import pytest

from quorate.ceremony.ports import SetupState, State, Verdict
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import EpochRecord
from quorate.protocols.ot.setup import PairSetup
from quorate.wire.codec import decode
from tests.ceremony.world import World

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


@pytest.mark.usefixtures("real_setups")
async def test_three_nodes_make_a_vault_and_sign_with_it(world: World) -> None:
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert made.state is State.COMPLETED, made
    for node in world.nodes.values():
        vault = await node.ready("ops")
    view = await world["bob"].sign("ops", "hello")
    assert view.state is State.COMPLETED, view
    (signature,) = view.signatures
    assert verify_ed25519(vault.public_keys[Curve.ED25519], b"hello", signature.signature)


@pytest.mark.usefixtures("real_setups")
async def test_every_node_keeps_its_half_of_each_set_up_that_the_record_names(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    halves = {}
    for node in world.nodes.values():
        await node.restart()
        [row] = node.ledger.epochs()
        named = decode(EpochRecord, row.record).setups
        kept = node.ledger.setups(row.vault, row.epoch, row.attempt)
        assert {(each.generation, each.state) for each in kept} == {(0, SetupState.LIVE)}
        for each in kept:
            held = PairSetup.unseal(node.ledger.setup(row.vault, row.epoch, row.attempt, each.peer).secret)
            assert (held.id, held.peer) == (each.id, each.peer)
            halves[node.device, each.peer] = held
    assert len(halves) == 6
    assert {half.id for half in halves.values()} == set(named)
    for (device, peer), half in halves.items():
        assert (half.id, half.zero_seed) == (halves[peer, device].id, halves[peer, device].zero_seed)


async def test_a_trial_waits_for_who_is_still_writing_the_certificate(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = world["bob"].ledger
    activate = ledger.activate

    def slowly(*row: Any) -> None:
        time.sleep(0.5)
        activate(*row)

    monkeypatch.setattr(ledger, "activate", slowly)
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert (made.state, made.attempt) == (State.COMPLETED, 2)  # key generation, trial
    assert "WRONG_STAGE" not in {code for _, _, code in world.refusals}


async def test_weight_one_and_one_cannot_sign(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["alice"].approver.verdict = Verdict.ABSTAIN
    view = await world["bob"].sign("ops", "hello")
    assert view.state is State.REJECTED
    assert view.approved_weight <= 2
    assert view.threshold == 3


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.ABSTAIN, Verdict.REFUSE])
async def test_one_light_signer_saying_no_does_not_stop_the_others(world: World, verdict: Verdict) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    world["carol"].approver.verdict = verdict
    view = await world["carol"].sign("ops", "hello")
    assert view.state is State.COMPLETED
    assert set(view.signers) == {world["alice"].device, world["bob"].device}
