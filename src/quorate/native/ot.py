"""Oblivious transfer and the vector OLE in C: one call for each step and batch, without the GIL.

Every byte that goes in or comes out is that of ``tests/oracle/ot.py``, function by function, and every hash is
``primitives.transcript.digest``, so the tags that ``native/src/ot.h`` repeats are those of ``primitives.domains``.
``context`` is 32 bytes, the hash of everything a message belongs to. Scalars are 32 bytes big-endian, points 33 bytes
compressed; number n of packed bits is bit n % 8 of byte n // 8.

S is the sender of the extension, which knows Δ; R is its receiver, which knows every leaf. Constant time in every
``SecretBytes``. What a peer sent may have any content but must have the right size: ``Bug`` otherwise. None means a
message that no honest peer sends.

Sources: Masny and Rindal, 2019/706 (base OT); Roy, SoftSpokenOT, 2022/192; Doerner, Kondi, Lee, shelat, 2023/765.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from quorate.errors import Bug, EncodingError
from quorate.identifiers import Curve
from quorate.native import groups, scalars
from quorate.native._native import ffi, lib
from quorate.native.memory import SecretBytes

CONTEXT = SALT = SCALAR = COLUMN = 32
BASE_OTS, TREES, LEAVES, TRANSFERS = 256, 128, 4, 512
BASE_MESSAGE = BASE_OTS * 2 * groups.ENCODED_SIZE[Curve.SECP256K1]
BASE_CHOICES = BASE_OTS // 8
UNIFORM = BASE_OTS * 128
TREE_MESSAGE = TREES * 192
ALL_LEAVES = TREES * LEAVES * 32
PUNCTURED = ALL_LEAVES + TREES
MASK = 16
CHOICES = TRANSFERS // 8
GADGETS = TRANSFERS * SCALAR


def extension_size(batch: int) -> int:
    """Bytes of m1: salt, u, x^, hash of the folds."""
    return SALT + TREES * (CHOICES * batch + MASK) + 16 + 32


def answer_size(batch: int) -> int:
    """Bytes of m2: salt, the matrix a~ of three scalars a transfer, then η and μ of each multiplication."""
    return SALT + batch * (TRANSFERS * 3 * SCALAR + SCALAR + 64)


def base_choose(context: bytes, choices: SecretBytes, logarithms: SecretBytes, uniform: SecretBytes) -> bytes:
    """S: r_0 and r_1 of each of the 256 base OTs, from its choice bits (32 bytes), the scalars t_j, none of them
    zero, and 128 uniform bytes each for the point of unknown logarithm."""
    _sizes((context, CONTEXT), (choices, BASE_CHOICES), (logarithms, BASE_OTS * SCALAR), (uniform, UNIFORM))
    out = ffi.new("uint8_t[]", BASE_MESSAGE)
    if not lib.quorate_ot_base_choose(out, context, choices.pointer, logarithms.pointer, uniform.pointer):
        raise Bug("a base OT needs scalars that are not zero, and points that are not the identity")
    return bytes(ffi.buffer(out))


def base_answer(context: bytes, message: bytes, logarithms: SecretBytes) -> tuple[bytes, SecretBytes] | None:
    """R: B_0 and B_1 of each, from two nonzero scalars each, and both keys of each (256 · 64 bytes). None: what S
    sent are not points, or their A is the identity."""
    _sizes((context, CONTEXT), (message, BASE_MESSAGE), (logarithms, BASE_OTS * 2 * SCALAR))
    if not scalars.are_canonical(Curve.SECP256K1, logarithms):
        raise Bug("a base OT needs scalars")
    out, keys = ffi.new("uint8_t[]", BASE_MESSAGE), SecretBytes(BASE_OTS * 64)
    fine = lib.quorate_ot_base_answer(out, keys.pointer, context, message, logarithms.pointer)
    return (bytes(ffi.buffer(out)), keys) if fine else None


def base_finish(
    context: bytes, choices: SecretBytes, logarithms: SecretBytes, answer: bytes
) -> SecretBytes | None:
    """S: the key of each that it chose (256 · 32 bytes). None: what R sent are not points."""
    _sizes(
        (context, CONTEXT), (choices, BASE_CHOICES), (logarithms, BASE_OTS * SCALAR), (answer, BASE_MESSAGE)
    )
    keys = SecretBytes(BASE_OTS * 32)
    fine = lib.quorate_ot_base_finish(keys.pointer, context, choices.pointer, logarithms.pointer, answer)
    return keys if fine else None


def expand(context: bytes, keys: SecretBytes) -> tuple[SecretBytes, bytes]:
    """R: 128 trees of 4 leaves from both keys of each base OT, and the message that corrects S's."""
    _sizes((context, CONTEXT), (keys, BASE_OTS * 64))
    leaves, out = SecretBytes(ALL_LEAVES), ffi.new("uint8_t[]", TREE_MESSAGE)
    _done(lib.quorate_ot_expand(leaves.pointer, out, context, keys.pointer))
    return leaves, bytes(ffi.buffer(out))


def puncture(context: bytes, choices: SecretBytes, keys: SecretBytes, message: bytes) -> SecretBytes | None:
    """S: the leaves but one of each tree, zeros there, then which they are (Δ), a byte for each tree. None: the trees
    are not those of R's check value."""
    _sizes((context, CONTEXT), (choices, BASE_CHOICES), (keys, BASE_OTS * 32), (message, TREE_MESSAGE))
    out, accepted = SecretBytes(PUNCTURED), ffi.new("int *")
    _done(lib.quorate_ot_puncture(out.pointer, accepted, context, choices.pointer, keys.pointer, message))
    return out if accepted[0] else None


