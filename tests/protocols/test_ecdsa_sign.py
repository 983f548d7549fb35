from __future__ import annotations

import dataclasses
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import SECP256K1, Point, Scalar, SecretScalar
from quorate.errors import Bug, Denied, ProtocolAbort, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.native.memory import SecretBytes
from quorate.native.ot import answer_size, extension_size
from quorate.primitives.drbg import hedged
from quorate.protocols.ecdsa import lane
from quorate.protocols.ecdsa.signature import Signature, assemble, coordinate
from quorate.protocols.ecdsa.terms import agree, share_of, tweaked
from quorate.protocols.ot.multiply import MAX_BATCH
from quorate.wire.envelope import MAX_SEALED
from quorate.wire.machine import MAX_EARLY_BYTES, MAX_EARLY_MESSAGES
from quorate.wire.simulator import Simulator, randomness
from tests.protocols.ecdsa_sessions import HALF, assert_verifies, digests, ecdsa_sign, signing
from tests.protocols.ideal import Dealer, ideal_setup, multiply_ideally
from tests.protocols.vaults import Vault, vault_of
from tests.rules import breaks

G = SECP256K1.generator
DELTA = SECP256K1.scalar_of(0xDE17A)
NOTHING = SECP256K1.secret_vector(b"")


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


def key_of(vault: Vault, tweak: Scalar | None = None) -> bytes:
    return bytes(tweaked(SECP256K1.point(vault.public_key(Curve.SECP256K1)), tweak))


def only(results: Any) -> tuple[Signature, ...]:
    (signatures,) = set(results.values())
    return signatures  # type: ignore[no-any-return]


def lanes_made(patch: pytest.MonkeyPatch) -> list[lane.Lane]:
    """The lanes that sessions open from now on."""
    made: list[lane.Lane] = []
    real = lane.open_lane

    def keep(*args: Any) -> lane.Lane:
        made.append(real(*args))
        return made[-1]

    patch.setattr(lane, "open_lane", keep)
    return made


@pytest.mark.parametrize(
    "digest", [bytes(32), b"\xff" * 32, sha256(b"hello").digest()], ids=lambda d: d.hex()[:4]
)
def test_a_quorum_makes_a_plain_signature(vault: Vault, digest: bytes) -> None:
    outcome = ecdsa_sign(vault, vault.devices[:2], [digest])
    (signature,) = only(outcome.results)
    assert_verifies(key_of(vault), digest, signature)


