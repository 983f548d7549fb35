"""Does this signature verify? Asked before anything rests on the answer: of two independent libraries where that is
cheap, and of libsecp256k1 twice, by verifying and by recovering the key, where OpenSSL costs ten times as much."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.native import keys
from quorate.native.verify import recover_compact, verify_compact


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether both libsodium and OpenSSL accept an RFC 8032 signature."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return keys.verify(public_key, message, signature)


def verify_ecdsa(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether libsecp256k1, which takes only s <= q/2, accepts a secp256k1 signature: 33 bytes of key, 32 of digest, 64
    of signature (r ‖ s)."""
    if (len(public_key), len(digest), len(signature)) != (33, 32, 64):
        return False
    return verify_compact(public_key, digest, signature)


def recovers_ecdsa(public_key: bytes, digest: bytes, signature: bytes, recovery_id: int) -> bool:
    """Whether libsecp256k1 recovers ``public_key`` from a signature and its recovery id, 0 to 3."""
    return recover_compact(digest, signature, recovery_id) == public_key
