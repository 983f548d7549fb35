"""Checking a receipt, wherever it comes from: no node is asked."""

from __future__ import annotations

from typing import Any

from quorate.ceremony import receipts
from quorate.ceremony.evidence import Anchor
from quorate.errors import UsageError


def verify_receipt(receipt: str, *, public_key: bytes = b"", certificate: bytes = b"") -> dict[str, Any]:
    """What a receipt says, if all of it is so and it is of the vault that is meant: the one with this public key (33
    bytes on secp256k1, 32 on Ed25519; the vault's own, not one below it), or the certificate of this hash.
    ``UsageError`` with code BAD_RECEIPT names what is wrong."""
    if not public_key and not certificate:
        raise UsageError(
            "a receipt is of some vault: give the public key, or the certificate's hash, that you know"
        )
    return receipts.verify(receipt, Anchor(certificate=certificate, public_key=public_key))
