"""Pair set-ups and multiplications for tests: the product's, on seeded randomness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from quorate.curves import SECP256K1, SecretScalar, SecretVector
from quorate.identifiers import DeviceId, Epoch
from quorate.protocols.ot.multiply import Chooser, Context, respond
from quorate.protocols.ot.setup import PairSetup, SetupContext, set_up
from quorate.wire.simulator import Outcome, Simulator, Tamper, devices, randomness
from tests.oracle import ot
from tests.protocols.vaults import VAULT, members

LOW, HIGH, OTHER = devices(3)
SID = bytes(range(32))
SIGNERS = tuple(members([2, 1, 1]))


def setup_context(generation: int = 1) -> SetupContext:
    return SetupContext(
        vault=VAULT, epoch=Epoch(0), attempt=1, generation=generation, members=(SIGNERS[0], SIGNERS[1])
    )


def run_setup(
    *, seed: int = 0, generation: int = 1, tamper: Tamper | None = None, **simulation: Any
) -> Outcome[PairSetup]:
    protocols = {
        me: lambda net, me=me, peer=peer: set_up(
            net.pair(peer, "ot"), setup_context(generation), randomness(f"set-up {seed} {generation} {me}")
        )
        for me, peer in ((LOW, HIGH), (HIGH, LOW))
    }
    return Simulator(protocols, seed=seed, tamper=tamper, **simulation).run()


@cache
def setups(seed: int = 0, generation: int = 1) -> Mapping[DeviceId, PairSetup]:
    """Both halves of one set-up; the same, shared, for the same arguments."""
    outcome = run_setup(seed=seed, generation=generation)
    assert not outcome.failures, outcome.failures
    return outcome.results


def context(**changes: Any) -> Context:
    """LOW sends, HIGH receives."""
    fields: dict[str, Any] = {
        "vault": VAULT,
        "epoch": Epoch(0),
        "setup": setups()[LOW].id,
        "sid": SID,
        "signers": SIGNERS,
        "sender": LOW,
        "receiver": HIGH,
        "part": 0,
    }
    return Context(**{**fields, **changes})


def start(where: Context | None = None, *, seed: int = 0, batch: int = 1) -> Chooser:
    where = where or context()
    return Chooser.start(setups()[where.receiver], where, randomness(f"chooser {seed}"), batch)


def inputs(*pairs: tuple[int, int]) -> SecretVector:
    return SECP256K1.secret_vector(b"".join(ot.scalar(number) for pair in pairs for number in pair))


def answer(
    m1: bytes,
    given: Sequence[tuple[int, int]] = ((5, 7),),
    where: Context | None = None,
    *,
    seed: int = 0,
) -> tuple[bytes, SecretVector]:
    where = where or context()
    return respond(setups()[where.sender], where, m1, inputs(*given), randomness(f"responder {seed}"))


def secret(value: int) -> SecretScalar:
    return SECP256K1.secret_scalar(ot.scalar(value))


def plain(scalar: SecretScalar) -> int:
    return ot.number(scalar.reveal())


def pairs(shares: SecretVector) -> list[tuple[int, int]]:
    numbers = [plain(share) for share in shares]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forests:
    """A direction of a set-up, taken apart for the oracle: all leaves, all but one, and which are missing."""

    full: list[list[bytes]]
    punctured: list[list[bytes]]
    missing: list[int]


def forests(sender: DeviceId = LOW) -> Forests:
    receiver = HIGH if sender == LOW else LOW
    sending = setups()[sender].sending.reveal()
    return Forests(
        full=leaves(setups()[receiver].receiving.reveal()),
        punctured=leaves(sending),
        missing=list(sending[ot.TREES * ot.LEAVES * 32 :]),
    )


def leaves(data: bytes) -> list[list[bytes]]:
    return [[data[32 * (ot.LEAVES * i + y) :][:32] for y in range(ot.LEAVES)] for i in range(ot.TREES)]
