"""Oblivious transfer and the vector OLE: each kernel alone, and what one signer spends on one other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from benchmarks.harness import Figure, measure
from quorate.curves import SECP256K1
from quorate.native import ot
from quorate.native.memory import SecretBytes
from quorate.primitives.drbg import Drbg

T = TypeVar("T")

RUNS = 15
BATCHES = (1, 8)
CONTEXT, SALTS = bytes(32), (b"r" * 32, b"s" * 32)


def figures() -> Iterator[Figure]:
    rng = Drbg(SecretBytes.of(b"benchmarks/transfers"))
    choices, t, s = rng.secret(ot.BASE_CHOICES), _scalars(rng, 256), _scalars(rng, 512)
    uniform = rng.secret(ot.UNIFORM)
    chosen = ot.base_choose(CONTEXT, choices, t, uniform)
    answer, keys = _some(ot.base_answer(CONTEXT, chosen, s))
    known = _some(ot.base_finish(CONTEXT, choices, t, answer))
    leaves, corrections = ot.expand(CONTEXT, keys)
    punctured = _some(ot.puncture(CONTEXT, choices, known, corrections))

    yield _one("base choose", lambda: ot.base_choose(CONTEXT, choices, t, uniform))
    yield _one("base answer", lambda: ot.base_answer(CONTEXT, chosen, s))
    yield _one("base finish", lambda: ot.base_finish(CONTEXT, choices, t, answer))
    yield _one("expand", lambda: ot.expand(CONTEXT, keys))
    yield _one("puncture", lambda: ot.puncture(CONTEXT, choices, known, corrections))
    yield _one("gadgets", lambda: ot.gadgets(CONTEXT))
    for batch in BATCHES:
        yield from _of_a_batch(batch, rng, leaves, punctured)


def _of_a_batch(batch: int, rng: Drbg, leaves: SecretBytes, punctured: SecretBytes) -> Iterator[Figure]:
    g = ot.gadgets(CONTEXT)
    inputs, checks = _scalars(rng, 2 * batch), _scalars(rng, batch)

    def extend(portable: bool = False) -> tuple[bytes, SecretBytes]:
        before = ot.use_portable_code(portable)
        made = ot.extend(CONTEXT, leaves, SALTS[0], choices, mask)
        ot.use_portable_code(before)
        return made

    choices, mask = rng.secret(ot.CHOICES * batch), rng.secret(ot.MASK)
    m1, psi = extend()
    zeta = _some(ot.accept(CONTEXT, punctured, m1, batch))
    m2, _ = ot.respond(CONTEXT, g, punctured, zeta, SALTS, inputs, checks)

    def all_of_one_signer() -> None:
        _, mine = extend()
        theirs = _some(ot.accept(CONTEXT, punctured, m1, batch))
        ot.product(g, choices)
        ot.respond(CONTEXT, g, punctured, theirs, SALTS, inputs, checks)
        _some(ot.finish(CONTEXT, g, choices, mine, SALTS[0], m2))

    yield _one("extend", extend, batch=batch)
    yield _one("extend, portable", lambda: extend(portable=True), batch=batch)
    yield _one("accept", lambda: ot.accept(CONTEXT, punctured, m1, batch), batch=batch)
    yield _one("product", lambda: ot.product(g, choices), batch=batch)
    yield _one("respond", lambda: ot.respond(CONTEXT, g, punctured, zeta, SALTS, inputs, checks), batch=batch)
    yield _one("finish", lambda: ot.finish(CONTEXT, g, choices, psi, SALTS[0], m2), batch=batch)
    yield _one("one signer's part with another", all_of_one_signer, batch=batch)


def _scalars(rng: Drbg, count: int) -> SecretBytes:
    return SECP256K1.secret_vector(
        b"".join(SECP256K1.random_secret(rng).reveal() for _ in range(count))
    ).secret()


def _some(value: T | None) -> T:
    assert value is not None
    return value


def _one(name: str, fn: Callable[[], object], **parameters: int) -> Figure:
    return measure(f"native/ot {name}", parameters, fn, RUNS, calls=5)
