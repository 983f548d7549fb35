"""ChaCha20 key streams in plain integers, with a nonce and a counter of 64 bits each."""

from __future__ import annotations

import struct

CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def rounds(start: tuple[int, ...]) -> list[int]:
    x = list(start)
    for _ in range(10):
        for a, b, c, d in (*COLUMNS, *DIAGONALS):
            for add, to, into, by in ((b, a, d, 16), (d, c, b, 12), (b, a, d, 8), (d, c, b, 7)):
                x[to] = (x[to] + x[add]) & 0xFFFFFFFF
                mixed = x[into] ^ x[to]
                x[into] = (mixed << by | mixed >> (32 - by)) & 0xFFFFFFFF
    return x


def block(key: bytes, counter: int, nonce: bytes) -> bytes:
    """64 bytes; the nonce has 8, the counter 64 bits."""
    start = (
        *CONSTANTS,
        *struct.unpack("<8I", key),
        counter & 0xFFFFFFFF,
        counter >> 32,
        *struct.unpack("<2I", nonce),
    )
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, rounds(start), strict=True)))


def chacha20(key: bytes, size: int, nonce: bytes = bytes(8), start: int = 0) -> bytes:
    """From block number ``start``."""
    return b"".join(block(key, start + n, nonce) for n in range(-(-size // 64)))[:size]