def extend(
    context: bytes, leaves: SecretBytes, salt: bytes, choices: SecretBytes, mask: SecretBytes
) -> tuple[bytes, SecretBytes]:
    """R: m1, and ψ, 512 columns of 32 bytes for each multiplication, from 512 choice bits β for each and 16 random
    bytes."""
    batch = _batch(choices, CHOICES)
    _sizes((context, CONTEXT), (leaves, ALL_LEAVES), (salt, SALT), (mask, MASK))
    out, columns = ffi.new("uint8_t[]", extension_size(batch)), SecretBytes(TRANSFERS * COLUMN * batch)
    _done(
        lib.quorate_ot_extend(
            out, columns.pointer, context, leaves.pointer, salt, choices.pointer, mask.pointer, batch
        )
    )
    return bytes(ffi.buffer(out)), columns


def accept(context: bytes, punctured: SecretBytes, m1: bytes, batch: int) -> SecretBytes | None:
    """S: ζ, 512 columns of 32 bytes for each multiplication. None: the check fails, which is COTE_CHEAT."""
    _sizes((context, CONTEXT), (punctured, PUNCTURED), (m1, extension_size(batch)))
    columns, accepted = SecretBytes(TRANSFERS * COLUMN * batch), ffi.new("int *")
    _done(lib.quorate_ot_accept(columns.pointer, accepted, context, punctured.pointer, m1, batch))
    return columns if accepted[0] else None


def gadgets(context: bytes) -> bytes:
    """The 512 scalars g_j, public. The context is of the set-up and the direction alone."""
    _sizes((context, CONTEXT))
    out = ffi.new("uint8_t[]", GADGETS)
    lib.quorate_ot_gadgets(out, context)
    return bytes(ffi.buffer(out))


def product(gadgets: bytes, choices: SecretBytes) -> SecretBytes:
    """R: b, the sum of the g_j whose bit is set, for each multiplication."""
    _sizes((gadgets, GADGETS))
    batch = _batch(choices, CHOICES)
    out = SecretBytes(SCALAR * batch)
    lib.quorate_ot_product(out.pointer, gadgets, choices.pointer, batch)
    return out


def respond(
    context: bytes,
    gadgets: bytes,
    punctured: SecretBytes,
    columns: SecretBytes,
    salts: tuple[bytes, bytes],
    inputs: SecretBytes,
    checks: SecretBytes,
) -> tuple[bytes, SecretBytes]:
    """S: m2 and (c_1, c_2) of each multiplication, from ζ, the salts of R and of S, (a_1, a_2) and a^ of each."""
    batch = _batch(checks, SCALAR)
    _sizes(
        (context, CONTEXT),
        (gadgets, GADGETS),
        (punctured, PUNCTURED),
        (columns, TRANSFERS * COLUMN * batch),
        (salts[0], SALT),
        (salts[1], SALT),
        (inputs, 2 * SCALAR * batch),
    )
    fine = scalars.are_canonical(Curve.SECP256K1, inputs) and scalars.are_canonical(Curve.SECP256K1, checks)
    if not fine or not _are_scalars(gadgets):
        raise Bug("a multiplication needs scalars")
    out, shares = ffi.new("uint8_t[]", answer_size(batch)), SecretBytes(2 * SCALAR * batch)
    _done(
        lib.quorate_ot_respond(
            out,
            shares.pointer,
            context,
            gadgets,
            punctured.pointer,
            columns.pointer,
            *salts,
            inputs.pointer,
            checks.pointer,
            batch,
        )
    )
    return bytes(ffi.buffer(out)), shares


def finish(
    context: bytes, gadgets: bytes, choices: SecretBytes, columns: SecretBytes, salt: bytes, m2: bytes
) -> SecretBytes | None:
    """R: (d_1, d_2) of each multiplication, from ψ and R's own salt. None: a check fails, which is OLE_CHEAT.
    ``EncodingError``: a scalar of m2 is not less than q."""
    batch = _batch(choices, CHOICES)
    _sizes(
        (context, CONTEXT),
        (gadgets, GADGETS),
        (columns, TRANSFERS * COLUMN * batch),
        (salt, SALT),
        (m2, answer_size(batch)),
    )
    if not _are_scalars(gadgets):
        raise Bug("a multiplication needs scalars")
    shares, accepted = SecretBytes(2 * SCALAR * batch), ffi.new("int *")
    _done(
        lib.quorate_ot_finish(
            shares.pointer, accepted, context, gadgets, choices.pointer, columns.pointer, salt, m2, batch
        )
    )
    if accepted[0] < 0:
        raise EncodingError("a number in this answer is not a canonical scalar")
    return shares if accepted[0] else None


def use_portable_code(only: bool) -> bool:
    """Do without the instructions a CPU may lack, for the whole process: for tests. Whether it did so before."""
    return bool(lib.quorate_ot_use_portable(only))


@lru_cache(maxsize=128)
def _are_scalars(gadgets: bytes) -> bool:
    """Looked at once for as long as a set-up's gadgets are kept."""
    return scalars.are_canonical(Curve.SECP256K1, gadgets)


def _batch(part: SecretBytes, size: int) -> int:
    if not len(part) or len(part) % size:
        raise Bug(f"{len(part)} bytes are not {size} for each multiplication of a batch")
    return len(part) // size


def _sizes(*operands: tuple[Any, int]) -> None:
    for operand, size in operands:
        if len(operand) != size:
            raise Bug(f"{len(operand)} bytes where {size} were expected")


def _done(result: int) -> None:
    if not result:
        raise MemoryError("no memory for an oblivious transfer")
