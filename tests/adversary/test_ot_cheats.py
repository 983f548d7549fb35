"""One of two breaks one rule of the set-up or of a multiplication; the other names it, and says whether it cheated."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.errors import ProtocolAbort
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import hedged
from quorate.primitives.transcript import digest
from quorate.protocols.ot.multiply import Chooser, Context
from quorate.protocols.ot.setup import Answer, Choice
from quorate.wire.codec import Message
from quorate.wire.simulator import Tamper, randomness
from tests.oracle import ot
from tests.protocols.pairs import (
    HIGH,
    LOW,
    SID,
    SIGNERS,
    answer,
    context,
    forests,
    pairs,
    plain,
    run_setup,
    setup_context,
    setups,
    start,
)
from tests.protocols.test_ot import OTHER_CONTEXTS
from tests.rules import breaks

CHEAT, VICTIM = LOW, HIGH
OFF_CURVE = b"\x02" + (5).to_bytes(32, "big")
NOT_REDUCED = b"\x02" + (ot.CURVE.p + 1).to_bytes(32, "big")
FLIP = bytes([1])


def changed(data: bytes, place: int, new: bytes) -> bytes:
    """``data`` with other bytes at one place, counted from the end if negative."""
    place %= len(data)
    return data[:place] + new + data[place + len(new) :]


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return changed(data, place, bytes([data[place] ^ 1]))


def aborts(failure: Any, rule: str, culprit: str, *, cheat: bool) -> None:
    assert isinstance(failure, ProtocolAbort), failure
    assert failure.rule.split()[0] == rule
    assert failure.culprits == {culprit}
    assert failure.cheat is cheat


# --- set-up


def replacing(kind: type[Message], change: Callable[[Any], Any]) -> Tamper:
    def tamper(sender: str, _: str, slot: str, message: Message) -> Any:
        return change(message) if sender == CHEAT and isinstance(message, kind) else message

    return tamper


def assert_setup_names_the_cheat(kind: type[Message], change: Callable[[Any], Any], rule: str) -> None:
    outcome = run_setup(tamper=replacing(kind, change))
    aborts(outcome.failures[VICTIM], rule, CHEAT, cheat=False)
    assert VICTIM not in outcome.results


def with_identity(message: Choice) -> Choice:
    """r_0 of the first base OT such that A_0 = r_0 + H2C(0, r_1) is the identity, and key_0 is known to everybody."""
    where = setup_context().hash(run_setup_sid(), CHEAT, VICTIM)
    r_1 = message.points[33:66]
    return replace(message, points=ot.encode(ot.minus(ot.to_point(where, 0, 0, r_1))) + message.points[33:])


def run_setup_sid() -> bytes:
    """The session of the simulator's first seed."""
    return digest(Domain.SESSION, "simulation", 0, (LOW, HIGH))


CHOICES: dict[str, Callable[[Choice], Choice]] = {
    "r_0 not on the curve": lambda m: replace(m, points=changed(m.points, 0, OFF_CURVE)),
    "r_1 not on the curve": lambda m: replace(m, points=changed(m.points, 33, OFF_CURVE)),
    "the last not reduced": lambda m: replace(m, points=changed(m.points, -33, NOT_REDUCED)),
    "the identity": lambda m: replace(m, points=changed(m.points, 66, bytes(33))),
    "A_0 the identity": with_identity,
}


@breaks("OT-1.1")
@pytest.mark.parametrize("name", CHOICES)
def test_a_base_choice_that_is_none_names_its_sender(name: str) -> None:
    assert_setup_names_the_cheat(Choice, CHOICES[name], "OT-1.1")


ANSWERS: dict[str, Callable[[Answer], Answer]] = {
    "B_0 not on the curve": lambda m: replace(m, points=changed(m.points, 0, OFF_CURVE)),
    "B_1 not on the curve": lambda m: replace(m, points=changed(m.points, 33, OFF_CURVE)),
    "the last not reduced": lambda m: replace(m, points=changed(m.points, -33, NOT_REDUCED)),
    "the identity": lambda m: replace(m, points=changed(m.points, 66, bytes(33))),
}


