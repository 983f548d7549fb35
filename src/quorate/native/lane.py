"""What round 2 of an ECDSA signature comes to, in C: one call for each step and all messages of a lane, without the GIL
and in constant time in every ``SecretBytes``. The formulas are those of docs/spec/ecdsa.md, "Round 2" and "Release".

Scalars are 32 bytes big-endian, one after the other, points those of ``native.groups``. What comes in pairs has r's
number and then the key's, for each message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.errors import Bug
from quorate.native._native import ffi, lib
from quorate.native.groups import POINT_SIZE
from quorate.native.memory import SecretBytes, concatenate

SCALAR = 32


def check(
    weights: bytes,
    choices: SecretBytes,
    shares: SecretBytes,
    *,
    nonces: Sequence[bytes],
    image: bytes,
    nonce_shares: Sequence[bytes],
    key_shares: Sequence[bytes],
) -> tuple[bool, bool]:
    """Whether Σ ρ_k·χ_k·R_k = Σ ρ_k·(d^u_k·G + Γ^u_k), and the same of the key's image and d^v, Γ^v. ρ is public."""
    count = len(nonces)
    _sizes((weights, count), (choices, count), (shares, 2 * count))
    agree = ffi.new("int[2]")
    done = lib.quorate_lane_check(
        agree,
        weights,
        choices.pointer,
        shares.pointer,
        _points(nonces, count),
        _points([image], 1),
        _points(nonce_shares, count),
        _points(key_shares, count),
        count,
    )
    if not done:
        raise Bug("a check of products failed: these are not points, or memory ran out")
    return bool(agree[0]), bool(agree[1])


def publish(
    inputs: SecretBytes,
    masks: SecretBytes,
    differences: Sequence[SecretBytes],
    halves: Sequence[SecretBytes],
    messages: bytes,
    coordinates: bytes,
) -> bytes:
    """u = r·Φ + Σc^u + Σd^u and w = m·φ + r_x·(sk·Φ + Σc^v + Σd^v) of each message, Φ = φ + Σψ: ``masks`` is φ,
    ``differences`` has ψ from each peer, ``halves`` c and d of each."""
    count, peers = len(masks) // SCALAR, len(differences)
    _sizes((inputs, 2 * count), (masks, count), (messages, count), (coordinates, count))
    _sizes(*((each, count) for each in differences), *((each, 2 * count) for each in halves))
    if len(halves) != 2 * peers:
        raise Bug(f"{len(halves)} halves of products with {peers} peers")
    out = ffi.new("uint8_t[]", 2 * count * SCALAR)
    with concatenate(differences) as added, concatenate(halves) as summed:
        lib.quorate_lane_publish(
            out,
            inputs.pointer,
            masks.pointer,
            added.pointer,
            summed.pointer,
            messages,
            coordinates,
            peers,
            count,
        )
    return bytes(ffi.buffer(out))


def _points(points: Sequence[bytes], count: int) -> Any:
    joined = b"".join(points)
    if len(points) != count or len(joined) != count * POINT_SIZE:
        raise Bug(f"these are not {count} points")
    return ffi.from_buffer("quorate_point[]", joined)


def _sizes(*operands: tuple[SecretBytes | bytes, int]) -> None:
    for operand, count in operands:
        if len(operand) != count * SCALAR:
            raise Bug(f"{len(operand)} bytes where {count} scalars were expected")
