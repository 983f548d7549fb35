"""A transaction is what its caller says it is for, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.errors import UsageError
from quorate.operations.addresses import checksummed
from quorate.operations.kinds import TRANSACTIONS, Claim, Kind
from quorate.operations.tokens import Tokens
from quorate.operations.transactions import calldata
from quorate.operations.transactions.actions import Payer, actions_of_message
from quorate.operations.transactions.evm import DynamicFee
from quorate.operations.transactions.purposes import require_purpose
from tests.rules import breaks

US, BOB, EVE, TOKEN = (bytes([value]) * 20 for value in (0xAA, 0xBB, 0xEE, 0x70))
PAYER = Payer(account=US, tokens=Tokens())
ABOUT_EVE = bytes.fromhex("f9f92be4") + bytes(12) + EVE  # blacklist(address)


def made(to: bytes = BOB, value: int = 0, data: bytes = b"") -> DynamicFee:
    return DynamicFee(
        chain_id=11155111, nonce=0, max_priority_fee_per_gas=1, max_fee_per_gas=2, gas_limit=50_000,
        to=to, value=value, data=data,
    )  # fmt: skip


PAYMENT = made(value=5)
TRANSFER = made(TOKEN, data=calldata.write("transfer", to=BOB, amount=7))
FITTING: dict[Kind, list[DynamicFee]] = {
    Kind.TRANSFER_OUT: [
        PAYMENT,
        TRANSFER,
        made(TOKEN, data=calldata.write("safeTransferFrom", **{"from": US, "to": BOB, "id": 9})),
    ],
    Kind.MINT: [made(TOKEN, data=calldata.write("mint", to=BOB, amount=7))],
    Kind.BURN: [
        made(TOKEN, data=calldata.write("burn", amount=7)),
        made(TOKEN, data=calldata.write("burnFrom", **{"from": BOB, "amount": 7})),
    ],
    Kind.BLOCK_ADDRESS: [made(TOKEN, data=ABOUT_EVE)],
}
FITTING[Kind.TRANSFER_BETWEEN] = FITTING[Kind.TRANSFER_OUT]
for same in (Kind.ALLOW_ADDRESS, Kind.UNBLOCK_ADDRESS, Kind.DISABLE_ADDRESS):
    FITTING[same] = FITTING[Kind.BLOCK_ADDRESS]
CALLS = [each for kind in (Kind.MINT, Kind.BURN, Kind.BLOCK_ADDRESS) for each in FITTING[kind]]
FITTING[Kind.CONTRACT_CALL] = [*CALLS, TRANSFER, made(b"", data=b"code"), made(TOKEN, 3, b"\x01\x02\x03\x04")]
ALLOWANCE = made(TOKEN, data=calldata.write("approve", spender=EVE, amount=7))
OTHERS = [
    ALLOWANCE,
    made(TOKEN, 1, calldata.write("transfer", to=BOB, amount=7)),
    made(TOKEN, 1, calldata.write("mint", to=BOB, amount=7)),
    made(TOKEN, 1, ABOUT_EVE),
    made(TOKEN, data=ABOUT_EVE + b"\x00"),
    made(TOKEN, data=ABOUT_EVE[:4] + b"\x01" + ABOUT_EVE[5:]),
    made(TOKEN, data=calldata.write("transfer", to=BOB, amount=7) + b"\x00"),
    made(b"", data=ABOUT_EVE),
]
ALL = [*{id(each): each for each in [PAYMENT, TRANSFER, *FITTING[Kind.CONTRACT_CALL], *OTHERS]}.values()]


def check(kind: Kind, transaction: DynamicFee, **claimed: Any) -> None:
    actions = actions_of_message(transaction.unsigned(), PAYER)
    require_purpose(kind, Claim(**claimed), transaction, actions)


@breaks("OP-8.1")
@pytest.mark.parametrize("kind", sorted(TRANSACTIONS))
def test_a_transaction_is_for_what_it_is_said_to_be_for(kind: Kind) -> None:
    for transaction in FITTING[kind]:
        check(kind, transaction)
    for transaction in ALL:
        if transaction not in FITTING[kind] and (kind is not Kind.CONTRACT_CALL or not transaction.data):
            with pytest.raises(
                UsageError, match=rf"^OP-8\.1 purpose: the transaction is not for {kind}"
            ) as refused:
                check(kind, transaction)
            assert refused.value.code == "INVALID_TRANSACTION"


def test_what_is_claimed_may_be_so() -> None:
    check(Kind.TRANSFER_OUT, PAYMENT, asset="ETH_SEPOLIA", amount="5", address=checksummed(BOB))
    check(
        Kind.TRANSFER_OUT, TRANSFER, asset=f"eip155:11155111/erc20:{checksummed(TOKEN)}", amount="7",
        address="0x" + BOB.hex(),
    )  # fmt: skip
    check(Kind.BLOCK_ADDRESS, made(TOKEN, data=ABOUT_EVE), address=checksummed(EVE))


@breaks("OP-8.2")
@pytest.mark.parametrize(
    ("kind", "transaction", "claimed"),
    [
        (Kind.TRANSFER_OUT, PAYMENT, {"asset": "ETH"}),
        (Kind.TRANSFER_OUT, PAYMENT, {"amount": "6"}),
        (Kind.TRANSFER_OUT, PAYMENT, {"amount": "05"}),
        (Kind.TRANSFER_OUT, PAYMENT, {"address": checksummed(EVE)}),
        (Kind.TRANSFER_OUT, PAYMENT, {"address": "bob"}),
        (Kind.TRANSFER_OUT, TRANSFER, {"asset": "ETH_SEPOLIA"}),
        (Kind.TRANSFER_OUT, TRANSFER, {"address": checksummed(TOKEN)}),
        (Kind.BLOCK_ADDRESS, made(TOKEN, data=ABOUT_EVE), {"address": checksummed(BOB)}),
        (Kind.BLOCK_ADDRESS, made(TOKEN, data=ABOUT_EVE), {"amount": "0"}),
        (Kind.CONTRACT_CALL, made(TOKEN, data=ABOUT_EVE), {"asset": "ETH_SEPOLIA"}),
    ],
)
def test_what_is_claimed_and_is_not_so_is_refused(
    kind: Kind, transaction: DynamicFee, claimed: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=r"^OP-8\.2 claim: ") as refused:
        check(kind, transaction, **claimed)
    assert refused.value.code == "CLAIM_DISAGREES"
