"""Operations to try a policy on, as people write them down: ``quorate policy test``."""

from __future__ import annotations

import json

from quorate.approval.policy.amounts import parse_amount
from quorate.approval.policy.rules import Policy
from quorate.operations.asked import effect_of_request, is_request
from quorate.operations.effect import Asset, Effect
from quorate.operations.effect_json import decode_effect
from quorate.operations.tokens import Tokens


def read_trial(
    text: str, policy: Policy, *, caller: str = "", proposer: str = "", tokens: Tokens | None = None
) -> Effect:
    """The effect of a request: the request itself, as an approver gets it, asked for by ``caller`` at ``proposer``, and
    with token contracts named by ``tokens``; or JSON as ``effect_json`` has it, in which an asset may be a name of the
    policy's and its amount in units of it. ``UsageError`` says what is wrong."""
    try:
        stated = json.loads(text)
    except (ValueError, RecursionError):
        stated = None  # ``decode_effect`` says why
    if is_request(stated):
        return effect_of_request(stated, caller=caller, proposer=proposer, tokens=tokens)

    def price(name: str, amount: str) -> tuple[Asset, int]:
        token = policy.tokens.get(name)
        if token is None:
            raise ValueError(f"the policy has no [assets.{name}]")
        return token.asset, parse_amount(amount, token.decimals)

    return decode_effect(text, price)
