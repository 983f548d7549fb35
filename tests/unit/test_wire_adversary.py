"""Rules W-1, W-2 and W-4 of docs/spec/wire.md, broken by one party or by the network."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.curves import ED25519
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import DeviceId
from quorate.wire.codec import encode
from quorate.wire.envelope import ALL, MAX_BODY, MAX_FLIGHT, MAX_FRAME, MAX_SEALED, pack, statement, unpack
from quorate.wire.machine import MAX_EARLY_BYTES, MAX_EARLY_MESSAGES, Machine, Rejected
from quorate.wire.mailbox import mark_of
from quorate.wire.net import Net
from quorate.wire.simulator import (
    Rewritten,
    Simulator,
    devices,
    identity_key,
    randomness,
    signer,
)
from tests.rules import breaks
from tests.unit.conversations import (
    ALICE,
    BOB,
    CAROL,
    Ping,
    Pong,
    Whisper,
    assert_blamed,
    cheat,
    converse,
    framed,
    ping_pong,
    run,
)

# --- W-1: the codec


@breaks("W-1.1")
@pytest.mark.parametrize(
    "body",
    [b"", b"\x91", b"\x91\xcc\x01", b"\x91\x01\x00", b"\x92\x01\x02", b"\x91\xa1x", b"\xc1" * 100],
    ids=["empty", "truncated", "long form", "trailing byte", "field added", "text for number", "garbage"],
)
def test_a_signed_message_that_is_not_one_names_its_sender(body: bytes) -> None:
    assert_blamed(run(ping_pong, tamper=cheat("/Pong", body)), "W-1.1")


@breaks("W-1.1")
def test_a_private_message_that_is_not_one_names_its_sender() -> None:
    assert_blamed(run(ping_pong, tamper=cheat("/Whisper", b"\xc1", to=(BOB,))), "W-1.1", by=(BOB,))


@breaks("W-1.1")
@pytest.mark.parametrize("body", [b"", bytes(16), bytes(100)])
def test_a_private_body_that_does_not_open_names_its_sender(body: bytes) -> None:
    move = Rewritten(Whisper(text="x"), {"body": body})
    assert_blamed(run(ping_pong, tamper=cheat("/Whisper", move)), "W-1.1")


@breaks("W-1.1")
def test_a_private_body_of_another_place_does_not_open() -> None:
    """Alice hands Bob the sealed body she made for Carol, and one Bob was sent in another slot."""

    async def protocol(net: Net) -> None:
        await net.at("first").scatter({p: Whisper(text="x") for p in net.parties})
        await net.at("second").scatter({p: Whisper(text="x") for p in net.parties})

    sent = run(protocol).sent
    bodies = [
        unpack(each.frame).envelope.body
        for each in sent
        if each.sender == ALICE and (each.recipient, each.slot) != (BOB, "/second/Whisper")
    ]
    assert len(bodies) == 3
    for body in bodies:
        move = Rewritten(Whisper(text="x"), {"body": body})
        assert_blamed(run(protocol, tamper=cheat("/second/Whisper", move, to=(BOB,))), "W-1.1", by=(BOB,))


# --- W-2: envelopes; what does not authenticate is dropped and nobody is blamed


def pair_of_machines(**options: Any) -> tuple[dict[DeviceId, Machine[Any]], bytes]:
    """Two machines past their first step, and the frame Alice has for Bob."""
    machines: dict[DeviceId, Machine[Any]] = dict(
        Simulator(dict.fromkeys(devices(2), ping_pong), **options).start()
    )
    [(_, frame)] = machines[ALICE].drain()
    return machines, frame


def assert_dropped(frame: bytes, rule: str, *, channel: DeviceId = ALICE) -> None:
    """Bob drops the frame, goes on waiting, and still takes the genuine one."""
    machines, genuine = pair_of_machines()
    bob = machines[BOB]
    rejected = bob.deliver(frame, channel)
    assert isinstance(rejected, Rejected)
    assert rejected.rule.split()[0] == rule
    assert bob.failure is None
    assert bob.waiting_on == (frozenset({ALICE}), "/Ping")
    assert bob.deliver(genuine, ALICE) is None
    assert bob.waiting_on == (frozenset({ALICE}), "/Pong")


def reforged(frame: bytes, **fields: Any) -> bytes:
    """The frame with other fields, signed by Alice."""
    envelope = msgspec.structs.replace(unpack(frame).envelope, **fields)
    return framed(envelope, ALICE)


@breaks("W-2.1")
@pytest.mark.parametrize("frame", [b"", b"\x00", b"\x92\xc0\xc0", bytes(MAX_FRAME + 1)])
def test_garbage_on_a_link_is_dropped(frame: bytes) -> None:
    assert_dropped(frame, "W-2.1")


@breaks("W-2.1")
def test_the_size_of_a_frame_is_looked_at_first() -> None:
    with pytest.raises(EncodingError, match="at most"):
        unpack(bytes(MAX_FRAME + 1))


@breaks("W-2.1")
def test_a_frame_with_something_added_is_dropped() -> None:
    _, frame = pair_of_machines()
    assert_dropped(frame + b"\x00", "W-2.1")
    assert_dropped(frame[:-1], "W-2.1")


@breaks("W-2.1")
def test_an_oversize_message_is_dropped_before_it_is_parsed() -> None:
    _, frame = pair_of_machines()
    assert_dropped(reforged(frame, body=bytes(MAX_BODY + 1)), "W-2.1")
    assert_dropped(reforged(frame, sealed=True, body=bytes(MAX_SEALED + 1)), "W-2.1")
    assert_dropped(reforged(frame, slot="/" + "x" * 300), "W-2.1")
    assert_dropped(reforged(frame, view=bytes(41)), "W-2.1")


@breaks("W-2.2")
def test_an_envelope_with_another_sender_inside_is_dropped() -> None:
    _, frame = pair_of_machines()
    assert_dropped(frame, "W-2.2", channel=CAROL)
    assert_dropped(frame, "W-2.2", channel=BOB)
    assert_dropped(reforged(frame, sender=CAROL), "W-2.2")
    assert_dropped(reforged(frame, sender=CAROL), "W-2.2", channel=CAROL)
    assert_dropped(reforged(frame, sender=BOB), "W-2.2", channel=BOB)


@breaks("W-2.3")
def test_an_envelope_of_another_session_is_dropped() -> None:
    _, replayed = pair_of_machines(seed=1)
    assert_dropped(replayed, "W-2.3")


@breaks("W-2.3")
def test_a_whole_earlier_session_replayed_changes_nothing() -> None:
    earlier = run(converse, seed=1).sent
    replay = [(each.sender, each.recipient, each.frame) for each in earlier]
    assert run(converse, seed=2, inject=replay).results == run(converse, seed=2).results


@breaks("W-2.4")
def test_an_envelope_for_somebody_else_is_dropped() -> None:
    _, frame = pair_of_machines()
    assert_dropped(reforged(frame, recipient=CAROL), "W-2.4")


@breaks("W-2.5")
def test_a_message_after_the_end_is_dropped() -> None:
    machines, frame = pair_of_machines()
    machines[BOB].end(UsageError("over"))
    assert machines[BOB].deliver(reforged(frame, body=b"other"), ALICE) == Rejected("W-2.5 over")


@breaks("W-2.5")
def test_a_result_stands_whatever_arrives_after_it() -> None:
    simulator = Simulator(dict.fromkeys(devices(2), ping_pong))
    machines = simulator.start()
    frames = []
    while any(not m.done for m in machines.values()):
        for sender, machine in machines.items():
            for recipient, frame in machine.drain():
                frames.append(frame)
                machines[recipient].deliver(frame, sender)
    for frame in [f for f in frames if unpack(f).envelope.sender == ALICE]:
        assert machines[BOB].deliver(frame, ALICE) == Rejected("W-2.5 over")
        assert machines[BOB].deliver(reforged(frame, body=b"other"), ALICE) == Rejected("W-2.5 over")
    assert (machines[BOB].result, machines[BOB].failure) == (6, None)


@breaks("W-2.6")
def test_an_envelope_its_sender_did_not_sign_is_dropped() -> None:
    _, frame = pair_of_machines()
    signed = unpack(frame)
    assert_dropped(pack(signed.envelope, signed.flight, bytes(64)), "W-2.6")
    assert_dropped(framed(signed.envelope, CAROL), "W-2.6")


@breaks("W-2.6")
@pytest.mark.parametrize(
    "fields",
    [{"slot": "/Pong"}, {"view": bytes(32)}, {"sealed": True}, {"body": b"\x91\x05"}, {"recipient": BOB}],
)
def test_the_signature_covers_every_field(fields: dict[str, Any]) -> None:
    _, frame = pair_of_machines()
    signed = unpack(frame)
    other = msgspec.structs.replace(signed.envelope, **fields)
    assert_dropped(pack(other, signed.flight, signed.signature), "W-2.6")
    flight = (other.header.digest,)
    for listed in (flight, (*signed.flight, *flight), (*flight, *signed.flight)):
        assert_dropped(pack(other, listed, signed.signature), "W-2.6")


@breaks("W-2.6")
def test_an_envelope_outside_the_flight_that_was_signed_is_dropped() -> None:
    """Alice's signature is genuine, but it is of other envelopes than this one."""
    _, frame = pair_of_machines()
    signed = unpack(frame)
    others = tuple(bytes([n]) * 32 for n in range(2))
    assert_dropped(pack(signed.envelope, others, signer(ALICE)(statement(others))), "W-2.6")
    among = (*others, *signed.flight)
    machines, _ = pair_of_machines()
    assert machines[BOB].deliver(pack(signed.envelope, among, signer(ALICE)(statement(among))), ALICE) is None
    assert machines[BOB].waiting_on == (frozenset({ALICE}), "/Pong")


