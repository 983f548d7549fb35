"""Oblivious transfer and the vector OLE in plain integers: slow, readable, not constant time.

What the product must compute, byte for byte. Every hash is ``H(tag, fields...)`` of ``primitives.transcript`` and its
first field is 32 bytes that are themselves the hash of the whole context (or of a hash that has it), so every call
carries all of it. Where a field holds several things, each has a fixed width. Numbers in fields are big-endian:
``two(j)`` and ``four(j)`` are 2 and 4 bytes. Scalars are 32 bytes big-endian, points 33 bytes compressed.

Bits: bit n of a row is bit n % 8 of byte n // 8; so is x^n of an element of GF(2^128). Row i·2 + b belongs to tree
i and bit b. Roles: S is the sender of the OT extension (it knows Δ), R its receiver (it knows all leaves).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest as H
from tests.oracle.chacha import chacha20
from tests.oracle.curve import Affine, Secp256k1, times
from tests.oracle.ellswift import decode as ellswift

CURVE = Secp256k1()
Q = CURVE.q
G = CURVE.generator
BASE_OTS, DEPTH, TREES, LEAVES = 256, 2, 128, 4
TREE = 64 * (DEPTH - 1) + 128  # bytes of a tree's message
XI = 512  # transfers per multiplication
COLUMNS = 3  # two inputs and one that checks


def two(number: int) -> bytes:
    return number.to_bytes(2, "big")


def four(number: int) -> bytes:
    return number.to_bytes(4, "big")


def scalar(number: int) -> bytes:
    return (number % Q).to_bytes(32, "big")


def number(data: bytes) -> int:
    value = int.from_bytes(data, "big")
    assert value < Q
    return value


def Hq(tag: Domain, *fields: bytes) -> int:
    """48 bytes, big-endian, modulo q."""
    return int.from_bytes(H(tag, *fields, size=48), "big") % Q


def xor(*strings: bytes) -> bytes:
    out = bytes(len(strings[0]))
    for string in strings:
        assert len(string) == len(out)
        out = bytes(a ^ b for a, b in zip(out, string, strict=True))
    return out


def encode(point: Affine) -> bytes:
    assert point is not None, "the identity has no encoding"
    return CURVE.encode(point)


def decode(data: bytes) -> Affine:
    x = int.from_bytes(data[1:], "big")
    y = pow(x**3 + 7, (CURVE.p + 1) // 4, CURVE.p)
    assert len(data) == 33
    assert data[0] in (2, 3)
    assert x < CURVE.p
    assert (y * y - x**3 - 7) % CURVE.p == 0
    return x, y if y & 1 == data[0] & 1 else CURVE.p - y


def minus(point: Affine) -> Affine:
    return None if point is None else (point[0], -point[1] % CURVE.p)


# --- base OT (Masny and Rindal, 2019/706): 256 instances. Its receiver will be S, its sender R.


def sum_of_two(uniform: bytes) -> Affine:
    """128 uniform bytes to a point whose logarithm nobody knows: the sum of two ElligatorSwift decodings."""
    assert len(uniform) == 128
    return CURVE.add(ellswift(uniform[:64]), ellswift(uniform[64:]))


def to_point(context: bytes, j: int, c: int, other: bytes) -> Affine:
    """H2C(c, j, the other point)."""
    halves = [H(Domain.OT_POINT, context, two(j) + bytes([c, n]) + other, size=64) for n in (0, 1)]
    return sum_of_two(b"".join(halves))


def base_choose(context: bytes, j: int, choice: int, t: int, uniform: bytes) -> bytes:
    """S, instance j: from a bit, a scalar and 128 uniform bytes, r_0 and r_1."""
    other = encode(sum_of_two(uniform))
    mine = encode(CURVE.add(times(CURVE, t, G), minus(to_point(context, j, choice, other))))
    return other + mine if choice else mine + other


def base_key(context: bytes, j: int, c: int, point: Affine) -> bytes:
    return H(Domain.OT_KEY, context, two(j) + bytes([c]) + encode(point))


def base_answer(context: bytes, j: int, r: bytes, s: tuple[int, int]) -> tuple[bytes, tuple[bytes, bytes]]:
    """R, instance j: from two scalars, B_0 and B_1, and both keys."""
    halves = r[:33], r[33:]
    a = [CURVE.add(decode(halves[c]), to_point(context, j, c, halves[1 - c])) for c in (0, 1)]
    zero, one = (base_key(context, j, c, times(CURVE, s[c], a[c])) for c in (0, 1))
    return b"".join(encode(times(CURVE, each, G)) for each in s), (zero, one)


def base_finish(context: bytes, j: int, choice: int, t: int, answer: bytes) -> bytes:
    """S, instance j: the one key."""
    return base_key(context, j, choice, times(CURVE, t, decode(answer[33 * choice :][:33])))


# --- all but one: 128 trees of 4 leaves. Tree i uses base OTs 2i and 2i + 1.


def children(context: bytes, tree: int, level: int, place: int, seed: bytes) -> tuple[bytes, bytes]:
    """Of node ``place`` of ``level``, the root's children being level 1 and the leaves level DEPTH."""
    both = H(Domain.OT_TREE, context, bytes([tree, level, place]) + seed, size=64)
    return both[:32], both[32:]


