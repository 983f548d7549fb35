"""Ethereum transactions of every form, against eth-account."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_account._utils.legacy_transactions import serializable_unsigned_transaction_from_dict
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hypothesis import given, settings
from hypothesis import strategies as st
from rlp.codec import consume_length_prefix

from quorate.curves import SECP256K1
from quorate.errors import UsageError
from quorate.operations.addresses import Chain, address, checksummed
from quorate.operations.digests import signing_digest
from quorate.operations.kinds import Algorithm
from quorate.operations.signatures import EcdsaSignature
from quorate.operations.transactions.evm import (
    MAX_TRANSACTION,
    Access,
    AccessListed,
    DynamicFee,
    Legacy,
    Transaction,
    read,
    transaction_id,
)
from tests.rules import breaks

SEPOLIA = 11155111
FUNDED = DynamicFee(
    chain_id=SEPOLIA,
    nonce=3,
    max_priority_fee_per_gas=2 * 10**9,
    max_fee_per_gas=30 * 10**9,
    gas_limit=21000,
    to=bytes.fromhex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"),
    value=10**15,
)

WORDS = st.integers(0, 2**64 - 2)
WEI = st.integers(0, 2**256 - 1)
COMMON: dict[str, Any] = {
    "chain_id": st.integers(1, 2**63),
    "nonce": WORDS,
    "gas_limit": WORDS,
    "to": st.sampled_from([b"", bytes(20)]) | st.binary(min_size=20, max_size=20),
    "value": WEI,
    "data": st.binary(max_size=80),
}
ANNOUNCED = st.lists(
    st.builds(
        Access,
        account=st.binary(min_size=20, max_size=20),
        slots=st.lists(st.binary(min_size=32, max_size=32), max_size=2).map(tuple),
    ),
    max_size=2,
).map(tuple)
TRANSACTIONS: st.SearchStrategy[Transaction] = st.one_of(
    st.builds(Legacy, gas_price=WEI, **COMMON),
    st.builds(AccessListed, gas_price=WEI, access_list=ANNOUNCED, **COMMON),
    st.builds(
        lambda fees, **fields: DynamicFee(
            max_priority_fee_per_gas=min(fees), max_fee_per_gas=max(fees), **fields
        ),
        fees=st.tuples(WEI, WEI),
        access_list=ANNOUNCED,
        **COMMON,
    ),
)


def as_eth_account_has_it(transaction: Transaction) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "gas": transaction.gas_limit,
        "to": checksummed(transaction.to) if transaction.to else "",
        "value": transaction.value,
        "data": "0x" + transaction.data.hex(),
    }
    match transaction:
        case Legacy():
            return fields | {"gasPrice": transaction.gas_price}
        case AccessListed():
            fees: dict[str, Any] = {"type": 1, "gasPrice": transaction.gas_price}
        case DynamicFee():
            fees = {
                "type": 2,
                "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas,
                "maxFeePerGas": transaction.max_fee_per_gas,
            }
        case _:
            raise AssertionError(transaction)
    return (
        fields
        | fees
        | {
            "accessList": [
                {
                    "address": checksummed(access.account),
                    "storageKeys": ["0x" + slot.hex() for slot in access.slots],
                }
                for access in transaction.access_list
            ],
        }
    )


@given(TRANSACTIONS)
@settings(max_examples=60)
def test_the_hash_that_is_signed_is_eth_account_s(transaction: Transaction) -> None:
    fields = as_eth_account_has_it(transaction)
    if isinstance(transaction, Legacy):
        theirs = serializable_unsigned_transaction_from_dict(fields).hash()
    else:
        theirs = TypedTransaction.from_dict(fields).hash()
    assert transaction.hash() == bytes(theirs)


@given(TRANSACTIONS)
@settings(max_examples=60)
def test_a_transaction_is_read_back_from_the_bytes_that_are_signed(transaction: Transaction) -> None:
    assert read(transaction.unsigned()) == transaction


def test_the_unsigned_form_is_the_message_of_an_eskec256_request() -> None:
    assert FUNDED.unsigned()[0] == 2
    assert signing_digest(Algorithm.ESKEC256, FUNDED.unsigned()) == FUNDED.hash()


@given(TRANSACTIONS, st.integers(1, SECP256K1.order - 1))
@settings(max_examples=25)
def test_a_signed_transaction_is_eth_account_s_and_recovers_to_its_signer(
    transaction: Transaction, secret: int
) -> None:
    theirs = Account.sign_transaction(as_eth_account_has_it(transaction), secret.to_bytes(32, "big"))
    recovery = theirs.v - 35 - 2 * transaction.chain_id if isinstance(transaction, Legacy) else theirs.v
    signature = EcdsaSignature(r=theirs.r, s=theirs.s, recovery=recovery)
    raw = transaction.signed(signature)
    assert raw == bytes(theirs.raw_transaction)
    assert transaction_id(raw) == bytes(theirs.hash)
    public = bytes(SECP256K1.scalar_of(secret) * SECP256K1.generator)
    assert Account.recover_transaction(raw) == address(Chain.ETHEREUM, public)


@pytest.mark.parametrize(
    "field",
    ["chain_id", "nonce", "max_priority_fee_per_gas", "max_fee_per_gas", "gas_limit", "value"],
)
@breaks("OP-3.1")
def test_a_number_out_of_range_is_refused_by_name(field: str) -> None:
    number: Any
    for number in (-1, 2**256):
        with pytest.raises(UsageError, match=rf"^OP-3\.1 numbers: {field} is ") as refused:
            replace(FUNDED, **{field: number})
        assert refused.value.code == "INVALID_TRANSACTION"


@breaks("OP-3.1")
def test_the_last_nonce_an_account_can_use_is_signed_and_the_next_is_not() -> None:
    assert replace(FUNDED, nonce=2**64 - 2).nonce == 2**64 - 2
    with pytest.raises(UsageError, match=r"^OP-3\.1 numbers: nonce"):
        replace(FUNDED, nonce=2**64 - 1)


@breaks("OP-3.2")
def test_a_transaction_for_no_chain_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^OP-3\.2 chain: "):
        replace(FUNDED, chain_id=0)


@breaks("OP-3.3")
def test_a_priority_fee_above_the_whole_fee_is_refused() -> None:
    whole = replace(FUNDED, max_priority_fee_per_gas=FUNDED.max_fee_per_gas)
    with pytest.raises(UsageError, match=r"^OP-3\.3 fees: "):
        replace(whole, max_priority_fee_per_gas=FUNDED.max_fee_per_gas + 1)


@breaks("OP-3.4")
@pytest.mark.parametrize("size", [1, 19, 21, 32])
def test_an_account_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match=rf"^OP-3\.4 accounts: to has {size} bytes"):
        replace(FUNDED, to=bytes(size))


@breaks("OP-3.5")
@pytest.mark.parametrize(
    ("account", "slots"), [(b"", ()), (bytes(21), ()), (bytes(20), (bytes(32), bytes(31)))]
)
def test_an_access_list_with_another_length_in_it_is_refused(
    account: bytes, slots: tuple[bytes, ...]
) -> None:
    with pytest.raises(UsageError, match=r"^OP-3\.5 access list: "):
        Access(account=account, slots=slots)


def test_no_more_items_are_read_than_a_transaction_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoded in (rlp.encode([b""] * 1000), rlp.encode([b""] * 8 + [[[b"", []]] * 1000])):
        items = count_items(monkeypatch)
        with pytest.raises(UsageError, match=r"^OP-3\.\d"):
            read(b"\x02" + encoded)
        assert len(items) < 20


def count_items(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the items start that are read from now on."""
    items = list[int]()

    def consume(encoded: bytes, start: int) -> object:
        items.append(start)
        return consume_length_prefix(encoded, start)

    for module in ("rlp.codec", "rlp.lazy"):
        monkeypatch.setattr(f"{module}.consume_length_prefix", consume)
    return items