@breaks("W-2.1")
def test_a_flight_of_none_or_too_many_is_dropped() -> None:
    _, frame = pair_of_machines()
    envelope = unpack(frame).envelope
    for flight in ((), (envelope.header.digest,) * (MAX_FLIGHT + 1), (envelope.header.digest, b"short")):
        assert_dropped(pack(envelope, flight, signer(ALICE)(statement(flight))), "W-2.1")


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_random_bytes_neither_raise_nor_end_a_session(frames: list[bytes]) -> None:
    machines, genuine = pair_of_machines()
    for frame in frames:
        assert machines[BOB].deliver(frame, ALICE) is not None
    assert machines[BOB].deliver(genuine, ALICE) is None
    assert machines[BOB].failure is None


@settings(max_examples=60)
@given(st.data())
def test_a_mutated_frame_is_dropped(data: st.DataObject) -> None:
    _, frame = pair_of_machines()
    place = data.draw(st.integers(0, len(frame) - 1))
    mutated = frame[:place] + bytes([frame[place] ^ data.draw(st.integers(1, 255))]) + frame[place + 1 :]
    machines, genuine = pair_of_machines()
    assert machines[BOB].deliver(mutated, ALICE) is not None
    assert machines[BOB].failure is None
    assert machines[BOB].deliver(genuine, ALICE) is None


