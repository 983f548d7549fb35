"""Rules W-5 of docs/spec/wire.md: equivocation, split views, and who is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import Diverged, ProtocolAbort
from quorate.identifiers import DeviceId, SessionId
from quorate.native.memory import SecretBytes
from quorate.wire.codec import Message, decode, encode
from quorate.wire.courier import SessionCourier
from quorate.wire.dispute import DISPUTE_SLOT, PROOF_SLOT, Dispute
from quorate.wire.envelope import ALL, SignedHeader, conflict, session_of, statement, unpack
from quorate.wire.machine import Machine
from quorate.wire.mailbox import mark_of, view_of
from quorate.wire.net import Net
from quorate.wire.simulator import (
    DROP,
    Frame,
    Outcome,
    Rewritten,
    Simulator,
    Tamper,
    devices,
    identity_key,
    signer,
)
from tests.rules import breaks
from tests.unit.conversations import (
    ALICE,
    BOB,
    CAROL,
    HONEST,
    Ping,
    Pong,
    Whisper,
    assert_blamed,
    attested,
    cheat,
    converse,
    framed,
    ping_pong,
    run,
)

LIE = mark_of("/Ping") + b"\x07" * 32
"""A view of the round of Pings that nobody had."""


def exchange(machines: Mapping[DeviceId, Machine[Any]]) -> None:
    """A few flights of messages, all in order."""
    for _ in range(5):
        batch = [(s, r, f) for s, m in machines.items() for r, f in m.drain()]
        for sender, recipient, frame in batch:
            machines[recipient].deliver(frame, sender)


def assert_proven(failure: Any) -> None:
    """Two headers that Alice signed and no honest sender would have: checked as a stranger would."""
    first, second = (decode(SignedHeader, each) for each in failure.evidence)
    for signed in (first, second):
        assert signed.header.sender == ALICE
        assert signed.header.digest in signed.flight
        said = statement(signed.flight)
        Ed25519PublicKey.from_public_bytes(identity_key(ALICE)).verify(signed.signature, said)
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
    outcome = run(ping_pong, tamper=tamper, lockstep=True)
    assert_blamed(outcome, "W-5.1")
    for device in HONEST:
        assert_proven(outcome.failures[device])


@breaks("W-5.1")
def test_one_who_caught_two_messages_of_a_split_round_still_accounts_for_its_view() -> None:
    """Alice splits the Pings and sends Carol a second one: Bob, whose view differs from Carol's, hears of that from her
    and must not take it for a lie about what she saw."""
    machines = Simulator(
        dict.fromkeys(devices(3), ping_pong), tamper=cheat("/Ping", Ping(number=99), lambda m: m, to=(CAROL,))
    ).start()
    bob, carol = machines[BOB], machines[CAROL]
    pings = {device: machine.drain() for device, machine in machines.items()}
    first, second = [frame for recipient, frame in pings[ALICE] if recipient == CAROL]
    for sender in (ALICE, CAROL):
        bob.deliver(next(f for recipient, f in pings[sender] if recipient == BOB), sender)
    carol.deliver(first, ALICE)
    carol.deliver(next(f for recipient, f in pings[BOB] if recipient == CAROL), BOB)
    machines[ALICE].deliver(next(f for recipient, f in pings[BOB] if recipient == ALICE), BOB)
    machines[ALICE].deliver(next(f for recipient, f in pings[CAROL] if recipient == ALICE), CAROL)
    carol.deliver(second, ALICE)
    for sender in (ALICE, CAROL):
        for recipient, frame in machines[sender].drain():
            if recipient == BOB:
                bob.deliver(frame, sender)
    for machine in (bob, carol):
        assert isinstance(machine.failure, (ProtocolAbort, Diverged))
        assert machine.failure.culprits == {ALICE}


@breaks("W-5.1")
def test_what_was_shown_before_does_not_hide_two_messages_in_one_slot() -> None:
    """Alice shows Carol what she says she whispered to a fourth; then Bob shows Carol the two whispers he got."""
    header = headers_of(run(ping_pong), "/Ping")[0].header
    whispers = [
        msgspec.structs.replace(header, slot="/Whisper", sealed=True, recipient=to, body_hash=bytes([n]) * 32)
        for n, to in enumerate((DeviceId("dave"), BOB, BOB))
    ]
    shown = [attested(each, ALICE) for each in whispers]
    body = encode(Dispute(slot="/Whisper", round=(), claims=(), held=tuple(shown[:1])))
    proof = encode(Dispute(slot="/Whisper", round=(), claims=(), held=tuple(shown[1:])))
    carol = Simulator(dict.fromkeys(devices(3), ping_pong)).start()[CAROL]
    template = unpack(run(ping_pong).sent[0].frame).envelope
    for sender, said in ((ALICE, body), (BOB, proof)):
        envelope = msgspec.structs.replace(
            template, sender=sender, recipient=ALL, slot=DISPUTE_SLOT, body=said
        )
        carol.deliver(framed(envelope, sender), sender)
    assert isinstance(carol.failure, ProtocolAbort)
    assert carol.failure.culprits == {ALICE}


@breaks("W-5.1")
def test_one_who_is_shown_two_messages_shows_them_to_the_others() -> None:
    """Alice convicts herself, but to Bob alone, so that he falls silent."""
    header = headers_of(run(ping_pong), "/Ping")[0].header
    other = msgspec.structs.replace(header, body_hash=bytes(32), slot="/other/Ping")
    pair = tuple(
        attested(each, ALICE) for each in (other, msgspec.structs.replace(other, body_hash=bytes([1]) * 32))
    )
    move = Rewritten(
        encode(Dispute(slot="/other/Ping", round=(), claims=(), held=pair)), {"slot": DISPUTE_SLOT}
    )
    outcome = run(ping_pong, tamper=cheat("/Ping", lambda m: m, move, to=(BOB,)), lockstep=True)
    assert_blamed(outcome, "W-5.1")


def split(slot: str, *, views: bool = False) -> Tamper:
    """Alice tells Bob one thing and Carol another, and keeps out of the dispute."""

    def tamper(sender: DeviceId, recipient: DeviceId, where: str, message: Message) -> Any:
        if sender == ALICE and where in (DISPUTE_SLOT, PROOF_SLOT):
            return DROP
        if (sender, recipient, where) != (ALICE, CAROL, slot):
            return message
        return Rewritten(message, {"view": LIE}) if views else Ping(number=99)

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
    lie = Rewritten(Pong(number=2), {"view": LIE})

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
    lie = Rewritten(Pong(number=2), {"view": LIE})
    outcome = run(ping_pong, tamper=cheat("/Pong", lie), seed=seed)
    named = [outcome.failures[d].culprits for d in HONEST]  # type: ignore[attr-defined]
    assert all(culprits <= {ALICE} for culprits in named)
    assert {ALICE} in named


@breaks("W-5.2")
def test_an_account_alone_convicts_one_that_lied_about_its_view() -> None:
    """Alice gives the round as it was, and none of her own headers that would contradict what she sent."""
    lie = Rewritten(Pong(number=2), {"view": LIE})

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        if sender == ALICE and isinstance(message, Dispute):
            return Dispute(slot=message.slot, round=message.round, claims=(), held=())
        return cheat("/Pong", lie)(sender, recipient, slot, message)

    outcomes = [run(ping_pong, tamper=tamper, seed=seed) for seed in range(4)]
    named = [o.failures[d].culprits for o in outcomes for d in HONEST]  # type: ignore[attr-defined]
    assert set(named) <= {frozenset(), frozenset({ALICE})}
    assert frozenset({ALICE}) in named


@breaks("W-5.2")
@pytest.mark.parametrize("slot", ["/Ping", "/else/Ping"])
def test_an_account_given_before_the_lie_counts_and_one_of_another_round_does_not(slot: str) -> None:
    lie = Rewritten(Pong(number=2), {"view": LIE})
    early = Rewritten(encode(Dispute(slot=slot, round=(), claims=(), held=())), {"slot": DISPUTE_SLOT})

    def tamper(sender: DeviceId, recipient: DeviceId, where: str, message: Message) -> Any:
        if (sender, where) == (ALICE, DISPUTE_SLOT):
            return DROP
        if (sender, where) == (ALICE, "/Ping"):
            return [message, early]
        return cheat("/Pong", lie)(sender, recipient, where, message)

    machines = Simulator(dict.fromkeys(devices(3), ping_pong), tamper=tamper).start()
    exchange(machines)
    for device in HONEST:
        failure = machines[device].failure
        assert isinstance(failure, Diverged)
        if slot == "/Ping":
            assert failure.culprits == {ALICE}
        else:
            assert machines[device].waiting_on == (frozenset({ALICE}), DISPUTE_SLOT)


@breaks("W-5.2")
def test_a_dispute_over_another_round_is_no_account() -> None:
    lie = Rewritten(Pong(number=2), {"view": LIE})

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Message) -> Any:
        if sender == ALICE and isinstance(message, Dispute):
            return Dispute(slot="/else/Ping", round=(), claims=(), held=())
        return cheat("/Pong", lie)(sender, recipient, slot, message)

    machines = Simulator(dict.fromkeys(devices(3), ping_pong), tamper=tamper).start()
    exchange(machines)
    for device in HONEST:
        assert isinstance(machines[device].failure, Diverged)
        assert machines[device].waiting_on == (frozenset({ALICE}), DISPUTE_SLOT)


def test_who_has_yet_to_account_for_its_view_is_waited_on() -> None:
    simulator = Simulator(dict.fromkeys(devices(2), ping_pong), tamper=cheat(
        "/Pong", Rewritten(Pong(number=2), {"view": LIE})
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


async def two_echoes(net: Net) -> None:
    await net.echo(Ping(number=1))
    await net.at("next").echo(Ping(number=2))
    await net.at("next").broadcast(Pong(number=3))


def claim_of_alice(view: bytes) -> SignedHeader:
    honest = headers_of(run(two_echoes), "/next/Pong")[0].header
    header = msgspec.structs.replace(honest, slot="/mine/Pong", view=view)
    return attested(header, ALICE)


@breaks("W-5.3")
def test_a_dispute_that_passes_a_later_view_off_as_a_difference_names_its_sender() -> None:
    """Everything in it is genuine but the claim: what Bob said of a later round, held against an earlier one; a round
    that is not whole; a round of another slot."""
    honest = run(two_echoes)
    first, second = headers_of(honest, "/Ping"), headers_of(honest, "/next/Ping")
    bob = headers_of(honest, "/next/Pong")[1]

    def mine(round_: tuple[SignedHeader, ...]) -> SignedHeader:
        return claim_of_alice(view_of(honest_session(honest), "/Ping", [said.header for said in round_]))

    for round_, claims in (
        (first, (bob,)),
        (first, (mine(first), bob)),
        (first, (mine(first),)),
        (first[:2], (mine(first[:2]), bob)),
        (second, (mine(second), bob)),
    ):
        body = encode(Dispute(slot="/Ping", round=round_, claims=claims, held=()))
        assert_blamed(run(two_echoes, tamper=dispute_with(body), lockstep=True), "W-5.3")


def honest_session(outcome: Outcome[Any]) -> SessionId:
    return session_of(outcome.sent[0].frame)


def test_a_party_does_not_name_itself_whatever_it_is_shown() -> None:
    """Somebody else with Bob's key: Carol has to name the device, Bob knows better."""
    header = msgspec.structs.replace(headers_of(run(ping_pong), "/Ping")[1].header, body_hash=bytes(32))
    forged = attested(header, BOB)
    body = encode(Dispute(slot="/Ping", round=(), claims=(), held=(forged,)))
    failures = run(ping_pong, tamper=dispute_with(body), lockstep=True).failures
    of_carol = failures[CAROL]
    assert isinstance(of_carol, ProtocolAbort)
    assert of_carol.culprits == {BOB}
    assert not (isinstance(failures.get(BOB), ProtocolAbort) and failures[BOB].culprits)  # type: ignore[attr-defined]