@breaks("OP-3.6")
@pytest.mark.parametrize(("s", "recovery"), [(SECP256K1.order - 1, 0), (1, 2), (1, 3)])
def test_a_signature_no_chain_would_take_is_refused(s: int, recovery: int) -> None:
    with pytest.raises(UsageError, match=r"^OP-3\.6 signature: "):
        FUNDED.signed(EcdsaSignature(r=1, s=s, recovery=recovery))


@breaks("OP-3.7")
@pytest.mark.parametrize(
    ("unsigned", "why"),
    [
        (b"", "of a form that is known here"),
        (b"\x03" + FUNDED.unsigned()[1:], "of a form that is known here"),  # blobs (EIP-4844)
        (b"\x04" + FUNDED.unsigned()[1:], "of a form that is known here"),  # set code (EIP-7702)
        (b"\x01" + FUNDED.unsigned()[1:], "not the fields"),
        (FUNDED.unsigned() + b"\x00", "not the fields"),
        (FUNDED.unsigned()[:-1], "not the fields"),
        (b"\x02\x80", "not the fields"),
        (b"\x02" + bytes([0xC1]) * 5000 + b"\xc0", "not the fields"),
        (rlp.encode([3, 1, 21000, bytes(20), 1, b""]), "not the fields"),  # valid on every chain
        (rlp.encode([b"\x00\x03", 1, 21000, bytes(20), 1, b"", 1, 0, 0]), "not the one serialisation"),
        (rlp.encode([3, 1, 21000, bytes(20), 1, b"", 1, 0, 1]), "not the one serialisation"),
        (rlp.encode([3, 1, 21000, bytes(20), 1, b"", 1, 28, 5]), "not the one serialisation"),
        (b"\x02" + rlp.encode([1, 3, 1, 1, 9, bytes(20), 1, b"", b""]), "not the one serialisation"),
        (b"\x02" + rlp.encode([1, 3, 1, 1, 9, bytes(20), 1, [], []]), "not the fields"),
        (b"\x02" + rlp.encode([1, 3, 1, 1, 9, bytes(20), 1, b"", [[bytes(20)]]]), "not the fields"),
        (bytes(MAX_TRANSACTION + 1), "at most"),
    ],
)
def test_what_is_not_the_one_serialisation_of_a_transaction_is_not_read(unsigned: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^OP-3\.7 form: .*{why}"):
        read(unsigned)


@breaks("OP-3.7")
@given(st.binary(max_size=200), st.integers(0, 200), TRANSACTIONS)
@settings(max_examples=60)
def test_one_altered_transaction_reads_as_itself_or_not_at_all(
    junk: bytes, at: int, transaction: Transaction
) -> None:
    encoded = transaction.unsigned()
    altered = encoded[:at] + junk + encoded[at + len(junk) :]
    with suppress(UsageError):
        assert read(altered).unsigned() == altered
