"""Nonce pairs: made from fresh randomness and the share, held in C memory, used once.

docs/spec/ed25519.md, "Nonces".
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.curves import ED25519, Point, Randomness, SecretScalar
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.oneshot import OneShot
from quorate.primitives.transcript import digest
from quorate.protocols.eddsa.hashes import h3


@dataclass(frozen=True, slots=True, kw_only=True)
class Nonces:
    """d_i and e_i behind one handle, and D_i, E_i."""

    secret: OneShot[tuple[SecretScalar, SecretScalar]]
    hiding: Point
    binding: Point


def make_nonces(hedge: SecretBytes, sid: bytes, message: bytes, item: int, rng: Randomness) -> Nonces:
    """The pair for the ``item``-th message of session ``sid``."""
    hashed = digest(Domain.MESSAGES, message)
    d = h3(folded(rng, sid, hashed, 2 * item), hedge)
    e = h3(folded(rng, sid, hashed, 2 * item + 1), hedge)
    secret = OneShot((d, e), name=f"nonce pair {item}")
    return Nonces(secret=secret, hiding=d * ED25519.generator, binding=e * ED25519.generator)


def folded(rng: Randomness, sid: bytes, hashed: bytes, counter: int) -> SecretBytes:
    """32 bytes that repeat only if the randomness and the session and the message and the counter all do: a machine
    restored from a snapshot draws the same randomness again, but is in another session."""
    fresh = rng.secret(32)
    return SecretBytes.of(digest(Domain.NONCE, fresh.reveal(), sid, hashed, counter))
