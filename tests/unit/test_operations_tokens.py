"""Token lists, as the public ones are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import UsageError
from quorate.operations.effect import Asset
from quorate.operations.tokens import Tokens, read_tokens

USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
ENTRY: dict[str, Any] = {
    "chainId": 1,
    "address": USDC,
    "symbol": "USDC",
    "decimals": 6,
    "name": "USD Coin",
    "logoURI": "ipfs://",
}


def written(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"name": "tokens", "version": {"major": 1}, "tokens": entries}))
    return path


def test_a_listed_token_has_a_name_and_a_point(tmp_path: Path) -> None:
    tokens = read_tokens([written(tmp_path / "a.json", ENTRY), written(tmp_path / "b.json", ENTRY)])
    asset = tokens.asset(1, bytes.fromhex(USDC[2:]))
    assert (asset, asset.symbol, asset.decimals) == (Asset(chain="eip155:1", contract=USDC), "USDC", 6)
    elsewhere = tokens.asset(5, bytes.fromhex(USDC[2:]))
    assert (elsewhere.symbol, elsewhere.decimals) == ("", None)


def test_a_chain_s_coin_has_no_contract() -> None:
    coin = Tokens().asset(11155111)
    assert (coin.contract, coin.symbol, coin.decimals) == ("", "ETH", 18)
    assert Tokens().asset(4242).decimals is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"address": USDC.lower()[:-1]}, "is no account"),
        ({"address": USDC.replace("A0b8", "a0B8")}, "mistyped"),
        ({"decimals": -1}, "decimals"),
        ({"symbol": ""}, "symbol"),
        ({"chainId": "1"}, "chainId"),
        ({"decimals": 18}, "is USDC with 18 decimals here, and USDC with 6 before"),
    ],
)
def test_a_list_that_is_wrong_or_disagrees_is_refused_by_file(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    files = [written(tmp_path / "good.json", ENTRY), written(tmp_path / "bad.json", ENTRY | change)]
    with pytest.raises(UsageError, match=rf"bad\.json: .*{why}"):
        read_tokens(files)


def test_a_list_that_is_not_there_or_not_json_is_refused_by_file(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no list")
    for name in ("text", "nowhere"):
        with pytest.raises(UsageError, match=rf"token list .*{name}: "):
            read_tokens([tmp_path / name])