class SecondNonce:
    """Signs as a simulated device does, but with another nonce: what it signed before has a second signature."""

    def __init__(self, seed: bytes) -> None:
        hashed = hashlib.sha512(seed).digest()
        secret = bytearray(hashed[:32])
        secret[0] &= 248
        secret[31] = secret[31] & 127 | 64
        self._secret = ED25519.reduce(bytes(secret))
        self.public = bytes(self._secret * ED25519.generator)

    def sign(self, message: bytes) -> bytes:
        nonce = ED25519.reduce(hashlib.sha512(b"another nonce" + message).digest())
        r = bytes(nonce * ED25519.generator)
        e = ED25519.reduce(hashlib.sha512(r + self.public + message).digest())
        return r + bytes(nonce + e * self._secret)


def test_an_envelope_signed_twice_is_taken_once() -> None:
    """It is no equivocation, and it takes no second place among what was heard, nor counts as early again."""
    seen: list[str] = []
    simulator = Simulator(
        dict.fromkeys(devices(2), ping_pong),
        observe=lambda device, p: seen.append(f"{device} {p.sender} {p.slot}"),
    )
    machines = simulator.start()
    [(_, frame)] = machines[ALICE].drain()
    again = SecondNonce(randomness(f"identity {ALICE}").public(32))
    assert again.public == identity_key(ALICE)
    envelope = unpack(frame).envelope
    flight = (envelope.header.digest,)
    twice = pack(envelope, flight, again.sign(statement(flight)))
    assert twice != frame
    bob = machines[BOB]
    for copy in (frame, twice, frame, twice):
        assert bob.deliver(copy, ALICE) is None
    assert bob.failure is None
    assert seen.count(f"{BOB} {ALICE} /Ping") == 1
    assert bob.box.letters["/Ping", ALICE].frame == frame
    assert bob.box.early == {ALICE: {}}


