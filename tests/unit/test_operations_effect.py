"""What an operation is said to do: nothing at all, or nothing that is known."""

from __future__ import annotations

import pytest

from quorate.operations.effect import Action, Asset
from quorate.operations.kinds import Kind
from quorate.operations.reading import effect_of
from tests.approval.facts import ALICE, VAULT, batch_sign, create_vault, pair_reset, sign


def test_making_a_vault_moves_nothing_and_has_no_vault_yet() -> None:
    effect = effect_of(create_vault())
    assert (effect.kind, effect.vault, effect.actions) == (Kind.CREATE_VAULT, "", ())
    assert (effect.proposer, effect.caller) == (ALICE, "treasury-app")


def test_resetting_a_pair_moves_nothing() -> None:
    effect = effect_of(pair_reset())
    assert (effect.kind, effect.vault, effect.actions) == (Kind.PAIR_RESET, VAULT, ())


def test_every_message_of_a_batch_is_an_action_of_its_own_and_opaque() -> None:
    actions = effect_of(batch_sign("00", "01", "02")).actions
    assert [action.message for action in actions] == [0, 1, 2]
    assert all(action.opaque for action in actions)
    assert {action.content_type for action in actions} == {"application/octet-stream+hex"}


def test_data_to_sign_may_do_anything() -> None:
    [action] = effect_of(sign()).actions
    assert action.opaque
    assert action == Action(content_type="text/plain")


def test_an_asset_is_its_chain_and_contract_whatever_it_is_called() -> None:
    real, fake = "0x" + "a" * 40, "0x" + "b" * 40
    assert Asset(chain="eip155:1", contract=real, symbol="USDC") == Asset(chain="eip155:1", contract=real)
    assert Asset(chain="eip155:1", contract=fake, symbol="USDC") != Asset(
        chain="eip155:1", contract=real, symbol="USDC"
    )


def test_there_is_no_negative_amount() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Action(amount=-1)
    with pytest.raises(ValueError, match="not negative"):
        Action(fee=-1)
