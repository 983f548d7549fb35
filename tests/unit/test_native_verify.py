"""Which Ed25519 signatures libsodium takes, alone and together with OpenSSL; which ECDSA ones libsecp256k1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import ecdsa
import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from quorate.curves import ED25519, SECP256K1
from quorate.native import keys
from quorate.native.verify import recover_compact, verify_compact
from quorate.primitives.verify import recovers_ecdsa, verify_ecdsa, verify_ed25519

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORDER_EIGHT = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
SMALL_ORDER = [bytes.fromhex("ec" + "ff" * 30 + "7f"), bytes(32), b"\1" + bytes(31)]

Verifier = Callable[[bytes, bytes, bytes], bool]
by_each = pytest.mark.parametrize("verifies", [keys.verify, verify_ed25519])


def flip(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data, "little") ^ (1 << bit)).to_bytes(len(data), "little")


@by_each
@pytest.mark.parametrize("message", [b"", b"a message", bytes(100_000)])
def test_a_signature_verifies_for_its_message_and_key_alone(verifies: Verifier, message: bytes) -> None:
    signature = KEY.sign(message)
    assert verifies(PUBLIC, message, signature)
    assert not verifies(PUBLIC, message + b"\0", signature)
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    assert not verifies(other, message, signature)


@by_each
def test_no_altered_signature_verifies(verifies: Verifier) -> None:
    signature = KEY.sign(b"a message")
    for bit in range(512):
        assert not verifies(PUBLIC, b"a message", flip(signature, bit))


@by_each
def test_a_signature_has_one_form(verifies: Verifier) -> None:
    signature = KEY.sign(b"a message")
    s = int.from_bytes(signature[32:], "little")
    assert not verifies(PUBLIC, b"a message", signature[:32] + (s + ED25519.order).to_bytes(32, "little"))


@by_each
@pytest.mark.parametrize("point", SMALL_ORDER)
def test_no_key_of_small_order_verifies_anything(verifies: Verifier, point: bytes) -> None:
    """With one, S = 0 and a small R would be a signature of one message in a few."""
    for message in range(20):
        assert not verifies(point, bytes([message]), point + bytes(32))


def torsioned(scalar: int) -> bytes:
    """scalar·G and a point of order 8."""
    torsion = ecdsa.ellipticcurve.PointEdwards.from_bytes(ecdsa.Ed25519.curve, ORDER_EIGHT)
    return bytes((ecdsa.Ed25519.generator * scalar + torsion).to_bytes())


def signed(key: bytes, secret: int, point: bytes, nonce: int, message: bytes) -> bytes:
    """What verifies once both sides of the equation are multiplied by 8."""
    challenge = int.from_bytes(hashlib.sha512(point + key + message).digest(), "little")
    return point + ((nonce + challenge * secret) % ED25519.order).to_bytes(32, "little")


@by_each
def test_the_equation_is_not_multiplied_by_the_cofactor(verifies: Verifier) -> None:
    """Some verifiers multiply, some do not, and two honest nodes must take the same envelopes: who shows another's
    envelope that does not verify is blamed."""
    secret, nonce = 12345, 67890
    key = bytes(ED25519.scalar_of(secret) * ED25519.generator)
    point = bytes(ED25519.scalar_of(nonce) * ED25519.generator)
    assert verifies(key, b"a message", signed(key, secret, point, nonce, b"a message"))
    point = torsioned(nonce)
    for message in range(8):
        assert not verifies(key, bytes([message]), signed(key, secret, point, nonce, bytes([message])))


@by_each
def test_lengths_are_exact(verifies: Verifier) -> None:
    signature = KEY.sign(b"")
    assert not verifies(PUBLIC + b"\0", b"", signature)
    assert not verifies(PUBLIC[:-1], b"", signature)
    assert not verifies(PUBLIC, b"", signature[:-1])
    assert not verifies(PUBLIC, b"", signature + b"\0")


def test_openssl_is_asked_as_well_as_libsodium(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signature is known that it alone refuses, so libsodium is made to take all."""
    monkeypatch.setattr(keys, "verify", lambda *_: True)
    assert verify_ed25519(PUBLIC, b"a message", KEY.sign(b"a message"))
    assert not verify_ed25519(PUBLIC, b"a message", KEY.sign(b"another"))


SIGNER = PrivateKey(bytes(range(1, 33)))
ECDSA_PUBLIC = SIGNER.public_key.format()
DIGEST = bytes(range(100, 132))
RECOVERABLE = SIGNER.sign_recoverable(DIGEST, hasher=None)
COMPACT, RECOVERY_ID = RECOVERABLE[:64], RECOVERABLE[64]

by_each_ecdsa = pytest.mark.parametrize("verifies", [verify_compact, verify_ecdsa])


def with_s(change: Callable[[int], int]) -> bytes:
    return COMPACT[:32] + change(int.from_bytes(COMPACT[32:], "big")).to_bytes(32, "big")


@by_each_ecdsa
def test_an_ecdsa_signature_verifies_for_its_digest_and_key_alone(verifies: Verifier) -> None:
    assert verifies(ECDSA_PUBLIC, DIGEST, COMPACT)
    assert not verifies(ECDSA_PUBLIC, DIGEST[::-1], COMPACT)
    assert not verifies(PrivateKey(bytes(31) + b"\1").public_key.format(), DIGEST, COMPACT)


@by_each_ecdsa
def test_no_altered_ecdsa_signature_verifies(verifies: Verifier) -> None:
    for bit in range(512):
        assert not verifies(ECDSA_PUBLIC, DIGEST, flip(COMPACT, bit))


@by_each_ecdsa
@pytest.mark.parametrize(
    "signature",
    [
        with_s(lambda s: SECP256K1.order - s),
        with_s(lambda _: 0),
        with_s(lambda _: SECP256K1.order),
        bytes(32) + COMPACT[32:],
        bytes(64),
        b"",
        COMPACT[:-1],
        COMPACT + b"\0",
    ],
    ids=["high s", "s = 0", "s = q", "r = 0", "zeros", "empty", "short", "long"],
)
def test_an_ecdsa_signature_has_one_form(verifies: Verifier, signature: bytes) -> None:
    assert not verifies(ECDSA_PUBLIC, DIGEST, signature)


@pytest.mark.parametrize("key", [b"", ECDSA_PUBLIC + b"\0", bytes(33), b"\6" + ECDSA_PUBLIC[1:]], ids=len)
@by_each_ecdsa
def test_no_ecdsa_signature_verifies_under_what_is_no_key(verifies: Verifier, key: bytes) -> None:
    assert not verifies(key, DIGEST, COMPACT)


def test_ecdsa_lengths_are_exact() -> None:
    """A key has one encoding, though libsecp256k1 reads others."""
    assert not verify_ecdsa(SIGNER.public_key.format(compressed=False), DIGEST, COMPACT)
    assert not verify_ecdsa(ECDSA_PUBLIC, DIGEST[:-1], COMPACT)
    assert not verify_ecdsa(ECDSA_PUBLIC, DIGEST + b"\0", COMPACT)


def test_one_recovery_id_recovers_the_key() -> None:
    assert recover_compact(DIGEST, COMPACT, RECOVERY_ID) == ECDSA_PUBLIC
    assert [n for n in range(6) if recovers_ecdsa(ECDSA_PUBLIC, DIGEST, COMPACT, n)] == [RECOVERY_ID]
    assert recover_compact(DIGEST, bytes(64), 0) is None
