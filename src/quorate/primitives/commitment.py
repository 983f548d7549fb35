"""Hash commitments: hiding by a 32-byte random blinder, binding by the collision resistance of BLAKE2b."""

from __future__ import annotations

import hmac

from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest

BLINDER_SIZE = 32


def commit(domain: Domain, *context: Field, opening: Field, blinder: bytes) -> bytes:
    """32 bytes that bind ``opening`` in ``context`` (session, committer...) and say nothing of it while ``blinder``,
    32 fresh random bytes, is unknown."""
    if len(blinder) != BLINDER_SIZE:
        raise ValueError(f"a blinder has {BLINDER_SIZE} bytes, not {len(blinder)}")
    return digest(domain, context, opening, blinder)


def opens(commitment: bytes, domain: Domain, *context: Field, opening: Field, blinder: bytes) -> bool:
    """Whether ``opening`` and ``blinder`` are what ``commitment`` was made from, in the same context."""
    if len(blinder) != BLINDER_SIZE:
        return False
    return hmac.compare_digest(commitment, commit(domain, *context, opening=opening, blinder=blinder))
