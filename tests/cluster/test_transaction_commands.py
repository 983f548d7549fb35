"""Transactions from the command line to a chain's endpoint, by three daemons. eth-account reads what they sign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address
from quorate.operations.derivation import derive
from quorate.operations.transactions import calldata
from quorate.operations.transactions.evm import DynamicFee
from quorate.operations.transactions.signing_input import SigningInput
from tests.chain_server import FakeChain, serving
from tests.cluster.conftest import Command, Signers, new_vault

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]

SEPOLIA = 11155111
BOB = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
OFFLINE = ("--nonce", 3, "--gas-limit", 90000, "--max-fee", 30, "--priority-fee", "1.5")


def account(signers: Signers, path: str = "") -> str:
    curve, vault = Curve.SECP256K1, signers.vault
    return address(
        Chain.ETHEREUM, derive(curve, vault.public_keys[curve], vault.chain_codes[curve], path).public_key
    )


def read(raw: str) -> dict[str, Any]:
    return dict(TypedTransaction.from_bytes(HexBytes(raw)).as_dict())


@pytest.fixture
def listed(tmp_path: Path, signers: Signers) -> Path:
    """A home of no node, whose settings name a token list: commands go to alice's node with credentials."""
    tokens = {"tokens": [{"chainId": SEPOLIA, "address": USDC, "symbol": "USDC", "decimals": 6, "name": "x"}]}
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    (tmp_path / "quorate.toml").write_text('[tokens]\nfiles = ["tokens.json"]\n')
    signers["alice"].credentials.save(tmp_path / "alice.json")
    return tmp_path


def at(home: Path) -> tuple[object, ...]:
    return ("--home", home, "--credentials", home / "alice.json", "--json")


async def test_a_transfer_takes_what_is_not_said_from_the_chain_and_is_sent_once(
    signers: Signers, quorate: Command, listed: Path
) -> None:
    with serving(FakeChain()) as chain:
        (listed / "quorate.toml").write_text(f'[chains.{SEPOLIA}]\nrpc = "{chain.url}"\n')
        made = await quorate(
            "transfer", "--vault", "ops", "--chain", SEPOLIA, "--to", BOB, "--amount", "0.25", "--path", "m/60/0",
            "--memo", "rent", "--wait", *at(listed),
        )  # fmt: skip
        assert made.code == 0, made.err
        [operation] = made.lines
        assert (operation["kind"], operation["state"]) == ("transfer-out", "COMPLETED")
        [signature] = operation["signatures"]
        raw = signature["raw_transaction"]
        assert Account.recover_transaction(raw) == account(signers, "m/60/0")
        told = read(raw)
        assert (told["chainId"], told["nonce"], told["gas"]) == (SEPOLIA, 7, 64_000)
        assert (told["value"], HexBytes(told["to"])) == (25 * 10**16, HexBytes(BOB))
        assert (told["maxFeePerGas"], told["maxPriorityFeePerGas"]) == (22 * 10**9, 2 * 10**9)
        asked = dict(chain.calls)
        assert asked["eth_getTransactionCount"] == [account(signers, "m/60/0"), "pending"]

        send = ("broadcast", operation["operation"], *at(listed))
        [first], [again] = (await quorate(*send)).lines, (await quorate(*send)).lines
        assert first == {
            "operation": operation["operation"], "chain_id": SEPOLIA, "transaction": signature["transaction"],
            "already_known": False,
        }  # fmt: skip
        assert again == first | {"already_known": True}
        assert chain.sent == [bytes.fromhex(raw[2:])]
    shown = await quorate("operation", "show", operation["operation"], "--home", signers["alice"].home)
    assert raw in shown.out
    assert signature["transaction"] in shown.out


async def test_a_token_is_paid_by_its_symbol_and_the_nodes_compare_the_claim(
    signers: Signers, quorate: Command, listed: Path
) -> None:
    pay = ("transfer", "--vault", "ops", "--chain", SEPOLIA, "--token", "USDC", "--amount", "12.5", *OFFLINE)
    made = await quorate(*pay, "--to", BOB, "--wait", *at(listed))
    assert made.code == 0, made.err
    [signature] = made.lines[0]["signatures"]
    assert Account.recover_transaction(signature["raw_transaction"]) == account(signers)
    told = read(signature["raw_transaction"])
    assert (HexBytes(told["to"]), told["value"]) == (HexBytes(USDC), 0)
    assert HexBytes(told["data"]) == calldata.write("transfer", to=bytes.fromhex(BOB[2:]), amount=12_500_000)

    unsigned = DynamicFee(
        chain_id=SEPOLIA, nonce=1, max_priority_fee_per_gas=1, max_fee_per_gas=2, gas_limit=21000,
        to=bytes.fromhex(BOB[2:]), value=5,
    ).unsigned().hex()  # fmt: skip
    ready = ("transfer", "--vault", "ops", "--transaction", unsigned)
    lied = await quorate(*ready, "--base-units", 6, *at(listed))
    assert (lied.code, json.loads(lied.err)["error"]) == (1, "CLAIM_DISAGREES")
    lied = await quorate(*ready, "--to", USDC, *at(listed))
    assert json.loads(lied.err)["error"] == "CLAIM_DISAGREES"
    good = await quorate(*ready, "--base-units", 5, "--to", BOB, "--wait", *at(listed))
    assert good.lines[0]["state"] == "COMPLETED"


