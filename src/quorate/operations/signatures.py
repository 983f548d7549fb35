"""Signatures as nodes keep them, and ECDSA signatures in the forms that chains and libraries read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from quorate.curves import SECP256K1
from quorate.errors import EncodingError
from quorate.operations.digests import signing_digest
from quorate.operations.kinds import Algorithm
from quorate.primitives.verify import recovers_ecdsa, verify_ecdsa, verify_ed25519

COMPACT = 64  # bytes of R ‖ z, or r ‖ s


def verifies(algorithm: Algorithm, public_key: bytes, message: bytes, kept: bytes) -> bool:
    """Whether ``kept`` signs ``message``: 64 bytes of EdDSA; of ECDSA 64, s at most q/2, and the recovery id."""
    if algorithm is Algorithm.EDDSA:
        return verify_ed25519(public_key, message, kept)
    digest, (compact, recovery) = signing_digest(algorithm, message), split(kept)
    return (
        recovery is not None
        and verify_ecdsa(public_key, digest, compact)
        and recovers_ecdsa(public_key, digest, compact, recovery)
    )


def split(kept: bytes) -> tuple[bytes, int | None]:
    """The 64 bytes of a signature, and the recovery id where there is one byte more."""
    return kept[:COMPACT], kept[COMPACT] if len(kept) == COMPACT + 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EcdsaSignature:
    """r and s, from 1 up to the order, and which of the points with that r was meant (SEC 1, section 4.1.6).

    ``recovery``: bit 0 is the parity of y, bit 1 says that x was r plus the order. ``EncodingError`` for other numbers.
    """

    r: int
    s: int
    recovery: int

    def __post_init__(self) -> None:
        if not (0 < self.r < SECP256K1.order and 0 < self.s < SECP256K1.order):
            raise EncodingError("r and s of an ECDSA signature are from 1 up to the order")
        if not 0 <= self.recovery <= 3:
            raise EncodingError(f"a recovery id is 0 to 3, not {self.recovery}")

    @classmethod
    def of(cls, compact: bytes, recovery: int) -> Self:
        """From r and s, 32 bytes big-endian each."""
        if len(compact) != COMPACT:
            raise EncodingError(f"a compact ECDSA signature has {COMPACT} bytes, not {len(compact)}")
        r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
        return cls(r=r, s=s, recovery=recovery)

    @property
    def is_low(self) -> bool:
        """Whether s is the lesser of s and -s: chains refuse the other, which anybody can make of it."""
        return self.s <= SECP256K1.order // 2

    def low(self) -> Self:
        """The low one of the pair. The other s stands for the negated point, so the parity turns with it."""
        if self.is_low:
            return self
        return type(self)(r=self.r, s=SECP256K1.order - self.s, recovery=self.recovery ^ 1)

    def compact(self) -> bytes:
        """r and s, 32 bytes big-endian each."""
        return self.r.to_bytes(32, "big") + self.s.to_bytes(32, "big")

    def der(self) -> bytes:
        """The ASN.1 sequence of both, as X.509 and Bitcoin scripts have it."""
        return encode_dss_signature(self.r, self.s)


def compact_of_der(encoded: bytes) -> bytes:
    """r and s, 32 bytes big-endian each, of a DER signature: the form that tells no recovery id. ``EncodingError`` for
    what is not DER to the bit, or for numbers that no signature has."""
    try:
        r, s = decode_dss_signature(encoded)
    except ValueError:
        raise EncodingError("not a DER sequence of two integers") from None
    return EcdsaSignature(r=r, s=s, recovery=0).compact()
