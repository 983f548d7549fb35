from __future__ import annotations

import dataclasses
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from quorate.errors import Bug, UsageError
from quorate.identifiers import Curve
from quorate.protocols import quorum
from quorate.protocols.quorum import Sharing, sharing_of
from quorate.wire.simulator import devices
from tests.oracle import shamir
from tests.protocols.vaults import members, sharing, vault_of

rosters = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def test_weights_and_threshold_are_divided_by_their_common_divisor() -> None:
    shared = sharing([40, 60, 20], 90)
    assert [list(seat.indices) for seat in shared.seats] == [[1, 2], [3, 4, 5], [6]]
    assert (shared.terms, shared.total, shared.threshold) == (5, 6, 90)


def test_seats_are_in_order_of_device_id_whatever_order_they_come_in() -> None:
    given_order = members([3, 1, 2])
    assert sharing_of(reversed(given_order), 4) == sharing_of(given_order, 4)


@given(weights=rosters, data=st.data())
@settings(max_examples=80)
def test_the_same_sets_reach_the_threshold_after_reduction(weights: list[int], data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, sum(weights)))
    shared = sharing(weights, threshold)
    reduced, terms = shamir.reduced(weights, threshold)
    assert [list(seat.indices) for seat in shared.seats] == shamir.indices(reduced)
    assert shared.terms == terms
    for size in range(1, len(weights) + 1):
        for seats in combinations(shared.seats, size):
            by_index = sum(len(seat.indices) for seat in seats) >= shared.terms
            assert shared.reaches(seat.device for seat in seats) is by_index


@given(weights=rosters, data=st.data())
@settings(max_examples=40)
def test_minimal_sets_are_those_that_no_member_can_leave(weights: list[int], data: st.DataObject) -> None:
    shared = sharing(weights, data.draw(st.integers(1, sum(weights))))
    sets = [
        frozenset(chosen)
        for size in range(1, len(weights) + 1)
        for chosen in combinations(shared.devices, size)
        if shared.reaches(chosen) and not any(shared.reaches(set(chosen) - {d}) for d in chosen)
    ]
    assert [frozenset(chosen) for chosen in shared.minimal_sets()] == sets


def test_no_index_is_zero_and_none_is_owned_twice() -> None:
    owned = [x for seat in sharing([499, 307, 194], 501).seats for x in seat.indices]
    assert owned == list(range(1, 1001))


def test_a_roster_of_one_is_legal_whatever_its_weight() -> None:
    alone = sharing_of(members([2]), 2)
    assert (alone.total, alone.terms) == (1, 1)


def test_a_device_named_twice_counts_once() -> None:
    shared = sharing([2, 1, 1], 3)
    assert shared.weight_of([shared.devices[1]] * 2) == 1
    assert not shared.reaches([shared.devices[1]] * 3)


FIRST, SECOND, *_ = devices(4)
ONE, TWO = members([1, 1])


@pytest.mark.parametrize(
    ("roster", "threshold", "said"),
    [
        ([], 1, "1 to 50 signers, not 0"),
        (members([1] * 51), 26, "1 to 50 signers, not 51"),
        ([ONE, TWO, ONE], 2, f"{FIRST} and {FIRST} are the same device"),
        ([ONE, replace(TWO, identity_key=ONE.identity_key)], 2, f"{FIRST} and {SECOND} are the same device"),
        ([ONE, replace(TWO, weight=0)], 1, f"{SECOND} has weight 0"),
        (members([2, 1, 1]), 5, "threshold 5 is not between 1 and the total weight 4"),
        (members([2, 1, 1]), 0, "threshold 0 is not between 1 and the total weight 4"),
        (members([2, 1, 1]), 2, f"{FIRST} has weight 2 and could sign alone at threshold 2"),
        (members([1000, 1]), 1001, "add up to 1001 after division by 1, more than 1000"),
    ],
)
def test_a_bad_roster_is_refused_with_what_and_who(roster: list[object], threshold: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sharing_of(roster, threshold)  # type: ignore[arg-type]


def test_images_that_do_not_add_up_to_the_key_are_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = vault_of([1, 1], 2)
    monkeypatch.setattr(quorum, "lagrange_at_zero", lambda group, xs: (group.scalar_of(1),) * len(xs))
    fresh = dataclasses.replace(vault.shelves[vault.devices[0]].shares[Curve.ED25519], quorums={})
    with pytest.raises(Bug, match="do not add up"):
        vault.record.quorum(fresh, vault.devices)


def test_a_sole_signer_is_possible_when_it_is_asked_for() -> None:
    assert isinstance(sharing_of(members([2, 1]), 2, allow_sole_signer=True), Sharing)


def test_a_stranger_has_no_seat() -> None:
    with pytest.raises(UsageError, match="stranger is not in the roster"):
        sharing([1, 1], 2).seat("stranger")  # type: ignore[arg-type]
