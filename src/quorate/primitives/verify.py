"""Does this signature verify? Asked of two independent libraries before anything rests on the answer."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from quorate.native.verify import recover_compact, verify_compact, verify_detached


def verify_ed25519(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether both libsodium and OpenSSL accept an RFC 8032 signature."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return verify_detached(public_key, message, signature)


def verify_ecdsa(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether both libsecp256k1, which takes only s <= q/2, and OpenSSL accept a secp256k1 signature: 33 bytes of key,
    32 of digest, 64 of signature (r ‖ s)."""
    if (len(public_key), len(digest), len(signature)) != (33, 32, 64):
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
        key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, ValueError):
        return False
    return verify_compact(public_key, digest, signature)


def recovers_ecdsa(public_key: bytes, digest: bytes, signature: bytes, recovery_id: int) -> bool:
    """Whether libsecp256k1 recovers ``public_key`` from a signature and its recovery id, 0 to 3."""
    return recover_compact(digest, signature, recovery_id) == public_key
