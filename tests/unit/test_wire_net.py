from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.curves import ED25519, SECP256K1
from quorate.errors import Aborted, Bug, Denied, ProtocolAbort, Stalled, UsageError
from quorate.identifiers import DeviceId
from quorate.native import keys
from quorate.native.memory import SecretBytes
from quorate.wire.codec import Message
from quorate.wire.envelope import MAX_FLIGHT, unpack
from quorate.wire.machine import Machine, Passage
from quorate.wire.net import Net, Unreadable, gather
from quorate.wire.simulator import DROP, Outcome, Simulator, devices, silent_after
from tests.unit.conversations import (
    ALICE,
    BOB,
    CAROL,
    Algebra,
    Ping,
    Pong,
    Secret,
    Whisper,
    converse,
    number,
    run,
)


def test_every_verb_returns_what_each_party_said_our_own_included() -> None:
    results = run(converse).results
    for device, (pings, pongs, whispers, duets, choruses) in results.items():
        assert pings == {p: number(p) for p in (ALICE, BOB, CAROL)}
        assert pongs == {p: 10 * number(p) for p in (ALICE, BOB, CAROL)}
        assert whispers == {p: f"{p} to {device}" for p in (ALICE, BOB, CAROL)}
        others = [p for p in (ALICE, BOB, CAROL) if p != device]
        assert duets == tuple((f"{p} alone to {device}", number(p)) for p in others)
        assert choruses == ([1, 1, 1, 2, 2, 2],) * 2


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), parties=st.integers(2, 5))
def test_any_order_of_delivery_gives_the_same_results(seed: int, parties: int) -> None:
    in_order = run(converse, parties=parties, lockstep=True)
    shuffled = run(converse, parties=parties, seed=seed)
    assert shuffled.failures == {}
    assert shuffled.results == in_order.results
    assert said_in(shuffled) == said_in(in_order)


def said_in(outcome: Outcome[Any]) -> Counter[tuple[str, str, str, int]]:
    """Every envelope that was sent, as often. Which of them left together, under one signature, is a matter of when
    their senders had to wait."""
    said = (unpack(each.frame).envelope for each in outcome.sent)
    return Counter((each.sender, each.recipient, each.slot, len(each.body)) for each in said)


def test_all_that_a_party_says_before_it_waits_has_one_signature() -> None:
    async def protocol(net: Net) -> None:
        await gather(
            net.broadcast(Ping(number=1)),
            net.at("else").broadcast(Pong(number=2)),
            net.scatter({p: Whisper(text=f"for {p}") for p in net.parties}),
        )
        await net.at("later").broadcast(Ping(number=3))

    signed = [unpack(each.frame) for each in run(protocol, lockstep=True).sent]
    flights = {(s.envelope.sender, s.flight, s.signature) for s in signed}
    assert len(flights) == 2 * 3
    for sender, flight, _ in flights:
        headers = {s.envelope.header.digest for s in signed if s.envelope.sender == sender}
        assert len(flight) in (4, 1)
        assert set(flight) <= headers


