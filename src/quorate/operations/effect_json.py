"""Effects as JSON: how a node remembers what it approved, and how people write down an operation to try a policy on.

A fact that is missing or null is not known. Amounts are text, never numbers that a parser may round.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from quorate.errors import UsageError
from quorate.operations.effect import Action, Asset, Effect
from quorate.operations.kinds import Kind

_WHOLE = re.compile(r"0|[1-9][0-9]{0,77}")
_TEXTS = ("content_type", "chain", "source", "receiver", "method")

Price = Callable[[str, str], tuple[Asset, int]]
"""From an asset's name and an amount in its units to the asset and base units. ``ValueError`` for what is unknown."""


def encode_effect(effect: Effect) -> bytes:
    stated = {
        "kind": effect.kind.value,
        "vault": effect.vault,
        "proposer": effect.proposer,
        "caller": effect.caller,
        "actions": [{"message": action.message, **action_json(action)} for action in effect.actions],
    }
    return json.dumps(stated).encode()


def action_json(action: Action) -> dict[str, Any]:
    """What one action does; without the number of its message."""
    return {
        **{name: value for name in _TEXTS if (value := getattr(action, name)) is not None},
        **({} if action.asset is None else {"asset": _asset_json(action.asset)}),
        **({} if action.amount is None else {"amount": str(action.amount)}),
        **({} if action.fee is None else {"fee": str(action.fee)}),
    }


def decode_effect(text: bytes | str, price: Price | None = None) -> Effect:
    """The effect that ``encode_effect`` or a person wrote. With ``price``, an asset may be a name and its amount in
    the asset's units. ``UsageError`` says what is wrong."""
    try:
        stated = json.loads(text)
        return _effect(_object(stated, "the request"), price)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"not an effect: {error}", code="BAD_EFFECT") from None


def _effect(stated: dict[str, Any], price: Price | None) -> Effect:
    known = {"kind", "vault", "proposer", "caller", "actions"}
    _only(stated, known, "the request")
    actions = stated.get("actions", [])
    if not isinstance(actions, list):
        raise TypeError("actions is a list")
    return Effect(
        kind=Kind(_text(stated, "kind")),
        vault=_text(stated, "vault"),
        proposer=_text(stated, "proposer"),
        caller=_text(stated, "caller"),
        actions=tuple(_action(_object(each, "an action"), price) for each in actions),
    )


def _action(stated: dict[str, Any], price: Price | None) -> Action:
    _only(stated, {"message", "asset", "amount", "fee", *_TEXTS}, "an action")
    message = stated.get("message", 0)
    if type(message) is not int or message < 0:
        raise TypeError("message is a number from 0")
    asset, amount = _moved(stated, price)
    known: dict[str, Any] = {name: _text(stated, name) for name in _TEXTS if stated.get(name) is not None}
    return Action(message=message, asset=asset, amount=amount, fee=_units(stated, "fee"), **known)


def _moved(stated: Mapping[str, Any], price: Price | None) -> tuple[Asset | None, int | None]:
    named, amount = stated.get("asset"), stated.get("amount")
    if amount is not None and not isinstance(amount, str):
        raise TypeError('an amount is text, such as "1000"')
    if isinstance(named, str) and price is not None:
        priced, units = price(named, amount or "0")
        return priced, units if amount is not None else None
    return None if named is None else _asset(_object(named, "an asset")), _units(stated, "amount")


def _units(stated: Mapping[str, Any], name: str) -> int | None:
    units = stated.get(name)
    if units is None:
        return None
    if not isinstance(units, str) or _WHOLE.fullmatch(units) is None:
        raise ValueError(f"{name} is text of a whole number of base units")
    return int(units)


def _asset(stated: dict[str, Any]) -> Asset:
    _only(stated, {"chain", "contract"}, "an asset")
    return Asset(
        chain=_text(stated, "chain"), contract=stated.get("contract", "") and _text(stated, "contract")
    )


def _asset_json(asset: Asset) -> dict[str, str]:
    return {"chain": asset.chain, "contract": asset.contract}


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{what} is a JSON object")
    return value


def _only(stated: Mapping[str, Any], known: set[str], what: str) -> None:
    if strange := sorted(stated.keys() - known):
        raise ValueError(f"{what} has no {', '.join(strange)[:200]}")


def _text(stated: Mapping[str, Any], name: str) -> str:
    value = stated.get(name, "")
    if not isinstance(value, str):
        raise TypeError(f"{name} is text")
    return value