@pytest.mark.parametrize("count", [1, 2, 8, 9, 17])
def test_any_number_of_messages_takes_three_rounds(vault: Vault, count: int) -> None:
    """Four frames to each peer for every eight messages or less, less what is said once for all of them."""
    messages = [*digests(count - 1), digests(1)[0]]
    outcome = ecdsa_sign(vault, vault.devices[:2], messages, lockstep=True)
    lanes = -(-count // 8)
    assert (outcome.rounds, outcome.messages) == (3, 2 * (2 + 2 * lanes))
    signatures = only(outcome.results)
    for message, signature in zip(messages, signatures, strict=True):
        assert_verifies(key_of(vault), message, signature)
    assert len({signature.compact[:32] for signature in signatures}) == count, "a nonce was used twice"


def test_three_signers_send_four_frames_to_each_other(vault: Vault) -> None:
    outcome = ecdsa_sign(vault, vault.devices, digests(2), lockstep=True)
    assert (outcome.rounds, outcome.messages) == (3, 4 * 6)


def test_a_vault_of_one_signs_alone() -> None:
    alone = vault_of([2], 2)
    outcome = ecdsa_sign(alone, alone.devices, digests(9), tweak=DELTA)
    assert outcome.messages == 0
    for message, signature in zip(digests(9), only(outcome.results), strict=True):
        assert_verifies(key_of(alone, DELTA), message, signature)


def test_a_tweak_signs_under_the_child_key(vault: Vault) -> None:
    outcome = ecdsa_sign(vault, vault.devices, digests(1), tweak=DELTA)
    (signature,) = only(outcome.results)
    child = SECP256K1.point(vault.public_key(Curve.SECP256K1)) + DELTA * G
    assert_verifies(bytes(child), digests(1)[0], signature)


def test_a_tweak_that_leads_to_no_key_is_refused() -> None:
    secret = SECP256K1.scalar_of(5)
    with pytest.raises(UsageError, match="choose another path"):
        tweaked(secret * G, -secret)


def test_a_tweak_of_zero_is_no_tweak(vault: Vault) -> None:
    zero = SECP256K1.scalar_of(0)
    one, other = (ecdsa_sign(vault, vault.devices[:2], digests(1), tweak=tweak) for tweak in (None, zero))
    assert only(one.results) == only(other.results)


@pytest.mark.parametrize("tweak", [None, DELTA], ids=["plain", "tweaked"])
@pytest.mark.parametrize("weights", [[2, 1, 1], [1, 1, 1], [3, 4, 2]])
def test_every_signature_is_the_textbooks(
    weights: list[int], tweak: Scalar | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the nonces a run drew and the whole key, plain integers give the signature it made."""
    vault = vault_of(weights, sum(weights) // 2 + 1)
    monkeypatch.setattr(lane.Lane, "burn", lambda self: None)
    made = lanes_made(monkeypatch)
    signatures = only(ecdsa_sign(vault, vault.devices, digests(2), tweak=tweak).results)
    q = SECP256K1.order
    quorums = [vault.quorum(device, vault.devices, Curve.SECP256K1) for device in vault.devices]
    key = sum(int(quorum.secret.publish()) for quorum in quorums) + (int(tweak) if tweak else 0)
    for item, (message, signature) in enumerate(zip(digests(2), signatures, strict=True)):
        k = sum(int(each.inputs[2 * item].publish()) for each in made)
        r = int.from_bytes(bytes(SECP256K1.scalar_of(k) * G)[1:], "big") % q
        s = pow(k, -1, q) * (int.from_bytes(message, "big") + r * key) % q
        assert signature.compact == r.to_bytes(32, "big") + min(s, q - s).to_bytes(32, "big")


# --- shares


def shares(vault: Vault, sid: bytes, tweak: Scalar | None = None, generation: int = 1) -> list[Scalar]:
    found = []
    for device in vault.devices:
        quorum = vault.quorum(device, vault.devices, Curve.SECP256K1)
        terms = agree(quorum, sid, digests(1), tweak)  # type: ignore[arg-type]
        setups = {p: ideal_setup(device, p, generation) for p in vault.devices if p != device}
        found.append(share_of(terms, setups).publish())
    return found


def test_shares_add_up_to_the_key_and_no_two_sessions_have_one_in_common(vault: Vault) -> None:
    collapsed = [vault.quorum(d, vault.devices, Curve.SECP256K1).secret.publish() for d in vault.devices]
    sessions = [
        collapsed,
        shares(vault, b"s"),
        shares(vault, b"t"),
        shares(vault, b"s", generation=2),
        shares(vault, b"s", DELTA),
    ]
    for found in sessions[:-1]:
        assert bytes(sum(found, start=SECP256K1.scalar_of(0)) * G) == key_of(vault)
    assert bytes(sum(sessions[-1], start=SECP256K1.scalar_of(0)) * G) == key_of(vault, DELTA)
    assert all(len({int(found[place]) for found in sessions}) == 5 for place in range(3))
    assert shares(vault, b"s") == sessions[1]


def test_the_share_of_the_epoch_survives_a_session_of_one() -> None:
    """A session wipes its share: never the quorum's own."""
    alone = vault_of([2], 2)
    for _ in range(2):
        assert not ecdsa_sign(alone, alone.devices, digests(1)).failures


# --- refusals


def test_an_underweight_set_is_refused_before_anything_is_sent(vault: Vault) -> None:
    with pytest.raises(UsageError, match="weight 2 is below the threshold 3"):
        ecdsa_sign(vault, vault.devices[1:], digests(1))


@pytest.mark.parametrize("count", [0, 65])
def test_a_session_signs_one_to_sixty_four_digests(vault: Vault, count: int) -> None:
    outcome = ecdsa_sign(vault, vault.devices, digests(count))
    assert [type(failure) for failure in outcome.failures.values()] == [UsageError] * 3
    assert not outcome.messages


def test_sixty_four_digests_fit_what_a_peer_may_send_early() -> None:
    """All products of one peer may come before we are done with round 1."""
    product = answer_size(MAX_BATCH) + MAX_BATCH * (3 * 40 + 40) + 256
    choice = extension_size(MAX_BATCH) + 256
    assert product < MAX_SEALED
    assert lane.MAX_LANES * (product + choice) < MAX_EARLY_BYTES
    assert 2 * lane.MAX_LANES + 2 < MAX_EARLY_MESSAGES


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33), bytes(64)], ids=len)
def test_only_digests_of_thirty_two_bytes_are_signed(vault: Vault, digest: bytes) -> None:
    outcome = ecdsa_sign(vault, vault.devices, [bytes(32), digest])
    assert all("32 bytes" in str(failure) for failure in outcome.failures.values())
    assert len(outcome.failures) == 3
    assert not outcome.messages


