"""A proof of knowledge of a discrete logarithm (Schnorr, CRYPTO 1989), in three steps the caller orders.

The first move k·G is made before the challenge is known, so a protocol can commit to it: k is one-shot.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.curves import Group, Point, Randomness, Scalar, SecretScalar
from quorate.primitives.domains import Domain
from quorate.primitives.oneshot import OneShot
from quorate.primitives.transcript import Field, digest


@dataclass(frozen=True, slots=True)
class FirstMove:
    """k, to be used once, and A = k·G."""

    nonce: OneShot[SecretScalar]
    point: Point


def first_move(group: Group, rng: Randomness) -> FirstMove:
    nonce = group.random_secret(rng)
    return FirstMove(OneShot(nonce, name="Schnorr nonce"), nonce * group.generator)


def challenge(group: Group, *context: Field) -> Scalar:
    """e, from everything the proof is bound to: session, prover, statement and first move among it."""
    return group.reduce(digest(Domain.SCHNORR, *context, size=64))


def respond(move: FirstMove, challenge: Scalar, witness: SecretScalar) -> Scalar:
    """z = k + e·a. Raises ``ConsumedError`` on a second use of the first move."""
    return (move.nonce.take() + challenge * witness).publish()


def verify(statement: Point, move: Point, challenge: Scalar, response: Scalar) -> bool:
    """z·G = A + e·F."""
    return response * statement.group.generator == move + challenge * statement
