"""Addresses, against what the standards publish and another library."""

from __future__ import annotations

import pytest
from bip_utils import EthAddrEncoder, P2WPKHAddrEncoder, SolAddrEncoder
from hypothesis import given
from hypothesis import strategies as st

from quorate.curves import ED25519, SECP256K1
from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, account_of, address, checksummed, segwit

GENERATOR = bytes(SECP256K1.generator)


def test_the_addresses_of_the_generator_are_the_published_ones() -> None:
    assert address(Chain.BITCOIN, GENERATOR) == "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
    assert address(Chain.ETHEREUM, GENERATOR) == "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"


def test_the_other_program_of_bip_173() -> None:
    """Thirty-two bytes leave bits over in the last group of five, and the prefix is the test net's."""
    program = bytes.fromhex("1863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262")
    assert segwit("tb", program) == "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7"
    program = bytes.fromhex("000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433")
    assert segwit("tb", program) == "tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy"


@pytest.mark.parametrize(
    "published",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_the_case_of_an_ethereum_account_is_that_of_eip_55(published: str) -> None:
    assert checksummed(bytes.fromhex(published[2:])) == published


@given(st.integers(1, SECP256K1.order - 1))
def test_random_secp256k1_keys_have_the_addresses_of_another_library(secret: int) -> None:
    key = bytes(SECP256K1.scalar_of(secret) * SECP256K1.generator)
    assert address(Chain.BITCOIN, key) == P2WPKHAddrEncoder.EncodeKey(key, hrp="bc")
    assert address(Chain.ETHEREUM, key) == EthAddrEncoder.EncodeKey(key)


@given(st.integers(1, ED25519.order - 1))
def test_random_ed25519_keys_have_the_addresses_of_another_library(secret: int) -> None:
    key = bytes(ED25519.scalar_of(secret) * ED25519.generator)
    assert address(Chain.SOLANA, key) == SolAddrEncoder.EncodeKey(key)


@pytest.mark.parametrize("chain", Chain)
def test_a_key_of_another_length_has_no_address(chain: Chain) -> None:
    size = 33 if chain.curve is Curve.SECP256K1 else 32
    for wrong in (size - 1, size + 1, 65):
        with pytest.raises(ValueError, match=f"{chain}: {wrong} bytes of key, not {size}"):
            address(chain, bytes(wrong))


def test_a_key_that_is_no_point_has_no_ethereum_address() -> None:
    with pytest.raises(ValueError):
        address(Chain.ETHEREUM, b"\x02" + b"\xff" * 32)


def test_an_account_is_read_in_one_case_or_with_its_checksum() -> None:
    text = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # of EIP-55
    account = bytes.fromhex(text[2:])
    assert account_of(text) == account_of(text.lower()) == account_of("0x" + text[2:].upper()) == account


@pytest.mark.parametrize(
    "text",
    ["", "0x", "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
     "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n",
     "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"],
)  # fmt: skip
def test_a_mistyped_account_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="account"):
        account_of(text)