def test_only_the_first_dispute_of_a_party_is_heard() -> None:
    good = encode(Dispute(slot="/Ping", round=(), claims=(), held=()))
    moves = [Rewritten(body, {"slot": DISPUTE_SLOT}) for body in (good, b"\xc1")]
    assert run(ping_pong, tamper=cheat("/Ping", lambda m: m, *moves), lockstep=True).failures == {}


@breaks("W-5.3")
def test_a_dispute_over_what_was_never_signed_names_its_sender() -> None:
    honest = run(ping_pong)
    pings, pongs = headers_of(honest, "/Ping"), headers_of(honest, "/Pong")
    forged = msgspec.structs.replace(pongs[1].header, view=b"\x07" * 32)
    foreign = headers_of(run(ping_pong, seed=3), "/Pong")
    digest, genuine = (forged.digest,), pongs[1]
    as_if = [
        SignedHeader(header=forged, flight=flight, signature=genuine.signature)
        for flight in (genuine.flight, digest, (*genuine.flight, *digest))
    ]
    for claims in (*((pongs[0], each) for each in as_if), foreign):
        body = encode(Dispute(slot="/Ping", round=pings, claims=claims, held=()))
        assert_blamed(run(ping_pong, tamper=dispute_with(body), lockstep=True), "W-5.3")