def test_a_session_has_the_parties_of_its_quorum(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    multiply_ideally(monkeypatch, Dealer())
    one, two, three = vault.devices
    protocol = signing(vault.quorum(one, vault.devices, Curve.SECP256K1), digests(1))
    for parties in [(one, two), (two, one, three)]:
        players = Simulator(dict.fromkeys(parties, protocol)).start()
        assert isinstance(players[two].failure, UsageError)


def test_an_ed25519_quorum_does_not_sign_ecdsa(vault: Vault) -> None:
    protocol = signing(vault.quorum(vault.devices[0], vault.devices), digests(1))
    players = Simulator(dict.fromkeys(vault.devices, protocol)).start()
    assert isinstance(players[vault.devices[0]].failure, UsageError)


def test_without_a_live_set_up_nothing_is_sent(vault: Vault) -> None:
    def none(me: DeviceId, peer: DeviceId) -> Any:
        raise Denied(f"no set-up with {peer}", approver="test", rule="test")

    outcome = ecdsa_sign(vault, vault.devices, digests(1), setups=none)
    assert [type(failure) for failure in outcome.failures.values()] == [Denied] * 3
    assert not outcome.messages


def test_a_set_up_replaced_within_a_session_is_our_bug(vault: Vault) -> None:
    asked: list[DeviceId] = []

    def setups(me: DeviceId, peer: DeviceId) -> Any:
        asked.append(me)
        return ideal_setup(me, peer, generation=1 if asked.count(me) <= 2 else 2)

    with pytest.raises(Bug, match="was replaced within a session"):
        ecdsa_sign(vault, vault.devices, digests(1), setups=setups)


# --- release


def test_nothing_of_round_three_leaves_without_a_release(vault: Vault) -> None:
    stopper = vault.devices[0]
    released = []

    def release(device: DeviceId) -> None:
        if device == stopper:
            raise Denied("the decision was withdrawn", approver="test", rule="test")
        released.append(device)

    outcome = ecdsa_sign(vault, vault.devices, digests(2), release=release)
    assert isinstance(outcome.failures[stopper], Denied)
    assert sorted(released) == list(vault.devices[1:])
    assert not [each for each in outcome.sent if each.sender == stopper and each.slot.endswith("Shares")]
    assert not outcome.results


def test_release_comes_after_every_check_of_round_two(vault: Vault) -> None:
    cheat = vault.devices[2]
    released: list[DeviceId] = []

    def other_image(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == cheat and slot.endswith("Product"):
            return replace(message, image=message.image + G)
        return message

    outcome = ecdsa_sign(vault, vault.devices, digests(1), tamper=other_image, release=released.append)
    assert set(outcome.failures) >= set(vault.devices[:2])
    assert released in ([], [cheat])


def test_release_is_asked_for_once_by_everyone(vault: Vault) -> None:
    released: list[DeviceId] = []
    assert not ecdsa_sign(vault, vault.devices, digests(9), release=released.append).failures
    assert sorted(released) == list(vault.devices)


# --- secrets


def is_wiped(made: lane.Lane) -> bool:
    for secret in (made.inputs, made.masks, *(chooser.choice for chooser in made.choosers.values())):
        with pytest.raises(Bug, match="wiped"):
            secret.reveal()
    return True


def test_nonces_are_wiped_by_any_end(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lanes_made(monkeypatch)

    def stop(device: DeviceId) -> None:
        raise Denied("no", approver="test", rule="test")

    ecdsa_sign(vault, vault.devices, digests(9))
    ecdsa_sign(vault, vault.devices, digests(1), release=stop)
    assert len(made) == 3 * 2 + 3
    assert all(map(is_wiped, made))


def test_the_share_of_a_session_is_wiped(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SecretScalar] = []

    def keep(*args: Any) -> SecretScalar:
        made.append(share_of(*args))
        return made[-1]

    monkeypatch.setattr("quorate.protocols.ecdsa.sign.share_of", keep)
    assert not ecdsa_sign(vault, vault.devices, digests(1)).failures
    for share in made:
        with pytest.raises(Bug, match="wiped"):
            share.reveal()
    assert len(made) == 3


def test_nonces_are_wiped_where_the_others_fall_silent(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lanes_made(monkeypatch)
    ecdsa_sign(vault, vault.devices, digests(1), tamper=lambda *_: [])
    assert len(made) == 3
    assert all(map(is_wiped, made))


def opened(
    vault: Vault,
    *,
    sid: bytes = b"s",
    messages: Any = None,
    tweak: Any = None,
    part: int = 0,
    peers: bool = True,
) -> lane.Lane:
    """A lane of the first signer, always from the same randomness."""
    me = vault.devices[0]
    quorum = vault.quorum(me, vault.devices, Curve.SECP256K1)
    terms = agree(quorum, sid, messages or digests(2), tweak)  # type: ignore[arg-type]
    setups = {peer: ideal_setup(me, peer) for peer in vault.devices[1:]} if peers else {}
    with pytest.MonkeyPatch.context() as patch:
        multiply_ideally(patch, Dealer())
        return lane.open_lane(terms, part, digests(2), share_of(terms, setups), setups, randomness("same"))


def test_a_replayed_random_source_repeats_no_secret(vault: Vault) -> None:
    """A machine restored from a snapshot: the same randomness in another session, or for something else."""
    lanes = [
        opened(vault),
        opened(vault, sid=b"t"),
        opened(vault, messages=digests(2)[::-1]),
        opened(vault, tweak=DELTA),
        opened(vault, part=1),
        opened(vault_of([2, 1, 1], 3, seed=7)),
    ]
    assert opened(vault).points == lanes[0].points
    secrets = [
        int(secret.publish())
        for each in lanes
        for secret in (
            each.inputs[0],
            each.inputs[2],
            *each.masks,
            *(c for chooser in each.choosers.values() for c in chooser.choice),
        )
    ]
    assert len(set(secrets)) == len(secrets) == 6 * (2 + 2 + 4)


def test_nobody_foresees_an_answer_without_the_key_share(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even who knows what the system draws: with a^, η would be an equation between r_i and sk_i, and s another."""

    def respond(setup: Any, context: Any, m1: bytes, inputs: Any, rng: Any, *hedge: Any) -> tuple[bytes, Any]:
        return hedged(rng, context.hash, m1, *hedge).public(32), inputs

    monkeypatch.setattr(lane, "respond", respond)
    one, (_, peer, other) = opened(vault), vault.devices

    def answered(made: lane.Lane, peer: DeviceId = peer) -> bytes:
        factor = lane.Factor(setup=made.setups[peer].id, m1=b"")
        return lane.answer(made, peer, factor, randomness("same")).product.m2

    stranger = dataclasses.replace(one.terms.quorum, hedge=SecretBytes(32))
    answers = [
        answered(one),
        answered(one, other),
        answered(dataclasses.replace(one, part=1)),
        answered(dataclasses.replace(one, terms=dataclasses.replace(one.terms, hash=bytes(32)))),
        answered(dataclasses.replace(one, terms=dataclasses.replace(one.terms, quorum=stranger))),
    ]
    assert answered(one) == answers[0]
    assert len(set(answers)) == len(answers)


def test_a_commitment_is_to_everything(vault: Vault) -> None:
    """Points, blinder, terms, lane and who commits."""
    one = opened(vault)
    quorum = one.terms.quorum
    others = [
        dataclasses.replace(one, points=one.points[::-1]),
        dataclasses.replace(one, points=one.points[:1]),
        dataclasses.replace(one, blinder=bytes(32)),
        dataclasses.replace(one, part=1),
        dataclasses.replace(one, terms=dataclasses.replace(one.terms, hash=bytes(32))),
        dataclasses.replace(
            one,
            terms=dataclasses.replace(one.terms, quorum=dataclasses.replace(quorum, me=quorum.devices[1])),
        ),
    ]
    assert len({each.commitment for each in (one, *others)}) == 7


def test_terms_are_everything_that_is_agreed(vault: Vault) -> None:
    quorum = vault.quorum(vault.devices[0], vault.devices, Curve.SECP256K1)
    first, second, third = quorum.seats
    variants: list[Callable[[], bytes]] = [
        lambda: hash_of(quorum),
        lambda: hash_of(quorum, sid=b"t"),
        lambda: hash_of(quorum, chunk=1),
        lambda: hash_of(quorum, messages=digests(1)),
        lambda: hash_of(quorum, messages=digests(2)[::-1]),
        lambda: hash_of(quorum, tweak=DELTA),
        lambda: hash_of(dataclasses.replace(quorum, vault="other")),  # type: ignore[arg-type]
        lambda: hash_of(dataclasses.replace(quorum, epoch=9)),  # type: ignore[arg-type]
        lambda: hash_of(dataclasses.replace(quorum, certificate=bytes(32))),
        lambda: hash_of(dataclasses.replace(quorum, seats=(first, second))),
        lambda: hash_of(
            dataclasses.replace(quorum, seats=(dataclasses.replace(first, weight=9), second, third))
        ),
        lambda: hash_of(
            dataclasses.replace(
                quorum, seats=(dataclasses.replace(first, indices=range(1, 4)), second, third)
            )
        ),
        lambda: hash_of(
            dataclasses.replace(
                quorum, seats=(dataclasses.replace(first, identity_key=bytes(32)), second, third)
            )
        ),
    ]
    assert len({variant() for variant in variants}) == len(variants)


def hash_of(
    quorum: Any, sid: bytes = b"s", messages: Any = None, tweak: Scalar | None = None, chunk: int = 0
) -> bytes:
    return agree(quorum, sid, messages or digests(2), tweak, chunk).hash  # type: ignore[arg-type]


# --- the last sums, which no single signer decides


def joined(vault: Vault, total: Point) -> None:
    """Join our lane with peers whose nonces make ``total`` with ours for the second message."""
    ours = opened(vault)
    peer = vault.devices[1]
    nonces = (G, total - ours.points[1])
    image = ours.terms.public_key - ours.image
    lane.join(ours, {peer: lane.Heard(nonces=nonces, image=image, masks=NOTHING, shares=NOTHING)})


def test_a_sum_of_nonces_like_any_other_is_joined(vault: Vault) -> None:
    joined(vault, G)


@breaks("EC-2.7")
def test_nonces_that_cancel_are_nobodys_fault(vault: Vault) -> None:
    with pytest.raises(ProtocolAbort, match=r"EC-2\.7 nonce \(nobody to blame\)"):
        joined(vault, SECP256K1.identity)


@breaks("EC-2.8")
def test_a_nonce_whose_coordinate_is_zero_is_nobodys_fault(vault: Vault) -> None:
    """There is a point with x = q."""
    point = SECP256K1.point(b"\x02" + SECP256K1.order.to_bytes(32, "big"))
    with pytest.raises(ProtocolAbort, match=r"EC-2\.8 coordinate \(nobody to blame\)"):
        joined(vault, point)


def points_beyond_the_order() -> list[Point]:
    """One of each parity with x above q, for which the recovery id is 2 or 3."""
    found: dict[int, Point] = {}
    x = SECP256K1.order + 1
    while len(found) < 2:
        for parity in (2, 3):
            try:
                found.setdefault(parity, SECP256K1.point(bytes([parity]) + x.to_bytes(32, "big")))
            except ValueError:
                continue
        x += 1
    return list(found.values())


@pytest.mark.parametrize(
    "nonce", [G, -G, *points_beyond_the_order()], ids=["even", "odd", "beyond", "beyond, odd"]
)
@pytest.mark.parametrize("s", [7, SECP256K1.order - 7, HALF, HALF + 1], ids=["low", "high", "half", "above"])
def test_a_signature_is_low_and_recovers_its_key(nonce: Point, s: int) -> None:
    """Of a key that fits: Q = (s·R - m·G) / r."""
    digest = digests(1)[0]
    r, scalar = coordinate(nonce), SECP256K1.scalar_of(s)
    key = (scalar / r) * nonce - (SECP256K1.reduce(digest) / r) * G
    factor = SECP256K1.scalar_of(12345)
    signature = assemble(key, digest, nonce, factor, scalar * factor)
    assert (signature.recovery_id >= 2) is (int.from_bytes(bytes(nonce)[1:], "big") > SECP256K1.order)
    assert_verifies(bytes(key), digest, signature)
