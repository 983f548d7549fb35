"""Set-up and multiplication as ideal functionalities, for tests of what is built on them. Nothing here is secret.

The multiplication knows both sides, deals random shares of the products, and calls a cheat what the real one would. The
set-up, which costs a tenth of a second, gives each side its half of leaves that anybody can compute, without a message;
real multiplications work under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import shake_256
from itertools import count
from typing import Any

import pytest

from quorate.curves import SECP256K1, Randomness, SecretScalar, SecretVector
from quorate.errors import require
from quorate.identifiers import DeviceId
from quorate.native import ot
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import hedged
from quorate.primitives.transcript import Field, digest
from quorate.protocols import pairing
from quorate.protocols.ecdsa import lane
from quorate.protocols.ot.multiply import Context
from quorate.protocols.ot.setup import PairSetup, SetupContext
from quorate.wire.net import Pair

Inputs = list[tuple[SecretScalar, SecretScalar]]


class Dealer:
    """Both sides of every multiplication of a test. ``inputs`` may change what a sender multiplies with."""

    def __init__(self, inputs: Callable[[Context, Inputs], Inputs] = lambda _, inputs: inputs) -> None:
        self.inputs = inputs
        self.chosen: dict[bytes, tuple[bytes, list[SecretScalar]]] = {}
        self.dealt: dict[bytes, tuple[bytes, bytes, SecretVector]] = {}
        self.tokens = count()

    def token(self, kind: str) -> bytes:
        return digest(Domain.OT_MATRIX, kind, next(self.tokens))

    def start(self, setup: PairSetup, context: Context, rng: Randomness, batch: int) -> IdealChooser:
        assert (setup.id, setup.peer) == (context.setup, context.sender)
        message = self.token("m1")
        choice = SECP256K1.random_secrets(rng, batch)
        self.chosen[message] = context.hash, list(choice)
        return IdealChooser(self, context, message, choice)

    def respond(
        self,
        setup: PairSetup,
        context: Context,
        m1: bytes,
        inputs: SecretVector,
        rng: Randomness,
        *hedge: Field,
    ) -> tuple[bytes, SecretVector]:
        assert (setup.id, setup.peer) == (context.setup, context.receiver)
        require(len(m1) == 32, "OT-3.1 extension length", context.receiver)
        place, choice = self.chosen.get(m1, (b"", []))
        require(place == context.hash, "OT-3.2 consistency", context.receiver, cheat=True)
        factors = list(inputs)
        pairs = self.inputs(context, list(zip(factors[::2], factors[1::2], strict=True)))
        products = [factor * chi for chi, pair in zip(choice, pairs, strict=True) for factor in pair]
        ours = SECP256K1.random_secrets(hedged(rng, context.hash, m1, *hedge), len(products))
        m2 = self.token("m2")
        self.dealt[m2] = context.hash, m1, SecretVector.of(products) - ours
        return m2, ours


class IdealChooser:
    def __init__(self, dealer: Dealer, context: Context, message: bytes, choice: SecretVector) -> None:
        self.dealer, self.context, self.message, self.choice = dealer, context, message, choice

    def finish(self, m2: bytes) -> SecretVector:
        sender = self.context.sender
        require(len(m2) == 32, "OT-4.1 answer length", sender)
        nothing = SecretVector(SECP256K1, SecretBytes(0))
        place, answered, shares = self.dealer.dealt.get(m2, (b"", b"", nothing))
        fits = (place, answered) == (self.context.hash, self.message)
        require(fits, "OT-4.3 product", sender, cheat=True)
        return shares

    def burn(self) -> None:
        self.choice.wipe()


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


async def deal_setup(pair: Pair, context: SetupContext, rng: Randomness) -> PairSetup:
    """In place of ``set_up``."""
    me, peer, sid = pair.net.me, pair.peer, pair.net.sid
    full, _ = _direction(context.hash(sid, peer, me))
    leaves, missing = _direction(context.hash(sid, me, peer))
    for tree, gap in enumerate(missing):
        start = 32 * (ot.LEAVES * tree + gap)
        leaves[start : start + 32] = bytes(32)
    zero = digest(Domain.OT_ZERO, context.id(sid, [], b""))
    return PairSetup(
        id=context.id(sid, [], zero),
        peer=peer,
        receiving=SecretBytes.of(bytes(full)),
        sending=SecretBytes.of(bytes(leaves) + missing),
        zero_seed=SecretBytes.of(zero),
    )


def _direction(name: bytes) -> tuple[bytearray, bytes]:
    """All leaves of one, and which of each tree its sender misses."""
    missing = bytes(choice % ot.LEAVES for choice in shake_256(b"missing" + name).digest(ot.TREES))
    return bytearray(shake_256(b"leaves" + name).digest(ot.ALL_LEAVES)), missing


def deal_setups(patch: pytest.MonkeyPatch) -> None:
    """Have key generations take their set-ups from ``deal_setup`` until the patch is undone."""
    patch.setattr(pairing, "set_up", deal_setup)


@contextmanager
def dealt_setups() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        deal_setups(patch)
        yield
