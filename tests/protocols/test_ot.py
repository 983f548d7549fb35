"""Oblivious transfer against the oracle, byte for byte on the same randomness, and what must never repeat."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from quorate.errors import Bug, ConsumedError, Corrupt, ProtocolAbort
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.native import scalars
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import hedged
from quorate.primitives.transcript import digest
from quorate.protocols.ot import base, expand
from quorate.protocols.ot.extension import Extension, extend
from quorate.protocols.ot.multiply import Chooser, respond
from quorate.protocols.ot.setup import PairSetup
from quorate.wire.simulator import randomness
from tests.oracle import ot
from tests.oracle.curve import times
from tests.protocols.pairs import (
    HIGH,
    LOW,
    OTHER,
    SID,
    SIGNERS,
    answer,
    context,
    forests,
    inputs,
    pairs,
    plain,
    run_setup,
    setup_context,
    setups,
    start,
)

CONTEXT = bytes(range(32))
Q = ot.Q


def bits_of(packed: SecretBytes) -> list[int]:
    data = packed.reveal()
    return [data[j // 8] >> j % 8 & 1 for j in range(8 * len(data))]


def numbers(packed: SecretBytes) -> list[int]:
    data = packed.reveal()
    return [ot.number(data[n : n + 32]) for n in range(0, len(data), 32)]


# --- the set-up against the oracle


def test_h2c_gives_the_known_answers() -> None:
    known = {
        (0, 0): "020d7c19925181382c3e63f4d14520e6a5ec0894ec59cf459ea418e839ab45c151",
        (1, 0): "03cb10f7e08862923ebdb98d2fa9ad6d5f0a8bb4b53937342f424137787314e9ca",
        (0, 255): "02067d85f399694b3657981e0c440c7a8744dba28e3e16a045e4a8e4ba8690afdf",
    }
    for (c, j), point in known.items():
        assert ot.encode(ot.to_point(CONTEXT, j, c, ot.encode(ot.G))).hex() == point


def h2c_of_the_kernel(choosing: base.Choosing, message: bytes, j: int) -> tuple[bytes, int, bytes]:
    """H2C as it shows in r_b = t·G - H2C(b, j, r_{1-b}): what it gave, for which bit and point."""
    bit, t = bits_of(choosing.bits)[j], numbers(choosing.logarithms)[j]
    r = [message[66 * j + 33 * c :][:33] for c in (0, 1)]
    point = ot.CURVE.add(times(ot.CURVE, t, ot.G), ot.minus(ot.decode(r[bit])))
    return ot.encode(point), bit, r[1 - bit]


def test_h2c_is_a_sum_of_two_decodings_and_no_multiple_of_the_generator_that_anyone_knows() -> None:
    choosing, message = base.choose(CONTEXT, randomness("h2c"))
    for j in (0, 1, 254, 255):
        point, bit, other = h2c_of_the_kernel(choosing, message, j)
        assert point == ot.encode(ot.to_point(CONTEXT, j, bit, other))
        halves = [
            digest(Domain.OT_POINT, CONTEXT, ot.two(j) + bytes([bit, n]) + other, size=64) for n in (0, 1)
        ]
        guesses = [
            half[at : at + size] for half in halves for at, size in ((0, 64), (0, 32), (32, 32), (0, 48))
        ]
        known = [ot.encode(times(ot.CURVE, int.from_bytes(each, "big"), ot.G)) for each in guesses]
        assert point not in known


def test_base_transfers_and_trees_are_the_oracles_byte_for_byte() -> None:
    rng = randomness("base")
    again = randomness("base")
    choosing, r = base.choose(CONTEXT, rng)
    assert bits_of(again.secret(32)) == bits_of(choosing.bits)
    t = numbers(scalars.reduce(Curve.SECP256K1, again.secret(64 * 256), 64))
    uniform = again.secret(256 * 128).reveal()
    answered, keys = base.answer(CONTEXT, r, LOW, rng)
    s = numbers(scalars.reduce(Curve.SECP256K1, again.secret(64 * 512), 64))
    chosen = base.finish(CONTEXT, choosing, answered, HIGH)
    bits, both, mine = bits_of(choosing.bits), keys.reveal(), chosen.reveal()
    for j in (0, 3, 100, 255):
        mine_r, mine_b = r[66 * j :][:66], answered[66 * j :][:66]
        assert mine_r == ot.base_choose(CONTEXT, j, bits[j], t[j], uniform[128 * j :][:128])
        assert (mine_b, (both[64 * j :][:32], both[64 * j + 32 :][:32])) == ot.base_answer(
            CONTEXT, j, mine_r, (s[2 * j], s[2 * j + 1])
        )
        assert mine[32 * j :][:32] == ot.base_finish(CONTEXT, j, bits[j], t[j], mine_b)
    all_keys = [(both[64 * j :][:32], both[64 * j + 32 :][:32]) for j in range(256)]

    leaves, message = expand.grow(CONTEXT, keys)
    forest, expected = ot.expand(CONTEXT, all_keys)
    assert message == expected
    assert leaves == b"".join(leaf for tree in forest for leaf in tree)
    punctured = expand.follow(CONTEXT, choosing, chosen, message, HIGH)
    known = ot.puncture(CONTEXT, bits, [all_keys[j][bits[j]] for j in range(256)], message)
    assert known is not None
    assert punctured == b"".join(leaf for tree in known[0] for leaf in tree) + bytes(known[1])


def test_base_messages_look_alike_whatever_is_chosen() -> None:
    """Chi-square with one degree of freedom, for each feature of (r_0, r_1) against the choice: 15.14 is p = 10^-4."""
    features: dict[str, Callable[[bytes, bytes], int]] = {
        "parity of y of r_0": lambda r0, r1: r0[0] & 1,
        "parity of y of r_1": lambda r0, r1: r1[0] & 1,
        "parity of x of r_0": lambda r0, r1: r0[-1] & 1,
        "parity of x of r_1": lambda r0, r1: r1[-1] & 1,
        "first bit of r_0": lambda r0, r1: r0[1] >> 7,
        "first bit of r_1": lambda r0, r1: r1[1] >> 7,
        "equal parities": lambda r0, r1: (r0[0] ^ r1[0]) & 1,
        "order": lambda r0, r1: int(r0[1:] < r1[1:]),
        "x of r_0 is a square": lambda r0, r1: jacobi(r0),
        "x of r_1 is a square": lambda r0, r1: jacobi(r1),
    }
    tables = {name: Counter[tuple[int, int]]() for name in features}
    for run in range(12):
        choosing, message = base.choose(CONTEXT, randomness(f"chi {run}"))
        for j, bit in enumerate(bits_of(choosing.bits)):
            r0, r1 = message[66 * j :][:33], message[66 * j + 33 :][:33]
            for name, feature in features.items():
                tables[name][bit, feature(r0, r1)] += 1
    for name, table in tables.items():
        assert chi_square(table) < 15.14, name


def jacobi(point: bytes) -> int:
    return int(pow(int.from_bytes(point[1:], "big"), (ot.CURVE.p - 1) // 2, ot.CURVE.p) == 1)


def chi_square(table: Counter[tuple[int, int]]) -> float:
    rows = [table[b, 0] + table[b, 1] for b in (0, 1)]
    columns = [table[0, f] + table[1, f] for f in (0, 1)]
    total = sum(rows)
    return sum(
        (table[b, f] - rows[b] * columns[f] / total) ** 2 / (rows[b] * columns[f] / total)
        for b in (0, 1)
        for f in (0, 1)
    )


def test_the_chi_square_test_sees_a_choice_that_shows() -> None:
    dice = random.Random(1)
    leaky = Counter[tuple[int, int]]()
    for _ in range(3072):
        bit = dice.randrange(2)
        leaky[bit, bit if dice.random() < 0.1 else dice.randrange(2)] += 1
    assert chi_square(leaky) > 15.14


# --- set-ups


def test_both_sides_of_a_set_up_hold_what_fits_together() -> None:
    both = setups()
    low, high = both[LOW], both[HIGH]
    assert (low.peer, high.peer) == (HIGH, LOW)
    assert low.id == high.id
    assert low.zero_seed == high.zero_seed
    for sender in (LOW, HIGH):
        direction = forests(sender)
        for full, known, star in zip(direction.full, direction.punctured, direction.missing, strict=True):
            assert [y for y in range(ot.LEAVES) if full[y] != known[y]] == [star]
            assert known[star] == bytes(32)
    assert set(forests(LOW).missing) == {0, 1, 2, 3}
    assert forests(LOW).missing != forests(HIGH).missing


def test_a_set_up_is_two_rounds_of_known_size() -> None:
    outcome = run_setup(lockstep=True)
    assert (outcome.rounds, outcome.messages) == (2, 4)
    assert 116_000 < outcome.bytes < 120_000


@pytest.mark.parametrize("changes", [{"seed": 1}, {"generation": 2}])
def test_another_set_up_has_another_id_and_other_secrets(changes: dict[str, int]) -> None:
    one, other = setups()[LOW], setups(**changes)[LOW]
    assert one.id != other.id
    assert one.zero_seed != other.zero_seed
    assert one.receiving != other.receiving
    assert one.sending != other.sending


def test_every_part_of_its_context_is_in_the_id_of_a_set_up() -> None:
    where = setup_context()
    first, second = SIGNERS[0], SIGNERS[1]
    stranger = replace_member(first, identity_key=bytes(32))
    heavier = replace_member(first, weight=3)
    others = [
        replace(where, vault=VaultId("other")),
        replace(where, epoch=Epoch(1)),
        replace(where, attempt=2),
        replace(where, generation=2),
        replace(where, members=(stranger, second)),
        replace(where, members=(heavier, second)),
    ]
    said = [[b"a"], [b"b"]]
    ids = [each.id(SID, said, bytes(32)) for each in (where, *others)]
    ids += [
        where.id(bytes(32), said, bytes(32)),
        where.id(SID, said, SID),
        where.id(SID, said[::-1], bytes(32)),
    ]
    assert len(set(ids)) == len(ids)
    hashes = [each.hash(SID, LOW, HIGH) for each in (where, *others)]
    hashes += [where.hash(SID, HIGH, LOW), where.hash(bytes(32), LOW, HIGH)]
    assert len(set(hashes)) == len(hashes)


def replace_member(member: Any, **changes: Any) -> Any:
    fields = {name: getattr(member, name) for name in ("device", "identity_key", "weight", "reduced")}
    return type(member)(**{**fields, **changes})


def test_a_set_up_survives_the_store() -> None:
    mine = setups()[LOW]
    back = PairSetup.unseal(mine.seal())
    assert (back.id, back.peer) == (mine.id, mine.peer)
    assert back.receiving == mine.receiving
    assert back.sending == mine.sending
    assert back.zero_seed == mine.zero_seed


@pytest.mark.parametrize("size", [0, 65_687, 65_689])
def test_what_is_no_set_up_is_not_unsealed(size: int) -> None:
    with pytest.raises(Corrupt):
        PairSetup.unseal(SecretBytes(size))


def test_a_set_up_names_its_two_in_order() -> None:
    where = setup_context()
    with pytest.raises(Bug):
        replace(where, members=where.members[::-1])


# --- multiplications against the oracle


@pytest.mark.parametrize(("sender", "batch"), [(LOW, 1), (HIGH, 2)])
def test_a_multiplication_is_the_oracles_byte_for_byte(sender: DeviceId, batch: int) -> None:
    receiver = HIGH if sender == LOW else LOW
    where, direction = context(sender=sender, receiver=receiver), forests(sender)
    dice = random.Random(batch)
    given = [(dice.randrange(Q), dice.randrange(Q)) for _ in range(batch)]

    chooser = start(where, seed=9, batch=batch)
    fresh = hedged(randomness("chooser 9"), where.hash)
    salt, choice, mask = fresh.public(32), fresh.secret(64 * batch).reveal(), fresh.secret(16).reveal()
    m1, v = ot.extend(where.hash, direction.full, salt, choice, mask)
    assert chooser.message == m1
    g = ot.gadgets(digest(Domain.OT_GADGETS, where.setup, *where.direction))
    b = [ot.product(g, choice, k) for k in range(batch)]
    assert [plain(each) for each in chooser.choice] == b

    m2, mine = answer(m1, given, where, seed=9)
    fresh = hedged(randomness("responder 9"), where.hash, m1)
    salt = fresh.public(32)
    checks = numbers(scalars.reduce(Curve.SECP256K1, fresh.secret(64 * batch), 64))
    expected = ot.respond(where.hash, g, direction.punctured, direction.missing, m1, given, salt, checks)
    assert expected is not None
    assert m2 == expected[0]
    assert pairs(mine) == expected[1]

    theirs = pairs(chooser.finish(m2))
    assert theirs == ot.finish(where.hash, g, choice, v, m1, m2)
    for k in range(batch):
        for n in (0, 1):
            assert (pairs(mine)[k][n] + theirs[k][n] - given[k][n] * b[k]) % Q == 0


@pytest.mark.parametrize("given", [(0, 0), (0, 1), (Q - 1, Q - 1)])
def test_any_inputs_multiply(given: tuple[int, int]) -> None:
    chooser = start()
    m2, mine = answer(chooser.message, [given])
    (c,), (d,) = pairs(mine), pairs(chooser.finish(m2))
    b = plain(chooser.choice[0])
    assert [(c[n] + d[n]) % Q for n in (0, 1)] == [given[n] * b % Q for n in (0, 1)]


@pytest.mark.parametrize("batch", [1, 8])
def test_messages_have_the_sizes_of_the_specification(batch: int) -> None:
    chooser = start(batch=batch)
    m2, _ = answer(chooser.message, [(1, 2)] * batch)
    assert len(chooser.message) == 8192 * batch + 2128
    assert len(m2) == 49_248 * batch + 32


@pytest.mark.parametrize("batch", [0, 9])
def test_a_batch_has_one_to_eight_multiplications(batch: int) -> None:
    with pytest.raises(Bug):
        start(batch=batch)
    with pytest.raises(Bug):
        answer(start().message, [(1, 2)] * batch)


def test_a_receiver_finishes_once() -> None:
    chooser = start()
    m2, _ = answer(chooser.message)
    chooser.finish(m2)
    with pytest.raises(ConsumedError):
        chooser.finish(m2)


def refused(chooser: Chooser) -> None:
    with pytest.raises(ProtocolAbort, match=r"OT-4\.1"):
        chooser.finish(b"")


@pytest.mark.parametrize(
    "end",
    [
        lambda chooser: chooser.finish(answer(chooser.message)[0]),
        refused,
        lambda chooser: chooser.burn(),
    ],
    ids=["answered", "refused", "never answered"],
)
def test_a_receivers_choices_are_wiped_by_any_end(
    end: Callable[[Chooser], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """b is the sum of them, so wiping b alone would leave it there."""
    made: list[Extension] = []

    def keep(*args: Any) -> tuple[Extension, bytes]:
        extension, message = extend(*args)
        made.append(extension)
        return extension, message

    monkeypatch.setattr("quorate.protocols.ot.multiply.extend", keep)
    chooser = start()
    end(chooser)
    chooser.burn()
    for secret in (made[0].choices, made[0].columns, chooser.choice):
        with pytest.raises(Bug, match="wiped"):
            secret.reveal()


def test_a_receiver_that_was_cheated_does_not_look_at_a_second_answer() -> None:
    chooser = start()
    m2, _ = answer(chooser.message)
    with pytest.raises(ProtocolAbort):
        chooser.finish(m2[:-1])
    with pytest.raises(ConsumedError):
        chooser.finish(m2)


# --- contexts


def test_a_multiplication_needs_the_set_up_it_names() -> None:
    elsewhere = context(setup=bytes(32))
    with pytest.raises(Bug):
        start(elsewhere)
    with pytest.raises(Bug):
        respond(setups()[LOW], elsewhere, start().message, inputs((1, 2)), randomness("any"))
    with pytest.raises(Bug):  # our own half of the direction, not the peer's
        Chooser.start(setups()[LOW], context(), randomness("any"), 1)
    with pytest.raises(Bug):
        respond(setups()[HIGH], context(), start().message, inputs((1, 2)), randomness("any"))


@pytest.mark.parametrize(
    "changes",
    [{"signers": SIGNERS[::-1]}, {"signers": (SIGNERS[0], SIGNERS[0], SIGNERS[1])}, {"receiver": LOW}],
    ids=["order", "twice", "alone"],
)
def test_a_context_that_is_not_one_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Bug):
        context(**changes)


OTHER_CONTEXTS: dict[str, dict[str, Any]] = {
    "vault": {"vault": "another"},
    "epoch": {"epoch": 1},
    "set-up": {"setup": bytes(32)},
    "session": {"sid": bytes(32)},
    "signers": {"signers": SIGNERS[:2]},
    "weights": {"signers": (replace_member(SIGNERS[0], weight=5), *SIGNERS[1:])},
    "identity": {"signers": (*SIGNERS[:2], replace_member(SIGNERS[2], identity_key=bytes(32)))},
    "direction": {"sender": HIGH, "receiver": LOW},
    "pair": {"receiver": OTHER},
    "part": {"part": 1},
}


def test_every_part_of_a_context_is_in_its_hash() -> None:
    hashes = [context(**changes).hash for changes in ({}, *OTHER_CONTEXTS.values())]
    assert len(set(hashes)) == len(hashes)


def test_gadgets_are_of_the_set_up_and_direction_and_of_nothing_a_session_could_grind() -> None:
    same = [context(sid=bytes(32)), context(part=3), context(epoch=4), context(vault="another")]
    assert {each.gadgets for each in same} == {context().gadgets}
    other = [context(setup=bytes(32)), context(sender=HIGH, receiver=LOW), context(receiver=OTHER)]
    assert len({context().gadgets, *(each.gadgets for each in other)}) == 4


# --- what must never repeat


def matrix(m2: bytes) -> list[list[int]]:
    flat = ot.read(m2, 1).matrix
    return [[ot.number(flat[96 * j + 32 * n :][:32]) for n in range(3)] for j in range(ot.XI)]


def leaks(one: bytes, two: bytes, a: tuple[int, int], b: tuple[int, int]) -> int:
    """In how many transfers the difference of two answers is that of the inputs."""
    return sum(
        (x[n] - y[n] - a[n] + b[n]) % Q == 0
        for x, y in zip(matrix(one), matrix(two), strict=True)
        for n in (0, 1)
    )


def test_a_replayed_m1_does_not_give_the_difference_of_two_inputs() -> None:
    m1, a, b = start().message, (11, 13), (17, 23)
    one, _ = answer(m1, [a], seed=1)
    two, _ = answer(m1, [b], seed=2)
    assert one[:32] != two[:32]
    assert leaks(one, two, a, b) == 0


def test_without_the_senders_salt_a_replay_would_give_it() -> None:
    where, direction, m1 = context(), forests(), start().message
    answers = []
    for a in ((11, 13), (17, 23)):
        g = [0] * ot.XI
        answered = ot.respond(where.hash, g, direction.punctured, direction.missing, m1, [a], bytes(32), [5])
        assert answered is not None
        answers.append(answered[0])
    assert leaks(answers[0], answers[1], (11, 13), (17, 23)) == 2 * ot.XI


def test_a_responder_restored_from_a_snapshot_answers_two_extensions_under_two_salts() -> None:
    """Same randomness, same session, another m1: other pads and another a^. The same m1: the same answer."""
    one, two = start(seed=1).message, start(seed=2).message
    assert answer(one, seed=7)[0] == answer(one, seed=7)[0]
    assert answer(one, seed=7)[0][:32] != answer(two, seed=7)[0][:32]


def test_a_receiver_restored_from_a_snapshot_chooses_anew_in_another_session() -> None:
    here, there = start(seed=3), start(context(sid=bytes(32)), seed=3)
    assert here.message[:32] != there.message[:32]
    assert here.choice[0] != there.choice[0]
    parts = [start(context(part=part), seed=3) for part in (0, 1)]
    assert parts[0].choice[0] != parts[1].choice[0]


def test_every_multiplication_of_a_batch_has_a_choice_of_its_own() -> None:
    chosen = [plain(each) for each in start(batch=8).choice]
    assert len(set(chosen)) == 8