async def test_a_vault_pays_another_and_a_signing_input_is_signed(
    signers: Signers, quorate: Command, listed: Path
) -> None:
    savings = await new_vault(signers.cluster, "savings")
    paid = address(Chain.ETHEREUM, savings.public_keys[Curve.SECP256K1])
    made = await quorate(
        "transfer", "--vault", "ops", "--chain", SEPOLIA, "--to-vault", "savings", "--base-units", 9, "--legacy",
        "--gas-price", 8, "--nonce", 0, "--wait", *at(listed),
    )  # fmt: skip
    assert made.code == 0, made.err
    [operation] = made.lines
    assert operation["kind"] == "transfer-between"
    assert operation["asked_for"]["to"] == paid
    assert Account.recover_transaction(operation["signatures"][0]["raw_transaction"]) == account(signers)

    wanted = SigningInput(
        chain_id=SEPOLIA.to_bytes(3, "big"), nonce=b"\x00", tx_mode=1, gas_limit=b"\x52\x08",
        max_inclusion_fee_per_gas=b"\x02", max_fee_per_gas=b"\x1e", to_address=BOB,
    )  # fmt: skip
    wanted.transaction.transfer.amount = b"\x05"
    encoded = wanted.SerializeToString().hex()
    made = await quorate("transfer", "--vault", "ops", "--signing-input", encoded, "--wait", *at(listed))
    assert made.code == 0, made.err
    assert read(made.lines[0]["signatures"][0]["raw_transaction"])["value"] == 5


async def test_contracts_are_called_for_what_is_said(
    signers: Signers, quorate: Command, listed: Path
) -> None:
    called = ("contract-call", "--vault", "ops", "--chain", SEPOLIA, "--contract", USDC, *OFFLINE)
    minted = await quorate(
        *called, "--method", "mint(address,uint256)", "--arg", BOB, "--arg", 7, "--purpose", "mint", "--wait",
        *at(listed),
    )  # fmt: skip
    assert minted.code == 0, minted.err
    assert minted.lines[0]["kind"] == "mint"
    raw = minted.lines[0]["signatures"][0]["raw_transaction"]
    assert HexBytes(read(raw)["data"]) == calldata.write("mint", to=bytes.fromhex(BOB[2:]), amount=7)
    allowed = await quorate(
        *called, "--method", "allowAddress(address)", "--arg", BOB, "--purpose", "allow-address", "--wait", *at(listed)
    )  # fmt: skip
    assert allowed.lines[0]["kind"] == "allow-address", allowed.err
    wrong = await quorate(*called, "--data", "0xdeadbeef", "--purpose", "burn", *at(listed))
    assert json.loads(wrong.err)["error"] == "INVALID_TRANSACTION"


async def test_a_contract_is_made_and_shown_as_made(signers: Signers, quorate: Command, listed: Path) -> None:
    making = ("contract-call", "--vault", "ops", "--chain", SEPOLIA, "--create", *OFFLINE)
    made = await quorate(*making, "--data", "0x6001600101", "--wait", *at(listed))
    assert made.code == 0, made.err
    [operation] = made.lines
    assert operation["kind"] == "contract-call"
    [action] = operation["asked_for"]["actions"]
    assert (action["method"], action["receiver"]) == ("create", "")
    signed = read(operation["signatures"][0]["raw_transaction"])
    assert (HexBytes(signed["to"]), HexBytes(signed["data"])) == (HexBytes("0x"), HexBytes("0x6001600101"))
    for wrong in (
        ("--contract", USDC, "--data", "0x60"),
        ("--method", "mint()"),
        ("--data", "0x60", "--purpose", "mint"),
    ):
        assert (await quorate(*making, *wrong, *at(listed))).code == 2
    assert (await quorate(*making[:5], "--data", "0x60", *at(listed))).code == 2


async def test_a_dry_run_shows_and_asks_nothing(signers: Signers, quorate: Command, listed: Path) -> None:
    before = await signers["alice"].node.operations(limit=1)
    pay = (
        "transfer",
        "--vault",
        "ops",
        "--chain",
        SEPOLIA,
        "--to",
        BOB,
        "--amount",
        "1",
        *OFFLINE,
        "--dry-run",
    )
    [shown] = (await quorate(*pay, *at(listed))).lines
    assert shown["actions"][0]["amount"] == str(10**18)
    assert shown["from"] == account(signers)
    said = await quorate(*pay, "--home", listed, "--credentials", listed / "alice.json")
    for each in ("1 ETH", BOB, "30 gwei"):
        assert each in said.out
    assert await signers["alice"].node.operations(limit=1) == before


async def test_what_is_no_transaction_is_not_sent(signers: Signers, quorate: Command) -> None:
    home = signers["alice"].home
    signed = await quorate("sign", "--vault", "ops", "--text", "no money", "--wait", "--json", "--home", home)
    sent = await quorate("broadcast", signed.lines[0]["operation"], "--json", "--home", home)
    assert (sent.code, sent.out) == (2, "")
    assert "no transaction" in sent.err