@breaks("W-5.3")
def test_a_dispute_with_headers_of_another_session_names_its_sender_and_frames_nobody() -> None:
    foreign = headers_of(run(ping_pong, seed=3), "/Ping")
    body = encode(Dispute(slot="/Ping", round=(), claims=(), held=foreign))
    assert_blamed(run(ping_pong, tamper=dispute_with(body), lockstep=True), "W-5.3")


def test_headers_conflict_only_within_one_slot_of_one_sender_in_one_session() -> None:
    header = headers_of(run(ping_pong), "/Ping")[0].header
    other = msgspec.structs.replace(header, body_hash=bytes(32))
    assert conflict(header, other)
    assert not conflict(header, header)
    assert conflict(header, msgspec.structs.replace(other, recipient=BOB, view=bytes(32)))
    assert conflict(header, msgspec.structs.replace(other, recipient=BOB))
    assert conflict(msgspec.structs.replace(other, recipient=BOB), header)
    for fields in ({"session": bytes(32)}, {"sender": BOB}, {"slot": "/Pong"}):
        assert not conflict(header, msgspec.structs.replace(other, **fields))
    private = msgspec.structs.replace(header, recipient=BOB, sealed=True)
    assert not conflict(private, msgspec.structs.replace(private, recipient=CAROL, body_hash=bytes(32)))


