"""libsecp256k1's ECDSA verifier, which refuses s > q/2, and its recovery of a key. Variable time: all is public."""

from __future__ import annotations

from coincurve import PublicKey, verify_signature
from coincurve.ecdsa import cdata_to_der, deserialize_compact


def verify_compact(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """33 bytes of key, 32 of digest, 64 of signature, r ‖ s."""
    try:
        der = cdata_to_der(deserialize_compact(signature))
        return bool(verify_signature(der, digest, public_key, hasher=None))
    except ValueError:
        return False


def recover_compact(digest: bytes, signature: bytes, recovery_id: int) -> bytes | None:
    """The key, 33 bytes, under which ``signature`` (r ‖ s) verifies, told from the others by ``recovery_id``."""
    try:
        key = PublicKey.from_signature_and_message(signature + bytes([recovery_id]), digest, hasher=None)
    except ValueError:
        return None
    return bytes(key.format(compressed=True))
