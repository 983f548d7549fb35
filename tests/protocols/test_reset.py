"""Two parties make another set-up and switch to it: the order of what becomes durable, and who is left with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.errors import ProtocolAbort, Stalled, StoreError
from quorate.identifiers import DeviceId
from quorate.protocols.ot.reset import Held, Switched, reset
from quorate.protocols.ot.setup import Answer, PairSetup
from quorate.wire.codec import Message
from quorate.wire.machine import Passage
from quorate.wire.simulator import DROP, Outcome, Simulator, Tamper, randomness
from tests.oracle import ot
from tests.protocols.pairs import HIGH, LOW, setup_context
from tests.rules import breaks

GENERATION = 3


@dataclass(slots=True)
class Shelf:
    """A ``PairBook`` in memory, with the order of what was written to it and of what left in between."""

    events: list[str] = field(default_factory=list)
    states: dict[bytes, str] = field(default_factory=lambda: {b"old": "LIVE"})
    held: dict[bytes, PairSetup] = field(default_factory=dict)
    refuses: bool = False

    def retire(self) -> None:
        if self.refuses:
            raise StoreError("a later generation was in use")
        self.events.append("retire")
        self.states = dict.fromkeys(self.states, "DEAD")

    def pending(self, setup: PairSetup) -> None:
        self._keep(setup, "PENDING")

    def live(self, setup: PairSetup) -> None:
        self._keep(setup, "LIVE")

    def enliven(self, setup: bytes) -> bool:
        self.events.append("enliven")
        if self.states.get(setup) == "PENDING":
            self.states[setup] = "LIVE"
        return self.states.get(setup) == "LIVE"

    def _keep(self, setup: PairSetup, state: str) -> None:
        self.events.append(state.lower())
        self.states[setup.id], self.held[setup.id] = state, setup

    @property
    def live_ones(self) -> list[bytes]:
        return [setup for setup, state in self.states.items() if state == "LIVE"]


def run(
    *,
    seed: int = 0,
    tamper: Tamper | None = None,
    shelves: dict[DeviceId, Shelf] | None = None,
    **simulation: Any,
) -> tuple[Outcome[bytes], dict[DeviceId, Shelf]]:
    books = shelves or {LOW: Shelf(), HIGH: Shelf()}

    def observe(me: DeviceId, passage: Passage) -> None:
        if passage.sender == me:
            books[me].events.append(passage.slot.rpartition("/")[2])

    def protocol(me: DeviceId) -> Callable[[Any], Any]:
        rng = randomness(f"reset {seed} {me}")
        return lambda net: reset(net, setup_context(GENERATION), rng, books[me])

    protocols = {me: protocol(me) for me in (LOW, HIGH)}
    return Simulator(protocols, seed=seed, tamper=tamper, observe=observe, **simulation).run(), books


def cheating(cheat: DeviceId, kind: type[Message], change: Callable[[Any], Any]) -> Tamper:
    def tamper(sender: str, _: str, __: str, message: Message) -> Any:
        return change(message) if sender == cheat and isinstance(message, kind) else message

    return tamper


def assert_names(failure: object, rule: str, *culprits: DeviceId) -> None:
    assert isinstance(failure, ProtocolAbort), failure
    assert failure.rule.split()[0] == rule
    assert failure.culprits == set(culprits)
    assert not failure.cheat


@pytest.mark.parametrize("seed", range(3))
def test_both_end_with_one_set_up_and_the_old_one_is_dead(seed: int) -> None:
    outcome, shelves = run(seed=seed)
    assert not outcome.failures
    assert outcome.results[LOW] == outcome.results[HIGH]
    for me in (LOW, HIGH):
        assert shelves[me].live_ones == [outcome.results[me]]
        assert shelves[me].states[b"old"] == "DEAD"


def test_what_is_said_is_durable_before_it_is_said() -> None:
    """The old one dies before anything leaves; min has the new one on disk before it says so, and max uses it before it
    says that."""
    _, shelves = run()
    assert shelves[LOW].events == ["retire", "Choice", "Answer", "pending", "Held", "enliven"]
    assert shelves[HIGH].events == ["retire", "Choice", "Answer", "live", "Switched"]


def test_the_new_set_up_multiplies() -> None:
    outcome, shelves = run()
    name = outcome.results[LOW]
    low, high = shelves[LOW].held[name], shelves[HIGH].held[name]
    assert low.zero_seed == high.zero_seed
    size = ot.TREES * ot.LEAVES * 32
    for sender, receiver in ((low, high), (high, low)):
        punctured, leaves = sender.sending.reveal(), receiver.receiving.reveal()
        missing = punctured[size:]
        for place in range(0, size, 32):
            tree, leaf = divmod(place // 32, ot.LEAVES)
            known = punctured[place : place + 32]
            assert known == (bytes(32) if missing[tree] == leaf else leaves[place : place + 32])


def test_two_attempts_at_one_generation_make_two_set_ups() -> None:
    assert run(seed=0)[0].results[LOW] != run(seed=1)[0].results[LOW]


@breaks("OT-5.1")
def test_a_min_that_holds_another_set_up_is_named_and_max_keeps_none() -> None:
    outcome, shelves = run(tamper=cheating(LOW, Held, lambda m: replace(m, setup=bytes(32))))
    assert_names(outcome.failures[HIGH], "OT-5.1", LOW)
    assert shelves[HIGH].live_ones == []
    assert shelves[LOW].live_ones == []


@breaks("OT-5.2")
def test_a_max_that_switched_to_another_set_up_is_named_and_min_uses_none() -> None:
    outcome, shelves = run(tamper=cheating(HIGH, Switched, lambda m: replace(m, setup=bytes(32))))
    assert_names(outcome.failures[LOW], "OT-5.2", HIGH)
    assert shelves[LOW].live_ones == []


@breaks("OT-5.3")
def test_what_died_while_it_was_pending_is_not_used() -> None:
    shelves = {LOW: Shelf(), HIGH: Shelf()}

    def end_it(sender: str, _: str, __: str, message: Message) -> Message:
        if isinstance(message, Switched):
            shelves[LOW].states = dict.fromkeys(shelves[LOW].states, "DEAD")
        return message

    outcome, _ = run(tamper=end_it, shelves=shelves)
    assert_names(outcome.failures[LOW], "OT-5.3")
    assert shelves[LOW].live_ones == []


def test_what_came_to_life_before_the_other_said_so_in_the_session_is_used() -> None:
    """As an outcome may have it that arrives on another way."""
    shelves = {LOW: Shelf(), HIGH: Shelf()}

    def overtake(sender: str, _: str, __: str, message: Message) -> Message:
        if isinstance(message, Switched):
            shelves[LOW].states[message.setup] = "LIVE"
        return message

    outcome, _ = run(tamper=overtake, shelves=shelves)
    assert not outcome.failures


@pytest.mark.parametrize(
    ("silent", "kind", "left"),
    [
        (HIGH, Answer, {LOW: [], HIGH: []}),
        (LOW, Held, {LOW: ["PENDING"], HIGH: []}),
        (HIGH, Switched, {LOW: ["PENDING"], HIGH: ["LIVE"]}),
    ],
    ids=["before it is made", "before max has it", "before min uses it"],
)
def test_a_loss_at_any_step_leaves_no_set_up_that_one_side_alone_uses(
    silent: DeviceId, kind: type[Message], left: dict[DeviceId, list[str]]
) -> None:
    """Where max has it LIVE, min has the same one PENDING; and the old one is dead on both sides in any case."""
    outcome, shelves = run(tamper=cheating(silent, kind, lambda _: DROP))
    assert any(isinstance(failure, Stalled) for failure in outcome.failures.values())
    for me in (LOW, HIGH):
        states = dict(shelves[me].states)
        assert states.pop(b"old") == "DEAD"
        assert list(states.values()) == left[me]
    assert set(shelves[HIGH].live_ones) <= set(shelves[LOW].states)


@pytest.mark.parametrize("refusing", [LOW, HIGH])
def test_nothing_is_said_by_a_side_that_has_gone_further(refusing: DeviceId) -> None:
    shelves = {LOW: Shelf(), HIGH: Shelf()}
    shelves[refusing].refuses = True
    outcome, _ = run(shelves=shelves)
    assert isinstance(outcome.failures[refusing], StoreError)
    assert shelves[refusing].events == []
    assert shelves[refusing].live_ones == [b"old"]


def test_a_set_up_of_another_generation_is_another_set_up() -> None:
    """Parties that disagree about the generation do not come to share anything."""
    protocols = {
        me: lambda net, me=me, generation=generation: reset(
            net, setup_context(generation), randomness(f"reset {me}"), Shelf()
        )
        for me, generation in ((LOW, 3), (HIGH, 4))
    }
    assert not Simulator(protocols).run().results
