"""What the bytes of an Ethereum message are read to do."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from quorate.operations import payload
from quorate.operations.addresses import checksummed
from quorate.operations.digests import keccak256
from quorate.operations.effect import Action, Asset
from quorate.operations.kinds import Algorithm, BatchSign, Operation, SigningData
from quorate.operations.reading import effect_of
from quorate.operations.tokens import Tokens
from quorate.operations.transactions import calldata, typed_data
from quorate.operations.transactions.actions import (
    CREATION,
    DELEGATION,
    Payer,
    actions_of_message,
    actions_of_typed_data,
)
from quorate.operations.transactions.evm import DynamicFee, Legacy, Transaction
from tests.approval.facts import VAULT, operation
from tests.unit.test_operations_evm import count_items
from tests.unit.test_operations_typed_data import DOMAIN, MAIL

US, BOB, EVE, TOKEN = (bytes([value]) * 20 for value in (0xAA, 0xBB, 0xEE, 0x70))
COIN = Asset(chain="eip155:1")
KNOWN = Asset(chain="eip155:1", contract=checksummed(TOKEN), symbol="USDC", decimals=6)
PAYER = Payer(account=US, tokens=Tokens({("eip155:1", KNOWN.contract): KNOWN}))
STRANGER = Payer(account=US, tokens=Tokens())
FEE = 21000 * 9
HEX = "application/octet-stream+hex"


def transaction(**fields: Any) -> Transaction:
    common: dict[str, Any] = {"chain_id": 1, "nonce": 0, "gas_limit": 21000, "to": BOB, "value": 0}
    return DynamicFee(max_priority_fee_per_gas=1, max_fee_per_gas=9, **common | fields)


def done(payer: Payer = PAYER, **fields: Any) -> tuple[Action, ...]:
    return actions_of_message(transaction(**fields).unsigned(), payer)


def test_a_payment_says_who_pays_whom_what_on_which_chain_at_which_fee() -> None:
    [action] = done(value=5)
    assert action == Action(
        chain="eip155:1",
        source=checksummed(US),
        receiver=checksummed(BOB),
        asset=COIN,
        amount=5,
        method="",
        fee=FEE,
    )
    assert action.asset is not None
    assert (action.asset.symbol, action.asset.decimals) == ("ETH", 18)


def test_a_payment_of_nothing_is_one() -> None:
    [action] = done()
    assert (action.amount, action.asset, action.method) == (0, COIN, "")


def test_every_form_of_transaction_is_read() -> None:
    legacy = Legacy(chain_id=5, nonce=0, gas_price=3, gas_limit=7, to=BOB, value=1)
    [action] = actions_of_message(legacy.unsigned(), PAYER)
    assert (action.chain, action.amount, action.fee) == ("eip155:5", 1, 21)


def test_a_token_transfer_is_of_the_token_to_who_is_paid() -> None:
    [action] = done(to=TOKEN, data=calldata.write("transfer", to=BOB, amount=7))
    assert (action.asset, action.amount, action.receiver) == (KNOWN, 7, checksummed(BOB))
    assert action.asset is not None
    assert action.asset.decimals == 6
    assert (action.method, action.fee) == ("transfer(address,uint256)", FEE)


def test_a_call_that_also_pays_does_two_things_and_costs_one_fee() -> None:
    payment, call = done(to=TOKEN, value=3, data=calldata.write("transfer", to=BOB, amount=7))
    assert (payment.asset, payment.amount, payment.receiver, payment.fee) == (
        COIN,
        3,
        checksummed(TOKEN),
        FEE,
    )
    assert (call.asset, call.amount, call.receiver, call.fee) == (KNOWN, 7, checksummed(BOB), 0)
    assert payment.method == call.method == "transfer(address,uint256)"


def test_taking_from_somebody_else_says_from_whom() -> None:
    [action] = done(to=TOKEN, data=calldata.write("transferFrom", **{"from": EVE, "to": BOB, "amount": 7}))
    assert (action.source, action.receiver, action.amount) == (checksummed(EVE), checksummed(BOB), 7)


def test_an_allowance_counts_whole_as_paid_to_whom_it_is_given() -> None:
    [action] = done(to=TOKEN, data=calldata.write("approve", spender=EVE, amount=calldata.UNLIMITED))
    assert (action.receiver, action.asset, action.amount) == (checksummed(EVE), KNOWN, 2**256 - 1)


@pytest.mark.parametrize("name", ["increaseAllowance", "decreaseAllowance"])
def test_what_is_added_to_an_allowance_leaves_its_amount_unknown(name: str) -> None:
    [action] = done(to=TOKEN, data=calldata.write(name, spender=EVE, amount=1))
    assert (action.receiver, action.asset, action.amount) == (checksummed(EVE), KNOWN, None)


def test_of_a_contract_that_may_be_of_either_standard_no_amount_is_known() -> None:
    for data in (
        calldata.write("approve", spender=EVE, amount=1),
        calldata.write("transferFrom", **{"from": US, "to": EVE, "amount": 1}),
    ):
        [action] = done(STRANGER, to=TOKEN, data=data)
        assert (action.receiver, action.amount) == (checksummed(EVE), None)
        assert action.asset == Asset(chain="eip155:1", contract=checksummed(TOKEN))


def test_tokens_that_there_is_one_of_move_as_an_amount_of_one_and_all_at_once_as_an_unknown_one() -> None:
    [one] = done(to=TOKEN, data=calldata.write("safeTransferFrom", **{"from": US, "to": EVE, "id": 900}))
    [all_] = done(to=TOKEN, data=calldata.write("setApprovalForAll", operator=EVE, approved=True))
    [none] = done(to=TOKEN, data=calldata.write("setApprovalForAll", operator=EVE, approved=False))
    assert [action.amount for action in (one, all_, none)] == [1, None, 0]
    assert {action.receiver for action in (one, all_, none)} == {checksummed(EVE)}


def test_burnt_tokens_go_to_nobody() -> None:
    [action] = done(to=TOKEN, data=calldata.write("burn", amount=4))
    assert (action.receiver, action.amount, action.source) == ("", 4, checksummed(US))


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (b"\xde\xad\xbe\xef" + bytes(64), "0xdeadbeef"),
        (b"\x01", "0x01"),
        (calldata.write("transfer", to=BOB, amount=7) + b"\x00", "transfer(address,uint256)"),
    ],
)
def test_a_call_that_is_not_read_moves_nobody_knows_what(data: bytes, method: str) -> None:
    [action] = done(to=TOKEN, data=data)
    assert (action.receiver, action.method) == (checksummed(TOKEN), method)
    assert (action.asset, action.amount) == (None, None)
    assert not action.opaque


def test_making_a_contract_is_a_call_of_nobody_that_moves_nobody_knows_what() -> None:
    [action] = done(to=b"", data=calldata.write("transfer", to=BOB, amount=7))
    assert (action.receiver, action.method, action.amount) == ("", CREATION, None)
    payment, call = done(to=b"", value=2, data=b"\x60")
    assert (payment.amount, payment.receiver, call.method) == (2, "", CREATION)


def consent(chain_id: int) -> Action:
    [action] = actions_of_message(b"\x05" + rlp.encode([chain_id, EVE, 9]), PAYER)
    assert (action.receiver, action.method, action.amount) == (checksummed(EVE), DELEGATION, None)
    return action


def test_consent_to_run_another_s_code_is_seen() -> None:
    assert consent(chain_id=1).chain == "eip155:1"


def test_consent_on_every_chain_is_not_taken_for_one_on_a_chain_that_no_rule_is_about() -> None:
    assert consent(chain_id=0).chain is None


def test_of_a_consent_no_more_items_are_read_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_items(monkeypatch)
    assert actions_of_message(b"\x05" + rlp.encode([b""] * 1000), PAYER) == (Action(),)
    assert len(read) < 10


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"\x05",
        b"\x05" + rlp.encode([1, EVE]),
        b"\x05" + rlp.encode([1, EVE, [b"\x01"]]),
        b"\x05" + rlp.encode([1, EVE, 9]) + b"\x00",
        b"\x05" + rlp.encode([b"\x00\x01", EVE[1:], 9]),
        b"\x05" + b"\xc1" * 5000,
        transaction().unsigned() + b"\x00",
        b"\x19\x01" + bytes(64),
    ],
)
def test_what_has_no_reading_is_opaque(message: bytes) -> None:
    assert actions_of_message(message, PAYER) == (Action(),)


# --- typed data ---------------------------------------------------------------------------------------------------

PERMIT: dict[str, Any] = {
    "types": {
        "EIP712Domain": DOMAIN,
        "Permit": [
            {"name": name, "type": "address" if name in ("owner", "spender") else "uint256"}
            for name in ("owner", "spender", "value", "nonce", "deadline")
        ],
    },
    "primaryType": "Permit",
    "domain": {"name": "USD Coin", "version": "2", "chainId": 1, "verifyingContract": checksummed(TOKEN)},
    "message": {
        "owner": checksummed(US),
        "spender": checksummed(EVE),
        "value": str(2**256 - 1),
        "nonce": 0,
        "deadline": "0x7fffffff",
    },
}


def of_typed_data(document: Any) -> tuple[Action, ...]:
    return actions_of_typed_data(typed_data.read(json.dumps(document)), PAYER)


def test_a_permit_is_an_allowance() -> None:
    [action] = of_typed_data(PERMIT)
    assert (action.asset, action.amount) == (KNOWN, 2**256 - 1)
    assert (action.source, action.receiver, action.fee) == (checksummed(US), checksummed(EVE), 0)


def test_a_permit_with_another_declaration_is_not_taken_for_one() -> None:
    other = copy.deepcopy(PERMIT)
    other["types"]["Permit"].append({"name": "allowed", "type": "bool"})
    other["message"]["allowed"] = True
    [action] = of_typed_data(other)
    assert (action.asset, action.amount, action.receiver) == (None, None, checksummed(TOKEN))


def test_other_typed_data_is_a_call_of_the_contract_it_names() -> None:
    [action] = of_typed_data(MAIL)
    assert (action.chain, action.receiver) == ("eip155:1", MAIL["domain"]["verifyingContract"])
    assert action.method == "Mail(Person from,Person to,string contents)Person(string name,address wallet)"
    assert action.amount is None


def test_typed_data_for_no_contract_in_particular_is_opaque() -> None:
    for field in ("chainId", "verifyingContract"):
        document = copy.deepcopy(MAIL)
        document["types"]["EIP712Domain"] = [each for each in DOMAIN if each["name"] != field]
        del document["domain"][field]
        assert of_typed_data(document) == (Action(),)


# --- whole requests -----------------------------------------------------------------------------------------------


def signing(*data: str, content_type: str, algorithm: Algorithm = Algorithm.ESKEC256) -> SigningData:
    return SigningData(data=data, content_type=content_type, algorithm=algorithm, derivation_path="")


def asking(*data: str, content_type: str = HEX, algorithm: Algorithm = Algorithm.ESKEC256) -> Operation:
    asked = signing(*data, content_type=content_type, algorithm=algorithm)
    return operation(BatchSign(vault=VAULT, epoch=0, certificate=bytes(32), signing=asked))


def test_every_item_of_a_batch_is_read() -> None:
    first, second = (transaction(value=value).unsigned().hex() for value in (1, 2))
    request = asking(first, second, "00")
    effect = effect_of(request, PAYER)
    assert [(action.message, action.amount) for action in effect.actions] == [(0, 1), (1, 2), (2, None)]
    assert {action.content_type for action in effect.actions} == {"application/octet-stream+hex"}
    assert all(action.opaque for action in effect_of(request).actions)  # whose key signs is not known


@pytest.mark.parametrize("algorithm", [Algorithm.ES256K, Algorithm.EDDSA])
def test_a_transaction_under_another_hash_is_none(algorithm: Algorithm) -> None:
    [action] = effect_of(asking(transaction(value=1).unsigned().hex(), algorithm=algorithm), PAYER).actions
    assert action.opaque


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_personal_message_is_what_wallets_sign(text: str) -> None:
    [message] = payload.messages(signing(text, content_type=payload.PERSONAL))
    secret = bytes(31) + b"\x01"
    theirs = Account.sign_message(encode_defunct(text=text), secret)
    assert keccak256(message) == bytes(theirs.message_hash)
    assert actions_of_message(message, PAYER) == (Action(),)


def test_typed_data_is_signed_as_what_was_read() -> None:
    text = json.dumps(PERMIT)
    [message] = payload.messages(signing(text, content_type=payload.TYPED_DATA))
    assert message == typed_data.read(text).signed_bytes
    [action] = effect_of(asking(text, content_type=payload.TYPED_DATA), PAYER).actions
    assert action.amount == 2**256 - 1
