"""One party spoils the set-ups within key generation, or what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.errors import Contested, Diverged, ProtocolAbort, Stalled
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.protocols.ot.setup import Answer, Choice
from quorate.wire.simulator import DROP, Tamper, devices
from tests.adversary.blame import (
    THRESHOLD,
    WEIGHTS,
    Cheat,
    assert_all_name,
    assert_all_name_the_two,
    assert_all_wait_for,
    assert_no_honest_party_is_named,
)
from tests.protocols.vaults import generate
from tests.rules import breaks

VICTIM, CHEAT, OTHER = devices(3)
SLOT = "/Verdict"


def saying(
    name: str, rule: str, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]], **aim: bool
) -> Cheat:
    return Cheat(
        name=name, rule=rule, slot=SLOT, change=lambda m, _: replace(m, setups=change(m.setups)), **aim
    )


COUNTS = [
    saying("none", "KG-6.1", lambda ids: ()),
    saying("one too few", "KG-6.1", lambda ids: ids[:1]),
    saying("one too many", "KG-6.1", lambda ids: (*ids, bytes(32))),
]


@breaks("KG-6.1")
@pytest.mark.parametrize("cheat", COUNTS, ids=lambda cheat: cheat.id)
def test_another_number_of_set_ups_than_peers_names_who_says_so(cheat: Cheat) -> None:
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, "KG-6.1")
    assert not any(shelves[device].events for device in (VICTIM, OTHER)), "nothing was stored"


IDS = [
    (saying("another id for one pair", "KG-6.2", lambda ids: (bytes(32), *ids[1:])), VICTIM),
    (saying("another id for the other pair", "KG-6.2", lambda ids: (*ids[:-1], bytes(32))), OTHER),
    (saying("in another order", "KG-6.2", lambda ids: ids[::-1]), VICTIM),
]


@breaks("KG-6.2")
@pytest.mark.parametrize(("cheat", "peer"), IDS)
def test_two_ids_of_one_set_up_name_the_pair_of_whom_one_lies(cheat: Cheat, peer: DeviceId) -> None:
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name_the_two(outcome, CHEAT, peer, "KG-6.2")
    assert not any(shelves[device].events for device in (VICTIM, OTHER)), "nothing was stored"


@breaks("KG-6.2")
def test_another_id_told_to_one_victim_names_no_honest_party_without_the_cheat() -> None:
    cheat = saying("to one", "KG-6.2", lambda ids: (*ids[:-1], bytes(32)), one_victim=True)
    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, Contested)
    assert failure.rule.split()[0] == "KG-6.2"
    assert failure.culprits == {CHEAT, OTHER}


def test_two_cheats_who_name_their_set_up_differently_to_different_members_are_named() -> None:
    """Each side of the pair says the same to each member, so only views, and the records, differ."""
    one, two, lied_to, friend = devices(4)

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot == SLOT and sender in (one, two) and recipient == lied_to:
            return replace(message, setups=(bytes(32), *message.setups[1:]))
        return message

    outcome, shelves = generate([1, 1, 1, 1], 3, tamper=tamper)
    assert shelves[lied_to].record != shelves[friend].record
    for device in (lied_to, friend):
        failure = outcome.failures[device]
        assert isinstance(failure, (Diverged, ProtocolAbort))
        assert failure.culprits
        assert failure.culprits <= {one, two}
        assert shelves[device].certificate is None


def spoiling(kind: type[Any], change: Callable[[Any], Any]) -> Tamper:
    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        aimed = sender == CHEAT and recipient == VICTIM and isinstance(message, kind)
        return change(message) if aimed else message

    return tamper


def flipped(data: bytes, place: int) -> bytes:
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


SPOILT: dict[str, tuple[type[Any], str, Callable[[Any], Any]]] = {
    "a choice that is no point": (Choice, "OT-1.1", lambda m: replace(m, points=bytes(33) + m.points[33:])),
    "an answer that is no point": (Answer, "OT-1.2", lambda m: replace(m, points=bytes(33) + m.points[33:])),
    "trees that do not fit": (Answer, "OT-2.1", lambda m: replace(m, trees=flipped(m.trees, -1))),
    "another zero seed": (Answer, "OT-2.2", lambda m: replace(m, zero=SecretBytes(32))),
    "a choice too short": (Choice, "W-1.1", lambda m: b"\x92\xc4\x00\xc4\x00"),
}


@breaks("OT-1.1", "OT-1.2", "OT-2.1", "OT-2.2")
@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_set_up_ends_the_generation_and_its_victim_names_the_cheat(name: str) -> None:
    """Only the victim sees it, and no complaint can be made of it: the others wait, or hear that it gave up."""
    kind, rule, change = SPOILT[name]
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=spoiling(kind, change), ideally=False)
    assert_no_honest_party_is_named(outcome, CHEAT)
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert (failure.rule.split()[0], failure.culprits, failure.cheat) == (rule, frozenset({CHEAT}), False)
    assert not any(shelf.events for shelf in shelves.values()), "nothing was stored"


@pytest.mark.parametrize("kind", [Choice, Answer])
def test_a_set_up_that_is_withheld_is_waited_for_by_name(kind: type[Any]) -> None:
    outcome, shelves = generate([1, 1], 2, tamper=spoiling(kind, lambda m: DROP), ideally=False)
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, Stalled)
    assert failure.waiting_on == {CHEAT}
    assert not shelves[VICTIM].events


def test_a_set_up_of_another_session_does_not_fit_here() -> None:
    """The same randomness on the cheat's side in both; base OTs, trees and commitment are bound to the session."""
    said: dict[tuple[DeviceId, str], Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        said[recipient, slot] = message
        return message

    generate([1, 1], 2, seed=5, tamper=listen, ideally=False)
    old = {type(message): message for (to, _), message in said.items() if to == VICTIM}
    for kind in (Choice, Answer):
        tamper = spoiling(kind, lambda message: old[type(message)])
        outcome, _ = generate([1, 1], 2, tamper=tamper, ideally=False)
        failure = outcome.failures[VICTIM]
        assert isinstance(failure, ProtocolAbort)
        assert (failure.rule.split()[0], failure.culprits) == ("OT-2.2", frozenset({CHEAT}))


def test_ids_that_are_withheld_are_waited_for_by_name() -> None:
    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return DROP if (sender, slot) == (CHEAT, SLOT) else message

    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=tamper)
    assert_all_wait_for(outcome, CHEAT)
