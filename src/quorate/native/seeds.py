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
    lib.quorate_expand_seed(out.pointer, size, _address(seed), len(seed), prefix, len(prefix))
    return out


def expand_publicly(seed: SecretBytes, prefix: bytes, size: int) -> bytes:
    """As ``expand``, for bytes that need not stay secret."""
    out = ffi.new("uint8_t[]", size)
    lib.quorate_expand_seed(out, size, _address(seed), len(seed), prefix, len(prefix))
    return bytes(ffi.buffer(out))


def _address(seed: SecretBytes) -> object:
    if len(seed) not in SIZES:
        raise Bug(f"a seed of {len(seed)} bytes")
    return seed.pointer
