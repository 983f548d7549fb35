"""Clocks that somebody sets: nothing is signed after its time, and nothing but operations ends by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from quorate.ceremony.ports import KeptTime, Method, State
from quorate.ceremony.session import Patience
from quorate.ceremony.steady_time import SteadyTime
from quorate.errors import QuorateError
from quorate.identifiers import DeviceId
from quorate.wire.envelope import unpack
from tests.ceremony.resets import until
from tests.ceremony.world import CALLER, QUICK, Node, World, code_of
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
START = 1_800_000_000_000
MINUTE, HOUR = 60_000, 3_600_000


@dataclass
class Clocks:
    wall: int = START
    ran: float = 1000.0

    def now_ms(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.ran

    def passes(self, ms: int) -> None:
        self.wall += ms
        self.ran += ms / 1000


@dataclass(frozen=True)
class Life:
    expires_ms: int
    ends_ms: int


def taken_in(steady: SteadyTime, clocks: Clocks, life_ms: int = HOUR) -> Life:
    expires_ms = clocks.wall + life_ms
    return Life(expires_ms, steady.end_of(expires_ms))


def restarted(steady: SteadyTime, clocks: Clocks, *, down_ms: int = 0, set_ms: int = 0) -> SteadyTime:
    kept = steady.kept()
    clocks.wall += down_ms + set_ms
    clocks.ran = 7.0  # of another boot
    return SteadyTime(clocks, kept)


# --- steady time ------------------------------------------------------------------------------------------------------


def test_without_anybody_s_doing_both_clocks_end_a_life_together() -> None:
    clocks = Clocks()
    steady = SteadyTime(clocks, None)
    operation = taken_in(steady, clocks)
    assert operation.ends_ms == operation.expires_ms
    clocks.passes(HOUR - 1)
    assert steady.left(operation) == 0.001
    steady = restarted(steady, clocks)
    assert not steady.expired(operation)
    steady = restarted(steady, clocks, down_ms=1)
    assert steady.expired(operation)
    assert operation.ends_ms == steady.now_ms()


@breaks("CE-8.1")
@pytest.mark.parametrize("back", [MINUTE, 5 * HOUR])
def test_a_clock_that_is_set_back_lengthens_no_life(back: int) -> None:
    clocks = Clocks()
    steady = SteadyTime(clocks, None)
    operation = taken_in(steady, clocks)
    clocks.passes(HOUR // 2)
    clocks.wall -= back
    clocks.passes(HOUR // 2 - 1)
    assert not steady.expired(operation)
    clocks.passes(1)
    assert steady.expired(operation)
    assert clocks.wall < operation.expires_ms


@breaks("CE-8.2")
def test_a_clock_that_is_set_back_while_the_node_is_down_lengthens_no_life() -> None:
    clocks = Clocks()
    steady = SteadyTime(clocks, None)
    operation = taken_in(steady, clocks)
    clocks.passes(HOUR - MINUTE)
    steady = restarted(steady, clocks, set_ms=-5 * HOUR)
    assert steady.left(operation) == 60
    steady = restarted(steady, clocks, set_ms=-5 * HOUR)
    clocks.passes(MINUTE)
    assert steady.expired(operation)


def test_a_clock_that_is_set_back_and_right_again_after_a_restart_shortens_no_life() -> None:
    clocks = Clocks()
    steady = SteadyTime(clocks, None)
    operation = taken_in(steady, clocks)
    clocks.wall -= 5 * HOUR
    clocks.passes(10 * MINUTE)
    steady = restarted(steady, clocks, set_ms=5 * HOUR, down_ms=MINUTE)
    assert steady.left(operation) == 49 * 60


def test_a_clock_that_is_set_forward_ends_what_is_there_and_shortens_nothing_that_comes() -> None:
    clocks = Clocks()
    steady = SteadyTime(clocks, None)
    early = taken_in(steady, clocks)
    clocks.wall += 2 * HOUR
    assert steady.expired(early)
    steady = restarted(steady, clocks)  # started by the wrong clock
    clocks.wall -= 2 * HOUR
    for _ in range(2):
        assert steady.left(taken_in(steady, clocks)) == 3600
        operation = taken_in(steady, clocks)
        steady = restarted(steady, clocks)
        assert steady.left(operation) == 3600


@pytest.mark.parametrize("direction", [1, -1])
def test_what_comes_in_by_a_wrong_clock_lives_as_long_as_that_clock_says_and_no_longer(
    direction: int,
) -> None:
    clocks = Clocks(wall=START + direction * 5 * HOUR)
    steady = SteadyTime(clocks, KeptTime(steady_ms=START, wall_ms=START))
    operation = taken_in(steady, clocks)
    clocks.wall = START
    clocks.passes(HOUR)
    assert steady.expired(operation)


# --- whole nodes ------------------------------------------------------------------------------------------------------


async def end_of(node: Node, operation: str, *, seconds: float = 12) -> State:
    return (await node.ceremonies.clients.wait(CALLER, operation, seconds)).state


async def vault(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    for node in world.nodes.values():
        await node.ready("ops")


def turn(world: World, *, wall_ms: int = 0, seconds: float = 0, only: str = "") -> None:
    for node in world.nodes.values():
        if only in ("", node.name):
            node.clock.ahead_ms += wall_ms
            node.clock.ahead_s += seconds


async def greet(world: World) -> None:
    for node in world.nodes.values():
        for other in world.nodes.values():
            if other is not node:
                await node.ceremonies.greetings.greet(other.device)


@breaks("CE-8.2")
async def test_time_passes_at_a_node_that_crashes_again_and_again_under_a_clock_that_is_set_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = world["alice"]

    async def nothing() -> None: ...

    async def crashed() -> None:
        monkeypatch.setattr(alice.ceremonies, "_keep_time_now", nothing)  # before it keeps its time again
        await alice.restart()

    turn(world, wall_ms=-5 * HOUR, only="alice")
    await crashed()
    began = alice.ceremonies._context.steady.now_ms()
    for _ in range(3):
        turn(world, wall_ms=9000, seconds=9, only="alice")
        await crashed()
    assert alice.ceremonies._context.steady.now_ms() - began >= 27_000


@breaks("CE-1.12")
@pytest.mark.parametrize("off", [45_000, -45_000])
async def test_a_proposal_of_a_node_whose_clock_is_off_is_refused_until_it_is_right(
    world: World, off: int
) -> None:
    await vault(world)
    alice, bob = world["alice"], world["bob"]
    for name in ("bob", "carol"):
        turn(world, wall_ms=off, only=name)
    await greet(world)
    world.refusals.clear()
    view = await alice.sign("ops", "hello", seconds=0.5)
    assert view.state is State.VOTING
    assert {code for _, method, code in world.refusals if method is Method.PROPOSE} == {"CLOCK_OFF"}
    assert bob.ledger.operation(view.id) is None
    assert bob.approver.asked[-1].operation != view.id
    for name in ("bob", "carol"):
        turn(world, wall_ms=-off, only=name)  # and nobody greets: it is measured before anything is refused
    assert await end_of(alice, view.id) is State.COMPLETED


async def test_a_refusal_for_a_clock_names_both_nodes_and_the_seconds(world: World) -> None:
    await vault(world)
    alice, bob = world["alice"], world["bob"]
    view = await alice.sign("ops", "hello")
    row = alice.ledger.operation(view.id)
    assert row is not None
    turn(world, wall_ms=61_000, only="alice")
    await greet(world)
    desk = bob.ceremonies._desk
    with pytest.raises(
        QuorateError, match=r"CE-1\.12 clocks: the clocks of alice and bob are 61 s"
    ) as refused:
        await desk._admission._check_clocks(alice.device)
    assert code_of(refused.value) == "CLOCK_OFF"


async def test_a_slow_answer_is_no_clock_that_is_off(world: World) -> None:
    await greet(world)
    heard = world["bob"].ceremonies.greetings.heard[world["alice"].device]
    slow = replace(heard, clock_offset=-34.0, rtt=10.0)
    assert slow.clock_apart == 29
    assert replace(slow, rtt=40.0, clock_offset=-15.0).clock_apart == 0


async def test_who_is_greeted_by_others_measures_their_clocks_nevertheless(world: World) -> None:
    """Else the one whose turn comes first keeps the other from ever looking again."""
    alice, bob = world["alice"], world["bob"]
    await greet(world)
    greetings = bob.ceremonies.greetings
    assert not greetings._due(alice.device)
    for _ in range(3):
        turn(world, seconds=2)
        await alice.ceremonies.greetings.greet(bob.device)
    assert greetings._due(alice.device)


async def test_votes_and_joins_count_whatever_their_node_s_clock_shows(world: World) -> None:
    await vault(world)
    gate = asyncio.Event()
    world["carol"].approver.gate = world["bob"].approver.gate = gate
    view = await world["alice"].sign("ops", "hello", seconds=0.3)
    await until(lambda: world["bob"].approver.asked[-1].operation == view.id)
    turn(world, wall_ms=-HOUR, only="bob")
    turn(world, wall_ms=+HOUR, only="carol")
    await greet(world)
    gate.set()
    assert await end_of(world["alice"], view.id) is State.COMPLETED


@breaks("CE-8.1", "PD-1.3")
async def test_nodes_that_are_set_back_by_hours_sign_nothing_after_its_time(world: World) -> None:
    await vault(world)
    gate = asyncio.Event()
    for node in world.nodes.values():
        node.approver.gate = gate
    view = await world["alice"].sign("ops", "hello", seconds=0.3, life_ms=MINUTE)
    await until(lambda: all(node.approver.asked[-1].operation == view.id for node in world.nodes.values()))
    turn(world, wall_ms=-5 * HOUR)
    turn(world, wall_ms=MINUTE, seconds=60)
    gate.set()
    for node in world.nodes.values():
        assert await end_of(node, view.id) is State.EXPIRED
        assert node.ledger.decision(view.id) is None


@breaks("CE-8.1", "CE-4.1", "CE-3.1")
async def test_a_share_does_not_leave_a_node_that_is_set_back_after_the_time(world: World) -> None:
    """The time passes, by the monotonic clock alone, as soon as the first message of a session is under way."""
    await vault(world)
    patient = replace(QUICK, patience=Patience(silence=600.0, unlinked=600.0, deadline=600.0))
    sent: list[str] = []

    def cut(_: DeviceId, __: DeviceId, frame: bytes) -> bool:
        if not sent:
            turn(world, wall_ms=-5 * HOUR)
            turn(world, wall_ms=2 * MINUTE, seconds=120)
        sent.append(unpack(frame).envelope.slot.rpartition("/")[2])
        return False

    for node in world.nodes.values():
        node.ceremonies.limit(patient)
    world.cut = cut
    view = await world["alice"].sign("ops", "hello", life_ms=MINUTE)  # ends at once, by the monotonic clock
    view = await world["alice"].ceremonies.clients.wait(CALLER, view.id, 12)
    assert (view.state, view.signature_may_exist) == (State.EXPIRED, False)
    assert "Commitments" in sent
    assert "Response" not in sent


@breaks("CE-8.2")
async def test_a_node_that_comes_back_with_its_clock_set_back_has_no_more_time_than_was_left(
    world: World,
) -> None:
    await vault(world)
    gate = asyncio.Event()
    for name in ("bob", "carol"):
        world[name].approver.gate = gate
    view = await world["alice"].sign("ops", "hello", seconds=0.3, life_ms=2 * MINUTE)
    turn(world, wall_ms=MINUTE, seconds=60)
    for node in world.nodes.values():
        await node.stop()
    turn(world, wall_ms=-5 * HOUR)
    for node in world.nodes.values():
        await node.restart()
    assert await end_of(world["alice"], view.id, seconds=0.3) is State.VOTING
    turn(world, wall_ms=MINUTE, seconds=60)
    gate.set()
    for node in world.nodes.values():
        assert await end_of(node, view.id) is State.EXPIRED


async def test_a_clock_that_was_set_forward_by_hours_costs_what_was_under_way_and_nothing_else(
    world: World,
) -> None:
    await vault(world)
    before = await world["alice"].sign("ops", "before")
    gate = world["bob"].approver.gate = world["carol"].approver.gate = asyncio.Event()
    lost = await world["alice"].sign("ops", "under way", seconds=0.3, life_ms=HOUR)
    turn(world, wall_ms=5 * HOUR)
    for node in world.nodes.values():
        assert await end_of(node, lost.id) is State.EXPIRED
        await node.restart()
    turn(world, wall_ms=-5 * HOUR)
    gate.set()
    for node in world.nodes.values():
        assert await end_of(node, before.id) is State.COMPLETED
    view = await world["bob"].sign("ops", "after", life_ms=HOUR)
    assert view.state is State.COMPLETED
