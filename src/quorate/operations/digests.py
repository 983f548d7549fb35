"""Hashes that chains and signatures are made with, and what each ECDSA algorithm signs of a message.

Keccak-256 is Ethereum's: the padding before SHA-3 was standardised, so ``hashlib.sha3_256`` is another function.
"""

from __future__ import annotations

import hashlib

from Crypto.Hash import RIPEMD160, keccak

from quorate.errors import Bug
from quorate.operations.kinds import Algorithm


def signing_digest(algorithm: Algorithm, message: bytes) -> bytes:
    """The 32 bytes that ECDSA signs for ``message``. ``Bug`` for EDDSA, which signs the message itself."""
    match algorithm:
        case Algorithm.ES256K:
            return hashlib.sha256(message).digest()
        case Algorithm.ESKEC256:
            return keccak256(message)
        case Algorithm.EDDSA:
            raise Bug("EDDSA signs messages, not digests")


def keccak256(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def hash160(data: bytes) -> bytes:
    """Bitcoin's short hash: RIPEMD-160 of SHA-256, 20 bytes. (OpenSSL 3 often comes without RIPEMD-160.)"""
    return RIPEMD160.new(hashlib.sha256(data).digest()).digest()
