"""Rules W-3 of docs/spec/wire.md: private bodies, and complaints over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from quorate.errors import Bug, EncodingError, UsageError
from quorate.identifiers import DeviceId, SessionId
from quorate.native.keys import exchange_public
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.primitives.transcript import encode as transcribe
from quorate.wire.codec import Message
from quorate.wire.courier import SessionCourier
from quorate.wire.envelope import pack, unpack
from quorate.wire.net import Net, Unreadable
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
    HONEST,
    Whisper,
    assert_blamed,
    ping_pong,
    run,
)


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


def test_sealing_is_what_the_specification_says() -> None:
    """Step by step, with the other library calls: X25519, the transcript hash, ChaCha20-Poly1305."""
    alice, bob = two_couriers()
    private = X25519PrivateKey.from_private_bytes(bob.disclose())
    shared = private.exchange(X25519PublicKey.from_public_bytes(bob.exchange_key(ALICE)))
    place = transcribe((bytes(32), "/Whisper", ALICE, BOB))
    cipher = ChaCha20Poly1305(digest(Domain.SEAL_KEY, shared, place))
    assert alice.seal(BOB, "/Whisper", b"x") == cipher.encrypt(bytes(12), b"x", place)


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
        other = msgspec.structs.replace(signed.envelope, **fields)
        return pack(other, signed.flight, signed.signature), key

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