@breaks("OT-1.2")
@pytest.mark.parametrize("name", ANSWERS)
def test_a_base_answer_that_is_none_names_its_sender(name: str) -> None:
    """Whichever of the two was chosen: a point that is refused only if it is wanted would tell which is."""
    assert_setup_names_the_cheat(Answer, ANSWERS[name], "OT-1.2")


def both_corrections(message: Answer) -> Answer:
    trees = flipped(flipped(message.trees, ot.TREE * 5), ot.TREE * 5 + 32)
    return replace(message, trees=trees)


def exchanged(parts: bytes, size: int) -> bytes:
    """With the first two in the order that they were not in."""
    return parts[size : 2 * size] + parts[:size] + parts[2 * size :]


TREES: dict[str, Callable[[Answer], Answer]] = {
    "both corrections of a level": both_corrections,
    "t~": lambda m: replace(m, trees=flipped(m.trees, ot.TREE - 128)),
    "s~": lambda m: replace(m, trees=flipped(m.trees, ot.TREE - 1)),
    "the last tree": lambda m: replace(m, trees=flipped(m.trees, -1)),
    "two trees exchanged": lambda m: replace(m, trees=exchanged(m.trees, ot.TREE)),
    "other keys": lambda m: replace(m, points=m.points[66:] + m.points[:66]),
}


@breaks("OT-2.1")
@pytest.mark.parametrize("name", TREES)
def test_trees_that_do_not_fit_name_their_sender(name: str) -> None:
    assert_setup_names_the_cheat(Answer, TREES[name], "OT-2.1")


def falsifying(place: int) -> Callable[[Answer], Answer]:
    return lambda message: replace(message, trees=flipped(message.trees, place))


def test_one_false_correction_is_a_guess_at_one_bit() -> None:
    """It fails or passes with the bit of Δ, and what it fails for is discarded."""
    passed = 0
    for tree in range(6):
        outcome = run_setup(tamper=replacing(Answer, falsifying(ot.TREE * tree)))
        if VICTIM in outcome.results:
            passed += 1
        else:
            aborts(outcome.failures[VICTIM], "OT-2.1", CHEAT, cheat=False)
    assert 0 < passed < 6


ZEROS: dict[str, Callable[[Answer], Answer]] = {
    "another seed": lambda m: replace(m, zero=SecretBytes(32)),
    "a short seed": lambda m: replace(m, zero=m.zero.part(0, 31)),
    "an empty seed": lambda m: replace(m, zero=SecretBytes(0)),
    "a long seed": lambda m: replace(m, zero=SecretBytes.of(m.zero.reveal() + FLIP)),
    "another blinder": lambda m: replace(m, blinder=flipped(m.blinder, 0)),
}


@breaks("OT-2.2")
@pytest.mark.parametrize("name", ZEROS)
def test_a_zero_seed_that_was_not_committed_to_names_its_sender(name: str) -> None:
    assert_setup_names_the_cheat(Answer, ZEROS[name], "OT-2.2")


@breaks("OT-2.2")
def test_a_short_seed_that_was_committed_to_names_its_sender() -> None:
    """So that nobody's half can be shortened into nothing, and the XOR of the two is 32 bytes."""
    where = setup_context().hash(run_setup_sid(), CHEAT, VICTIM)

    def tamper(sender: str, _: str, slot: str, message: Any) -> Any:
        if sender != CHEAT:
            return message
        if isinstance(message, Choice):
            return replace(
                message, zero=digest(Domain.OT_ZERO, (where, SIGNERS[0].identity_key), bytes(31), bytes(32))
            )
        return replace(message, zero=SecretBytes(31), blinder=bytes(32))

    aborts(run_setup(tamper=tamper).failures[VICTIM], "OT-2.2", CHEAT, cheat=False)


