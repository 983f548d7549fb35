"""What ECDSA signs of a message, and the hashes of chains."""

from __future__ import annotations

import hashlib

import pytest

from quorate.errors import Bug
from quorate.operations.digests import hash160, keccak256, signing_digest
from quorate.operations.kinds import Algorithm


@pytest.mark.parametrize(
    ("data", "hashed"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (b"transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
    ],
)
def test_keccak_256_is_ethereum_s_and_not_sha_3(data: bytes, hashed: str) -> None:
    assert keccak256(data).hex() == hashed
    assert keccak256(data) != hashlib.sha3_256(data).digest()


def test_each_ecdsa_algorithm_signs_its_own_hash_of_the_message() -> None:
    assert signing_digest(Algorithm.ES256K, b"abc") == hashlib.sha256(b"abc").digest()
    assert signing_digest(Algorithm.ESKEC256, b"abc") == keccak256(b"abc")


def test_eddsa_signs_no_digest() -> None:
    with pytest.raises(Bug, match="EDDSA signs messages"):
        signing_digest(Algorithm.EDDSA, b"abc")


def test_hash160_is_bitcoin_s() -> None:
    key = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    assert hash160(key).hex() == "751e76e8199196d454941c45d1b3a323f1433bd6"
