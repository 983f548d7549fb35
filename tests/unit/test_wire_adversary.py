"""Every rule of docs/spec/wire.md, broken by one party (or by the network) and noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import Bug, Diverged, EncodingError, ProtocolAbort, UsageError
from quorate.identifiers import DeviceId, SessionId
from quorate.native.memory import SecretBytes
from quorate.wire.codec import Message, decode, encode
from quorate.wire.courier import SessionCourier, exchange_public
from quorate.wire.dispute import DISPUTE_SLOT, Dispute
from quorate.wire.envelope import ALL, MAX_BODY, MAX_FRAME, SignedHeader, conflict, pack, unpack
from quorate.wire.machine import MAX_EARLY_BYTES, MAX_EARLY_MESSAGES, Machine, Rejected
from quorate.wire.net import Net, Unreadable
from quorate.wire.simulator import (
    DROP,
    Frame,
    Outcome,
    Rewritten,
    Simulator,
    Tamper,
    devices,
    identity_key,
    randomness,
    signer,
)
from tests.rules import breaks
from tests.unit.conversations import ALICE, BOB, CAROL, Ping, Pong, Whisper, converse, run

HONEST = (BOB, CAROL)


def cheat(slot: str, *moves: Any, to: tuple[DeviceId, ...] = HONEST) -> Tamper:
    """Alice sends ``moves`` in place of what she should in ``slot``; a callable is given the honest message."""

    def tamper(sender: DeviceId, recipient: DeviceId, where: str, message: Message) -> Any:
        if sender != ALICE or where != slot or recipient not in to:
            return message
        return [move(message) if callable(move) else move for move in moves]

    return tamper


def assert_blamed(outcome: Outcome[Any], rule: str, by: tuple[DeviceId, ...] = HONEST) -> None:
    for device in by:
        failure = outcome.failures[device]
        assert isinstance(failure, (ProtocolAbort, Diverged)), failure
        assert (failure.rule.split()[0], failure.culprits) == (rule, frozenset({ALICE}))


async def ping_pong(net: Net) -> int:
    pings = await net.echo(Ping(number=1))
    pongs = await net.broadcast(Pong(number=2))
    await net.scatter({p: Whisper(text="x") for p in net.parties})
    return sum(m.number for m in pings.values()) + sum(m.number for m in pongs.values())


# --- W-1: the codec ---------------------------------------------------------------------------------------------


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


# --- W-2: envelopes; what does not authenticate is dropped and nobody is blamed ------------------------------------


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
    return pack(envelope, signer(ALICE)(envelope.header.digest))


@breaks("W-2.1")
@pytest.mark.parametrize("frame", [b"", b"\x00", b"\x92\xc0\xc0", bytes(MAX_FRAME + 1)])
def test_garbage_on_a_link_is_dropped(frame: bytes) -> None:
    assert_dropped(frame, "W-2.1")


@breaks("W-2.1")
def test_a_frame_with_something_added_is_dropped() -> None:
    _, frame = pair_of_machines()
    assert_dropped(frame + b"\x00", "W-2.1")
    assert_dropped(frame[:-1], "W-2.1")


@breaks("W-2.1")
def test_an_oversize_message_is_dropped_before_it_is_parsed() -> None:
    _, frame = pair_of_machines()
    assert_dropped(reforged(frame, body=bytes(MAX_BODY + 1)), "W-2.1")
    assert_dropped(reforged(frame, slot="/" + "x" * 300), "W-2.1")
    assert_dropped(reforged(frame, view=bytes(33)), "W-2.1")


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
    assert_dropped(pack(signed.envelope, bytes(64)), "W-2.6")
    assert_dropped(pack(signed.envelope, signer(CAROL)(signed.envelope.header.digest)), "W-2.6")


@breaks("W-2.6")
@pytest.mark.parametrize(
    "fields",
    [{"slot": "/Pong"}, {"view": bytes(32)}, {"sealed": True}, {"body": b"\x91\x05"}, {"recipient": BOB}],
)
def test_the_signature_covers_every_field(fields: dict[str, Any]) -> None:
    _, frame = pair_of_machines()
    signed = unpack(frame)
    assert_dropped(pack(msgspec.structs.replace(signed.envelope, **fields), signed.signature), "W-2.6")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_random_bytes_neither_raise_nor_end_a_session(frames: list[bytes]) -> None:
    machines, genuine = pair_of_machines()
    for frame in frames:
        assert machines[BOB].deliver(frame, ALICE) is not None
    assert machines[BOB].deliver(genuine, ALICE) is None
    assert machines[BOB].failure is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_mutated_frame_is_dropped(data: st.DataObject) -> None:
    _, frame = pair_of_machines()
    place = data.draw(st.integers(0, len(frame) - 1))
    mutated = frame[:place] + bytes([frame[place] ^ data.draw(st.integers(1, 255))]) + frame[place + 1 :]
    machines, genuine = pair_of_machines()
    assert machines[BOB].deliver(mutated, ALICE) is not None
    assert machines[BOB].failure is None
    assert machines[BOB].deliver(genuine, ALICE) is None


# --- W-3: sealing --------------------------------------------------------------------------------------------------


def courier_of(me: DeviceId, publics: dict[DeviceId, bytes]) -> SessionCourier:
    key = randomness(f"courier {me}").secret(32)
    return SessionCourier(
        session=SessionId(bytes(32)), me=me, sign=signer(me), session_private=key,
        identity_keys={d: identity_key(d) for d in devices(3)},
        session_publics={**publics, me: exchange_public(key)},
    )  # fmt: skip


def two_couriers() -> tuple[SessionCourier, SessionCourier]:
    publics = {d: exchange_public(randomness(f"courier {d}").secret(32)) for d in (ALICE, BOB)}
    return courier_of(ALICE, publics), courier_of(BOB, publics)


@breaks("W-3.1")
@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), bytes(31)], ids=["zero", "one", "short"])
def test_a_session_key_of_small_order_names_its_owner(key: bytes) -> None:
    simulator = Simulator(dict.fromkeys(devices(3), ping_pong))
    for device in HONEST:
        publics = {d: simulator.couriers[device].exchange_key(d) for d in devices(3)}
        private = SecretBytes.of(simulator.couriers[device].disclose())
        simulator.couriers[device] = SessionCourier(
            session=simulator.session, me=device, sign=signer(device), session_private=private,
            identity_keys={d: identity_key(d) for d in devices(3)}, session_publics={**publics, ALICE: key},
        )  # fmt: skip
    assert_blamed(simulator.run(), "W-3.1")


def test_a_sealed_body_opens_for_its_recipient_in_its_slot_only() -> None:
    alice, bob = two_couriers()
    sealed = alice.seal(BOB, "/Whisper", b"x")
    assert bob.open(ALICE, "/Whisper", sealed) == b"x"
    for slot, body in [("/Other", sealed), ("/Whisper", sealed[:-1]), ("/Whisper", b"")]:
        with pytest.raises(EncodingError):
            bob.open(ALICE, slot, body)
    with pytest.raises(EncodingError):
        alice.open(BOB, "/Whisper", sealed)


def test_an_erased_courier_seals_and_opens_nothing() -> None:
    alice, _ = two_couriers()
    alice.seal(BOB, "/Whisper", b"x")
    alice.erase()
    uses: list[Callable[[], bytes]] = [
        lambda: alice.seal(BOB, "/Whisper", b"x"),
        lambda: alice.open(BOB, "/Whisper", b"x"),
        alice.disclose,
    ]
    for use in uses:
        with pytest.raises(Bug, match="erased"):
            use()


def test_nothing_is_sealed_with_a_disclosed_key() -> None:
    alice, bob = two_couriers()
    assert exchange_public(SecretBytes.of(alice.disclose())) == bob.exchange_key(ALICE)
    with pytest.raises(Bug, match="disclosed"):
        alice.seal(BOB, "/Whisper", b"x")
    assert alice.open(BOB, "/Whisper", bob.seal(ALICE, "/Whisper", b"x")) == b"x"


def test_a_courier_wants_the_key_its_device_joined_with() -> None:
    with pytest.raises(UsageError, match="not the one it joined with"):
        SessionCourier(
            session=SessionId(bytes(32)), me=ALICE, sign=signer(ALICE), identity_keys={},
            session_private=SecretBytes.of(bytes(31) + b"\x01"), session_publics={ALICE: bytes(32)},
        )  # fmt: skip


class Complaint(Message):
    frame: bytes
    key: bytes


def complaining(alter: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> Callable[[Net], Any]:
    """Alice complains of what Bob dealt her, showing what ``alter`` makes of the envelope and the key."""

    async def protocol(net: Net) -> Whisper | Unreadable:
        await net.at("other").scatter({p: Whisper(text="else") for p in net.parties})
        await net.scatter({p: Whisper(text=f"for {p}") for p in net.parties}, lenient=True)
        mine = Complaint(frame=b"", key=b"")
        if net.me == ALICE:
            frame, key = alter(net.evidence(BOB, Whisper), net.disclose())
            mine = Complaint(frame=frame, key=key)
        said = (await net.broadcast(mine))[ALICE]
        return net.open_disclosed(
            said.frame, dealer=BOB, complainer=ALICE, kind=Whisper, private_key=said.key
        )

    return protocol


def test_a_disclosed_key_opens_what_the_dealer_sent() -> None:
    outcome = run(complaining(lambda frame, key: (frame, key)))
    assert outcome.results == {device: Whisper(text=f"for {ALICE}") for device in devices(3)}


@pytest.mark.parametrize("move", [b"\xc1", Rewritten(Whisper(text="x"), {"body": bytes(40)})])
def test_a_disclosed_body_that_was_unreadable_is_so_to_everyone(move: Any) -> None:
    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        return move if (sender, recipient, slot) == (BOB, ALICE, "/Whisper") else message

    outcome = run(complaining(lambda frame, key: (frame, key)), tamper=tamper)
    assert {type(result) for result in outcome.results.values()} == {Unreadable}
    assert len(outcome.results) == 3


@breaks("W-3.2")
@pytest.mark.parametrize("key", [bytes(32), b"\x01" * 32, b"", bytes(33)])
def test_a_complaint_with_a_key_that_is_not_its_own_names_the_complainer(key: bytes) -> None:
    assert_blamed(run(complaining(lambda frame, _: (frame, key))), "W-3.2")


def altered(**fields: Any) -> Callable[[bytes, bytes], tuple[bytes, bytes]]:
    def alter(frame: bytes, key: bytes) -> tuple[bytes, bytes]:
        signed = unpack(frame)
        return pack(msgspec.structs.replace(signed.envelope, **fields), signed.signature), key

    return alter


@breaks("W-3.3")
@pytest.mark.parametrize(
    "alter",
    [
        lambda frame, key: (b"", key),
        lambda frame, key: (frame + b"\x00", key),
        altered(body=bytes(40)),
        altered(sealed=False),
        altered(slot="/other/Whisper"),
        altered(session=bytes(32)),
        altered(sender=CAROL),
        altered(recipient=CAROL),
    ],
    ids=["nothing", "trailing byte", "body", "not sealed", "slot", "session", "sender", "recipient"],
)
def test_a_complaint_over_an_envelope_that_was_not_sent_names_the_complainer(alter: Any) -> None:
    assert_blamed(run(complaining(alter)), "W-3.3")


@breaks("W-3.3")
def test_a_complaint_over_an_envelope_of_another_slot_or_session_names_the_complainer() -> None:
    """Genuine envelopes of the dealer, for the complainer, but not the ones complained of."""
    honest = complaining(lambda frame, key: (frame, key))
    for seed, slot in ((0, "/other/Whisper"), (9, "/Whisper")):
        sent = run(honest, seed=seed).sent
        [frame] = [e.frame for e in sent if (e.sender, e.recipient, e.slot) == (BOB, ALICE, slot)]
        assert_blamed(run(complaining(lambda _, key, frame=frame: (frame, key))), "W-3.3")  # type: ignore[misc]


# --- W-4: the engine -------------------------------------------------------------------------------------------------


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
@pytest.mark.parametrize("view", [b"", bytes(31)])
def test_a_view_left_out_names_its_sender(view: bytes) -> None:
    assert_blamed(run(ping_pong, tamper=cheat("/Pong", Rewritten(Pong(number=2), {"view": view}))), "W-4.2")


@breaks("W-4.2")
def test_a_view_where_there_is_none_names_its_sender() -> None:
    move = Rewritten(Ping(number=1), {"view": bytes(32)})
    assert_blamed(run(ping_pong, tamper=cheat("/Ping", move)), "W-4.2")


@breaks("W-4.3")
def test_a_flood_of_early_messages_names_its_sender() -> None:
    def early(number: int) -> Rewritten:
        return Rewritten(Ping(number=1), {"slot": f"/{number}/Never"})

    just = [early(n) for n in range(MAX_EARLY_MESSAGES)]
    assert run(ping_pong, tamper=cheat("/Ping", lambda m: m, *just), lockstep=True).failures == {}
    flood = [early(n) for n in range(MAX_EARLY_MESSAGES + 1)]
    assert_blamed(run(ping_pong, tamper=cheat("/Ping", *flood), lockstep=True), "W-4.3")


@breaks("W-4.3")
def test_a_few_huge_early_messages_name_their_sender() -> None:
    big = [
        Rewritten(Ping(number=1), {"slot": f"/{n}/Never", "body": bytes(MAX_BODY)})
        for n in range(MAX_EARLY_BYTES // MAX_BODY + 1)
    ]
    assert_blamed(run(ping_pong, tamper=cheat("/Ping", *big), lockstep=True), "W-4.3")


# --- W-5: equivocation and disputes ----------------------------------------------------------------------------------


def assert_proven(failure: Any) -> None:
    """Two headers that Alice signed and no honest sender would have: checked as a stranger would."""
    first, second = (decode(SignedHeader, each) for each in failure.evidence)
    for signed in (first, second):
        assert signed.header.sender == ALICE
        Ed25519PublicKey.from_public_bytes(identity_key(ALICE)).verify(signed.signature, signed.header.digest)
    assert conflict(first.header, second.header)


@breaks("W-5.1")
@pytest.mark.parametrize("slot", ["/Ping", "/Pong", "/Whisper"])
def test_two_messages_in_one_slot_name_their_sender_with_proof(slot: str) -> None:
    other: Message = Whisper(text="y") if slot == "/Whisper" else Ping(number=7)
    tamper = cheat(slot, lambda m: m, other)

    async def protocol(net: Net) -> None:
        await ping_pong(net)
        await net.at("end").broadcast(Ping(number=1))

    for seed in range(5):
        outcome = run(protocol, tamper=tamper, seed=seed)
        for device in HONEST:
            failure = outcome.failures[device]
            assert isinstance(failure, (ProtocolAbort, Diverged))
            assert failure.culprits == {ALICE}
            assert_proven(failure)


@breaks("W-5.1")
def test_one_who_caught_two_messages_shows_them_to_the_others() -> None:
    tamper = cheat("/Ping", lambda m: m, Ping(number=7), to=(BOB,))
    outcome = run(ping_pong, tamper=tamper, lockstep=True)
    assert_blamed(outcome, "W-5.1")
    for device in HONEST:
        assert_proven(outcome.failures[device])


@breaks("W-5.1")
def test_one_slot_used_openly_and_privately_names_its_sender() -> None:
    tamper = cheat("/Ping", lambda m: m, Rewritten(Ping(number=1), {"recipient": BOB}), to=(BOB,))
    for seed in range(5):
        failure = run(ping_pong, tamper=tamper, seed=seed).failures[BOB]
        assert isinstance(failure, ProtocolAbort)
        assert failure.culprits == {ALICE}


def split(slot: str, *, views: bool = False) -> Tamper:
    """Alice tells Bob one thing and Carol another."""

    def tamper(sender: DeviceId, recipient: DeviceId, where: str, message: Message) -> Any:
        if (sender, recipient, where) != (ALICE, CAROL, slot):
            return message
        return Rewritten(message, {"view": b"\x07" * 32}) if views else Ping(number=99)

    return tamper


@breaks("W-5.2")
@pytest.mark.parametrize("seed", range(8))
def test_a_split_view_is_noticed_and_the_equivocator_is_named_with_proof(seed: int) -> None:
    outcome = run(ping_pong, tamper=split("/Ping"), seed=seed)
    assert_blamed(outcome, "W-5.2")
    for device in HONEST:
        assert_proven(outcome.failures[device])
    assert not any(each.slot == "/Whisper" and each.sender != ALICE for each in outcome.sent)


@breaks("W-5.2")
@pytest.mark.parametrize("slot", ["/Pong", "/Whisper"])
@pytest.mark.parametrize("seed", range(4))
def test_one_who_signs_different_views_for_different_readers_is_named(slot: str, seed: int) -> None:
    async def protocol(net: Net) -> None:
        await ping_pong(net)
        await net.at("end").broadcast(Ping(number=1))

    outcome = run(protocol, tamper=split(slot, views=True), seed=seed)
    assert_blamed(outcome, "W-5.2")
    for device in HONEST:
        assert_proven(outcome.failures[device])


@breaks("W-5.2")
def test_one_who_lies_about_its_view_to_all_blames_nobody_else() -> None:
    lie = Rewritten(Pong(number=2), {"view": b"\x07" * 32})

    def silent(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        if (sender, slot) == (ALICE, DISPUTE_SLOT):
            return DROP
        return cheat("/Pong", lie)(sender, recipient, slot, message)

    for device in HONEST:
        failure = run(ping_pong, tamper=silent).failures[device]
        assert isinstance(failure, Diverged)
        assert failure.culprits == frozenset()


@breaks("W-5.2")
@pytest.mark.parametrize("seed", range(4))
def test_one_whose_account_does_not_give_the_view_it_signed_is_named(seed: int) -> None:
    lie = Rewritten(Pong(number=2), {"view": b"\x07" * 32})
    outcome = run(ping_pong, tamper=cheat("/Pong", lie), seed=seed)
    named = [outcome.failures[d].culprits for d in HONEST]  # type: ignore[attr-defined]
    assert all(culprits <= {ALICE} for culprits in named)
    assert {ALICE} in named


def test_who_has_yet_to_account_for_its_view_is_waited_on() -> None:
    simulator = Simulator(dict.fromkeys(devices(2), ping_pong), tamper=cheat(
        "/Pong", Rewritten(Pong(number=2), {"view": b"\x07" * 32})
    ))  # fmt: skip
    machines = simulator.start()
    for _ in range(2):
        batch = [(s, r, f) for s, m in machines.items() for r, f in m.drain()]
        for sender, recipient, frame in batch:
            machines[recipient].deliver(frame, sender)
    assert isinstance(machines[BOB].failure, Diverged)
    assert machines[BOB].waiting_on == (frozenset({ALICE}), DISPUTE_SLOT)


@breaks("W-5.2")
def test_views_below_a_path_are_compared_too() -> None:
    """An echo followed by nothing but pairs: each pair compares."""

    async def protocol(net: Net) -> None:
        await net.echo(Ping(number=1))
        for peer in net.others:
            net.pair(peer, "duet").send(Pong(number=1))
        for peer in net.others:
            await net.pair(peer, "duet").recv(Pong)

    assert_blamed(run(protocol, tamper=split("/Ping")), "W-5.2")


def dispute_with(body: bytes) -> Tamper:
    """Alice sends a dispute nobody needs, along with her first message."""
    return cheat("/Ping", lambda m: m, Rewritten(body, {"slot": DISPUTE_SLOT}))


def headers_of(outcome: Outcome[Any], slot: str) -> tuple[SignedHeader, ...]:
    frames = {each.sender: each.frame for each in outcome.sent if each.slot == slot}
    return tuple(unpack(frames[d]).signed_header for d in sorted(frames))


@breaks("W-5.3")
def test_a_dispute_that_is_not_one_names_its_sender() -> None:
    for body in (b"", b"\xc1", encode(Ping(number=1))):
        assert_blamed(run(ping_pong, tamper=dispute_with(body), lockstep=True), "W-5.3")


@breaks("W-5.3")
def test_a_dispute_that_shows_no_difference_names_its_sender() -> None:
    """With the genuine headers of a session in which all views agreed."""
    honest = run(ping_pong)
    body = encode(
        Dispute(slot="/Ping", round=headers_of(honest, "/Ping"), claims=headers_of(honest, "/Pong"), held=())
    )
    assert_blamed(run(ping_pong, tamper=dispute_with(body), lockstep=True), "W-5.3")


@breaks("W-5.3")
def test_a_dispute_over_what_was_never_signed_names_its_sender() -> None:
    honest = run(ping_pong)
    pings, pongs = headers_of(honest, "/Ping"), headers_of(honest, "/Pong")
    forged = msgspec.structs.replace(pongs[1].header, view=b"\x07" * 32)
    foreign = headers_of(run(ping_pong, seed=3), "/Pong")
    for claims in ((pongs[0], SignedHeader(header=forged, signature=pongs[1].signature)), foreign):
        body = encode(Dispute(slot="/Ping", round=pings, claims=claims, held=()))
        assert_blamed(run(ping_pong, tamper=dispute_with(body), lockstep=True), "W-5.3")


def test_an_answer_nobody_asked_for_changes_nothing() -> None:
    honest = run(ping_pong)
    body = encode(Dispute(slot="/Ping", round=headers_of(honest, "/Ping"), claims=(), held=()))
    outcome = run(ping_pong, tamper=dispute_with(body))
    assert {d: outcome.results[d] for d in HONEST} == {d: honest.results[d] for d in HONEST}


# --- whatever one party does ----------------------------------------------------------------------------------------

wild_moves = st.one_of(
    st.just(DROP),
    st.binary(max_size=20),
    st.binary(max_size=60).map(Frame),
    st.integers(0, 9).map(lambda n: Ping(number=n)),
    st.builds(
        lambda number, fields: Rewritten(Pong(number=number), fields),
        st.integers(0, 3),
        st.fixed_dictionaries(
            {},
            optional={
                "view": st.sampled_from([b"", b"\x07" * 32, bytes(32)]),
                "recipient": st.sampled_from([ALL, BOB, CAROL]),
                "sealed": st.booleans(),
                "slot": st.sampled_from(["/Ping", "/Pong", "/Whisper", DISPUTE_SLOT, "/left/Ping", "/x"]),
                "session": st.just(bytes(32)),
                "sender": st.sampled_from([BOB, CAROL]),
            },
        ),
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(0, 2**16))
def test_whatever_one_party_does_no_honest_one_is_blamed(data: st.DataObject, seed: int) -> None:
    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        if sender != ALICE or data.draw(st.integers(0, 3)):
            return message
        return [
            message if data.draw(st.booleans()) else data.draw(wild_moves)
            for _ in range(data.draw(st.integers(1, 2)))
        ]

    outcome = run(converse, tamper=tamper, seed=seed)
    honest = run(converse)
    for device in HONEST:
        failure = outcome.failures.get(device)
        if isinstance(failure, (ProtocolAbort, Diverged)):
            assert failure.culprits <= {ALICE}
        if device in outcome.results:
            pings = outcome.results[device][0]
            assert {p: pings[p] for p in HONEST} == {p: honest.results[device][0][p] for p in HONEST}
    if all(device in outcome.results for device in HONEST):
        assert outcome.results[BOB][0] == outcome.results[CAROL][0], "an echoed round was split unnoticed"