def proof_of_leaf(context: bytes, tree: int, place: int, leaf: bytes) -> bytes:
    return H(Domain.OT_LEAF, context, bytes([tree, place]) + leaf, size=64)


def proof_of_tree(context: bytes, tree: int, proofs: Sequence[bytes]) -> bytes:
    return H(Domain.OT_LEAVES, context, bytes([tree]) + b"".join(proofs), size=64)


def expand(context: bytes, keys: Sequence[tuple[bytes, bytes]]) -> tuple[list[list[bytes]], bytes]:
    """R: all leaves, and the message: for each tree t_{1,0}, t_{1,1}, t~, s~ (192 bytes)."""
    forest, message = [], b""
    for i in range(TREES):
        nodes = list(keys[DEPTH * i])
        for d in range(1, DEPTH):
            pairs = [children(context, i, d, y, seed) for y, seed in enumerate(nodes)]
            for c in (0, 1):
                message += xor(keys[DEPTH * i + d][c], *(pair[c] for pair in pairs))
            nodes = [child for pair in pairs for child in pair]
        proofs = [proof_of_leaf(context, i, y, leaf) for y, leaf in enumerate(nodes)]
        message += xor(*proofs) + proof_of_tree(context, i, proofs)
        forest.append(nodes)
    return forest, message


def puncture(
    context: bytes, bits: Sequence[int], keys: Sequence[bytes], message: bytes
) -> tuple[list[list[bytes]], list[int]] | None:
    """S: all leaves but one of each tree (zeros there), and which; None if a check fails."""
    forest, missing = [], []
    for i in range(TREES):
        parts = message[TREE * i : TREE * (i + 1)]
        b = bits[DEPTH * i : DEPTH * (i + 1)]
        star, nodes = 1 - b[0], [b"", b""]
        nodes[b[0]] = keys[DEPTH * i]
        for d in range(1, DEPTH):
            pairs = [
                children(context, i, d, y, seed) if y != star else (bytes(32), bytes(32))
                for y, seed in enumerate(nodes)
            ]
            t = parts[64 * (d - 1) + 32 * b[d] :][:32]
            found = xor(t, keys[DEPTH * i + d], *(pair[b[d]] for pair in pairs))
            nodes = [child for pair in pairs for child in pair]
            nodes[2 * star + b[d]] = found
            star = 2 * star + 1 - b[d]
        nodes[star] = bytes(32)
        proofs = [proof_of_leaf(context, i, y, leaf) for y, leaf in enumerate(nodes)]
        proofs[star] = xor(parts[-128:-64], *(proof for y, proof in enumerate(proofs) if y != star))
        if proof_of_tree(context, i, proofs) != parts[-64:]:
            return None
        forest.append(nodes)
        missing.append(star)
    return forest, missing


# --- OT extension with its check (Roy, SoftSpoken, 2022/192), for M multiplications at once: 512·M transfers


def stream(context: bytes, salt: bytes, leaf: bytes, size: int) -> bytes:
    """r_{i,y}: the ChaCha20 key stream of the leaf, whose nonce and first block's number are a hash."""
    start = H(Domain.OT_STREAM, context, salt, size=16)
    return chacha20(leaf, size, start[:8], int.from_bytes(start[8:], "little") >> 16 << 16)


def times_gf(a: int, b: int) -> int:
    """In GF(2)[x] modulo x^128 + x^7 + x^2 + x + 1."""
    product = 0
    for bit in range(128):
        if b >> bit & 1:
            product ^= a << bit
    for bit in reversed(range(128, 256)):
        if product >> bit & 1:
            product ^= (1 << 128 | 0x87) << (bit - 128)
    return product


