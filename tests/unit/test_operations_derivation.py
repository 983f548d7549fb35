"""Extended public keys as wallets read them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import base58
import pytest

from quorate.identifiers import Curve
from quorate.operations.derivation import xpub

SAMPLE = Path(__file__).parents[1] / "approval" / "samples" / "sign.json"


def test_the_xpubs_of_the_published_sample_come_from_their_own_keys_and_chain_codes() -> None:
    secp, edwards = (c["xpub"] for c in json.loads(SAMPLE.read_text())["details"]["vault"]["curves"])
    for curve, published, size in ((Curve.SECP256K1, secp, 33), (Curve.ED25519, edwards, 32)):
        raw = base58.b58decode(published)
        assert xpub(curve, raw[78 - size : 78], raw[13:45]) == published


def test_an_xpub_is_the_78_bytes_of_bip_32_and_their_checksum() -> None:
    raw = base58.b58decode(xpub(Curve.ED25519, b"\x07" * 32, b"\x09" * 32))
    assert raw[:-4].hex() == "0488b21e" + "00" * 9 + "09" * 32 + "00" + "07" * 32
    assert raw[-4:] == hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4]


def test_the_root_of_bip_32_test_vector_1() -> None:
    key = bytes.fromhex("0339a36013301597daef41fbe593a02cc513d0b55527ec2df1050e2e8ff49c85c2")
    chain_code = bytes.fromhex("873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508")
    assert xpub(Curve.SECP256K1, key, chain_code) == (
        "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
    )


@pytest.mark.parametrize(
    ("curve", "key", "chain_code"),
    [(Curve.SECP256K1, 32, 32), (Curve.ED25519, 33, 32), (Curve.ED25519, 31, 32), (Curve.SECP256K1, 33, 31)],
)
def test_a_key_or_chain_code_of_another_length_is_refused(curve: Curve, key: int, chain_code: int) -> None:
    with pytest.raises(ValueError, match=f"{curve}: {key} bytes of key and {chain_code} of chain code"):
        xpub(curve, bytes(key), bytes(chain_code))
