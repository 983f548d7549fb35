"""One signer breaks one rule of ECDSA signing; every honest one names it by that rule, or nobody if nobody can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import SECP256K1, Point, Scalar
from quorate.errors import Denied, Diverged, ProtocolAbort
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.protocols.ecdsa.sign import Shares
from quorate.protocols.ecdsa.signature import assemble
from quorate.protocols.ecdsa.terms import tweaked
from quorate.protocols.quorum import Quorum
from quorate.wire.codec import encode
from quorate.wire.simulator import Outcome, Rewritten, devices
from tests.adversary.blame import (
    THRESHOLD,
    WEIGHTS,
    assert_a_split_is_seen,
    assert_all_name,
    assert_all_name_nobody,
    assert_all_wait_for,
    assert_no_honest_party_is_named,
    bad_points,
)
from tests.protocols.ecdsa_sessions import digests, ecdsa_sign, signing
from tests.protocols.ideal import Dealer, ideal_setup
from tests.protocols.vaults import Vault, believing, vault_of
from tests.rules import breaks

VICTIM, OTHER, CHEAT = devices(3)
MESSAGES = digests(2)
ONE = SECP256K1.scalar_of(1)
G = SECP256K1.generator
DELTA = SECP256K1.scalar_of(77)

Change = Callable[[Any], Any]


@pytest.fixture
def vault() -> Vault:
    return vault_of(WEIGHTS, THRESHOLD)


def lying(kind: str, change: Change, victim: DeviceId | None = None) -> Any:
    """A tamper hook: what the cheat says in messages of this kind, to everyone or to one victim."""

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        aimed = sender == CHEAT and slot.endswith(f"/{kind}") and victim in (None, recipient)
        return change(message) if aimed else message

    return tamper


def run(vault: Vault, **session: Any) -> Outcome[Any]:
    return ecdsa_sign(vault, vault.devices, MESSAGES, tweak=DELTA, **session)


def swapped(points: tuple[Point, ...], by: Scalar = ONE) -> tuple[Point, ...]:
    """Wrong for the second message only."""
    return (points[0], points[1] + by * G, *points[2:])


def cancelling(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Errors that cancel over the batch."""
    return (points[0] + G, points[1] - G, *points[2:])


def scalars(*numbers: int) -> SecretBytes:
    return SecretBytes.of(b"".join(number.to_bytes(32, "big") for number in numbers))


def test_honest_signers_sign(vault: Vault) -> None:
    """So that what follows fails for the reason it names."""
    assert not run(vault).failures


BLAMED: list[tuple[str, bool, str, str, Change]] = [
    ("EC-1.2", False, "Commitments", "too many", lambda m: replace(m, commitments=m.commitments * 2)),
    ("OT-3.1", False, "Factor", "long", lambda m: replace(m, m1=m.m1 + b"\0")),
    ("OT-3.1", False, "Factor", "empty", lambda m: replace(m, m1=b"")),
    ("OT-3.2", True, "Factor", "made up", lambda m: replace(m, m1=bytes(32))),
    ("EC-2.1", False, "Product", "a nonce too few", lambda m: replace(m, nonces=m.nonces[1:])),
    ("EC-2.1", False, "Product", "a nonce too many", lambda m: replace(m, nonces=m.nonces * 2)),
    ("EC-2.1", False, "Product", "a u too few", lambda m: replace(m, nonce_shares=m.nonce_shares[1:])),
    ("EC-2.1", False, "Product", "a u too many", lambda m: replace(m, nonce_shares=m.nonce_shares * 2)),
    ("EC-2.1", False, "Product", "a v too few", lambda m: replace(m, key_shares=m.key_shares[1:])),
    ("EC-2.1", False, "Product", "a v too many", lambda m: replace(m, key_shares=m.key_shares * 2)),
    ("EC-2.2", False, "Product", "no mask", lambda m: replace(m, masks=scalars())),
    ("EC-2.2", False, "Product", "a mask too few", lambda m: replace(m, masks=scalars(1))),
    ("EC-2.2", False, "Product", "a mask too many", lambda m: replace(m, masks=scalars(1, 2, 3))),
    ("EC-2.2", False, "Product", "half a mask", lambda m: replace(m, masks=SecretBytes(48))),
    ("EC-2.2", False, "Product", "a large mask", lambda m: replace(m, masks=scalars(1, SECP256K1.order))),
    ("EC-2.3", True, "Product", "another blinder", lambda m: replace(m, blinder=bytes(32))),
    ("EC-2.3", True, "Product", "another nonce", lambda m: replace(m, nonces=swapped(m.nonces))),
    ("EC-2.3", True, "Product", "nonces in another order", lambda m: replace(m, nonces=m.nonces[::-1])),
    ("OT-4.1", False, "Product", "a long answer", lambda m: replace(m, m2=m.m2 + b"\0")),
    ("OT-4.1", False, "Product", "no answer", lambda m: replace(m, m2=b"")),
    ("OT-4.3", True, "Product", "an answer made up", lambda m: replace(m, m2=bytes(32))),
    ("EC-2.4", True, "Product", "u", lambda m: replace(m, nonce_shares=swapped(m.nonce_shares))),
    ("EC-2.4", True, "Product", "u and -u", lambda m: replace(m, nonce_shares=cancelling(m.nonce_shares))),
    (
        "EC-2.4",
        True,
        "Product",
        "u in another order",
        lambda m: replace(m, nonce_shares=m.nonce_shares[::-1]),
    ),
    ("EC-2.5", True, "Product", "v", lambda m: replace(m, key_shares=swapped(m.key_shares))),
    ("EC-2.5", True, "Product", "v and -v", lambda m: replace(m, key_shares=cancelling(m.key_shares))),
    ("EC-2.5", True, "Product", "v in another order", lambda m: replace(m, key_shares=m.key_shares[::-1])),
    ("EC-2.5", True, "Product", "another key share", lambda m: replace(m, image=m.image + G)),
    ("EC-3.1", False, "Shares", "a u_i too many", lambda m: replace(m, masked=(*m.masked, ONE))),
    ("EC-3.1", False, "Shares", "a u_i too few", lambda m: replace(m, masked=m.masked[1:])),
    ("EC-3.1", False, "Shares", "a w_i too many", lambda m: replace(m, numerators=(*m.numerators, ONE))),
    ("EC-3.1", False, "Shares", "a w_i too few", lambda m: replace(m, numerators=m.numerators[1:])),
]


