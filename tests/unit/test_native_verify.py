"""Which Ed25519 signatures libsodium takes, and both libraries together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from quorate.curves import ED25519
from quorate.native.verify import verify_detached
from quorate.primitives import verify
from quorate.primitives.verify import verify_ed25519

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
SMALL_ORDER = [bytes.fromhex("ec" + "ff" * 30 + "7f"), bytes(32), b"\1" + bytes(31)]

Verifier = Callable[[bytes, bytes, bytes], bool]
by_each = pytest.mark.parametrize("verifies", [verify_detached, verify_ed25519])


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


def test_lengths_are_exact() -> None:
    signature = KEY.sign(b"")
    assert not verify_ed25519(PUBLIC + b"\0", b"", signature)
    assert not verify_ed25519(PUBLIC[:-1], b"", signature)
    assert not verify_ed25519(PUBLIC, b"", signature[:-1])
    assert not verify_ed25519(PUBLIC, b"", signature + b"\0")


def test_openssl_is_asked_as_well_as_libsodium(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signature is known that it alone refuses, so libsodium is made to take all."""
    monkeypatch.setattr(verify, "verify_detached", lambda *_: True)
    assert verify_ed25519(PUBLIC, b"a message", KEY.sign(b"a message"))
    assert not verify_ed25519(PUBLIC, b"a message", KEY.sign(b"another"))
