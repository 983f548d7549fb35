"""RFC 9591 FROST(Ed25519, SHA-512) in plain integers, for parties that hold any number of shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from tests.oracle.curve import Affine, Ed25519, base, times
from tests.oracle.shamir import lagrange

ED = Ed25519()
L = ED.q
CONTEXT = b"FROST-ED25519-SHA512-v1"

Nonces = Mapping[int, tuple[int, int]]


def sha512(*parts: bytes) -> bytes:
    return hashlib.sha512(b"".join(parts)).digest()


def scalar(data: bytes) -> int:
    return int.from_bytes(data, "little") % L


def encoded(number: int) -> bytes:
    return (number % L).to_bytes(32, "little")


def nonce(randomness: bytes, secret: bytes) -> int:
    return scalar(sha512(CONTEXT, b"nonce", randomness, secret))


def commitment_list(nonces: Nonces) -> bytes:
    return b"".join(encoded(i) + base(ED, nonces[i][0]) + base(ED, nonces[i][1]) for i in sorted(nonces))


def factor_inputs(public_key: bytes, nonces: Nonces, message: bytes, assignment: bytes) -> dict[int, bytes]:
    hashed = public_key + sha512(CONTEXT, b"msg", message)
    hashed += sha512(CONTEXT, b"com", commitment_list(nonces)) + assignment
    return {i: hashed + encoded(i) for i in nonces}


def factors(public_key: bytes, nonces: Nonces, message: bytes, assignment: bytes) -> dict[int, int]:
    inputs = factor_inputs(public_key, nonces, message, assignment)
    return {i: scalar(sha512(CONTEXT, b"rho", data)) for i, data in inputs.items()}


def group_commitment(nonces: Nonces, rho: Mapping[int, int]) -> bytes:
    total: Affine = ED.identity
    for i, (d, e) in nonces.items():
        total = ED.add(total, times(ED, d + rho[i] * e, ED.generator))
    return ED.encode(total)


def sign(
    shares: Mapping[int, Mapping[int, int]],
    nonces: Nonces,
    message: bytes,
    public_key: bytes,
    *,
    assignment: bytes = b"",
    tweak: int = 0,
) -> tuple[dict[int, int], bytes]:
    """Responses by signer and the signature. ``shares`` maps each signer's identifier to its values by index;
    ``public_key`` is the one signed under, tweak included."""
    rho = factors(public_key, nonces, message, assignment)
    commitment = group_commitment(nonces, rho)
    c = scalar(sha512(commitment, public_key, message))
    everyone: Sequence[int] = [x for owned in shares.values() for x in owned]
    responses = {}
    for i, owned in shares.items():
        additive = sum(lagrange(x, 0, everyone, L) * value for x, value in owned.items())
        responses[i] = (nonces[i][0] + rho[i] * nonces[i][1] + c * additive) % L
    return responses, commitment + encoded(sum(responses.values()) + c * tweak)
