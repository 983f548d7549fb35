"""Whatever is multiplied, by whom and how much at once: c + d = a·b, and all that is drawn is drawn anew."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.identifiers import DeviceId
from tests.oracle import ot
from tests.protocols.pairs import HIGH, LOW, answer, context, pairs, plain, start

EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
SCALARS = st.one_of(st.sampled_from([0, 1, 2, ot.Q - 1, ot.Q // 2]), st.integers(0, ot.Q - 1))
PAIRS = st.lists(st.tuples(SCALARS, SCALARS), min_size=1, max_size=8)


@EXAMPLES
@given(
    inputs=PAIRS,
    directed=st.permutations([LOW, HIGH]),
    seed=st.integers(0, 2**32),
    sid=st.binary(max_size=64),
)
def test_halves_add_up_to_products(
    inputs: list[tuple[int, int]], directed: list[DeviceId], seed: int, sid: bytes
) -> None:
    sender, receiver = directed
    where = context(sender=sender, receiver=receiver, sid=sid)
    chooser = start(where, seed=seed, batch=len(inputs))
    m2, mine = answer(chooser.message, inputs, where, seed=seed)
    halves = zip(inputs, chooser.choice, pairs(mine), pairs(chooser.finish(m2)), strict=True)
    for a, choice, c, d in halves:
        b = plain(choice)
        assert [(c[n] + d[n]) % ot.Q for n in (0, 1)] == [a[n] * b % ot.Q for n in (0, 1)]


@EXAMPLES
@given(seeds=st.lists(st.integers(0, 2**32), min_size=2, max_size=4, unique=True))
def test_nothing_that_is_sent_repeats(seeds: list[int]) -> None:
    firsts = [start(seed=seed).message for seed in seeds]
    seconds = [answer(firsts[0], seed=seed)[0] for seed in seeds]
    for messages in (firsts, seconds):
        for start_of, size in ((0, 32), (32, 32), (-32, 32)):
            parts = {message[start_of:][:size] for message in messages}
            assert len(parts) == len(messages)
