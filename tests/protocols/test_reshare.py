"""Reshares between honest parties: what changes, what stays, who is refused, what it costs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import SecretPolynomial, group_of
from quorate.errors import Bug, Corrupt, Stalled, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import Drbg
from quorate.primitives.transcript import Field, digest
from quorate.protocols.eddsa import frost
from quorate.protocols.history import follows
from quorate.protocols.quorum import Sharing, sharing_of
from quorate.protocols.reshare import Handover, reshare
from quorate.wire.net import Net
from quorate.wire.simulator import DROP, Simulator, devices, identity_key, randomness, signer
from tests.oracle import curve as oracle
from tests.oracle import shamir
from tests.protocols.ecdsa_sessions import assert_verifies, ecdsa_sign, sign_wholly, signing
from tests.protocols.vaults import (
    Shelf,
    Vault,
    hand_over,
    handed_over,
    handover,
    roster_of,
    sign,
    try_out,
    vault_of,
)

A, B, C, D, E = devices(5)
CURVES: dict[Curve, oracle.Curve] = {Curve.SECP256K1: oracle.Secp256k1(), Curve.ED25519: oracle.Ed25519()}
OLD = vault_of([2, 1, 1], 3)
NEW = roster_of({B: 1, C: 1, D: 2}, 3)


def test_every_party_ends_with_the_same_certificate() -> None:
    outcome, shelves = hand_over(OLD, NEW, [A, B])
    assert not outcome.failures
    (certificate,) = set(outcome.results.values())
    assert certificate.verify()
    assert {shelf.certificate for shelf in shelves.values()} == {certificate}
    assert tuple(certificate.record.signers) == (A, B, C, D)
    for shelf in shelves.values():
        assert shelf.events == ["pending", "signed", "active"]


def test_the_record_says_what_it_follows_and_who_dealt_it() -> None:
    record = handed_over(OLD, roster_of({B: 2, D: 4}, 6), [A, B]).record
    assert (record.vault, record.epoch, record.attempt) == (OLD.record.vault, 1, 1)
    assert record.previous == OLD.record.hash
    assert [(dealer.device, dealer.identity_key) for dealer in record.dealers] == [
        (device, identity_key(device)) for device in (A, B)
    ]
    assert [(place.device, place.weight, place.reduced) for place in record.roster] == [(B, 2, 1), (D, 4, 2)]
    assert (record.threshold, record.terms, len(record.setups)) == (6, 3, 1)
    follows(record, OLD.record)


def test_keys_and_chain_codes_stay_and_everything_else_is_new() -> None:
    new = handed_over(OLD, OLD.record.sharing)
    for curve in Curve:
        before, after = OLD.record.key(curve), new.record.key(curve)
        assert (after.public_key, after.chain_code) == (before.public_key, before.chain_code)
        assert not set(after.commitment[1:]) & set(before.commitment[1:])
        for device in new.devices:
            shares = [vault.shelves[device].shares[curve].secret.reveal() for vault in (OLD, new)]
            assert not scalars(shares[0]) & scalars(shares[1])
    assert not set(new.record.setups) & set(OLD.record.setups)
    assert new.record.transcript != OLD.record.transcript


def scalars(data: bytes) -> set[bytes]:
    return {data[place : place + 32] for place in range(0, len(data), 32)}


def test_who_leaves_keeps_nothing_but_the_certificate() -> None:
    outcome, shelves = hand_over(OLD, roster_of({B: 1, D: 1}, 2), [A, B])
    assert (shelves[A].shares, shelves[A].setups) == ({}, {})
    assert shelves[A].certificate == outcome.results[B]


def test_the_new_roster_signs_on_both_curves_with_what_it_was_dealt() -> None:
    """Nothing here is ideal: real set-ups, real multiplications."""
    new = handed_over(OLD, roster_of({B: 1, D: 2}, 3), ideally=False)
    assert not try_out(new).failures
    outcome = sign_wholly(new, new.devices, [bytes(32)])
    for (signature,) in outcome.results.values():
        assert_verifies(OLD.public_key(Curve.SECP256K1), bytes(32), signature)
    assert not sign(new, new.devices, [b"message"]).failures


def test_a_reshare_costs_five_rounds() -> None:
    outcome, _ = hand_over(OLD, NEW, [A, B], lockstep=True, ideally=False)
    assert outcome.rounds == 5
    every, paired = 4 * 3, 3 * 2
    assert outcome.messages == every * (2 * 4 + 1 + 1) + paired * 2


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize(
    ("old", "target", "dealers"),
    [
        (OLD, NEW, [A, B]),
        (OLD, NEW, [A, B, C]),
        (OLD, roster_of({D: 4, E: 6}, 5), [A, C]),
        (vault_of([2], 2), roster_of({A: 1, B: 1}, 2), [A]),
        (vault_of([2], 2), roster_of({B: 3}, 2), [A]),
        (vault_of([3, 2, 2, 1], 5), roster_of({C: 5}, 1), [A, B, D]),
    ],
)
def test_the_shares_are_those_of_the_mathematics(
    curve: Curve, old: Vault, target: Sharing, dealers: list[DeviceId]
) -> None:
    """Recomputed in plain integers: from old shares to what dealers sent in private, to F and every new share."""
    math, group = CURVES[curve], group_of(curve)
    dealt: dict[DeviceId, dict[int, int]] = defaultdict(dict)
    shown: dict[DeviceId, list[bytes]] = {}

    def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot == f"/{curve}/Shares" and message.values.reveal():
            shares = group.secret_vector(message.values)
            dealt[sender] |= {
                x: math.number(shares[place].reveal())
                for place, x in enumerate(target.seat(recipient).indices)
            }
        if slot == f"/{curve}/Opening" and message.polynomial:
            shown[sender] = [bytes(point) for point in message.polynomial.commitment]
        return message

    outcome, shelves = hand_over(old, target, dealers, tamper=watch)
    assert not outcome.failures
    before = {device: held(old.shelves[device], old.record.sharing, curve) for device in old.devices}
    after = {device: held(shelves[device], target, curve) for device in target.devices}
    indices = [x for device in dealers for x in before[device]]
    secret = shamir.interpolate({x: s for d in dealers for x, s in before[d].items()}, 0, math.q)
    everything = {x: value for shares in after.values() for x, value in shares.items()}
    assert sorted(everything) == list(range(1, target.total + 1))
    joint = shamir.coefficients_of({x: everything[x] for x in range(1, target.terms + 1)}, math.q)
    assert joint[0] == secret
    assert all(shamir.evaluate(joint, x, math.q) == value for x, value in everything.items())
    record = next(iter(outcome.results.values())).record
    assert record.key(curve).commitment == tuple(oracle.base(math, a) for a in joint)
    assert set(shown) <= set(dealers)
    for device, points in shown.items():
        part = sum(shamir.lagrange(x, 0, indices, math.q) * s for x, s in before[device].items())
        assert points[0] == oracle.base(math, part % math.q)
        if len(dealt[device]) >= target.terms:
            f = shamir.coefficients_of(dict(list(dealt[device].items())[: target.terms]), math.q)
            assert f[0] == part % math.q
            assert points == [oracle.base(math, a) for a in f]


def held(shelf: Shelf, sharing: Sharing, curve: Curve) -> dict[int, int]:
    """By index, as plain numbers."""
    share = shelf.shares[curve]
    assert share.indices == sharing.seat(share.device).indices
    return {x: CURVES[curve].number(share.secret[place].reveal()) for place, x in enumerate(share.indices)}


def test_a_dealer_with_nothing_to_deal_takes_part_and_signs_the_certificate() -> None:
    """With weights 1, 2, 2 and threshold 1 the second adds nothing to the three of them, whatever the key."""
    old = vault_of([1, 2, 2], 1)
    idle = old.devices[1]
    shown = set()

    def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith("/Opening") and message.polynomial is not None:
            shown.add(sender)
        return message

    target = roster_of({A: 1, B: 2, D: 1}, 2)
    new = handed_over(old, target, tamper=watch)
    assert shown == set(old.devices) - {idle}
    assert idle in [dealer.device for dealer in new.record.dealers]
    assert not sign(new, new.devices, [b"message"]).failures


def test_a_thousand_shares_are_handed_over_by_two_polynomials() -> None:
    old, target = vault_of([1, 1, 1], 2), roster_of({A: 499, B: 307, D: 194}, 501)
    shown = []

    def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot == "/ed25519/Opening" and recipient == D and message.polynomial:
            shown.append(len(message.polynomial.commitment))
        return message

    new = handed_over(old, target, [A, B], tamper=watch)
    assert shown == [501, 501]
    again = handed_over(new, roster_of({A: 1, D: 1, E: 1}, 2), [A, B])
    assert not sign(again, [D, E], [b"message"]).failures


# --- who is refused before anything is said


def test_dealers_that_do_not_weigh_enough_are_refused() -> None:
    with pytest.raises(UsageError, match="a weight of 2 hands a vault over that takes 3"):
        Handover(previous=OLD.record, dealers=frozenset({A}), target=NEW, shares=None)


def test_dealers_that_reach_the_threshold_but_not_half_are_refused() -> None:
    old = vault_of([1, 1, 1, 1], 2)
    with pytest.raises(UsageError, match="a weight of 2 hands a vault over that takes 3"):
        hand_over(old, NEW, [A, B])
    assert not hand_over(old, NEW, [A, B, C])[0].failures


def test_dealers_that_were_no_members_are_refused() -> None:
    with pytest.raises(UsageError, match="only members"):
        Handover(previous=OLD.record, dealers=frozenset({A, B, E}), target=NEW, shares=None)


def test_a_device_that_changes_its_identity_key_is_refused() -> None:
    member = replace(OLD.record.roster[0], identity_key=identity_key(E))
    target = sharing_of([member], 1)
    with pytest.raises(UsageError, match="keeps its identity key"):
        Handover(previous=OLD.record, dealers=frozenset({A, B}), target=target, shares=None)


@pytest.mark.parametrize("gone", [A, B, C])
def test_a_member_that_comes_back_under_another_name_is_refused_before_anything_is_dealt(
    gone: DeviceId,
) -> None:
    member = replace(OLD.record.roster[0], device=D, identity_key=identity_key(gone))
    target = sharing_of([member], 1)
    with pytest.raises(UsageError, match="no other device has it"):
        Handover(previous=OLD.record, dealers=frozenset({A, B}), target=target, shares=None)


def test_shares_of_another_epoch_are_refused_before_they_are_dealt() -> None:
    refreshed = handed_over(OLD, OLD.record.sharing)
    stale = {curve: OLD.quorum(A, [A, B], curve) for curve in Curve}
    with pytest.raises(Bug, match="another curve, epoch"):
        Handover(previous=refreshed.record, dealers=frozenset({A, B}), target=NEW, shares=stale)
    for curve in Curve:
        secret = OLD.shelves[A].shares[curve].secret.secret()
        with pytest.raises(Corrupt, match="does not fit its public commitment"):
            refreshed.record.quorum(refreshed.record.share(curve, A, secret), [A, B])


def test_shares_of_another_set_of_dealers_are_refused() -> None:
    others = {curve: OLD.quorum(A, [A, B], curve) for curve in Curve}
    swapped = dict(zip(Curve, reversed(others.values()), strict=True))
    for shares, dealers in [(others, {A, B, C}), (swapped, {A, B})]:
        with pytest.raises(Bug, match="another curve, epoch or set"):
            Handover(previous=OLD.record, dealers=frozenset(dealers), target=NEW, shares=shares)


@pytest.mark.parametrize("curve", Curve)
def test_an_old_record_whose_points_are_none_is_refused_before_anything_is_said(curve: Curve) -> None:
    """As a joiner may be shown. All others have one of their own."""
    flawed = tuple(
        replace(key, commitment=(*key.commitment[:-1], b"\xff" * len(key.commitment[-1])))
        if key.curve is curve
        else key
        for key in OLD.record.keys
    )
    shown = Handover(
        previous=replace(OLD.record, keys=flawed), dealers=frozenset({A, B}), target=NEW, shares=None
    )
    outcome, _ = hand_over(
        OLD, NEW, [A, B],
        instead={D: lambda net: reshare(net, shown, randomness("d"), Shelf(), attempt=1, sign=signer(D))},
    )  # fmt: skip
    assert isinstance(outcome.failures[D], UsageError)
    assert not any(sent.sender == D for sent in outcome.sent)


def test_a_session_with_other_parties_than_dealers_and_new_roster_is_our_mistake() -> None:
    def protocol(device: DeviceId) -> Any:
        known = handover(OLD, [A, B], NEW, device)
        return lambda net: reshare(net, known, randomness("x"), Shelf(), attempt=1, sign=signer(device))

    with pytest.raises(Bug, match="dealers and its new roster"):
        Simulator({device: protocol(device) for device in (A, B, C)}).run()


@pytest.mark.parametrize(("device", "dealers"), [(A, [A, B]), (D, [A, B])])
def test_a_dealer_without_shares_and_another_with_some_are_our_mistake(
    device: DeviceId, dealers: list[DeviceId]
) -> None:
    shares = None if device == A else handover(OLD, dealers, NEW, A).shares
    known = Handover(previous=OLD.record, dealers=frozenset(dealers), target=NEW, shares=shares)

    def protocol(net: Net) -> Any:
        return reshare(net, known, randomness("x"), Shelf(), attempt=1, sign=signer(device))

    with pytest.raises(Bug, match="and nobody else"):
        hand_over(OLD, NEW, dealers, instead={device: protocol})


# --- epochs do not mix


@pytest.mark.parametrize("stale", [A, B])
def test_signers_of_different_epochs_make_no_signature(stale: DeviceId) -> None:
    new = handed_over(OLD, OLD.record.sharing)
    epochs = {device: OLD if device == stale else new for device in (A, B)}
    mixed = Vault(record=new.record, shelves=new.shelves)
    quorums = {device: vault.quorum(device, (A, B)) for device, vault in epochs.items()}
    protocols = {
        device: lambda net, device=device: frost.sign(
            net, quorums[device], [b"message"], None, randomness(f"mixed {device}"), lambda: None
        )
        for device in (A, B)
    }
    outcome = Simulator(protocols).run()
    assert set(outcome.failures) == {A, B}
    assert not sign(mixed, (A, B), [b"message"]).failures


@pytest.mark.parametrize("stale", [A, B])
def test_signers_of_different_epochs_make_no_ecdsa_signature(stale: DeviceId) -> None:
    new = handed_over(OLD, OLD.record.sharing)
    old = OLD.quorum(stale, (A, B), Curve.SECP256K1)
    outcome = ecdsa_sign(new, (A, B), [bytes(32)], instead={stale: lambda _: signing(old, [bytes(32)])})
    assert set(outcome.failures) == {A, B}
    assert not any(getattr(failure, "culprits", None) for failure in outcome.failures.values())
    assert not ecdsa_sign(new, (A, B), [bytes(32)]).failures


@pytest.mark.parametrize("curve", Curve)
def test_old_and_new_shares_have_the_key_in_common_and_nothing_else(curve: Curve) -> None:
    math, sharing = CURVES[curve], OLD.record.sharing
    new = handed_over(OLD, sharing)
    before, after = (
        {x: s for device in vault.devices for x, s in held(vault.shelves[device], sharing, curve).items()}
        for vault in (OLD, new)
    )
    secret = shamir.interpolate(before, 0, math.q)
    assert shamir.interpolate(after, 0, math.q) == secret
    for x in before:
        assert shamir.interpolate({**after, x: before[x]}, 0, math.q) != secret
        assert shamir.interpolate({**before, x: after[x]}, 0, math.q) != secret


# --- attempts


def test_polynomials_are_fresh_in_every_session_even_where_randomness_repeats() -> None:
    """A machine set back to a snapshot draws the same bytes again. Neither coefficients nor nonces may repeat."""
    shown: dict[int, dict[DeviceId, Any]] = {1: {}, 2: {}}

    def attempt(number: int, dealers: list[DeviceId]) -> None:
        def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
            if slot == "/ed25519/Opening" and message.polynomial:
                shown[number][sender] = message.polynomial
            return message

        # The same seed gives every party the same randomness; the session is another.
        session = bytes([number]) * 32
        hand_over(OLD, NEW, dealers, seed=3, session=session, tamper=watch)

    attempt(1, [A, B])
    attempt(2, [A, B, C])
    for dealer in (A, B):
        one, other = shown[1][dealer], shown[2][dealer]
        assert one.move != other.move
        assert not set(map(bytes, one.commitment)) & set(map(bytes, other.commitment))


def test_what_is_dealt_is_drawn_for_session_curve_and_share() -> None:
    """As the specification has it, so that a fork of one node repeats nothing in another session."""
    said: list[Any] = []

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == A and slot == "/ed25519/Opening":
            said.append(message)
        return message

    session = b"\x5e" * 32
    known = handover(OLD, [A, B], NEW, A)
    assert known.shares is not None
    rng = Fixed()
    protocol = {A: lambda net: reshare(net, known, rng, Shelf(), attempt=1, sign=signer(A))}
    hand_over(OLD, NEW, [A, B], instead=protocol, session=session, tamper=listen)
    quorum = known.shares[Curve.ED25519]
    context: Field = ["reshare", session, "ed25519", quorum.hedge.reveal()]
    drawn = Drbg(SecretBytes.of(digest(Domain.HEDGE, bytes(32), context)))
    f = SecretPolynomial.random(group_of(Curve.ED25519), NEW.terms, drawn, quorum.secret)
    assert said[0].polynomial.commitment == f.commitment()


class Fixed:
    """Randomness that is none."""

    def secret(self, size: int) -> SecretBytes:
        return SecretBytes(size)

    def public(self, size: int) -> bytes:
        return bytes(size)


def test_a_withheld_endorsement_leaves_a_signed_share_that_the_certificate_fits() -> None:
    def withhold(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return DROP if (sender, recipient, slot) == (A, D, "/Endorsement") else message

    outcome, shelves = hand_over(OLD, NEW, [A, B], tamper=withhold)
    failure = outcome.failures[D]
    assert isinstance(failure, Stalled)
    assert failure.waiting_on == {A}
    assert shelves[D].events == ["pending", "signed"]
    assert outcome.results[B].record == shelves[D].record
    assert outcome.results[B].verify()


def test_two_attempts_with_other_dealers_share_the_same_keys_differently() -> None:
    one, other = (handed_over(OLD, NEW, dealers, seed=n) for n, dealers in enumerate([[A, B], [A, C]]))
    for curve in Curve:
        assert one.public_key(curve) == other.public_key(curve)
        ours, theirs = one.record.key(curve).commitment, other.record.key(curve).commitment
        assert not set(ours[1:]) & set(theirs[1:])
        for vault in (one, other):
            assert vault.quorum(B, [B, D], curve).public_key == one.quorum(D, [B, D], curve).public_key