@breaks("EC-1.2", "EC-2.1", "EC-2.2", "EC-2.3", "EC-2.4", "EC-2.5", "EC-3.1")
@pytest.mark.parametrize(
    ("rule", "cheat", "kind", "change"),
    [pytest.param(*case[:3], case[4], id=f"{case[0]}:{case[3]}") for case in BLAMED],
)
def test_every_honest_signer_names_the_cheat(
    vault: Vault, rule: str, cheat: bool, kind: str, change: Change
) -> None:
    """And whether the set-up with it must end."""
    outcome = run(vault, tamper=lying(kind, change))
    assert_all_name(outcome, CHEAT, rule)
    for device in (VICTIM, OTHER):
        failure = outcome.failures[device]
        assert isinstance(failure, ProtocolAbort)
        assert failure.cheat is cheat


@pytest.mark.parametrize("kind", ["Factor", "Product"])
def test_a_cheat_against_one_signer_stops_the_others_without_a_word_of_it(vault: Vault, kind: str) -> None:
    """Whoever is not cheated waits; nothing that follows the failed check leaves the victim."""
    change: Change = {
        "Factor": lambda m: replace(m, m1=bytes(32)),
        "Product": lambda m: replace(m, m2=bytes(32)),
    }[kind]
    outcome = run(vault, tamper=lying(kind, change, VICTIM))
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert failure.cheat
    assert failure.culprits == {CHEAT}
    after = {"Factor": "Product", "Product": "Shares"}[kind]
    assert not [each for each in outcome.sent if each.sender == VICTIM and each.slot.endswith(after)]
    assert not outcome.results


def test_what_is_wrong_in_many_ways_is_named_by_the_first(vault: Vault) -> None:
    """The order of checks: sizes, opening, product, curve."""
    wrong: list[tuple[str, Change]] = [
        ("EC-2.5", lambda m: replace(m, key_shares=swapped(m.key_shares))),
        ("EC-2.4", lambda m: replace(m, nonce_shares=swapped(m.nonce_shares))),
        ("OT-4.3", lambda m: replace(m, m2=bytes(32))),
        ("EC-2.3", lambda m: replace(m, blinder=bytes(32))),
        ("EC-2.2", lambda m: replace(m, masks=scalars(0))),
        ("EC-2.1", lambda m: replace(m, key_shares=m.key_shares[1:])),
    ]
    for last, (rule, _) in enumerate(wrong):

        def change(message: Any, last: int = last) -> Any:
            for _, each in wrong[: last + 1]:
                message = each(message)
            return message

        assert_all_name(run(vault, tamper=lying("Product", change)), CHEAT, rule)


