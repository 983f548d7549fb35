"""Every kernel against the plain-integer oracle, byte for byte, with the instructions of the CPU and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import Bug, EncodingError
from quorate.native import ot
from quorate.native.memory import SecretBytes
from quorate.primitives.drbg import Drbg
from tests.oracle import ot as oracle

few = settings(max_examples=2)
seeds = st.binary(min_size=16, max_size=16)
CONTEXT = bytes(range(32))
SALTS = b"r" * 32, b"s" * 32


@contextmanager
def portable_code() -> Iterator[None]:
    before = ot.use_portable_code(True)
    try:
        yield
    finally:
        ot.use_portable_code(before)


CPU_PATHS = (nullcontext, portable_code)


def secret(data: bytes) -> SecretBytes:
    return SecretBytes.of(data)


def joined(numbers: list[int]) -> bytes:
    return b"".join(map(oracle.scalar, numbers))


def flipped(data: bytes, place: int) -> bytes:
    """With one bit the other way."""
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


class Draw:
    """What a party would draw, from a seed."""

    def __init__(self, seed: bytes) -> None:
        self._drbg = Drbg(SecretBytes.of(seed))

    def bytes(self, size: int) -> bytes:
        return self._drbg.public(size)

    def scalars(self, count: int) -> list[int]:
        return [int.from_bytes(self.bytes(48), "big") % (oracle.Q - 1) + 1 for _ in range(count)]


@dataclass(frozen=True)
class Base:
    """256 base OTs, made by the kernels."""

    choices: bytes
    t: list[int]
    uniform: bytes
    message: bytes
    s: list[int]
    answer: bytes
    keys: bytes
    chosen: bytes

    @property
    def bits(self) -> list[int]:
        return [oracle.bit(self.choices[j // 8], j % 8) for j in range(ot.BASE_OTS)]

    @property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        return [(self.keys[n : n + 32], self.keys[n + 32 : n + 64]) for n in range(0, len(self.keys), 64)]

    @property
    def known(self) -> list[bytes]:
        return [self.chosen[n : n + 32] for n in range(0, len(self.chosen), 32)]


@cache
def base() -> Base:
    draw = Draw(b"a set-up of base OTs")
    choices, t, uniform = draw.bytes(32), draw.scalars(256), draw.bytes(ot.UNIFORM)
    s = draw.scalars(512)
    message = ot.base_choose(CONTEXT, secret(choices), secret(joined(t)), secret(uniform))
    answered = ot.base_answer(CONTEXT, message, secret(joined(s)))
    assert answered is not None
    answer, keys = answered
    chosen = ot.base_finish(CONTEXT, secret(choices), secret(joined(t)), answer)
    assert chosen is not None
    return Base(
        choices=choices,
        t=t,
        uniform=uniform,
        message=message,
        s=s,
        answer=answer,
        keys=keys.reveal(),
        chosen=chosen.reveal(),
    )


@pytest.mark.parametrize("j", [0, 1, 2, 7, 8, 128, 255])
def test_a_base_transfer_is_the_oracles(j: int) -> None:
    made, bit = base(), base().bits[j]
    both, one = slice(66 * j, 66 * (j + 1)), slice(32 * j, 32 * (j + 1))
    assert made.message[both] == oracle.base_choose(CONTEXT, j, bit, made.t[j], made.uniform[128 * j :][:128])
    s = made.s[2 * j], made.s[2 * j + 1]
    assert oracle.base_answer(CONTEXT, j, made.message[both], s) == (made.answer[both], made.pairs[j])
    assert oracle.base_finish(CONTEXT, j, bit, made.t[j], made.answer[both]) == made.chosen[one]


def test_the_chooser_gets_one_key_of_each_pair() -> None:
    made = base()
    assert set(made.bits) == {0, 1}
    for bit, key, pair in zip(made.bits, made.known, made.pairs, strict=True):
        assert key == pair[bit] != pair[1 - bit]


@pytest.mark.parametrize("j", [0, 100, 255])
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_no_point_is_refused(j: int, side: int) -> None:
    made, start = base(), 66 * j + 33 * side
    x = next(x for x in range(1, 100) if pow(x**3 + 7, (oracle.CURVE.p - 1) // 2, oracle.CURVE.p) != 1)
    for wrong in (bytes(33), b"\4" + made.message[start + 1 :][:32], b"\2" + x.to_bytes(32, "big")):
        message = made.message[:start] + wrong + made.message[start + 33 :]
        assert ot.base_answer(CONTEXT, message, secret(joined(made.s))) is None
        answer = made.answer[:start] + wrong + made.answer[start + 33 :]
        assert ot.base_finish(CONTEXT, secret(made.choices), secret(joined(made.t)), answer) is None


@pytest.mark.parametrize("side", [0, 1])
def test_an_identity_in_place_of_a_key_point_is_refused(side: int) -> None:
    made = base()
    other = oracle.encode(oracle.G)
    mine = oracle.encode(oracle.minus(oracle.to_point(CONTEXT, 0, side, other)))
    pair = mine + other if side == 0 else other + mine
    assert ot.base_answer(CONTEXT, pair + made.message[66:], secret(joined(made.s))) is None


def test_a_base_transfer_wants_scalars_that_are_not_zero() -> None:
    made = base()
    with pytest.raises(Bug):
        ot.base_choose(CONTEXT, secret(made.choices), secret(joined([0, *made.t[1:]])), secret(made.uniform))
    with pytest.raises(Bug):
        ot.base_answer(CONTEXT, made.message, secret(b"\xff" * 32 + joined(made.s[1:])))


@cache
def trees() -> tuple[list[list[bytes]], bytes]:
    return oracle.expand(CONTEXT, base().pairs)


def flat(forest: list[list[bytes]]) -> bytes:
    return b"".join(leaf for tree in forest for leaf in tree)


def test_trees_are_the_oracles() -> None:
    leaves, message = ot.expand(CONTEXT, secret(base().keys))
    assert (leaves.reveal(), message) == (flat(trees()[0]), trees()[1])


@few
@given(seeds)
def test_any_choice_punctures_as_the_oracle_does(seed: bytes) -> None:
    choices = Draw(seed).bytes(32)
    bits = [oracle.bit(choices[j // 8], j % 8) for j in range(ot.BASE_OTS)]
    known = [pair[bit] for pair, bit in zip(base().pairs, bits, strict=True)]
    found = ot.puncture(CONTEXT, secret(choices), secret(b"".join(known)), trees()[1])
    expected = oracle.puncture(CONTEXT, bits, known, trees()[1])
    assert found is not None
    assert expected is not None
    forest, missing = expected
    assert found.reveal() == flat(forest) + bytes(missing)
    for tree, all_leaves, star in zip(forest, trees()[0], missing, strict=True):
        assert [y for y in range(ot.LEAVES) if tree[y] != all_leaves[y]] == [star]


@pytest.mark.parametrize("tree", [0, 30, 127])
@pytest.mark.parametrize("part", [64, 127, 128, 191])
def test_a_wrong_check_value_of_a_tree_is_seen(tree: int, part: int) -> None:
    message = flipped(trees()[1], 8 * (192 * tree + part))
    assert ot.puncture(CONTEXT, secret(base().choices), secret(base().chosen), message) is None


def test_a_wrong_correction_is_seen_by_who_uses_it() -> None:
    used = base().bits[1]
    for side in (0, 1):
        message = flipped(trees()[1], 8 * 32 * side)
        found = ot.puncture(CONTEXT, secret(base().choices), secret(base().chosen), message)
        assert (found is None) == (side == used)


@cache
def punctured() -> tuple[list[list[bytes]], list[int]]:
    found = oracle.puncture(CONTEXT, base().bits, base().known, trees()[1])
    assert found is not None
    return found


def leaves() -> SecretBytes:
    return secret(flat(trees()[0]))


def sending() -> SecretBytes:
    return secret(flat(punctured()[0]) + bytes(punctured()[1]))


@few
@given(seeds, st.integers(1, 2))
def test_an_extension_is_the_oracles(seed: bytes, batch: int) -> None:
    draw = Draw(seed)
    context, salt, choices, mask = draw.bytes(32), draw.bytes(32), draw.bytes(64 * batch), draw.bytes(16)
    m1, v = oracle.extend(context, trees()[0], salt, choices, mask)
    w = oracle.accept(context, *punctured(), m1, batch)
    assert w is not None
    for path in CPU_PATHS:
        with path():
            sent, columns = ot.extend(context, leaves(), salt, secret(choices), secret(mask))
            accepted = ot.accept(context, sending(), m1, batch)
        assert sent == m1
        assert columns.reveal() == b"".join(oracle.transpose(v, 512 * batch))
        assert accepted is not None
        assert accepted.reveal() == b"".join(oracle.transpose(w, 512 * batch))


def extension(batch: int = 1) -> tuple[bytes, bytes, SecretBytes]:
    """Choices, m1 and ψ."""
    draw = Draw(b"an extension of it")
    choices = draw.bytes(64 * batch)
    return choices, *ot.extend(CONTEXT, leaves(), SALTS[0], secret(choices), secret(draw.bytes(16)))


def test_transfers_are_correlated_by_delta() -> None:
    choices, m1, psi = extension()
    zeta = ot.accept(CONTEXT, sending(), m1, 1)
    assert zeta is not None
    delta = oracle.packed(punctured()[1])
    for j in range(512):
        here = slice(32 * j, 32 * (j + 1))
        expected = (
            oracle.xor(psi.reveal()[here], delta)
            if oracle.bit(choices[j // 8], j % 8)
            else psi.reveal()[here]
        )
        assert zeta.reveal()[here] == expected


@pytest.mark.parametrize("place", [0, 31, -48, -33, -32, -1])
def test_a_changed_extension_is_a_cheat(place: int) -> None:
    _, m1, _ = extension()
    for path in CPU_PATHS:
        with path():
            assert ot.accept(CONTEXT, sending(), flipped(m1, 8 * place), 1) is None
    assert oracle.accept(CONTEXT, *punctured(), flipped(m1, 8 * place), 1) is None


def test_a_changed_row_is_a_cheat_against_any_other_leaf() -> None:
    _, m1, _ = extension()
    for tree in [i for i, delta in enumerate(punctured()[1]) if delta][::40]:
        changed = flipped(m1, 8 * (32 + 80 * tree) + 7)
        assert ot.accept(CONTEXT, sending(), changed, 1) is None


def test_an_extension_stands_only_in_its_context() -> None:
    _, m1, _ = extension()
    assert ot.accept(bytes(32), sending(), m1, 1) is None


def inputs(batch: int) -> tuple[list[int], list[int]]:
    draw = Draw(b"inputs of products")
    return draw.scalars(2 * batch), draw.scalars(batch)


@few
@given(seeds, st.integers(1, 2))
def test_a_multiplication_is_the_oracles(seed: bytes, batch: int) -> None:
    draw = Draw(seed)
    context, salts = draw.bytes(32), (draw.bytes(32), draw.bytes(32))
    choices, mask = draw.bytes(64 * batch), draw.bytes(16)
    a, checks = draw.scalars(2 * batch), draw.scalars(batch)
    m1, psi = ot.extend(context, leaves(), salts[0], secret(choices), secret(mask))
    zeta = ot.accept(context, sending(), m1, batch)
    assert zeta is not None
    g = ot.gadgets(CONTEXT)
    m2, c = ot.respond(context, g, sending(), zeta, salts, secret(joined(a)), secret(joined(checks)))
    d = ot.finish(context, g, secret(choices), psi, salts[0], m2)
    assert d is not None

    numbers = oracle.gadgets(CONTEXT)
    pairs = list(zip(a[::2], a[1::2], strict=True))
    expected = oracle.respond(context, numbers, *punctured(), m1, pairs, salts[1], checks)
    assert expected is not None
    assert m2 == expected[0]
    assert c.reveal() == joined([n for pair in expected[1] for n in pair])
    rows = oracle.extend(context, trees()[0], salts[0], choices, mask)[1]
    finished = oracle.finish(context, numbers, choices, rows, m1, m2)
    assert finished is not None
    assert d.reveal() == joined([n for pair in finished for n in pair])

    b = [oracle.number(ot.product(g, secret(choices)).reveal()[32 * k :][:32]) for k in range(batch)]
    for n in range(2 * batch):
        share, other = (oracle.number(x.reveal()[32 * n :][:32]) for x in (c, d))
        assert (share + other - a[n] * b[n // 2]) % oracle.Q == 0


def test_gadgets_and_products_are_the_oracles() -> None:
    numbers = oracle.gadgets(CONTEXT)
    g = ot.gadgets(CONTEXT)
    assert g == joined(numbers)
    for choices in (bytes(64), b"\xff" * 64, b"\1" + bytes(63), bytes(63) + b"\x80", bytes(range(64)) * 2):
        count = len(choices) // 64
        expected = joined([oracle.product(numbers, choices, k) for k in range(count)])
        assert ot.product(g, secret(choices)).reveal() == expected


def test_the_largest_numbers_are_multiplied_as_the_oracle_does() -> None:
    choices, m1, psi = extension()
    zeta = ot.accept(CONTEXT, sending(), m1, 1)
    assert zeta is not None
    last = [oracle.Q - 1] * 512
    a = [oracle.Q - 1, 0]
    m2, c = ot.respond(
        CONTEXT, joined(last), sending(), zeta, SALTS, secret(joined(a)), secret(joined([oracle.Q - 1]))
    )
    expected = oracle.respond(CONTEXT, last, *punctured(), m1, [(a[0], a[1])], SALTS[1], [oracle.Q - 1])
    assert expected is not None
    assert (m2, c.reveal()) == (expected[0], joined(list(expected[1][0])))
    d = ot.finish(CONTEXT, joined(last), secret(choices), psi, SALTS[0], m2)
    assert d is not None
    b = oracle.product(last, choices, 0)
    for n in (0, 1):
        share, other = (oracle.number(x.reveal()[32 * n :][:32]) for x in (c, d))
        assert (share + other - a[n] * b) % oracle.Q == 0


@cache
def answer(batch: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Choices, m1, ψ and m2."""
    choices, m1, psi = extension(batch)
    zeta = ot.accept(CONTEXT, sending(), m1, batch)
    assert zeta is not None
    a, checks = inputs(batch)
    m2, _ = ot.respond(
        CONTEXT, ot.gadgets(CONTEXT), sending(), zeta, SALTS, secret(joined(a)), secret(joined(checks))
    )
    return choices, m1, psi.reveal(), m2


