"""ElligatorSwift decoding for secp256k1 (Chavez-Saab, Rodriguez-Henriquez, Tibouchi, 2022/759; BIP 324)."""

from __future__ import annotations

P = 2**256 - 2**32 - 977
ROOT = pow(-3, (P + 1) // 4, P)  # the root of -3 that is itself a square


def is_square(n: int) -> bool:
    return pow(n, (P - 1) // 2, P) in (0, 1)


def x_of(u: int, t: int) -> int:
    """XSwiftEC(u, t), with BIP 324's answer where the map is not defined."""
    u, t = u % P or 1, t % P or 1
    if (u**3 + t * t + 7) % P == 0:
        t = 2 * t % P
    big_x = (u**3 + 7 - t * t) * pow(2 * t, -1, P) % P
    big_y = (big_x + t) * pow(ROOT * u, -1, P) % P
    for x in (
        u + 4 * big_y * big_y,
        (-big_x * pow(big_y, -1, P) - u) * pow(2, -1, P),
        (big_x * pow(big_y, -1, P) - u) * pow(2, -1, P),
    ):
        if is_square(x**3 + 7):
            return x % P
    raise AssertionError("one of the three is always on the curve")


def decode(data: bytes) -> tuple[int, int]:
    """The point of 64 bytes: x as above, and y of the parity of t."""
    u, t = (int.from_bytes(half, "big") % P for half in (data[:32], data[32:]))
    x = x_of(u, t)
    y = pow(x**3 + 7, (P + 1) // 4, P)
    return x, y if y & 1 == t & 1 else P - y