@breaks("W-5.3")
def test_a_dispute_over_what_a_stranger_signed_names_its_sender() -> None:
    """Bob knows the stranger's key, as a node knows more devices than take part."""
    stranger = devices(4)[3]
    simulator = Simulator(dict.fromkeys(devices(3), ping_pong))
    bob = simulator.couriers[BOB]
    simulator.couriers[BOB] = SessionCourier(
        session=simulator.session, me=BOB, sign=signer(BOB), session_private=SecretBytes.of(bob.disclose()),
        identity_keys={d: identity_key(d) for d in devices(4)},
        session_publics={d: bob.exchange_key(d) for d in devices(3)},
    )  # fmt: skip
    machine = simulator.start()[BOB]
    envelope = msgspec.structs.replace(unpack(run(ping_pong).sent[0].frame).envelope, slot=DISPUTE_SLOT)
    foreign = msgspec.structs.replace(envelope.header, sender=stranger)
    held = (attested(foreign, stranger),)
    assert held[0].is_genuine(simulator.couriers[BOB].verify)
    body = encode(Dispute(slot="/Ping", round=(), claims=(), held=held))
    envelope = msgspec.structs.replace(envelope, sender=ALICE, recipient=ALL, body=body)
    machine.deliver(framed(envelope, ALICE), ALICE)
    assert isinstance(machine.failure, ProtocolAbort)
    assert (machine.failure.rule, machine.failure.culprits) == ("W-5.3 dispute", frozenset({ALICE}))


def test_an_answer_nobody_asked_for_changes_nothing() -> None:
    honest = run(ping_pong)
    body = encode(Dispute(slot="/Ping", round=headers_of(honest, "/Ping"), claims=(), held=()))
    outcome = run(ping_pong, tamper=dispute_with(body))
    assert {d: outcome.results[d] for d in HONEST} == {d: honest.results[d] for d in HONEST}


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
                "view": st.sampled_from([b"", LIE, bytes(40), bytes(32)]),
                "recipient": st.sampled_from([ALL, BOB, CAROL]),
                "sealed": st.booleans(),
                "slot": st.sampled_from(
                    ["/Ping", "/Pong", "/Whisper", DISPUTE_SLOT, PROOF_SLOT, "/left/Ping", "/x"]
                ),
                "session": st.just(bytes(32)),
                "sender": st.sampled_from([BOB, CAROL]),
            },
        ),
    ),
)


@settings(max_examples=40)
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
