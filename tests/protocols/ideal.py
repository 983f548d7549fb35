"""The multiplication as an ideal functionality, for tests of what is built on it: it knows both sides, deals random
shares of the products, and calls a cheat what the real one would. Nothing in it is secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import pytest

from quorate.curves import SECP256K1, Randomness, SecretScalar
from quorate.errors import require
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.protocols.ecdsa import lane
from quorate.protocols.ot.multiply import Context
from quorate.protocols.ot.setup import PairSetup

Shares = list[tuple[SecretScalar, SecretScalar]]


class Dealer:
    """Both sides of every multiplication of a test. ``inputs`` may change what a sender multiplies with."""

    def __init__(self, inputs: Callable[[Context, Shares], Shares] = lambda _, shares: shares) -> None:
        self.inputs = inputs
        self.chosen: dict[bytes, tuple[bytes, list[SecretScalar]]] = {}
        self.dealt: dict[bytes, tuple[bytes, bytes, Shares]] = {}
        self.tokens = count()

    def token(self, kind: str) -> bytes:
        return digest(Domain.OT_MATRIX, kind, next(self.tokens))

    def start(self, setup: PairSetup, context: Context, rng: Randomness, batch: int) -> IdealChooser:
        assert (setup.id, setup.peer) == (context.setup, context.sender)
        message = self.token("m1")
        choice = [SECP256K1.random_secret(rng) for _ in range(batch)]
        self.chosen[message] = context.hash, [SECP256K1.secret_scalar(each.memory) for each in choice]
        return IdealChooser(self, context, message, tuple(choice))

    def respond(
        self,
        setup: PairSetup,
        context: Context,
        m1: bytes,
        inputs: Sequence[tuple[SecretScalar, SecretScalar]],
        rng: Randomness,
    ) -> tuple[bytes, Shares]:
        assert (setup.id, setup.peer) == (context.setup, context.receiver)
        require(len(m1) == 32, "OT-3.1 extension length", context.receiver)
        place, choice = self.chosen.get(m1, (b"", []))
        require(place == context.hash, "OT-3.2 consistency", context.receiver, cheat=True)
        ours, theirs = [], []
        for chi, factors in zip(choice, self.inputs(context, list(inputs)), strict=True):
            c = [SECP256K1.random_secret(rng) for _ in factors]
            ours.append((c[0], c[1]))
            theirs.append((factors[0] * chi - c[0], factors[1] * chi - c[1]))
        m2 = self.token("m2")
        self.dealt[m2] = context.hash, m1, theirs
        return m2, ours


class IdealChooser:
    def __init__(
        self, dealer: Dealer, context: Context, message: bytes, choice: tuple[SecretScalar, ...]
    ) -> None:
        self.dealer, self.context, self.message, self.choice = dealer, context, message, choice

    def finish(self, m2: bytes) -> Shares:
        sender = self.context.sender
        require(len(m2) == 32, "OT-4.1 answer length", sender)
        place, answered, shares = self.dealer.dealt.get(m2, (b"", b"", []))
        fits = (place, answered) == (self.context.hash, self.message)
        require(fits, "OT-4.3 product", sender, cheat=True)
        return shares


def multiply_ideally(patch: pytest.MonkeyPatch, dealer: Dealer) -> None:
    """Have the signing protocol multiply by ``dealer`` until the patch is undone."""
    stand_in: Any = type("Chooser", (), {"start": staticmethod(dealer.start)})
    patch.setattr(lane, "Chooser", stand_in)
    patch.setattr(lane, "respond", dealer.respond)


def ideal_setup(me: DeviceId, peer: DeviceId, generation: int = 1) -> PairSetup:
    """A set-up that only a dealer can multiply under."""
    low, high = sorted((me, peer))
    name = digest(Domain.OT_SETUP_ID, low, high, generation)
    return PairSetup(
        id=name,
        peer=peer,
        receiving=SecretBytes(0),
        sending=SecretBytes(0),
        zero_seed=SecretBytes.of(digest(Domain.OT_ZERO, low, high, generation)),
    )