@breaks("OT-2.2")
def test_a_copied_commitment_to_a_zero_seed_does_not_open() -> None:
    """The other's commitment, and then its opening: the XOR would be zero. It names its committer, so it fails."""
    heard: dict[str, Any] = {}

    def tamper(sender: str, _: str, slot: str, message: Any) -> Any:
        kind = type(message).__name__
        if sender == LOW:
            heard[kind] = message
            return message
        if isinstance(message, Choice):
            return replace(message, zero=heard[kind].zero)
        if kind not in heard:
            return message
        return replace(message, zero=heard[kind].zero, blinder=heard[kind].blinder)

    outcomes = [run_setup(seed=seed, tamper=tamper) for seed in range(4)]
    for outcome in outcomes:
        aborts(outcome.failures[LOW], "OT-2.2", HIGH, cheat=False)


SIZES: dict[str, tuple[type[Message], Callable[[Any], Any]]] = {
    "no points": (Choice, lambda m: replace(m, points=b"")),
    "a point short": (Choice, lambda m: replace(m, points=m.points[:-33])),
    "a point more": (Choice, lambda m: replace(m, points=m.points + m.points[:33])),
    "a short commitment": (Choice, lambda m: replace(m, zero=m.zero[:-1])),
    "no answer": (Answer, lambda m: replace(m, points=b"")),
    "an answer too long": (Answer, lambda m: replace(m, points=m.points + b"\x02")),
    "no trees": (Answer, lambda m: replace(m, trees=b"")),
    "a tree short": (Answer, lambda m: replace(m, trees=m.trees[: -ot.TREE])),
    "a tree more": (Answer, lambda m: replace(m, trees=m.trees + m.trees[: ot.TREE])),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_set_up_message_of_another_size_names_its_sender(name: str) -> None:
    assert_setup_names_the_cheat(*SIZES[name], "W-1.1")


@pytest.mark.parametrize("changes", [{"attempt": 2}, {"generation": 2}, {"vault": "another"}, {"epoch": 1}])
def test_a_set_up_replayed_from_another_context_does_not_fit(changes: dict[str, Any]) -> None:
    """The trees of another attempt, generation, vault or epoch, even over the same keys."""
    dice = random.Random(1)
    keys = [(dice.randbytes(32), dice.randbytes(32)) for _ in range(ot.BASE_OTS)]
    elsewhere = _with(**changes).hash(SID, LOW, HIGH)
    here = setup_context().hash(SID, LOW, HIGH)
    _, message = ot.expand(elsewhere, keys)
    bits = [dice.randrange(2) for _ in keys]
    mine = [pair[bit] for pair, bit in zip(keys, bits, strict=True)]
    assert ot.puncture(elsewhere, bits, mine, message) is not None
    assert ot.puncture(here, bits, mine, message) is None


def _with(**changes: Any) -> Any:
    where = setup_context()
    fields = {name: getattr(where, name) for name in ("vault", "epoch", "attempt", "generation", "members")}
    return type(where)(**{**fields, **changes})


# --- extension: HIGH is R and cheats


def refuses_extension(
    m1: bytes, rule: str, *, cheat: bool, given: Sequence[tuple[int, int]] = ((5, 7),), where: Any = None
) -> None:
    with pytest.raises(ProtocolAbort) as caught:
        answer(m1, given, where)
    aborts(caught.value, rule, HIGH, cheat=cheat)


@breaks("OT-3.1")
@pytest.mark.parametrize(
    "change",
    [
        lambda m1: b"",
        lambda m1: m1[:32],
        lambda m1: m1[:-1],
        lambda m1: m1 + b"\x00",
        lambda m1: m1 + m1,
        lambda m1: m1[: 32 + 80] + m1[-48:],
    ],
    ids=["empty", "salt alone", "short", "long", "twice", "one row"],
)
def test_an_extension_of_another_length_names_its_sender(change: Callable[[bytes], bytes]) -> None:
    refuses_extension(change(start().message), "OT-3.1", cheat=False)


@breaks("OT-3.1")
def test_an_extension_for_another_batch_names_its_sender() -> None:
    refuses_extension(start(batch=2).message, "OT-3.1", cheat=False)
    refuses_extension(start().message, "OT-3.1", cheat=False, given=[(5, 7), (5, 7)])


def tree_with(found: Callable[[int], bool]) -> int:
    return next(i for i, delta in enumerate(forests().missing) if found(delta))


@breaks("OT-3.2")
@pytest.mark.parametrize(
    "place",
    [0, 31, -1, -32, -33, -48],
    ids=["salt", "end of salt", "hash", "start of hash", "x^", "start of x^"],
)
def test_an_extension_that_does_not_fit_its_check_is_a_cheat(place: int) -> None:
    refuses_extension(flipped(start().message, place), "OT-3.2", cheat=True)


@breaks("OT-3.2")
@pytest.mark.parametrize("place", [0, 63, 64, 79], ids=["choices", "last choice", "mask", "end of mask"])
def test_a_false_row_is_a_cheat(place: int) -> None:
    tree = tree_with(lambda delta: delta != 0)
    refuses_extension(flipped(start().message, 32 + 80 * tree + place), "OT-3.2", cheat=True)


def guessing(tree: int) -> list[bytes]:
    """m1 of an R that lies in one row, and makes up for it in t^ as is right if Δ_i is 0, 1, 2, 3."""
    where = context()
    fresh = hedged(randomness("chooser 0"), where.hash)
    salt, choice, mask = fresh.public(32), fresh.secret(64).reveal(), fresh.secret(16).reveal()
    m1, v = ot.extend(where.hash, forests().full, salt, choice, mask)
    assert m1 == start().message
    error = bytes([1]) + bytes(79)
    place = 32 + 80 * tree
    u = changed(m1, place, ot.xor(m1[place : place + 80], error))[32:-48]
    factors = ot.fold_factors(where.hash, salt, u, 1)
    folds, wrong = [ot.fold(row, factors) for row in v], ot.fold(error, factors)
    x, messages = ot.fold(choice + mask, factors), []
    for guess in range(ot.LEAVES):
        adapted = list(folds)
        for b in range(ot.DEPTH):
            if ot.bit(guess, b):
                adapted[ot.DEPTH * tree + b] = ot.xor(adapted[ot.DEPTH * tree + b], wrong)
        messages.append(salt + u + x + ot.hash_of_folds(where.hash, salt, adapted))
    return messages


@breaks("OT-3.2")
def test_a_guessed_column_passes_for_one_value_of_four_and_else_is_a_cheat() -> None:
    tree = 9
    right = forests().missing[tree]
    for guess, m1 in enumerate(guessing(tree)):
        if guess == right:
            answer(m1)
        else:
            refuses_extension(m1, "OT-3.2", cheat=True)


def elsewhere(name: str) -> Context:
    """The same two with the same leaves, but all they hash belongs to another context."""
    where = context()
    object.__setattr__(where, "hash", context(**OTHER_CONTEXTS[name]).hash)
    return where


@breaks("OT-3.2")
@pytest.mark.parametrize("name", OTHER_CONTEXTS)
def test_an_extension_replayed_from_another_context_is_a_cheat(name: str) -> None:
    m1 = start(elsewhere(name)).message
    answer(m1, where=elsewhere(name))
    refuses_extension(m1, "OT-3.2", cheat=True)


@breaks("OT-3.2")
def test_an_extension_over_the_leaves_of_another_direction_or_generation_is_a_cheat() -> None:
    mirrored = start(context(sender=HIGH, receiver=LOW)).message
    refuses_extension(mirrored, "OT-3.2", cheat=True)
    other = setups(generation=2)[HIGH]
    m1 = Chooser.start(other, context(setup=other.id), randomness("elsewhere"), 1).message
    refuses_extension(m1, "OT-3.2", cheat=True)


# --- product: LOW is S and cheats


def refuses_answer(change: Callable[[bytes], bytes], rule: str, *, cheat: bool, batch: int = 1) -> None:
    chooser = start(batch=batch)
    m2, _ = answer(chooser.message, [(5, 7)] * batch)
    with pytest.raises(ProtocolAbort) as caught:
        chooser.finish(change(m2))
    aborts(caught.value, rule, LOW, cheat=cheat)


@breaks("OT-4.1")
@pytest.mark.parametrize(
    "change",
    [
        lambda m2: b"",
        lambda m2: m2[:32],
        lambda m2: m2[:-1],
        lambda m2: m2 + b"\x00",
        lambda m2: m2 + m2[32:],
        lambda m2: m2[:-96] + m2[-64:],
    ],
    ids=["empty", "salt alone", "short", "long", "two", "no η"],
)
def test_an_answer_of_another_length_names_its_sender(change: Callable[[bytes], bytes]) -> None:
    refuses_answer(change, "OT-4.1", cheat=False)


@breaks("OT-4.2")
@pytest.mark.parametrize("place", [32, 64, 96, 32 + 96 * 511, -96], ids=["a_1", "a_2", "a^", "last", "η"])
@pytest.mark.parametrize("value", [ot.Q, 2**256 - 1], ids=["q", "most"])
def test_an_answer_with_a_scalar_that_is_not_reduced_names_its_sender(place: int, value: int) -> None:
    refuses_answer(lambda m2: changed(m2, place, value.to_bytes(32, "big")), "OT-4.2", cheat=False)


@breaks("OT-4.3")
@pytest.mark.parametrize(
    "place",
    [0, 63, 95, 127, 31 + 32 + 96 * 511, -65, -64, -1],
    ids=["salt", "a_1", "a_2", "a^", "last", "η", "μ", "end of μ"],
)
def test_an_answer_that_does_not_fit_its_check_is_a_cheat(place: int) -> None:
    refuses_answer(lambda m2: flipped(m2, place), "OT-4.3", cheat=True)


@breaks("OT-4.3")
def test_every_multiplication_of_a_batch_is_checked() -> None:
    refuses_answer(lambda m2: flipped(m2, -1), "OT-4.3", cheat=True, batch=2)
    refuses_answer(lambda m2: flipped(m2, -1 - 96), "OT-4.3", cheat=True, batch=2)


@breaks("OT-4.3")
def test_multiplications_of_a_batch_cannot_be_exchanged() -> None:
    rows, size = 32, 96 * ot.XI

    def exchange(m2: bytes) -> bytes:
        first, second = m2[rows : rows + size], m2[rows + size : rows + 2 * size]
        return m2[:rows] + second + first + m2[-96:] + m2[-192:-96]

    refuses_answer(exchange, "OT-4.3", cheat=True, batch=2)


@breaks("OT-4.3")
@pytest.mark.parametrize("name", OTHER_CONTEXTS)
def test_an_answer_replayed_from_another_context_is_a_cheat(name: str) -> None:
    """Even one to the same choices under the same leaves."""
    chooser, there = start(), elsewhere(name)
    m2, _ = answer(start(there).message, where=there)
    start(there).finish(m2)
    with pytest.raises(ProtocolAbort) as caught:
        chooser.finish(m2)
    aborts(caught.value, "OT-4.3", LOW, cheat=True)


@breaks("OT-4.3")
def test_an_answer_to_another_extension_of_the_session_is_a_cheat() -> None:
    m2, _ = answer(start(seed=1).message)
    with pytest.raises(ProtocolAbort) as caught:
        start(seed=2).finish(m2)
    aborts(caught.value, "OT-4.3", LOW, cheat=True)


A, CHECK = (5, 7), 11


@cache
def transfers() -> tuple[bytes, list[list[int]], list[list[int]]]:
    """What S has for the m1 of ``start()`` and a salt of zeros: the hash of both salts, α0 and α1."""
    where, direction, m1 = context(), forests(), start().message
    w = ot.accept(where.hash, direction.punctured, direction.missing, m1, 1)
    assert w is not None
    salts, delta = ot.salts_hash(where.hash, m1[:32], bytes(32)), ot.packed(direction.missing)
    columns = ot.transpose(w, ot.XI)
    zero = [ot.pads(salts, j, column) for j, column in enumerate(columns)]
    return salts, zero, [ot.pads(salts, j, ot.xor(column, delta)) for j, column in enumerate(columns)]


def matrix(errors: Sequence[Sequence[int]]) -> bytes:
    """a~ with an error added to each scalar."""
    _, zero, one = transfers()
    return b"".join(
        ot.scalar(zero[j][n] - one[j][n] + (*A, CHECK)[n] + errors[j][n])
        for j in range(ot.XI)
        for n in range(3)
    )


NO_ERRORS = [[0, 0, 0]] * ot.XI


def theta_of(errors: Sequence[Sequence[int]]) -> list[int]:
    return ot.thetas(transfers()[0], matrix(errors), 0)


def cheating_answer(errors: Sequence[Sequence[int]], theta: Sequence[int]) -> bytes:
    """m2 with these errors, and η and μ made with this θ."""
    salts, zero, _ = transfers()
    eta = ot.scalar(CHECK + theta[0] * A[0] + theta[1] * A[1])
    mu = ot.mu(salts, 0, [row[2] + theta[0] * row[0] + theta[1] * row[1] for row in zero])
    return bytes(32) + matrix(errors) + eta + mu


def test_the_cheating_answer_without_an_error_is_honest() -> None:
    chooser = start()
    (d,) = pairs(chooser.finish(cheating_answer(NO_ERRORS, theta_of(NO_ERRORS))))
    _, zero, _ = transfers()
    g = ot.gadgets(digest(Domain.OT_GADGETS, context().setup, *context().direction))
    c = [-sum(x * row[n] for x, row in zip(g, zero, strict=True)) for n in (0, 1)]
    b = plain(chooser.choice[0])
    assert [(c[n] + d[n] - A[n] * b) % ot.Q for n in (0, 1)] == [0, 0]


def cancelling() -> tuple[bytes, list[int]]:
    """m2 with e_3 = -θ_1·e_1 in every transfer, for the θ of a~ before the errors; and that θ."""
    theta = theta_of(NO_ERRORS)
    return cheating_answer([[1, 0, -theta[0]]] * ot.XI, theta), theta


@breaks("OT-4.3")
def test_an_error_cancelled_against_an_early_theta_is_a_cheat() -> None:
    with pytest.raises(ProtocolAbort) as caught:
        start().finish(cancelling()[0])
    aborts(caught.value, "OT-4.3", LOW, cheat=True)


def test_the_same_error_would_pass_under_a_theta_that_is_known_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """And give R other products: the answer above is the attack it is meant to be."""
    where, (m2, theta) = context(), cancelling()
    fresh = hedged(randomness("chooser 0"), where.hash)
    salt, choice, mask = fresh.public(32), fresh.secret(64).reveal(), fresh.secret(16).reveal()
    m1, v = ot.extend(where.hash, forests().full, salt, choice, mask)
    g = ot.gadgets(digest(Domain.OT_GADGETS, where.setup, *where.direction))
    assert ot.finish(where.hash, g, choice, v, m1, m2) is None
    monkeypatch.setattr(ot, "thetas", lambda salts, matrix, k: theta)
    cheated = ot.finish(where.hash, g, choice, v, m1, m2)
    assert cheated is not None
    c = -sum(x * row[0] for x, row in zip(g, transfers()[1], strict=True))
    assert (c + cheated[0][0] - A[0] * ot.product(g, choice, 0)) % ot.Q != 0


@breaks("OT-4.3")
def test_an_error_in_one_transfer_is_a_guess_at_one_bit_of_the_choice() -> None:
    """It passes where β_j = 0, and R's result is right; where β_j = 1 it is a cheat."""
    fresh = hedged(randomness("chooser 0"), context().hash)
    fresh.public(32)
    choice = fresh.secret(64).reveal()
    for wanted in (0, 1):
        j = next(j for j in range(ot.XI) if ot.bit(choice[j // 8], j % 8) == wanted)
        errors = [[int(each == j), 0, 0] for each in range(ot.XI)]
        chooser, m2 = start(), cheating_answer(errors, theta_of(errors))
        if wanted:
            with pytest.raises(ProtocolAbort) as caught:
                chooser.finish(m2)
            aborts(caught.value, "OT-4.3", LOW, cheat=True)
        else:
            assert plain(chooser.choice[0])
            chooser.finish(m2)
