"""The methods of tokens, against selectors that the standards publish and eth-abi's encoding."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import UsageError
from quorate.operations.transactions import calldata
from quorate.operations.transactions.calldata import BY_SELECTOR, Token
from tests.rules import breaks

ALICE, BOB = bytes(range(20)), bytes(range(100, 120))
PUBLISHED = {
    "a9059cbb": "transfer(address,uint256)",
    "095ea7b3": "approve(address,uint256)",
    "23b872dd": "transferFrom(address,address,uint256)",
    "39509351": "increaseAllowance(address,uint256)",
    "a457c2d7": "decreaseAllowance(address,uint256)",
    "40c10f19": "mint(address,uint256)",
    "42966c68": "burn(uint256)",
    "79cc6790": "burnFrom(address,uint256)",
    "42842e0e": "safeTransferFrom(address,address,uint256)",
    "b88d4fde": "safeTransferFrom(address,address,uint256,bytes)",
    "a22cb465": "setApprovalForAll(address,bool)",
}
ACCOUNTS, AMOUNTS = st.binary(min_size=20, max_size=20), st.integers(0, 2**256 - 1)


def test_selectors_are_those_of_the_standards() -> None:
    assert {selector.hex(): method.signature for selector, method in BY_SELECTOR.items()} == PUBLISHED


def test_a_token_transfer_is_read_as_one() -> None:
    # The example of the ABI's specification, with another method's name.
    data = bytes.fromhex("a9059cbb" + "00" * 12 + BOB.hex() + f"{69:064x}")
    call = calldata.read(data)
    assert (call.method.name, call.method.token) == ("transfer", Token.FUNGIBLE)
    assert call.arguments == {"to": BOB, "amount": 69}


@given(ACCOUNTS, ACCOUNTS, AMOUNTS, st.binary(max_size=70), st.booleans())
def test_what_is_written_is_read(one: bytes, other: bytes, amount: int, data: bytes, yes: bool) -> None:
    known: dict[str, Any] = {
        "to": one, "spender": one, "operator": one, "from": other, "amount": amount, "id": amount,
        "data": data, "approved": yes,
    }  # fmt: skip
    for method in BY_SELECTOR.values():
        arguments = {name: known[name] for name, _ in method.arguments}
        call = calldata.read(calldata.write(method.name, **arguments))
        assert (call.method, call.arguments) == (method, arguments)


@breaks("OP-4.1")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes.fromhex("a9059c"),
        bytes.fromhex("a9059cbb"),
        bytes.fromhex("deadbeef") + bytes(64),
        calldata.write("transfer", to=BOB, amount=1)[:-1],
        calldata.write("transfer", to=BOB, amount=1) + b"\x00",
        calldata.write("transfer", to=BOB, amount=1) + bytes(32),
        bytes.fromhex("a9059cbb") + b"\x01" + bytes(11) + BOB + bytes(32),  # an account of more than 20 bytes
        bytes.fromhex("a22cb465") + bytes(12) + BOB + bytes(31) + b"\x02",  # neither true nor false
        bytes.fromhex("b88d4fde") + bytes(96) + b"\xff" * 32,  # bytes that begin far outside
        # Bytes that begin later than they could: what lies between is anybody's.
        bytes.fromhex("b88d4fde") + bytes(96) + (160).to_bytes(32, "big") + bytes(64),
    ],
)
def test_data_that_is_not_the_one_encoding_of_a_call_is_not_read(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"^OP-4\.1 one encoding: "):
        calldata.read(data)


@given(st.sampled_from(sorted(BY_SELECTOR)), st.binary(max_size=200))
def test_no_data_is_read_as_what_it_is_not_the_encoding_of(selector: bytes, rest: bytes) -> None:
    with suppress(UsageError):
        call = calldata.read(selector + rest)
        assert calldata.write(call.method.name, **call.arguments) == selector + rest


def test_nothing_is_written_for_a_method_that_is_not_known() -> None:
    for name, arguments in (("transfer", {"to": BOB}), ("withdraw", {"amount": 1})):
        with pytest.raises(ValueError, match=f"no method {name}"):
            calldata.write(name, **arguments)
    with pytest.raises(EncodingError):
        calldata.write("transfer", to=BOB, amount=2**256)


def test_any_method_is_called_by_its_signature() -> None:
    to = bytes.fromhex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
    assert calldata.call_of("mint(address,uint256)", [f"0x{to.hex()}", "0x7"]) == calldata.write(
        "mint", to=to, amount=7
    )
    made = calldata.call_of("f(bool,bytes2,bytes,string,int8)", ["true", "0x0102", "0x", "é", "-1"])
    assert made[4:] == encode(
        ["bool", "bytes2", "bytes", "string", "int8"], [True, b"\x01\x02", b"", "é", -1]
    )
    assert calldata.call_of("pause()", []) == bytes.fromhex("8456cb59")


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("f(uint)", ["1"]), ("f(uint7)", ["1"]), ("f(bytes33)", ["0x"]), ("f (bool)", ["true"]), ("f(bool,)", ["true"]),
        ("f(uint256[])", ["1"]), ("f", []), ("f(bool)", []), ("f(bool)", ["True"]), ("f(uint8)", ["256"]),
        ("f(uint8)", ["-1"]), ("f(bytes2)", ["0x01"]), ("f(bytes)", ["01"]), ("f(address)", ["0x01"]),
    ],
)  # fmt: skip
def test_a_call_that_would_be_another_is_refused(signature: str, arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        calldata.call_of(signature, arguments)