def fold(row: bytes, factors: Sequence[int]) -> bytes:
    """The last block plus each other times its factor."""
    blocks = [int.from_bytes(row[n : n + 16], "little") for n in range(0, len(row), 16)]
    total = blocks[-1]
    for factor, block in zip(factors, blocks[:-1], strict=True):
        total ^= times_gf(factor, block)
    return total.to_bytes(16, "little")


def fold_factors(context: bytes, salt: bytes, u: bytes, batch: int) -> list[int]:
    seen = H(Domain.OT_ROWS, context, salt, u)
    found = [H(Domain.OT_FOLD, seen, four(j), size=16) for j in range(1, 4 * batch + 1)]
    return [int.from_bytes(factor, "little") for factor in found]


def hash_of_folds(context: bytes, salt: bytes, folds: Sequence[bytes]) -> bytes:
    return H(Domain.OT_FOLDS, context, salt, b"".join(folds))


def extend(
    context: bytes, forest: Sequence[Sequence[bytes]], salt: bytes, choice: bytes, mask: bytes
) -> tuple[bytes, list[bytes]]:
    """R: ``choice`` is β, 64·M bytes; ``mask`` 16 random ones. m1 = salt, u, x^, hash; and the 256 rows v."""
    x = choice + mask
    u, v = b"", []
    for tree in forest:
        r = [stream(context, salt, leaf, len(x)) for leaf in tree]
        u += xor(x, *r)
        v += [xor(bytes(len(x)), *(r[y] for y in range(LEAVES) if y >> b & 1)) for b in range(DEPTH)]
    factors = fold_factors(context, salt, u, len(choice) // 64)
    folds = [fold(row, factors) for row in v]
    return salt + u + fold(x, factors) + hash_of_folds(context, salt, folds), v


def bit(number: int, place: int) -> int:
    return number >> place & 1


def accept(
    context: bytes, forest: Sequence[Sequence[bytes]], missing: Sequence[int], m1: bytes, batch: int
) -> list[bytes] | None:
    """S: the 256 rows w = v + Δ·x, or None if the check fails (COTE_CHEAT)."""
    length = 64 * batch + 16
    assert len(m1) == 32 + TREES * length + 48
    salt, u, x, said = m1[:32], m1[32 : 32 + TREES * length], m1[-48:-32], m1[-32:]
    w = []
    for i, delta in enumerate(missing):
        r = [stream(context, salt, leaf, length) for leaf in forest[i]]
        for b in range(DEPTH):
            row = xor(bytes(length), *(r[y] for y in range(LEAVES) if bit(delta ^ y, b)))
            w.append(xor(row, u[length * i :][:length]) if bit(delta, b) else row)
    factors = fold_factors(context, salt, u, batch)
    folds = [
        xor(fold(row, factors), x if bit(missing[n // DEPTH], n % DEPTH) else bytes(16))
        for n, row in enumerate(w)
    ]
    return w if hash_of_folds(context, salt, folds) == said else None


def transpose(rows: Sequence[bytes], count: int) -> list[bytes]:
    """Column j of the 256 rows as 32 bytes, for j below ``count``."""
    return [
        sum(bit(row[j // 8], j % 8) << n for n, row in enumerate(rows)).to_bytes(32, "little")
        for j in range(count)
    ]


def packed(missing: Sequence[int]) -> bytes:
    """Δ as a column: bit i·2 + b is bit b of Δ_i."""
    return sum(delta << DEPTH * i for i, delta in enumerate(missing)).to_bytes(32, "little")


def pads(salts: bytes, j: int, column: bytes) -> list[int]:
    """Three scalars: 64 bytes of BLAKE2b, of which the first half is a key, 64 of ChaCha20 under it (nonce and counter
    zero), then the second half."""
    hashed = H(Domain.OT_PAD, salts, four(j) + column, size=64)
    long = chacha20(hashed[:32], 64) + hashed[32:]
    return [int.from_bytes(long[32 * n :][:32], "big") % Q for n in range(COLUMNS)]


# --- the vector OLE: S has (a_1, a_2) for each multiplication, R gets random b; c_i + d_i = a_i·b


def gadgets(context: bytes) -> list[int]:
    """g_j; its context is of the set-up and the direction alone: from the session it could be ground."""
    return [Hq(Domain.OT_GADGET, context, four(j)) for j in range(XI)]


def product(g: Sequence[int], choice: bytes, k: int) -> int:
    """R: b of multiplication k, the sum of the g_j whose bit is set."""
    mine = int.from_bytes(choice[64 * k :][:64], "little")
    return sum(g[j] for j in range(XI) if bit(mine, j)) % Q


def salts_hash(context: bytes, salt_r: bytes, salt_s: bytes) -> bytes:
    return H(Domain.OT_SALTS, context, salt_r, salt_s)


def thetas(salts: bytes, matrix: bytes, k: int) -> list[int]:
    """θ_1 and θ_2 of multiplication k, 128 bits each, from the matrix a~ of the whole batch."""
    both = H(Domain.OT_THETA, H(Domain.OT_MATRIX, salts, matrix), four(k))
    return [int.from_bytes(both[:16], "big"), int.from_bytes(both[16:], "big")]


def mu(salts: bytes, k: int, checks: Sequence[int]) -> bytes:
    return H(Domain.OT_MU, salts, four(k) + b"".join(map(scalar, checks)), size=64)


def respond(
    context: bytes,
    g: Sequence[int],
    forest: Sequence[Sequence[bytes]],
    missing: Sequence[int],
    m1: bytes,
    inputs: Sequence[tuple[int, int]],
    salt_s: bytes,
    check: Sequence[int],
) -> tuple[bytes, list[tuple[int, int]]] | None:
    """S: m2 and (c_1, c_2) for each multiplication; ``check`` has a^ of each. None is COTE_CHEAT.

    m2 = saltS, a~ (row after row: j of all multiplications, three scalars), then η and μ of each."""
    batch = len(inputs)
    w = accept(context, forest, missing, m1, batch)
    if w is None:
        return None
    salts, delta = salts_hash(context, m1[:32], salt_s), packed(missing)
    columns = transpose(w, XI * batch)
    zero = [pads(salts, j, column) for j, column in enumerate(columns)]
    one = [pads(salts, j, xor(column, delta)) for j, column in enumerate(columns)]
    matrix = b""
    for j in range(XI * batch):
        a = (*inputs[j // XI], check[j // XI])
        matrix += b"".join(scalar(zero[j][n] - one[j][n] + a[n]) for n in range(COLUMNS))
    tail, shares = b"", []
    for k, (a1, a2) in enumerate(inputs):
        theta = thetas(salts, matrix, k)
        rows = zero[XI * k : XI * (k + 1)]
        tail += scalar(check[k] + theta[0] * a1 + theta[1] * a2)
        tail += mu(salts, k, [row[2] + theta[0] * row[0] + theta[1] * row[1] for row in rows])
        c = [-sum(x * row[n] for x, row in zip(g, rows, strict=True)) % Q for n in (0, 1)]
        shares.append((c[0], c[1]))
    return salt_s + matrix + tail, shares


@dataclass(frozen=True)
class Answer:
    """m2, taken apart."""

    salt: bytes
    matrix: bytes
    etas: list[int]
    mus: list[bytes]


def read(m2: bytes, batch: int) -> Answer:
    matrix, tail = m2[32 : 32 + 96 * XI * batch], m2[32 + 96 * XI * batch :]
    assert len(tail) == 96 * batch
    etas = [number(tail[96 * k :][:32]) for k in range(batch)]
    return Answer(
        salt=m2[:32], matrix=matrix, etas=etas, mus=[tail[96 * k + 32 :][:64] for k in range(batch)]
    )


def finish(
    context: bytes, g: Sequence[int], choice: bytes, v: Sequence[bytes], m1: bytes, m2: bytes
) -> list[tuple[int, int]] | None:
    """R: (d_1, d_2) for each multiplication; None if a check fails (OLE_CHEAT)."""
    batch = len(choice) // 64
    said = read(m2, batch)
    salts = salts_hash(context, m1[:32], said.salt)
    d = []
    for j, column in enumerate(transpose(v, XI * batch)):
        beta = bit(choice[j // 8], j % 8)
        row = [number(said.matrix[96 * j + 32 * n :][:32]) for n in range(COLUMNS)]
        d.append([(pad + beta * a) % Q for pad, a in zip(pads(salts, j, column), row, strict=True)])
    shares = []
    for k in range(batch):
        theta = thetas(salts, said.matrix, k)
        rows = d[XI * k : XI * (k + 1)]
        bits = [bit(choice[64 * k + j // 8], j % 8) for j in range(XI)]
        checks = [
            row[2] + theta[0] * row[0] + theta[1] * row[1] - beta * said.etas[k]
            for row, beta in zip(rows, bits, strict=True)
        ]
        if mu(salts, k, checks) != said.mus[k]:
            return None
        sums = [sum(x * row[n] for x, row in zip(g, rows, strict=True)) % Q for n in (0, 1)]
        shares.append((sums[0], sums[1]))
    return shares
