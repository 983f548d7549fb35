"""Does this signature verify? Asked of two independent libraries before anything rests on the answer."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.native.verify import verify_detached


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether both libsodium and OpenSSL accept an RFC 8032 signature."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return verify_detached(public_key, message, signature)