# --- what cheats multiply, rather than say


@breaks("EC-2.4", "EC-2.5")
@pytest.mark.parametrize(("place", "rule"), [(0, "EC-2.4"), (1, "EC-2.5")])
def test_inputs_other_than_the_nonce_and_the_share_are_named(vault: Vault, place: int, rule: str) -> None:
    """The answer is consistent in itself, and to numbers other than those behind R_i and pk_i."""

    def other(context: Any, inputs: Any) -> Any:
        if context.sender != CHEAT:
            return inputs
        return [tuple(a + ONE if n == place else a for n, a in enumerate(pair)) for pair in inputs]

    assert_all_name(run(vault, dealer=Dealer(other)), CHEAT, rule)


@breaks("EC-2.6")
def test_a_stale_share_is_noticed_and_nobody_named(vault: Vault) -> None:
    """Nobody knows what another's pk_i should be: it holds a share of zero."""
    stale = vault_of(WEIGHTS, THRESHOLD, seed=7).quorum(CHEAT, vault.devices, Curve.SECP256K1).secret
    outcome = run(vault, instead={CHEAT: lambda quorum: cheating(dataclasses.replace(quorum, secret=stale))})
    assert_all_name_nobody(outcome, CHEAT, "EC-2.6")


@breaks("EC-2.6")
def test_another_zero_seed_is_noticed_and_nobody_named(vault: Vault) -> None:
    def setups(me: DeviceId, peer: DeviceId) -> Any:
        setup = ideal_setup(me, peer)
        return (
            dataclasses.replace(setup, zero_seed=SecretBytes(32)) if (me, peer) == (CHEAT, VICTIM) else setup
        )

    assert_all_name_nobody(run(vault, setups=setups), CHEAT, "EC-2.6")


def cheating(quorum: Quorum, messages: list[bytes] = MESSAGES, tweak: Scalar | None = DELTA) -> Any:
    return signing(quorum, messages, tweak=tweak)


# --- other terms


@breaks("EC-1.1")
@pytest.mark.parametrize(
    "cheat",
    [
        lambda quorum: cheating(quorum, MESSAGES[::-1]),
        lambda quorum: cheating(quorum, digests(3)),
        lambda quorum: cheating(quorum, tweak=None),
        lambda quorum: cheating(quorum, tweak=DELTA + ONE),
        lambda quorum: cheating(dataclasses.replace(quorum, epoch=Epoch(1))),
        lambda quorum: cheating(dataclasses.replace(quorum, certificate=bytes(32))),
        lambda quorum: cheating(dataclasses.replace(quorum, vault=VaultId("other".ljust(24, "2")))),
        lambda quorum: cheating(
            dataclasses.replace(
                quorum,
                seats=tuple(dataclasses.replace(seat, weight=seat.weight + 1) for seat in quorum.seats),
            )
        ),
    ],
    ids=["order", "count", "no tweak", "tweak", "epoch", "certificate", "vault", "weights"],
)
def test_other_terms_end_the_session_before_any_multiplication(vault: Vault, cheat: Any) -> None:
    """Nobody is blamed: who was lied to cannot know by whom."""
    dealer = Dealer()
    outcome = run(vault, dealer=dealer, instead={CHEAT: cheat})
    assert_all_name_nobody(outcome, CHEAT, "EC-1.1")
    assert not dealer.dealt


@breaks("EC-1.3")
def test_another_set_up_ends_the_session_before_any_multiplication(vault: Vault) -> None:
    dealer = Dealer()
    outcome = run(vault, dealer=dealer, tamper=lying("Factor", lambda m: replace(m, setup=bytes(32))))
    assert_all_name_nobody(outcome, CHEAT, "EC-1.3")
    assert not [each for each in outcome.sent if each.sender != CHEAT and each.slot.endswith("Product")]


