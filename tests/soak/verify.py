"""Signatures looked at by OpenSSL, which Quorate signs and verifies neither curve with."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

HALF_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141 // 2


def is_signed(algorithm: str, public_key: bytes, message: bytes, signature: bytes) -> bool:
    """``public_key`` as a vault names it: 32 bytes of Ed25519, or a point of secp256k1."""
    try:
        if algorithm == "EDDSA":
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
            return True
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:64]))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return s <= HALF_ORDER
