"""Effects as JSON: what is read is what was written, and nothing else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import UsageError
from quorate.operations.effect import Action, Asset, Effect
from quorate.operations.effect_json import decode_effect, encode_effect
from quorate.operations.kinds import Kind

texts = st.text(max_size=20)
maybe = st.none() | texts
units = st.integers(0, 2**256 - 1)
assets = st.builds(Asset, chain=texts, contract=texts)
actions = st.builds(
    Action, message=st.integers(0, 1000), content_type=maybe, chain=maybe, source=maybe, receiver=maybe,
    asset=st.none() | assets, amount=st.none() | units, method=maybe, fee=st.none() | units,
)  # fmt: skip
effects = st.builds(
    Effect, kind=st.sampled_from(Kind), vault=texts, proposer=texts, caller=texts,
    actions=st.lists(actions, max_size=3).map(tuple),
)  # fmt: skip


@given(effects)
def test_an_effect_is_read_back_as_it_was(effect: Effect) -> None:
    assert decode_effect(encode_effect(effect)) == effect


def test_what_is_left_out_is_not_known_and_what_is_empty_is_none() -> None:
    [action] = decode_effect('{"kind": "sign", "actions": [{"receiver": ""}]}').actions
    assert (action.receiver, action.source, action.asset, action.amount) == ("", None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "theft"}, {"kind": None}, {"vault": 1}, {"colour": "red"}, {"actions": {}}, {"actions": ["x"]},
        {"actions": [{"amount": 1000}]}, {"actions": [{"amount": 1.5}]}, {"actions": [{"amount": "1.5"}]},
        {"actions": [{"amount": "-1"}]}, {"actions": [{"fee": 1}]},
        {"actions": [{"asset": "USDC"}]}, {"actions": [{"asset": {"chain": 1}}]},
        {"actions": [{"asset": {"chain": "c", "name": "n"}}]}, {"actions": [{"receiver": 7}]},
        {"actions": [{"message": -1}]}, {"actions": [{"message": True}]}, {"actions": [{"reciever": "x"}]},
    ],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not an effect"):
        decode_effect(json.dumps({"kind": "sign", **changes}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "1", "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an effect"):
        decode_effect(text)