def test_a_flight_is_verified_once() -> None:
    simulator = Simulator(dict.fromkeys(devices(2), two_at_once), lockstep=True)
    courier, asked, genuine = simulator.couriers[BOB], list[bytes](), keys.verify

    def verify(public: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(message)
        return genuine(public, message, signature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "verify", verify)
        assert simulator.run().failures == {}
    assert courier.verify(ALICE, b"never", bytes(64)) is False
    assert len(asked) == len(set(asked)) == 2


async def two_at_once(net: Net) -> None:
    await gather(net.broadcast(Ping(number=1)), net.at("else").broadcast(Pong(number=2)))


def test_a_flight_too_long_for_one_signature_has_two() -> None:
    async def protocol(net: Net) -> None:
        await gather(*(net.at(str(n)).broadcast(Ping(number=n)) for n in range(MAX_FLIGHT + 1)))

    outcome = run(protocol, parties=2, seed=3)
    assert outcome.failures == {}
    sizes = Counter(len(unpack(each.frame).flight) for each in outcome.sent)
    assert sizes == {MAX_FLIGHT: 2 * MAX_FLIGHT, 1: 2}


def test_a_simulation_replays_to_the_byte() -> None:
    first, second = run(converse, seed=5), run(converse, seed=5)
    assert first.sent == second.sent
    assert first.sent != run(converse, seed=6).sent


def test_a_roster_of_one_talks_to_nobody() -> None:
    outcome = run(converse, parties=1)
    assert outcome.results == {
        ALICE: ({ALICE: 0}, {ALICE: 0}, {ALICE: f"{ALICE} to {ALICE}"}, (), ([1, 2],) * 2)
    }
    assert (outcome.messages, outcome.rounds) == (0, 0)


def test_a_broadcast_is_one_frame_and_a_whisper_is_one_each() -> None:
    async def protocol(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        await net.scatter({p: Whisper(text="the same") for p in net.parties})

    sent = run(protocol).sent
    assert len({each.frame for each in sent if each.slot == "/Ping"}) == 3
    assert len({each.frame for each in sent if each.slot == "/Whisper"}) == 6
    assert not any(b"the same" in each.frame for each in sent)


def test_rounds_side_by_side_take_one_flight() -> None:
    async def branch(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        await net.broadcast(Pong(number=1))

    async def protocol(net: Net) -> None:
        await gather(branch(net.at("left")), branch(net.at("right")))

    assert run(protocol, lockstep=True).rounds == 2


def test_points_and_secrets_travel_on_the_path_of_their_group() -> None:
    async def protocol(net: Net) -> list[Any]:
        heard = []
        for group in (SECP256K1, ED25519):
            over = net.over(group)
            k = group.scalar_of(1 + number(net.me))
            said = await over.broadcast(Algebra(point=k * over.group.generator, scalar=k))
            assert all(m.scalar * group.generator == m.point for m in said.values())
            heard.append([int(m.scalar) for m in said.values()])
        secrets = await net.scatter({p: Secret(value=SecretBytes.of(p.encode())) for p in net.parties})
        return [*heard, [m.value == net.me.encode() for m in secrets.values()]]

    outcome = run(protocol)
    assert list(outcome.results.values()) == [[[1, 2, 3], [1, 2, 3], [True] * 3]] * 3
    assert {"/secp256k1/Algebra", "/ed25519/Algebra"} < set(outcome.slots)


def test_no_message_leaves_before_the_round_before_it_is_held_from_everyone() -> None:
    """The barrier: while one party is silent, nobody's next message is on any link."""

    async def protocol(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        await net.broadcast(Pong(number=1))

    def mute(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        return DROP if sender == CAROL and slot == "/Ping" else message

    outcome = run(protocol, tamper=mute)
    assert {each.sender for each in outcome.sent if each.slot == "/Pong"} == {CAROL}
    for device in (ALICE, BOB):
        failure = outcome.failures[device]
        assert isinstance(failure, Stalled)
        assert (failure.waiting_on, failure.slot) == (frozenset({CAROL}), "/Ping")


def test_whoever_falls_silent_is_who_the_others_wait_on() -> None:
    outcome = run(converse, tamper=silent_after(BOB, "Pong"))
    for device in (ALICE, CAROL):
        failure = outcome.failures[device]
        assert isinstance(failure, Stalled)
        assert failure.waiting_on == {BOB}


def test_a_machine_waits_on_the_union_of_what_its_branches_await() -> None:
    async def protocol(net: Net) -> None:
        async def duet(peer: DeviceId) -> None:
            await net.pair(peer, "duet").recv(Ping)

        await gather(*[duet(p) for p in net.others])

    machine = Simulator(dict.fromkeys(devices(3), protocol)).start()[ALICE]
    assert machine.waiting_on == (frozenset({BOB, CAROL}), f"/duet[{ALICE},{BOB}]/Ping")


def test_gather_keeps_the_order_of_its_arguments() -> None:
    async def protocol(net: Net) -> tuple[int, ...]:
        async def last() -> int:
            await net.at("slow").broadcast(Ping(number=1))
            return 1

        async def first() -> int:
            return 2

        return await gather(last(), first())

    assert run(protocol).results[ALICE] == (1, 2)


def test_the_first_branch_to_fail_closes_the_others() -> None:
    closed = []

    async def protocol(net: Net) -> None:
        async def patient() -> None:
            try:
                await net.pair(net.others[0], "never").recv(Ping)
            finally:
                closed.append(net.me)

        async def failing() -> None:
            raise ProtocolAbort("XX-1.1 test", BOB)

        await gather(patient(), failing())

    assert set(run(protocol).failures) == {ALICE, BOB, CAROL}
    assert sorted(closed) == [ALICE, BOB, CAROL]


@pytest.mark.parametrize("nested", [False, True])
def test_awaiting_anything_but_a_verb_is_a_bug(nested: bool) -> None:
    async def sleeper() -> None:
        await asyncio.sleep(0)

    async def protocol(net: Net) -> None:
        await (gather(sleeper()) if nested else sleeper())

    with pytest.raises(Bug, match="not a verb"):
        run(protocol)


def test_a_refusal_inside_a_protocol_is_the_sessions_failure() -> None:
    async def protocol(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        raise Denied("not today", approver="me", rule="curfew")

    assert {type(f) for f in run(protocol).failures.values()} == {Denied}


def test_a_bug_is_loud_and_leaves_the_machine_poisoned() -> None:
    async def protocol(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        raise KeyError("our own mistake")

    machines = Simulator(dict.fromkeys(devices(2), protocol)).start()
    [(_, frame)] = machines[BOB].drain()
    with pytest.raises(KeyError):
        machines[ALICE].deliver(frame, BOB)
    assert machines[ALICE].done
    assert isinstance(machines[ALICE].failure, Aborted)
    assert machines[ALICE].deliver(frame, BOB) is not None


def test_what_was_sent_before_a_failure_still_leaves() -> None:
    """Else the others would stall on us instead of finding the culprit."""

    async def protocol(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        net.pair(net.others[0], "last").send(Pong(number=1))
        raise ProtocolAbort("XX-1.1 test", BOB)

    machines = Simulator(dict.fromkeys(devices(2), protocol)).start()
    [(_, frame)] = machines[BOB].drain()
    machines[ALICE].deliver(frame, BOB)
    assert len(machines[ALICE].drain()) == 2


def test_sending_twice_in_one_slot_is_a_bug() -> None:
    async def twice(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        await net.broadcast(Ping(number=2))

    async def both_ways(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        await net.scatter({p: Ping(number=2) for p in net.parties})

    for protocol in (twice, both_ways):
        with pytest.raises(Bug, match="a second message"):
            run(protocol)


def test_an_echo_beside_another_verb_of_its_path_is_a_bug() -> None:
    """Which view the other verb's messages carry would depend on who is faster."""

    async def beside(net: Net) -> None:
        await gather(net.echo(Ping(number=1)), net.broadcast(Ping(number=2)))

    async def below(net: Net) -> None:
        await gather(net.at("low").broadcast(Pong(number=2)), net.echo(Ping(number=1)))

    for protocol in (beside, below):
        with pytest.raises(Bug, match="use at"):
            run(protocol)


@pytest.mark.parametrize("label", ["", "a/b", "A", "a[b", "ü"])
def test_a_label_that_could_be_mistaken_for_another_path_is_a_bug(label: str) -> None:
    async def protocol(net: Net) -> None:
        net.at(label)

    with pytest.raises(Bug, match="cannot be part of a path"):
        run(protocol)


def test_misuse_of_a_net_is_a_bug() -> None:
    async def no_group(net: Net) -> None:
        _ = net.group

    async def half_a_scatter(net: Net) -> None:
        await net.scatter({net.me: Ping(number=1)})

    async def pair_with_oneself(net: Net) -> None:
        net.pair(net.me, "mirror")

    for protocol in (no_group, half_a_scatter, pair_with_oneself):
        with pytest.raises(Bug):
            run(protocol)


def test_a_message_over_the_limit_is_refused_by_its_own_sender() -> None:
    async def protocol(net: Net) -> None:
        await net.broadcast(Whisper(text="x" * (1 << 20)))

    failures = run(protocol).failures
    assert all(isinstance(f, UsageError) for f in failures.values())
    assert len(failures) == 3


def test_a_lenient_scatter_puts_unreadable_for_what_does_not_decode() -> None:
    def garble(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        return b"\xc1" if (sender, recipient) == (ALICE, BOB) else message

    async def protocol(net: Net) -> list[DeviceId]:
        heard = await net.scatter({p: Whisper(text="x") for p in net.parties}, lenient=True)
        return [p for p, m in heard.items() if isinstance(m, Unreadable)]

    assert run(protocol, tamper=garble).results == {ALICE: [], BOB: [ALICE], CAROL: []}


def test_identical_frames_may_arrive_again_at_any_time() -> None:
    def twice(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        return [message, message]

    outcome = run(converse, tamper=twice)
    assert outcome.failures == {}
    assert outcome.results == run(converse).results


def test_an_observer_sees_slots_and_sizes_and_no_content() -> None:
    seen: list[tuple[DeviceId, Passage]] = []

    async def protocol(net: Net) -> None:
        await net.broadcast(Ping(number=1))
        await net.scatter({p: Whisper(text="hush") for p in net.parties})

    run(protocol, observe=lambda device, passage: seen.append((device, passage)))
    of_alice = [p for device, p in seen if device == ALICE]
    assert sorted((p.sender, p.slot, p.size) for p in of_alice) == sorted(
        [(p, "/Ping", 2) for p in (ALICE, BOB, CAROL)]
        + [(ALICE, "/Whisper", 22)] * 2 + [(p, "/Whisper", 22) for p in (BOB, CAROL)]
    )  # fmt: skip
    assert "hush" not in repr(seen)


def test_a_session_ended_from_outside_stays_ended() -> None:
    machines = Simulator(dict.fromkeys(devices(2), converse)).start()
    machines[ALICE].end(Aborted("deadline"))
    machines[ALICE].end(Aborted("too late"))
    for _, frame in machines[BOB].drain():
        machines[ALICE].deliver(frame, BOB)
    assert str(machines[ALICE].failure) == "deadline"
    assert machines[ALICE].result is None


@pytest.mark.parametrize("parties", [(BOB, CAROL), (ALICE, ALICE, BOB)])
def test_a_machine_is_one_of_its_parties_once(parties: tuple[DeviceId, ...]) -> None:
    simulator = Simulator(dict.fromkeys(devices(3), converse))
    with pytest.raises(UsageError):
        Machine(ALICE, parties, simulator.session, simulator.couriers[ALICE], converse)
