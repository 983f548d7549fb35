"""Bytes from a secret seed in C: keyed BLAKE2b in counter mode (``primitives.drbg``), by libsodium."""

from __future__ import annotations

from quorate.errors import Bug
from quorate.native import groups  # noqa: F401 - which finds libsodium
from quorate.native._native import ffi, lib
from quorate.native.memory import SecretBytes

SIZES = range(16, 65)


def expand(seed: SecretBytes, prefix: bytes, size: int) -> SecretBytes:
    """``size`` bytes, block b of 64 being the hash under the seed of ``prefix`` and the transcript's encoding of b."""
    out = SecretBytes(size)
    _done(lib.quorate_expand_seed(out.pointer, size, seed.pointer, len(seed), prefix, len(prefix)))
    return out


def expand_publicly(seed: SecretBytes, prefix: bytes, size: int) -> bytes:
    """As ``expand``, for bytes that need not stay secret."""
    out = ffi.new("uint8_t[]", size)
    _done(lib.quorate_expand_seed(out, size, seed.pointer, len(seed), prefix, len(prefix)))
    return bytes(ffi.buffer(out))


def _done(result: int) -> None:
    if not result:
        raise Bug(f"a seed has {SIZES.start} to {SIZES.stop - 1} bytes")