def finish(batch: int, m2: bytes, context: bytes = CONTEXT) -> SecretBytes | None:
    choices, _, psi, _ = answer(batch)
    return ot.finish(context, ot.gadgets(CONTEXT), secret(choices), secret(psi), SALTS[0], m2)


ROW = 96
END = 512 * ROW  # where η and μ of a single multiplication stand, after the salt


@pytest.mark.parametrize("place", [0, 32 + 31, 32 + END - 1, 32 + END + 31, 32 + END + 32, 32 + END + 95])
def test_a_changed_answer_is_a_cheat(place: int) -> None:
    m2 = answer(1)[3]
    assert finish(1, m2) is not None
    assert finish(1, flipped(m2, 8 * place)) is None
    assert finish(1, m2, bytes(32)) is None


def test_each_multiplication_of_a_batch_is_checked() -> None:
    m2 = answer(2)[3]
    for k in range(2):
        assert finish(2, flipped(m2, 8 * (32 + 2 * END + 96 * k + 95))) is None
    swapped = m2[: 32 + 2 * END] + m2[-96:] + m2[-192:-96]
    assert finish(2, swapped) is None


@pytest.mark.parametrize("place", [32, 32 + END - 32, 32 + END])
def test_a_scalar_that_is_not_canonical_is_refused(place: int) -> None:
    m2 = answer(1)[3]
    for value in (oracle.Q, 2**256 - 1):
        wrong = m2[:place] + value.to_bytes(32, "big") + m2[place + 32 :]
        with pytest.raises(EncodingError):
            finish(1, wrong)
    for value in (0, oracle.Q - 1):
        assert finish(1, m2[:place] + value.to_bytes(32, "big") + m2[place + 32 :]) is None


