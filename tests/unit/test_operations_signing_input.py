"""Signing inputs of the wallet-core family."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import UsageError
from quorate.operations.addresses import checksummed
from quorate.operations.transactions import calldata
from quorate.operations.transactions.evm import DynamicFee, Legacy
from quorate.operations.transactions.signing_input import SigningInput, read
from tests.rules import breaks

BOB, EVE, TOKEN = (bytes([value]) * 20 for value in (0xBB, 0xEE, 0x70))
SEPOLIA = 11155111


def number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def message(to: bytes = BOB, **fields: Any) -> Any:
    common: dict[str, Any] = {
        "chain_id": number(SEPOLIA), "nonce": number(0), "gas_limit": number(21000), "tx_mode": 1,
        "max_inclusion_fee_per_gas": number(2), "max_fee_per_gas": number(30),
        "to_address": checksummed(to) if to else "",
    }  # fmt: skip
    return SigningInput(**common | fields)


def expected(**fields: Any) -> DynamicFee:
    common: dict[str, Any] = {"chain_id": SEPOLIA, "nonce": 0, "gas_limit": 21000, "to": BOB, "value": 0}
    return DynamicFee(max_priority_fee_per_gas=2, max_fee_per_gas=30, **common | fields)


def payment(**fields: Any) -> Any:
    made = message(**fields)
    made.transaction.transfer.amount = number(5)
    return made


def test_a_message_begins_as_the_published_request_does() -> None:
    # Of which only the beginning is published: chain id and the tag of the nonce.
    assert payment().SerializeToString().hex().startswith("0a03aa36a71201")


@given(st.integers(0, 2**256 - 1), st.binary(max_size=40))
def test_a_transfer_pays_an_account(amount: int, data: bytes) -> None:
    made = message()
    made.transaction.transfer.amount, made.transaction.transfer.data = number(amount), data
    assert read(made.SerializeToString()) == expected(value=amount, data=data)


def test_a_legacy_transaction_has_one_price() -> None:
    made = payment(tx_mode=0, max_fee_per_gas=b"", max_inclusion_fee_per_gas=b"", gas_price=number(7))
    assert read(made.SerializeToString()) == Legacy(
        chain_id=SEPOLIA, nonce=0, gas_limit=21000, to=BOB, value=5, gas_price=7
    )


def test_tokens_are_moved_and_allowed_at_their_contract() -> None:
    moved, allowed, unique = message(TOKEN), message(TOKEN), message(TOKEN)
    moved.transaction.erc20_transfer.to = checksummed(BOB)
    moved.transaction.erc20_transfer.amount = number(7)
    allowed.transaction.erc20_approve.spender = checksummed(EVE)
    allowed.transaction.erc20_approve.amount = number(2**256 - 1)
    setattr(unique.transaction.erc721_transfer, "from", checksummed(BOB))
    unique.transaction.erc721_transfer.to = checksummed(EVE)
    unique.transaction.erc721_transfer.token_id = number(900)
    data = {
        "transfer": (moved, {"to": BOB, "amount": 7}),
        "approve": (allowed, {"spender": EVE, "amount": 2**256 - 1}),
        "transferFrom": (unique, {"from": BOB, "to": EVE, "amount": 900}),
    }
    for method, (made, arguments) in data.items():
        built = expected(to=TOKEN, data=calldata.write(method, **arguments))
        assert read(made.SerializeToString()) == built


def test_a_contract_is_called_or_made() -> None:
    for to in (TOKEN, b""):
        made = message(to)
        made.transaction.contract_generic.amount, made.transaction.contract_generic.data = number(1), b"data"
        assert read(made.SerializeToString()) == expected(to=to, value=1, data=b"data")


def unknown_inside() -> bytes:
    made = message()
    made.transaction.transfer.ParseFromString(bytes.fromhex("0a01051a0101"))
    return bytes(made.SerializeToString())


@breaks("OP-7.1")
@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        (b"\xff", "not a SigningInput"),
        (b"", "says nothing of what to do"),
        (message().SerializeToString(), "says nothing of what to do"),
        (payment(private_key=bytes(32)).SerializeToString(), "private_key is set"),
        (payment().SerializeToString() + bytes.fromhex("620100"), "SigningInput has a field 12"),
        (unknown_inside(), r"SigningInput\.transaction\.transfer has a field 3"),
        (payment(tx_mode=2).SerializeToString(), "tx_mode is 2"),
        (payment(tx_mode=0).SerializeToString(), "max_inclusion_fee_per_gas is of no use in tx_mode 0"),
        (payment(gas_price=b"\x01").SerializeToString(), "gas_price is of no use in tx_mode 1"),
        (payment(nonce=bytes(33)).SerializeToString(), "nonce has 33 bytes"),
        (payment(to=b"").SerializeToString(), "to_address: a transfer goes somewhere"),
        (payment(to_address="0xabc").SerializeToString(), "to_address: '0xabc' is no account"),
    ],
)
def test_what_is_not_wholly_understood_is_refused_by_name(encoded: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^OP-7\.1 signing input: .*{why}") as refused:
        read(encoded)
    assert refused.value.code == "INVALID_TRANSACTION"


@breaks("OP-7.1")
@pytest.mark.parametrize("kind", ["erc20_transfer", "erc20_approve", "erc721_transfer"])
def test_a_token_without_contract_or_receiver_is_refused(kind: str) -> None:
    for to, why in ((b"", "the token's contract"), (TOKEN, "is no account")):
        made = message(to)
        getattr(made.transaction, kind).SetInParent()
        with pytest.raises(UsageError, match=rf"^OP-7\.1 signing input: .*{why}"):
            read(made.SerializeToString())


def test_what_no_chain_takes_is_refused_as_in_any_transaction() -> None:
    with pytest.raises(UsageError, match=r"^OP-3\.2 chain: "):
        read(payment(chain_id=b"").SerializeToString())


@breaks("OP-7.1")
@given(st.binary(max_size=120))
def test_noise_is_refused(noise: bytes) -> None:
    with pytest.raises(UsageError, match=r"^OP-[37]\."):
        read(noise)