# --- W-4: the engine


@breaks("W-4.1")
def test_a_private_message_said_in_the_open_names_its_sender() -> None:
    body = encode(Whisper(text="x"))
    for fields in ({"recipient": ALL, "sealed": False, "body": body}, {"sealed": False, "body": body}):
        assert_blamed(run(ping_pong, tamper=cheat("/Whisper", Rewritten(Whisper(text="x"), fields))), "W-4.1")


@breaks("W-4.1")
def test_a_broadcast_said_to_one_alone_names_its_sender() -> None:
    move = Rewritten(Pong(number=2), {"recipient": BOB})
    assert_blamed(run(ping_pong, tamper=cheat("/Pong", move, to=(BOB,))), "W-4.1", by=(BOB,))


@breaks("W-4.2")
@pytest.mark.parametrize("view", [b"", bytes(31), mark_of("/Ping"), mark_of("/Ping") + bytes(31), bytes(40)])
def test_a_view_left_out_or_of_another_round_names_its_sender(view: bytes) -> None:
    assert_blamed(run(ping_pong, tamper=cheat("/Pong", Rewritten(Pong(number=2), {"view": view}))), "W-4.2")


@breaks("W-4.2")
def test_a_view_where_there_is_none_names_its_sender() -> None:
    move = Rewritten(Ping(number=1), {"view": mark_of("/Ping") + bytes(32)})
    assert_blamed(run(ping_pong, tamper=cheat("/Ping", move)), "W-4.2")


@breaks("W-4.3")
def test_a_flood_of_early_messages_names_its_sender() -> None:
    def early(number: int) -> Rewritten:
        return Rewritten(Ping(number=1), {"slot": f"/{number}/Never"})

    just = [early(n) for n in range(MAX_EARLY_MESSAGES)]
    assert run(ping_pong, tamper=cheat("/Ping", lambda m: m, *just), lockstep=True).failures == {}
    flood = [early(n) for n in range(MAX_EARLY_MESSAGES + 1)]
    assert_blamed(run(ping_pong, tamper=cheat("/Ping", *flood), lockstep=True), "W-4.3")


def test_messages_that_were_early_and_then_read_are_not_held_against_anyone() -> None:
    async def protocol(net: Net) -> None:
        for number in range(3 * MAX_EARLY_MESSAGES):
            await net.at(str(number)).broadcast(Ping(number=number))

    assert run(protocol, parties=2, seed=1).failures == {}


def test_equivocation_in_a_slot_whose_bodies_were_shed_is_found_out() -> None:
    async def protocol(net: Net) -> None:
        first = net.at("first")
        await first.broadcast(Ping(number=1))
        first.shed()
        read = [letter for (slot, _), letter in net.box.letters.items() if slot == "/first/Ping"]
        assert [letter.frame for letter in read] == [b""] * 3
        for name in ("second", "third"):
            await net.at(name).broadcast(Pong(number=2))

    again = Rewritten(Ping(number=2), {"slot": "/first/Ping"})
    assert run(protocol).failures == {}
    twice = run(protocol, tamper=cheat("/second/Pong", lambda message: message, again), lockstep=True)
    assert_blamed(twice, "W-5.1")


@breaks("W-4.3")
def test_a_few_huge_early_messages_name_their_sender() -> None:
    big = [
        Rewritten(Ping(number=1), {"slot": f"/{n}/Never", "body": bytes(MAX_BODY)})
        for n in range(MAX_EARLY_BYTES // MAX_BODY + 1)
    ]
    assert_blamed(run(ping_pong, tamper=cheat("/Ping", *big), lockstep=True), "W-4.3")
