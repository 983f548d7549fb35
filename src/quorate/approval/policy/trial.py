"""Operations to try a policy on, as people write them down: ``quorate policy test``."""

from __future__ import annotations

from quorate.approval.policy.amounts import parse_amount
from quorate.approval.policy.rules import Policy
from quorate.operations.effect import Asset, Effect
from quorate.operations.effect_json import decode_effect


def read_trial(text: str, policy: Policy) -> Effect:
    """The effect of a request: JSON as ``effect_json`` has it, in which an asset may be a name of the policy's and its
    amount in units of it. ``UsageError`` says what is wrong."""

    def price(name: str, amount: str) -> tuple[Asset, int]:
        token = policy.tokens.get(name)
        if token is None:
            raise ValueError(f"the policy has no [assets.{name}]")
        return token.asset, parse_amount(amount, token.decimals)

    return decode_effect(text, price)