@breaks("EC-2.4", "EC-2.5")
@pytest.mark.parametrize(("field", "rule"), [("nonce_shares", "EC-2.4"), ("key_shares", "EC-2.5")])
@pytest.mark.parametrize("places", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_errors_that_cancel_between_any_two_messages_are_found(
    vault: Vault, field: str, rule: str, places: tuple[int, int]
) -> None:
    def change(message: Any) -> Any:
        points = list(getattr(message, field))
        for place, error in zip(places, (G, -G), strict=True):
            points[place] += error
        return replace(message, **{field: tuple(points)})

    outcome = ecdsa_sign(vault, vault.devices, digests(3), tamper=lying("Product", change))
    assert_all_name(outcome, CHEAT, rule)


# --- what nobody can be blamed for


@breaks("EC-3.3")
@pytest.mark.parametrize("field", ["masked", "numerators"])
def test_a_wrong_share_of_the_signature_names_nobody(vault: Vault, field: str) -> None:
    def change(message: Any) -> Any:
        numbers = getattr(message, field)
        return replace(message, **{field: (numbers[0], numbers[1] + ONE)})

    assert_all_name_nobody(run(vault, tamper=lying("Shares", change)), CHEAT, "EC-3.3")


@breaks("EC-3.3")
def test_a_wrong_share_to_one_signer_is_its_loss_alone(vault: Vault) -> None:
    change: Change = lambda m: replace(m, masked=(m.masked[0], m.masked[1] + ONE))  # noqa: E731
    outcome = run(vault, tamper=lying("Shares", change, VICTIM))
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert failure.rule.startswith("EC-3.3")
    assert not failure.culprits
    assert OTHER in outcome.results, "who got good shares has its signatures"


@breaks("EC-3.3")
def test_wrong_masks_name_nobody(vault: Vault) -> None:
    """ψ cannot be checked until the end."""
    change: Change = lambda m: replace(m, masks=scalars(1, 2))  # noqa: E731
    assert_all_name_nobody(run(vault, tamper=lying("Product", change)), CHEAT, "EC-3.3")


@breaks("EC-3.2")
def test_a_rushing_last_signer_can_make_the_masked_nonce_zero(vault: Vault) -> None:
    """It hears everybody's u_i first and answers with what cancels them: an error, never a crash."""
    others: dict[DeviceId, Shares] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith("/Shares"):
            others[sender] = message
        return message

    run(vault, tamper=listen)
    rushed = [others[VICTIM].masked[item] + others[OTHER].masked[item] for item in range(2)]
    outcome = run(vault, tamper=lying("Shares", lambda m: replace(m, masked=tuple(-u for u in rushed))))
    assert_all_name_nobody(outcome, CHEAT, "EC-3.2")


@breaks("EC-3.3")
def test_a_zero_s_is_no_signature() -> None:
    key = tweaked(SECP256K1.scalar_of(5) * G, None)
    with pytest.raises(ProtocolAbort, match=r"EC-3\.3"):
        assemble(key, MESSAGES[0], G, ONE, SECP256K1.scalar_of(0))


# --- encodings


def reencoded(message: Any, old: bytes, new: bytes) -> bytes:
    """The body of a private message with one value in it replaced by bytes that no honest encoder writes."""
    body = encode(message, private=True)
    assert body.count(old) == 1
    assert len(old) == len(new)
    return body.replace(old, new)


@pytest.mark.parametrize("flaw", bad_points(SECP256K1))
@pytest.mark.parametrize("field", ["nonces", "image", "nonce_shares", "key_shares"])
def test_a_point_that_is_none_is_refused_in_every_field(vault: Vault, flaw: str, field: str) -> None:
    def change(message: Any) -> bytes:
        value = getattr(message, field)
        good = bytes(value if field == "image" else value[1])
        return reencoded(message, good, bad_points(SECP256K1)[flaw](good))

    outcome = run(vault, tamper=lying("Product", change))
    assert_all_name(outcome, CHEAT, "W-1.1")


@pytest.mark.parametrize("field", ["masked", "numerators"])
def test_a_share_that_is_not_canonical_is_refused(vault: Vault, field: str) -> None:
    def change(message: Any) -> bytes:
        good = bytes(getattr(message, field)[1])
        return reencoded(
            message, good, (int.from_bytes(good, "big") % 2**64 + SECP256K1.order).to_bytes(32, "big")
        )

    assert_all_name(run(vault, tamper=lying("Shares", change)), CHEAT, "W-1.1")


# --- replays and two tongues


def recorded(vault: Vault, kind: str, **session: Any) -> dict[tuple[DeviceId, DeviceId], Any]:
    """The messages of one kind of an honest session, by sender and recipient."""
    heard = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith(f"/{kind}"):
            heard[sender, recipient] = message
        return message

    assert not run(vault, tamper=listen, **session).failures
    return heard


REPLAYS = [
    pytest.param("Factor", CHEAT, VICTIM, "OT-3.2", id="m1 of another session"),
    pytest.param("Factor", VICTIM, CHEAT, "OT-3.2", id="m1 sent back"),
    pytest.param("Product", CHEAT, VICTIM, "EC-2.3", id="answer of another session"),
    pytest.param("Product", VICTIM, CHEAT, "EC-2.3", id="answer sent back"),
]


@pytest.mark.parametrize(("kind", "sender", "recipient", "rule"), REPLAYS)
def test_a_message_of_another_session_is_a_cheat(
    vault: Vault, kind: str, sender: DeviceId, recipient: DeviceId, rule: str
) -> None:
    dealer = Dealer()
    old = recorded(vault, kind, seed=5, dealer=dealer)[sender, recipient]
    outcome = run(vault, dealer=dealer, tamper=lying(kind, lambda m: old, VICTIM))
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert failure.rule.startswith(rule)
    assert failure.culprits == {CHEAT}
    assert failure.cheat


def test_an_answer_to_somebody_else_is_a_cheat(vault: Vault) -> None:
    """The opening is the same for all; the product is not."""
    dealer = Dealer()
    meant: dict[DeviceId, Any] = {}

    def redirect(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT and slot.endswith("/Product"):
            meant[recipient] = message
            return meant.get(VICTIM, message) if recipient == OTHER else message
        return message

    outcome = run(vault, dealer=dealer, tamper=redirect)
    failure = outcome.failures[OTHER]
    assert isinstance(failure, ProtocolAbort)
    assert failure.rule.startswith("OT-4.3")
    assert failure.culprits == {CHEAT}


def test_frames_of_another_session_change_nothing(vault: Vault) -> None:
    old = run(vault, seed=5)
    replayed = [(each.sender, each.recipient, each.frame) for each in old.sent]
    assert not run(vault, inject=replayed).failures


@breaks("EC-2.3")
def test_commitments_copied_from_another_signer_cannot_be_opened(vault: Vault) -> None:
    """A commitment holds who committed; the copy opens to nothing, though its opening is heard in time."""
    theirs: dict[str, Any] = {}

    def copy(recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith("/Commitments"):
            return theirs["Commitments"]
        if slot.endswith("/Product"):
            known = theirs["Product"]
            return replace(message, nonces=known.nonces, blinder=known.blinder)
        return message

    theirs["Commitments"] = recorded(vault, "Commitments")[VICTIM, OTHER]
    theirs["Product"] = recorded(vault, "Product")[VICTIM, CHEAT]
    outcome = run(vault, instead={CHEAT: lambda quorum: believing(copy, cheating(quorum))})
    assert_all_name(outcome, CHEAT, "EC-2.3")


def test_an_equivocator_is_named_or_nobody_is(vault: Vault) -> None:
    """Two commitments: seen before anybody's (u_i, w_i) leaves."""
    change: Change = lambda m: replace(m, commitments=(bytes(32),))  # noqa: E731
    outcome = run(vault, tamper=lying("Commitments", change, VICTIM))
    assert_a_split_is_seen(outcome, CHEAT)
    assert not [each for each in outcome.sent if each.sender != CHEAT and each.slot.endswith("Shares")]


@pytest.mark.parametrize("kind", ["Product", "Shares"])
def test_a_lie_about_the_view_names_no_honest_signer(vault: Vault, kind: str) -> None:
    outcome = run(vault, tamper=lying(kind, lambda m: Rewritten(m, {"view": bytes(32)})))
    assert_no_honest_party_is_named(outcome, CHEAT)
    assert all(isinstance(outcome.failures[device], (Diverged, ProtocolAbort)) for device in (VICTIM, OTHER))


@pytest.mark.parametrize("kind", ["Commitments", "Factor", "Product", "Shares"])
def test_a_signer_that_falls_silent_is_waited_for_by_name(vault: Vault, kind: str) -> None:
    assert_all_wait_for(run(vault, tamper=lying(kind, lambda m: [])), CHEAT)


def test_a_set_up_that_died_within_the_session_stops_it(vault: Vault) -> None:
    """It is looked at again before anything leaves that was made with our secrets."""
    asked: list[DeviceId] = []

    def setups(me: DeviceId, peer: DeviceId) -> Any:
        if me == VICTIM and peer == CHEAT:
            asked.append(peer)
            if len(asked) == 2:
                raise Denied("the set-up is dead", approver="test", rule="test")
        return ideal_setup(me, peer)

    outcome = run(vault, setups=setups)
    assert isinstance(outcome.failures[VICTIM], Denied)
    assert not [each for each in outcome.sent if each.sender == VICTIM and each.slot.endswith("Product")]
