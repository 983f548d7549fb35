"""RFC 9591's hashes and encodings for FROST(Ed25519, SHA-512), and the one prefix weights add.

Names are the RFC's (sections 4.4 to 4.6 and 6.1). ``Pairs`` maps a signer's identifier to its (D_i, E_i).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache

from quorate.curves import ED25519, Point, Scalar, SecretScalar
from quorate.errors import require
from quorate.identifiers import Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.primitives.transcript import Field, encode
from quorate.protocols.quorum import Quorum, Seat

CONTEXT = b"FROST-ED25519-SHA512-v1"

Pairs = Mapping[int, tuple[Point, Point]]


def h1(data: bytes) -> Scalar:
    return ED25519.reduce(_sha512(CONTEXT + b"rho" + data))


def h2(data: bytes) -> Scalar:
    """Without a prefix: the challenge of RFC 8032."""
    return ED25519.reduce(_sha512(data))


def h3(randomness: SecretBytes, secret: SecretBytes) -> SecretScalar:
    """nonce_generate's hash: of 32 random bytes and 32 bytes that depend on the share."""
    wide = _sha512(CONTEXT + b"nonce" + randomness.reveal() + secret.reveal())
    return ED25519.reduce_secret(SecretBytes.of(wide))


def h4(data: bytes) -> bytes:
    return _sha512(CONTEXT + b"msg" + data)


def h5(data: bytes) -> bytes:
    return _sha512(CONTEXT + b"com" + data)


def encode_commitments(pairs: Pairs) -> bytes:
    """Sorted by identifier as a number, not as its little-endian bytes."""
    return b"".join(identifier(i) + bytes(d) + bytes(e) for i, (d, e) in sorted(pairs.items()))


def identifier(number: int) -> bytes:
    return number.to_bytes(32, "little")


def binding_inputs(public_key: bytes, pairs: Pairs, message: bytes, assignment: bytes) -> dict[int, bytes]:
    """What H1 is taken of, per signer."""
    prefix = public_key + h4(message) + h5(encode_commitments(pairs)) + assignment
    return {i: prefix + identifier(i) for i in pairs}


def binding_factors(public_key: bytes, pairs: Pairs, message: bytes, assignment: bytes) -> dict[int, Scalar]:
    """ρ_i."""
    inputs = binding_inputs(public_key, pairs, message, assignment)
    return {i: h1(data) for i, data in inputs.items()}


def group_commitment(pairs: Pairs, factors: Mapping[int, Scalar]) -> Point:
    """R = Σ(D_i + ρ_i·E_i)."""
    hiding = ED25519.sum([d for d, _ in pairs.values()])
    binding = ED25519.combination([factors[i] for i in pairs], [e for _, e in pairs.values()])
    commitment = hiding + binding
    require(not commitment.is_identity, "ED-1.2 group commitment")
    return commitment


def challenge(commitment: Point, public_key: bytes, message: bytes) -> Scalar:
    return h2(bytes(commitment) + public_key + message)


def assignment_of(quorum: Quorum) -> bytes:
    """cfg: binds who holds which index into ρ. Empty, as in the RFC, when every signer has exactly one."""
    if all(len(seat.indices) == 1 for seat in quorum.seats):
        return b""
    return _assignment(quorum.vault, quorum.epoch, quorum.certificate, quorum.terms, quorum.seats)


@lru_cache(maxsize=256)
def _assignment(
    vault: VaultId, epoch: Epoch, certificate: bytes, terms: int, seats: tuple[Seat, ...]
) -> bytes:
    rows: Field = [[seat.id, len(seat.indices), list(seat.indices)] for seat in seats]
    return _sha512(encode((CONTEXT, "widx", vault, epoch, certificate, terms, rows)))


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()
