"""Deterministic randomness from a seed, for replayable runs and for expanding a seed drawn from the system.

Keyed BLAKE2b in counter mode: output block b of request number r is BLAKE2b(key = seed, (domain, purpose, r, b)).
"""

from __future__ import annotations

from functools import lru_cache

from quorate.curves import Randomness
from quorate.errors import Bug
from quorate.native import seeds
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, beginning, digest

BLOCK = 64


class Drbg:
    """``curves.Randomness`` from a seed of 16 to 64 bytes, which it takes over. The same seed and the same requests
    give the same bytes."""

    def __init__(self, seed: SecretBytes) -> None:
        if len(seed) not in seeds.SIZES:
            raise ValueError(
                f"a seed has {seeds.SIZES.start} to {seeds.SIZES.stop - 1} bytes, not {len(seed)}"
            )
        self._seed = seed
        self._requests = 0
        self._forks: set[str] = set()

    def secret(self, size: int) -> SecretBytes:
        return seeds.expand(self._seed, self._next("secret"), size)

    def public(self, size: int) -> bytes:
        return seeds.expand_publicly(self._seed, self._next("public"), size)

    def below(self, bound: int) -> int:
        """A number in 0..bound-1, for choices that are not secret; its bias is below bound / 2^64."""
        return int.from_bytes(self.public(16), "big") % bound

    def fork(self, label: str) -> Drbg:
        """An independent generator. A label forks once: the same again would repeat its nonces."""
        if label in self._forks:
            raise Bug(f"a second fork {label!r} would repeat the first one's output")
        self._forks.add(label)
        return Drbg(seeds.expand(self._seed, _prefix("fork", label), BLOCK))

    def _next(self, purpose: str) -> bytes:
        self._requests += 1
        return _prefix(purpose, self._requests)

    def __repr__(self) -> str:
        return "<Drbg>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a generator is neither copied nor stored: it would repeat itself")


@lru_cache(maxsize=256)
def _prefix(purpose: str, request: int | str) -> bytes:
    """All that is hashed for one request but the numbers of its blocks."""
    return beginning((Domain.DRBG, purpose, request), 4)


def hedged(rng: Randomness, *context: Field) -> Drbg:
    """A generator that repeats itself only if 32 bytes of ``rng`` and every field of the context all do: a machine
    restored from a snapshot draws the same randomness again, but for something else."""
    with rng.secret(32) as fresh:
        return Drbg(SecretBytes.of(digest(Domain.HEDGE, fresh.reveal(), context)))
