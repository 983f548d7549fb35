"""libsodium's Ed25519 verifier. It refuses small-order and non-canonical keys and R, and S >= L."""

from __future__ import annotations

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError


def verify_detached(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """32 bytes of key, any message, 64 bytes of signature. Variable time: everything is public."""
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True
