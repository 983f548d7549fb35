"""Operations from request to outcome, on whole nodes."""

from __future__ import annotations

import pytest

from quorate.ceremony.ports import State, Verdict
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ed25519
from tests.ceremony.world import World

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


async def test_three_nodes_make_a_vault_and_sign_with_it(world: World) -> None:
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert made.state is State.COMPLETED, made
    for node in world.nodes.values():
        vault = await node.ready("ops")
    view = await world["bob"].sign("ops", "hello")
    assert view.state is State.COMPLETED, view
    (signature,) = view.signatures
    assert verify_ed25519(vault.public_keys[Curve.ED25519], b"hello", signature.signature)


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
