"""Extended public keys: a key and its chain code in the form wallets read (BIP-32, Serialization format)."""

from __future__ import annotations

import base58

from quorate.identifiers import Curve

_VERSION = bytes.fromhex("0488b21e")
_ROOT = bytes(1 + 4 + 4)  # depth, parent fingerprint, child number: all zero at the root


def xpub(curve: Curve, public_key: bytes, chain_code: bytes) -> str:
    """The root's xpub. The key is 33 compressed bytes on secp256k1, 32 on Ed25519 (a zero byte leads it).

    ``ValueError`` for a key or a chain code (32 bytes) of another length.
    """
    size = 33 if curve is Curve.SECP256K1 else 32
    if len(public_key) != size or len(chain_code) != 32:
        raise ValueError(f"{curve}: {len(public_key)} bytes of key and {len(chain_code)} of chain code")
    return base58.b58encode_check(_VERSION + _ROOT + chain_code + public_key.rjust(33, b"\0")).decode()
