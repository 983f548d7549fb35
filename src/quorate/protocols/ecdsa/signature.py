"""An ECDSA signature from what all signers published, in the one form that leaves: low s, verified.

docs/spec/ecdsa.md, "Signature".
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.curves import SECP256K1, Point, Scalar
from quorate.errors import require
from quorate.primitives.verify import recovers_ecdsa, verify_ecdsa


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """``compact`` is r ‖ s, 32 bytes big-endian each, s at most q/2; ``recovery_id`` 0 to 3 (SEC 1, section 4.1.6)."""

    compact: bytes
    recovery_id: int


def coordinate(nonce: Point) -> Scalar:
    """r_x = x(R) modulo q."""
    return SECP256K1.reduce(bytes(nonce)[1:])


def assemble(public_key: Point, digest: bytes, nonce: Point, masked: Scalar, numerator: Scalar) -> Signature:
    """s = Σw / Σu, made low; under R and with what it signs, accepted by every verifier before it leaves."""
    require(not masked.is_zero(), "EC-3.2 masked nonce")
    encoded = bytes(nonce)
    x, recovery_id = int.from_bytes(encoded[1:], "big"), encoded[0] & 1
    if x >= SECP256K1.order:
        recovery_id |= 2
    s = numerator / masked
    if int(s) > SECP256K1.order // 2:
        s, recovery_id = -s, recovery_id ^ 1
    compact = bytes(coordinate(nonce)) + bytes(s)
    key = bytes(public_key)
    good = verify_ecdsa(key, digest, compact) and recovers_ecdsa(key, digest, compact, recovery_id)
    require(good, "EC-3.3 signature")
    return Signature(compact=compact, recovery_id=recovery_id)
