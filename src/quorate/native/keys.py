"""The keys of devices and sessions in C: Ed25519 signatures (RFC 8032) and X25519 (RFC 7748), by libsodium.

Constant time in every ``SecretBytes``, none of which passes through Python's memory.
"""

from __future__ import annotations

from quorate.errors import Bug
from quorate.identifiers import Curve
from quorate.native import groups
from quorate.native._native import ffi, lib
from quorate.native.memory import SecretBytes

KEY = groups.ENCODED_SIZE[Curve.ED25519]
SIGNATURE = 2 * KEY


def signing_key(seed: SecretBytes) -> tuple[SecretBytes, bytes]:
    """What ``sign`` takes, and the public key, from 32 bytes."""
    _sized(seed, KEY)
    key, public = SecretBytes(2 * KEY), ffi.new("uint8_t[]", KEY)
    lib.quorate_sign_key(key.pointer, public, seed.pointer)
    return key, bytes(ffi.buffer(public))


def sign(key: SecretBytes, message: bytes) -> bytes:
    """64 bytes."""
    _sized(key, 2 * KEY)
    out = ffi.new("uint8_t[]", SIGNATURE)
    lib.quorate_sign(out, key.pointer, message, len(message))
    return bytes(ffi.buffer(out))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """False too for keys and R that are of small order or not canonical, for S that is not less than the order, and for
    other lengths. Variable time: everything is public."""
    if len(public) != KEY or len(signature) != SIGNATURE:
        return False
    return bool(lib.quorate_verify_var(public, message, len(message), signature))


def exchange_public(private: SecretBytes) -> bytes:
    """The public half of 32 secret bytes."""
    _sized(private, KEY)
    out = ffi.new("uint8_t[]", KEY)
    lib.quorate_exchange_public(out, private.pointer)
    return bytes(ffi.buffer(out))


def exchange(private: SecretBytes, public: bytes) -> SecretBytes | None:
    """The 32 bytes both ends compute; None for a public key of small order or of another length."""
    _sized(private, KEY)
    out = SecretBytes(KEY)
    if len(public) != KEY or not lib.quorate_exchange(out.pointer, private.pointer, public):
        return None
    return out


def _sized(secret: SecretBytes, size: int) -> None:
    if len(secret) != size:
        raise Bug(f"a key of {len(secret)} bytes where {size} were expected")
