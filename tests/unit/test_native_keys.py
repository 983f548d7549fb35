"""Device and session keys by libsodium, against OpenSSL. What its verifier refuses is in test_native_verify.py."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from quorate.errors import Bug
from quorate.native import keys
from quorate.native.memory import SecretBytes

SEEDS = [bytes([n]) * 32 for n in range(1, 9)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_device_signs_as_openssl_does(seed: bytes) -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(seed)
    key, public = keys.signing_key(SecretBytes.of(seed))
    assert public == theirs.public_key().public_bytes_raw()
    for message in (b"", b"a message", bytes(1000)):
        assert keys.sign(key, message) == theirs.sign(message)


@pytest.mark.parametrize("seed", SEEDS)
def test_two_ends_agree_as_openssl_does(seed: bytes) -> None:
    mine, other = SecretBytes.of(seed), X25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = keys.exchange_public(mine)
    assert public == X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    shared = keys.exchange(mine, other.public_key().public_bytes_raw())
    assert shared is not None
    assert shared.reveal() == other.exchange(X25519PublicKey.from_public_bytes(public))


@pytest.mark.parametrize(
    "public",
    [
        bytes(32),
        b"\1" + bytes(31),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        bytes(range(31)),
        bytes(range(33)),
    ],
    ids=["zero", "one", "of order 8", "minus one", "short", "long"],
)
def test_nobody_agrees_on_anything_with_a_bad_key(public: bytes) -> None:
    assert keys.exchange(SecretBytes.of(SEEDS[0]), public) is None


def test_a_key_of_another_size_is_a_mistake_of_ours() -> None:
    for size in (0, 31, 33):
        with pytest.raises(Bug, match="key"):
            keys.signing_key(SecretBytes(size))
        with pytest.raises(Bug, match="key"):
            keys.sign(SecretBytes(size), b"")
        with pytest.raises(Bug, match="key"):
            keys.exchange_public(SecretBytes(size))
        with pytest.raises(Bug, match="key"):
            keys.exchange(SecretBytes(size), bytes(32))
