"""Single calls into the C extension: one scalar, one point, and the largest that keygen and signing ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks import transfers
from benchmarks.harness import Figure, measure
from quorate.curves import ED25519, SECP256K1, Group, SecretPolynomial, lagrange_at_zero
from quorate.native.memory import SecretBytes
from quorate.primitives.drbg import Drbg

RUNS = 15
INDICES, THRESHOLD, TOTAL = 333, 501, 1000  # a third of the largest roster's weight, its threshold, all of it


def figures() -> Iterator[Figure]:
    for group in (SECP256K1, ED25519):
        yield from _of(group)
    yield from transfers.figures()


def _of(group: Group) -> Iterator[Figure]:
    rng = Drbg(SecretBytes.of(b"benchmarks/native"))
    secret = group.random_secret(rng)
    public = secret.publish()
    point = group.random_secret(rng) * group.generator
    other = group.random_secret(rng) * group.generator
    encoded = bytes(point)
    wide = rng.secret(64)
    polynomial = SecretPolynomial.random(group, THRESHOLD, rng)
    some, most, every = (range(1, last + 1) for last in (INDICES, THRESHOLD, TOTAL))
    shares = polynomial.at(every)
    weights = lagrange_at_zero(group, every)
    commitment = polynomial.commitment()

    def one(name: str, fn: Callable[[], object], calls: int, **parameters: int) -> Figure:
        return measure(f"native/{name}", {"curve": group.curve, **parameters}, fn, RUNS, calls=calls)

    yield one("secret x generator", lambda: secret * group.generator, 100)
    yield one("secret x point", lambda: secret * point, 100)
    yield one("public x point", lambda: public * point, 100)
    yield one("point + point", lambda: point + other, 500)
    yield one("decode point", lambda: group.point(encoded), 200)
    yield one("encode point", lambda: bytes(point), 1000)
    yield one("secret x secret", lambda: secret * secret, 2000)
    yield one("invert secret", secret.inverse, 200)
    yield one("reduce secret", lambda: group.reduce_secret(wide), 2000)
    yield one("polynomial", lambda: polynomial.at(some), 1, terms=THRESHOLD, values=len(some))
    yield one("commitment", polynomial.commitment, 1, terms=THRESHOLD)
    yield one("lagrange at zero", lambda: lagrange_at_zero(group, most), 1, indices=len(most))
    yield one("lagrange at zero", lambda: lagrange_at_zero(group, every), 1, indices=len(every))
    yield one("inner product", lambda: shares.inner(weights), 5, terms=len(every))
    yield one("combination", lambda: group.combination(weights[:THRESHOLD], commitment), 1, terms=THRESHOLD)