def test_threads_compute_the_same() -> None:
    choices, m1, psi, m2 = answer(1)
    a, checks = inputs(1)
    draw = Draw(b"an extension of it")
    assert draw.bytes(64) == choices
    mask = draw.bytes(16)

    def work(number: int) -> tuple[bytes, bytes, bytes]:
        sent, columns = ot.extend(CONTEXT, leaves(), SALTS[0], secret(choices), secret(mask))
        zeta = ot.accept(CONTEXT, sending(), sent, 1)
        assert zeta is not None
        said, _ = ot.respond(
            CONTEXT, ot.gadgets(CONTEXT), sending(), zeta, SALTS, secret(joined(a)), secret(joined(checks))
        )
        return sent, columns.reveal(), said

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(work, range(40))) == {(m1, psi, m2)}


def test_sizes_are_checked_before_c_sees_anything() -> None:
    choices, m1, psi, m2 = answer(1)
    g, a, checks = ot.gadgets(CONTEXT), secret(joined(inputs(1)[0])), secret(joined(inputs(1)[1]))
    columns = secret(psi)
    calls: list[Callable[[], object]] = [
        lambda: ot.gadgets(CONTEXT[1:]),
        lambda: ot.product(g[1:], secret(choices)),
        lambda: ot.product(g, SecretBytes(63)),
        lambda: ot.product(g, SecretBytes(0)),
        lambda: ot.base_choose(CONTEXT, SecretBytes(31), SecretBytes(8192), SecretBytes(ot.UNIFORM)),
        lambda: ot.base_answer(CONTEXT, base().message[1:], secret(joined(base().s))),
        lambda: ot.base_finish(CONTEXT, secret(base().choices), secret(joined(base().t)), b""),
        lambda: ot.expand(CONTEXT, SecretBytes(256 * 64 - 1)),
        lambda: ot.puncture(CONTEXT, secret(base().choices), secret(base().chosen), trees()[1] + b"0"),
        lambda: ot.extend(CONTEXT, SecretBytes(ot.PUNCTURED), SALTS[0], secret(choices), SecretBytes(16)),
        lambda: ot.extend(CONTEXT, leaves(), b"", secret(choices), SecretBytes(16)),
        lambda: ot.extend(CONTEXT, leaves(), SALTS[0], SecretBytes(0), SecretBytes(16)),
        lambda: ot.accept(CONTEXT, sending(), m1, 2),
        lambda: ot.accept(CONTEXT, sending(), m1 + b"0", 1),
        lambda: ot.accept(CONTEXT, leaves(), m1, 1),
        lambda: ot.respond(CONTEXT, g, sending(), SecretBytes(32), SALTS, a, checks),
        lambda: ot.respond(CONTEXT, g, sending(), columns, SALTS, checks, checks),
        lambda: ot.respond(CONTEXT, g, sending(), columns, (SALTS[0], b""), a, checks),
        lambda: ot.respond(CONTEXT, g, sending(), columns, SALTS, secret(b"\xff" * 64), checks),
        lambda: ot.finish(CONTEXT, g, secret(choices), columns, SALTS[0], m2 + b"0"),
        lambda: ot.finish(CONTEXT, g, secret(choices), SecretBytes(32), SALTS[0], m2),
        lambda: ot.finish(CONTEXT, b"\xff" * ot.GADGETS, secret(choices), columns, SALTS[0], m2),
    ]
    for call in calls:
        with pytest.raises(Bug):
            call()
