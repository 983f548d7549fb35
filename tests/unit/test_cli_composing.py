"""Transactions out of what a person says, and an endpoint that is believed in nothing it may not decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.cli.chain import ChainError, Endpoint, endpoint_of
from quorate.cli.composing import Doing, Terms, amount_of, asset_of, base_units, compose, gwei
from quorate.cli.views import units
from quorate.errors import UsageError
from quorate.operations.effect import Asset
from quorate.operations.tokens import Tokens, read_tokens
from quorate.operations.transactions.evm import DynamicFee, Legacy
from tests.chain_server import FakeChain, serving

SEPOLIA = 11155111
PAYER, PAYEE = b"\xaa" * 20, b"\xbb" * 20
PAYMENT = Doing(chain_id=SEPOLIA, source=PAYER, to=PAYEE, value=5)
SAID = Terms(nonce=1, gas_limit=21000, max_fee=30, priority_fee=2)
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


@pytest.mark.parametrize(
    ("text", "decimals", "amount"),
    [("0.25", 18, 25 * 10**16), ("1", 6, 10**6), ("0.10", 1, 1), ("12", 0, 12), ("007.5", 1, 75), ("1.000", 0, 1)],
)  # fmt: skip
def test_an_amount_is_exact(text: str, decimals: int, amount: int) -> None:
    assert amount_of(text, decimals, "--amount") == amount
    assert amount_of(units(str(amount), decimals), decimals, "--amount") == amount


@pytest.mark.parametrize(
    "text", ["", "-1", "1e3", "1_0", " 1", "1.", ".5", "0x1", "١", "nan", "1,5", "0.0000001"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--amount"):
        amount_of(text, 6, "--amount")


def test_an_amount_in_coins_needs_a_list_that_says_the_decimals(tmp_path: Path) -> None:
    unknown = Asset(chain="eip155:1", contract=USDC)
    with pytest.raises(UsageError, match="--base-units"):
        base_units(unknown, "1", None)
    assert base_units(unknown, None, "7") == 7
    with pytest.raises(UsageError, match="one of them"):
        base_units(unknown, "1", "7")
    file = tmp_path / "tokens.json"
    listed = [{"chainId": 1, "address": USDC, "symbol": "USDC", "decimals": 6}]
    file.write_text(json.dumps({"tokens": listed}))
    tokens = read_tokens([file])
    assert base_units(asset_of(tokens, 1, "USDC"), "1.5", None) == 1_500_000
    assert asset_of(tokens, 1, USDC).symbol == "USDC"
    with pytest.raises(UsageError, match="no tokens"):
        asset_of(tokens, 2, "USDC")
    assert asset_of(Tokens(), SEPOLIA, "").decimals == 18


def test_a_symbol_that_two_tokens_have_names_none(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    both = [
        {"chainId": 1, "address": address, "symbol": "USDC", "decimals": 6}
        for address in (USDC, "0x" + "11" * 20)
    ]
    file.write_text(json.dumps({"tokens": both}))
    with pytest.raises(UsageError, match="2 tokens"):
        asset_of(read_tokens([file]), 1, "USDC")


async def test_nobody_is_asked_where_all_is_said() -> None:
    made = await compose(PAYMENT, SAID, None)
    assert made == DynamicFee(
        chain_id=SEPOLIA, nonce=1, gas_limit=21000, max_fee_per_gas=30, max_priority_fee_per_gas=2, to=PAYEE, value=5
    )  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "option"),
    [
        (Terms(max_fee=1, priority_fee=1), "--nonce"),
        (Terms(nonce=0), "--max-fee"),
        (Terms(nonce=0, max_fee=1), "--priority-fee"),
        (Terms(nonce=0, legacy=True), "--gas-price"),
    ],
)
async def test_what_nobody_says_and_nobody_can_be_asked_is_named(terms: Terms, option: str) -> None:
    with pytest.raises(UsageError, match=f"{option} is needed"):
        await compose(PAYMENT, terms, None)


async def test_a_call_needs_its_gas_limit() -> None:
    call = Doing(chain_id=SEPOLIA, source=PAYER, to=PAYEE, value=0, data=b"\x01")
    with pytest.raises(UsageError, match="--gas-limit is needed"):
        await compose(call, Terms(nonce=0, max_fee=1, priority_fee=1), None)


async def test_the_chain_says_what_nobody_else_did() -> None:
    with serving(FakeChain()) as chain:
        async with Endpoint(chain.url) as endpoint:
            dynamic = await compose(PAYMENT, Terms(), endpoint)
            legacy = await compose(PAYMENT, Terms(legacy=True), endpoint)
            low = await compose(PAYMENT, Terms(max_fee=10), endpoint)
    assert isinstance(dynamic, DynamicFee)
    assert (dynamic.nonce, dynamic.gas_limit, dynamic.max_fee_per_gas) == (7, 64_000, 22 * 10**9)
    assert isinstance(legacy, Legacy)
    assert legacy.gas_price == 12 * 10**9
    assert isinstance(low, DynamicFee)
    assert (low.max_fee_per_gas, low.max_priority_fee_per_gas) == (10, 10)


def test_terms_of_the_other_form_are_refused() -> None:
    with pytest.raises(UsageError, match="--legacy"):
        Terms(legacy=True, max_fee=1)
    with pytest.raises(UsageError, match="--gas-price"):
        Terms(gas_price=gwei("1", "--gas-price"))


async def test_an_endpoint_cannot_have_more_paid_in_fees_than_a_person_would() -> None:
    greedy = {"eth_feeHistory": {"baseFeePerGas": [hex(10**15)], "reward": [["0x1"]]}}
    with serving(FakeChain(answers=greedy)) as chain:
        async with Endpoint(chain.url) as endpoint:
            with pytest.raises(UsageError, match="--max-fee"):
                await compose(PAYMENT, Terms(), endpoint)
            meant = await compose(PAYMENT, Terms(gas_limit=10**6, max_fee=10**15), endpoint)
    assert meant.fee_limit == 10**21


async def test_another_chain_is_found_out_before_anything_else_is_asked() -> None:
    with serving(FakeChain(chain_id=1)) as chain:
        async with Endpoint(chain.url) as endpoint:
            with pytest.raises(ChainError, match="serves chain 1") as refused:
                await compose(PAYMENT, Terms(), endpoint)
    assert refused.value.code == "WRONG_CHAIN"
    assert [method for method, _ in chain.calls] == ["eth_chainId"]


@pytest.mark.parametrize(
    "told", [None, 7, "7", "0x", "0xzz", "-0x1", ["0x1"], "0x" + "1" * 65, "\x1b[31m0x1"]
)
async def test_what_is_no_number_is_not_taken_for_one(told: Any) -> None:
    with serving(FakeChain(answers={"eth_getTransactionCount": told})) as chain:
        async with Endpoint(chain.url) as endpoint:
            with pytest.raises(ChainError) as refused:
                await endpoint.nonce(PAYER)
    assert refused.value.code == "CHAIN_REFUSED"
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "told", [None, {}, {"baseFeePerGas": [], "reward": []}, {"baseFeePerGas": ["0x1"], "reward": 3}]
)
async def test_a_chain_that_tells_no_fees_is_asked_otherwise(told: Any) -> None:
    with serving(FakeChain(answers={"eth_feeHistory": told})) as chain:
        async with Endpoint(chain.url) as endpoint:
            with pytest.raises(ChainError, match="--legacy"):
                await endpoint.dynamic_fees()


async def test_a_hash_that_is_not_ours_is_said_aloud() -> None:
    with serving(FakeChain(answers={"eth_sendRawTransaction": "0x" + "00" * 32})) as chain:
        async with Endpoint(chain.url) as endpoint:
            with pytest.raises(ChainError, match="calls it 0x0000") as refused:
                await endpoint.send(b"raw")
    assert refused.value.code == "CHAIN_DISAGREES"


async def test_a_refusal_of_what_is_not_there_is_a_refusal() -> None:
    with serving(FakeChain()) as chain:
        async with Endpoint(chain.url) as endpoint:
            assert await endpoint.send(b"raw")
            assert not await endpoint.send(b"raw")  # "nonce too low", and it is there
            chain.answers["eth_getTransactionByHash"] = None
            with pytest.raises(ChainError, match="nonce too low") as refused:
                await endpoint.send(b"raw")
    assert refused.value.code == "CHAIN_REFUSED"


async def test_an_endpoint_that_is_gone_is_named_without_its_key() -> None:
    with serving(FakeChain()) as chain:
        url = chain.url
    async with Endpoint(url) as endpoint:
        with pytest.raises(ChainError) as refused:
            await endpoint.gas_price()
    assert refused.value.code == "CHAIN_UNREACHABLE"
    assert "127.0.0.1" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://rpc.example/x", "ftp://127.0.0.1", "rpc.example", "https://", ""])
def test_an_endpoint_elsewhere_is_asked_over_tls_alone(url: str) -> None:
    with pytest.raises(UsageError, match="https"):
        Endpoint(url)


def test_an_endpoint_comes_from_the_option_the_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert endpoint_of(tmp_path, SEPOLIA, "") is None
    monkeypatch.setenv(f"QUORATE_CHAINS__{SEPOLIA}__RPC", "https://environment.example")
    found = endpoint_of(tmp_path, SEPOLIA, "")
    assert found is not None
    assert found.host == "environment.example"
    monkeypatch.delenv(f"QUORATE_CHAINS__{SEPOLIA}__RPC")
    (tmp_path / "quorate.toml").write_text('[chains.1]\nrpc = "https://file.example"\n')
    found = endpoint_of(tmp_path, 1, "")
    assert found is not None
    assert found.host == "file.example"
    option = endpoint_of(tmp_path, 1, "https://option.example")
    assert option is not None
    assert option.host == "option.example"
