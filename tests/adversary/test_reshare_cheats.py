"""One party breaks one rule of a reshare, and every honest party names it by that rule; or, where nobody can tell which
of two lies, names the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import ED25519, SECP256K1, Group, Scalar, SecretScalar, group_of
from quorate.errors import Aborted, ProtocolAbort
from quorate.identifiers import Curve, DeviceId, Epoch, SessionId
from quorate.native.memory import SecretBytes
from quorate.protocols.certificate import CURVES, endorsement
from quorate.protocols.dealing import Polynomial, Table, hand_out, open_polynomials
from quorate.protocols.pairing import pair_up
from quorate.protocols.quorum import Sharing
from quorate.protocols.reshare import Accused, Handover, Objection, reshare
from quorate.wire.codec import encode
from quorate.wire.courier import SessionCourier
from quorate.wire.net import Net, gather
from quorate.wire.simulator import (
    DROP,
    Outcome,
    Rewritten,
    Tamper,
    devices,
    randomness,
    signer,
    silent_after,
)
from tests.adversary.blame import (
    GROUPS,
    Cheat,
    assert_a_split_is_seen,
    assert_all_name,
    assert_all_name_the_two,
    assert_all_wait_for,
    bad_points,
    honest,
    rewritten,
)
from tests.protocols.vaults import (
    VAULT,
    Shelf,
    believing,
    hand_over,
    handed_over,
    handover,
    roster_of,
    vault_of,
)
from tests.rules import breaks

VICTIM, CHEAT, LEAVER, JOINER = devices(4)
OLD = vault_of([2, 1, 1], 3)
DEALERS = (VICTIM, CHEAT, LEAVER)
NEW = roster_of({VICTIM: 1, CHEAT: 2, JOINER: 2}, 4)
BOTH = [SECP256K1, ED25519]

Protocol = Callable[[Net], Coroutine[Any, None, Any]]


def play(
    tamper: Tamper | None = None, *, instead: dict[DeviceId, Protocol] | None = None, **simulation: Any
) -> Outcome[Any]:
    """The reshare of all these tests, by two who stay, of whom one cheats, and one who leaves."""
    outcome, _ = hand_over(OLD, NEW, DEALERS, tamper=tamper, instead=instead, **simulation)
    return outcome


def member(device: DeviceId) -> Protocol:
    """What a party should run."""
    known, rng, sign = handover(OLD, DEALERS, NEW, device), randomness(f"member {device}"), signer(device)
    return lambda net: reshare(net, known, rng, Shelf(), attempt=1, sign=sign)


# --- a dealer that deals something else


async def rounds(
    net: Net,
    known: Handover,
    *,
    constant: Callable[[SecretScalar], SecretScalar] = lambda share: share,
    target: Sharing | None = None,
) -> None:
    """Rounds 1 to 3 by who deals another constant, or for another sharing, and is consistent about it."""
    rng = randomness("cheat")

    async def curve(net: Net) -> None:
        dealers = tuple(known.images(net.group.curve))
        keys, sharing = known.identity_keys, target or known.target
        table = Table(identity_keys=keys, dealers=dealers, target=sharing)
        ours = constant(known.shares[net.group.curve].secret) if known.shares else None
        opened = await open_polynomials(net, table, rng, ours)
        await hand_out(net, opened, rng)

    await gather(
        gather(*(curve(net.over(group_of(each))) for each in CURVES)),
        pair_up(net, known.target, rng, vault=VAULT, epoch=Epoch(known.previous.epoch + 1), attempt=1),
    )


def dealing(cheat: DeviceId, **how: Any) -> dict[DeviceId, Protocol]:
    known = handover(OLD, DEALERS, NEW, cheat)

    async def protocol(net: Net) -> None:
        await rounds(net, known, **how)
        await net.echo(Objection(accused=None, setups=()))

    return {cheat: protocol}


def plus_one(share: SecretScalar) -> SecretScalar:
    return share + share.group.scalar_of(1)


CONSTANTS: dict[str, Callable[[SecretScalar], SecretScalar]] = {
    "one more": plus_one,
    "its negative": lambda share: share * -share.group.scalar_of(1),
    "a random one": lambda share: share.group.random_secret(randomness("another constant")),
}


@breaks("RS-1.1")
@pytest.mark.parametrize("cheat", [CHEAT, LEAVER], ids=["who stays", "who leaves"])
@pytest.mark.parametrize("name", CONSTANTS)
def test_a_dealer_of_another_constant_is_named_though_all_else_fits(name: str, cheat: DeviceId) -> None:
    assert_all_name(play(instead=dealing(cheat, constant=CONSTANTS[name])), cheat, "RS-1.1")


@breaks("RS-1.1")
@pytest.mark.parametrize("curve", Curve)
def test_another_constant_on_one_curve_is_enough(curve: Curve) -> None:
    def constant(share: SecretScalar) -> SecretScalar:
        return plus_one(share) if share.group.curve is curve else share

    assert_all_name(play(instead=dealing(CHEAT, constant=constant)), CHEAT, "RS-1.1")


@breaks("RS-1.1")
def test_a_share_of_another_set_of_dealers_is_not_the_one_to_deal() -> None:
    def constant(share: SecretScalar) -> SecretScalar:
        return OLD.quorum(CHEAT, [VICTIM, CHEAT], share.group.curve).secret

    assert_all_name(play(instead=dealing(CHEAT, constant=constant)), CHEAT, "RS-1.1")


@breaks("RS-1.1")
def test_a_share_of_an_epoch_before_is_not_the_one_to_deal() -> None:
    refreshed = handed_over(OLD, OLD.record.sharing)
    known = handover(refreshed, DEALERS, NEW, CHEAT)

    def stale(share: SecretScalar) -> SecretScalar:
        return OLD.quorum(CHEAT, DEALERS, share.group.curve).secret

    async def protocol(net: Net) -> None:
        await rounds(net, known, constant=stale)

    outcome, _ = hand_over(refreshed, NEW, DEALERS, instead={CHEAT: protocol})
    assert_all_name(outcome, CHEAT, "RS-1.1")


@breaks("RS-1.1")
def test_two_dealers_whose_constants_add_up_are_each_named_by_who_comes_first() -> None:
    """The key would be right, and each of them had dealt what it does not hold."""
    both = dealing(CHEAT, constant=plus_one) | dealing(LEAVER, constant=lambda s: s + -s.group.scalar_of(1))
    outcome = play(instead=both)
    for device in (VICTIM, JOINER):
        failure = outcome.failures[device]
        assert isinstance(failure, ProtocolAbort)
        assert failure.rule == "RS-1.1 constant"
        assert failure.culprits == {CHEAT}


@breaks("KG-2.1")
@pytest.mark.parametrize("terms", [NEW.terms - 1, NEW.terms + 1])
def test_another_threshold_is_named_even_when_commitment_proof_and_shares_fit_it(terms: int) -> None:
    target = dataclasses.replace(NEW, terms=terms)
    assert_all_name(play(instead=dealing(CHEAT, target=target)), CHEAT, "KG-2.1")


@breaks("RS-2.2")
def test_other_weights_than_agreed_name_who_deals_by_them_and_who_is_dealt_too_little() -> None:
    target = roster_of({VICTIM: 2, CHEAT: 2, JOINER: 1}, 4)
    assert_all_name_the_two(play(instead=dealing(CHEAT, target=target)), CHEAT, VICTIM)


# --- messages


def each_curve(name: str, rule: str, kind: str, change: Any, *, one_victim: bool = False) -> list[Cheat]:
    return [
        Cheat(
            name=f"{name} on {group.curve}", rule=rule, slot=f"{path}{kind}", change=change,
            one_victim=one_victim,
        )
        for path, group in GROUPS.items()
    ]  # fmt: skip


def shown(change: Any) -> Any:
    return lambda message, group: replace(message, polynomial=change(message.polynomial, group))


def added(scalar: Scalar | None, group: Group) -> Scalar:
    return (scalar or group.scalar_of(0)) + group.scalar_of(1)


BY_A_DEALER = [
    *each_curve("no polynomial", "KG-2.1", "Opening", lambda m, _: replace(m, polynomial=None)),
    *each_curve("another rid", "KG-2.2", "Opening", lambda m, _: replace(m, rid=bytes(32))),
    *each_curve(
        "another coefficient", "KG-2.2", "Opening",
        shown(lambda p, g: replace(p, commitment=(*p.commitment[:-1], g.generator))),
    ),
    *each_curve("no proof", "KG-3.1", "Proof", lambda m, _: replace(m, response=None)),
    *each_curve("a bad proof", "KG-3.1", "Proof", lambda m, g: replace(m, response=added(m.response, g))),
]  # fmt: skip

BY_A_JOINER = [
    *each_curve(
        "a polynomial", "KG-2.1", "Opening",
        lambda m, g: replace(m, polynomial=Polynomial(commitment=(g.generator,) * 4, move=g.generator)),
    ),
    *each_curve("another rid", "KG-2.2", "Opening", lambda m, _: replace(m, rid=bytes(32))),
    *each_curve("a proof", "KG-3.1", "Proof", lambda m, g: replace(m, response=added(None, g))),
]  # fmt: skip


@breaks("KG-2.1", "KG-2.2", "KG-3.1")
@pytest.mark.parametrize("cheat", BY_A_DEALER, ids=lambda cheat: cheat.id)
@pytest.mark.parametrize("dealer", [CHEAT, LEAVER], ids=["who stays", "who leaves"])
def test_every_honest_party_names_a_dealer_that_cheats(cheat: Cheat, dealer: DeviceId) -> None:
    assert_all_name(play(cheat.played_by(dealer, VICTIM)), dealer, cheat.rule)


@breaks("KG-2.1", "KG-2.2", "KG-3.1")
@pytest.mark.parametrize("cheat", BY_A_JOINER, ids=lambda cheat: cheat.id)
def test_every_honest_party_names_a_joiner_that_cheats(cheat: Cheat) -> None:
    assert_all_name(play(cheat.played_by(JOINER, VICTIM)), JOINER, cheat.rule)


@breaks("W-1.1")
@pytest.mark.parametrize(
    ("group", "flaw"),
    [(group, flaw) for group in BOTH for flaw in bad_points(group)],
    ids=lambda value: value if isinstance(value, str) else str(value.curve),
)
@pytest.mark.parametrize("field", ["F[0]", "F[3]", "A"])
def test_a_point_that_is_none_is_refused_in_every_field(group: Group, flaw: str, field: str) -> None:
    def change(message: Any, group: Group) -> bytes:
        shown = message.polynomial
        points = {"F[0]": shown.commitment[0], "F[3]": shown.commitment[3], "A": shown.move}
        good = bytes(points[field])
        return rewritten(message, good, bad_points(group)[flaw](good))

    cheat = Cheat(name=flaw, rule="W-1.1", slot=f"/{group.curve}/Opening", change=change)
    assert_all_name(play(cheat.played_by(CHEAT, VICTIM)), CHEAT, "W-1.1")


@pytest.mark.parametrize("path", ["/secp256k1", "/ed25519"])
@pytest.mark.parametrize("kind", ["Commit", "Opening"])
@pytest.mark.parametrize("cheat", [CHEAT, LEAVER, JOINER], ids=["stays", "leaves", "joins"])
def test_an_equivocator_is_named_or_nobody_is(path: str, kind: str, cheat: DeviceId) -> None:
    """One of the two stories is sound: only comparing views shows that there are two."""
    stories: dict[str, Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == cheat:
            stories[slot] = message
        return message

    hand_over(OLD, NEW, DEALERS, seed=5, tamper=listen)

    def two_faced(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        aimed = sender == cheat and recipient == VICTIM and slot in {f"{path}/Commit", f"{path}/{kind}"}
        return stories[slot] if aimed else message

    assert_a_split_is_seen(play(two_faced), cheat)


@breaks("KG-2.2", "KG-3.1", "RS-2.2")
@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("kinds", [("Commit",), ("Commit", "Opening"), ("Proof",), ("Shares",)], ids="+".join)
def test_what_was_said_in_another_attempt_is_worth_nothing_here(kinds: tuple[str, ...], curve: Curve) -> None:
    """Though the dealers and what they must deal are the same."""
    old: dict[tuple[str, DeviceId], Any] = {}
    repeated = {f"/{curve}/{kind}" for kind in kinds}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT:
            old[slot, recipient] = old[slot, DeviceId("")] = message
        return message

    hand_over(OLD, NEW, DEALERS, seed=5, tamper=listen)

    def lies(recipient: DeviceId, slot: str, message: Any) -> Any:
        return old[slot, recipient] if slot in repeated else message

    outcome = play(instead={CHEAT: believing(lies, member(CHEAT))})
    if kinds == ("Shares",):
        assert_all_name_the_two(outcome, CHEAT, VICTIM)
    else:
        assert_all_name(outcome, CHEAT, "KG-3.1" if kinds == ("Proof",) else "KG-2.2")


# --- shares that do not fit, and objections


def shares(change: Any) -> Any:
    def cheat(message: Any, group: Group) -> Any:
        data = message.values.reveal()
        values = [data[place : place + 32] for place in range(0, len(data), 32)]
        return replace(message, values=SecretBytes.of(b"".join(change(values, group))))

    return cheat


def one_more(value: bytes, group: Group) -> bytes:
    return bytes(group.scalar(value) + group.scalar_of(1))


BAD_SHARES = {
    "the last one more": shares(lambda v, group: [*v[:-1], one_more(v[-1], group)]),
    "errors that cancel in a sum": shares(
        lambda v, group: [one_more(v[0], group), bytes(group.scalar(v[1]) + group.scalar_of(-1))]
    ),
    "in another order": shares(lambda v, _: v[::-1]),
    "one twice": shares(lambda v, _: [v[0], v[0]]),
    "one too few": shares(lambda v, _: v[:-1]),
    "one too many": shares(lambda v, _: [*v, v[0]]),
    "none": shares(lambda v, _: []),
    "zeros": shares(lambda v, _: [bytes(32)] * len(v)),
    "not canonical": shares(lambda v, group: [b"\xff" * 32] * len(v)),
    "not decodable": lambda m, _: b"\xc1",
    "not openable": lambda m, _: Rewritten(m, {"body": bytes(100)}),
}


@breaks("RS-2.2")
@pytest.mark.parametrize("path", GROUPS)
@pytest.mark.parametrize("dealer", [CHEAT, LEAVER], ids=["who stays", "who leaves"])
@pytest.mark.parametrize("name", BAD_SHARES)
def test_bad_shares_name_the_dealer_and_who_was_dealt_them(name: str, dealer: DeviceId, path: str) -> None:
    cheat = Cheat(name=name, rule="RS-2.2", slot=f"{path}Shares", change=BAD_SHARES[name], one_victim=True)
    assert_all_name_the_two(play(cheat.played_by(dealer, JOINER)), dealer, JOINER)


def test_an_objection_discloses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session key, no share, and no envelope: who was dealt bad shares says from whom and on which curve."""

    def disclose(courier: SessionCourier) -> bytes:
        raise AssertionError("a session key was asked for")

    monkeypatch.setattr(SessionCourier, "disclose", disclose)
    said: list[Any] = []
    change = BAD_SHARES["the last one more"]

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot == "/Objection":
            said.append((sender, message))
        aimed = (sender, recipient, slot) == (CHEAT, JOINER, "/secp256k1/Shares")
        return change(message, SECP256K1) if aimed else message

    play(tamper)
    accused = {message.accused for sender, message in said if sender == JOINER}
    assert accused == {Accused(dealer=CHEAT, curve=Curve.SECP256K1)}
    assert all(len(encode(replace(message, setups=()))) < 50 for _, message in said)


def objecting(cheat: DeviceId, accused: Accused) -> Outcome[Any]:
    """The cheat was dealt good shares, or none, and objects."""
    known = handover(OLD, DEALERS, NEW, cheat)

    async def protocol(net: Net) -> None:
        await rounds(net, known)
        await net.echo(Objection(accused=accused, setups=()))

    return play(instead={cheat: protocol})


@breaks("RS-2.2")
@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize(("cheat", "dealer"), [(CHEAT, VICTIM), (CHEAT, LEAVER), (JOINER, VICTIM)])
def test_a_false_objection_names_the_two(cheat: DeviceId, dealer: DeviceId, curve: Curve) -> None:
    assert_all_name_the_two(objecting(cheat, Accused(dealer=dealer, curve=curve)), cheat, dealer)


@breaks("RS-2.1")
@pytest.mark.parametrize(
    ("cheat", "dealer"),
    [
        (CHEAT, CHEAT),
        (CHEAT, JOINER),
        (CHEAT, DeviceId("stranger")),
        (CHEAT, DeviceId("")),
        (JOINER, JOINER),
        (LEAVER, VICTIM),
        (LEAVER, LEAVER),
    ],
)
def test_an_objection_that_cannot_be_right_names_who_makes_it(cheat: DeviceId, dealer: DeviceId) -> None:
    outcome = objecting(cheat, Accused(dealer=dealer, curve=Curve.ED25519))
    assert_all_name(outcome, cheat, "RS-2.1")


@breaks("RS-2.1")
def test_an_objection_to_who_has_nothing_to_deal_names_who_makes_it() -> None:
    """With weights 1, 2, 2 and threshold 1 the second adds nothing to the three of them, whatever the key."""
    old = vault_of([1, 2, 2], 1)
    idle, accuser = old.devices[1:]
    known = handover(old, old.devices, old.record.sharing, accuser)

    async def protocol(net: Net) -> None:
        await rounds(net, known)
        await net.echo(Objection(accused=Accused(dealer=idle, curve=Curve.ED25519), setups=()))

    outcome, _ = hand_over(old, old.record.sharing, instead={accuser: protocol})
    assert_all_name(outcome, accuser, "RS-2.1")


def test_of_several_objections_all_judge_the_first() -> None:
    accused = {CHEAT: VICTIM, JOINER: LEAVER}

    def protocol(device: DeviceId) -> Protocol:
        async def run(net: Net) -> None:
            await rounds(net, handover(OLD, DEALERS, NEW, device))
            await net.echo(Objection(accused=Accused(dealer=accused[device], curve=Curve.ED25519), setups=()))

        return run

    outcome = play(instead={device: protocol(device) for device in accused})
    for device in (VICTIM, LEAVER):
        failure = outcome.failures[device]
        assert isinstance(failure, ProtocolAbort)
        assert failure.culprits == {CHEAT, VICTIM}


@pytest.mark.parametrize("lied_to", [VICTIM, LEAVER, JOINER])
def test_an_objection_to_some_and_none_to_others_names_no_honest_party_alone(lied_to: DeviceId) -> None:
    def two_faced(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        aimed = (sender, recipient, slot) == (CHEAT, lied_to, "/Objection")
        return replace(message, accused=Accused(dealer=VICTIM, curve=Curve.ED25519)) if aimed else message

    outcome = play(two_faced)
    for device in honest(outcome, CHEAT):
        failure = outcome.failures[device]
        assert isinstance(failure, Aborted)
        assert failure.culprits <= {CHEAT, VICTIM}
        assert failure.culprits != {VICTIM}


# --- set-ups


@breaks("KG-6.1")
def test_set_ups_of_who_leaves_name_who_claims_them() -> None:
    cheat = Cheat(
        name="ids", rule="KG-6.1", slot="/Objection",
        change=lambda m, _: replace(m, setups=(bytes(32), bytes(32))),
    )  # fmt: skip
    assert_all_name(play(cheat.played_by(LEAVER, VICTIM)), LEAVER, "KG-6.1")


@breaks("KG-6.2")
@pytest.mark.parametrize(("cheat", "other"), [(CHEAT, VICTIM), (JOINER, VICTIM)])
def test_another_id_for_a_pair_names_the_two(cheat: DeviceId, other: DeviceId) -> None:
    lie = Cheat(
        name="id", rule="KG-6.2", slot="/Objection",
        change=lambda m, _: replace(m, setups=(bytes(32), *m.setups[1:])),
    )  # fmt: skip
    assert_all_name_the_two(play(lie.played_by(cheat, VICTIM)), cheat, other, "KG-6.2")


# --- the certificate


ENDORSEMENTS: dict[str, Callable[[Any, DeviceId], Any]] = {
    "no signature": lambda m, _: replace(m, signature=bytes(64)),
    "a signature of another device": lambda m, me: replace(
        m, signature=signer(VICTIM)(endorsement(m.record, me))
    ),
    "a signature over another record": lambda m, me: replace(
        m, signature=signer(me)(endorsement(OLD.record.hash, me))
    ),
    "another record without its signature": lambda m, _: replace(m, record=OLD.record.hash),
}


@breaks("CT-1.1")
@pytest.mark.parametrize("name", ENDORSEMENTS)
@pytest.mark.parametrize("cheat", [CHEAT, LEAVER, JOINER], ids=["stays", "leaves", "joins"])
def test_a_bad_endorsement_names_its_sender(name: str, cheat: DeviceId) -> None:
    lie = Cheat(
        name=name, rule="CT-1.1", slot="/Endorsement", change=lambda m, _: ENDORSEMENTS[name](m, cheat)
    )
    assert_all_name(play(lie.played_by(cheat, VICTIM)), cheat, "CT-1.1")


@breaks("CT-1.2")
@pytest.mark.parametrize("cheat", [CHEAT, LEAVER, JOINER], ids=["stays", "leaves", "joins"])
def test_the_old_record_endorsed_again_certifies_nothing(cheat: DeviceId) -> None:
    """A replay of the old certificate, or a joiner that says it was shown another."""

    def change(message: Any, _: Group) -> Any:
        old = OLD.record.hash
        return replace(message, record=old, signature=signer(cheat)(endorsement(old, cheat)))

    lie = Cheat(name="old", rule="CT-1.2", slot="/Endorsement", change=change)
    assert_all_name(play(lie.played_by(cheat, VICTIM)), cheat, "CT-1.2")


@pytest.mark.parametrize("silent", [CHEAT, LEAVER, JOINER], ids=["stays", "leaves", "joins"])
def test_without_the_signature_of_each_party_there_is_no_certificate(silent: DeviceId) -> None:
    def drop(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return DROP if (sender, slot) == (silent, "/Endorsement") else message

    outcome, shelves = hand_over(OLD, NEW, DEALERS, tamper=drop)
    assert_all_wait_for(outcome, silent)
    for device in honest(outcome, silent):
        assert shelves[device].events == ["pending", "signed"]


# --- silence, and other sessions


@pytest.mark.parametrize("last", ["Commit", "Opening", "Shares", "Objection"])
@pytest.mark.parametrize("silent", [CHEAT, LEAVER, JOINER], ids=["stays", "leaves", "joins"])
def test_a_party_that_falls_silent_is_waited_for_by_name(last: str, silent: DeviceId) -> None:
    assert_all_wait_for(play(silent_after(silent, last)), silent)


OTHER_TERMS = {
    "roster": roster_of({VICTIM: 1, CHEAT: 2, LEAVER: 2}, 4),
    "weights": roster_of({VICTIM: 2, CHEAT: 2, JOINER: 1}, 4),
    "threshold": roster_of({VICTIM: 1, CHEAT: 2, JOINER: 2}, 3),
}


@pytest.mark.parametrize("told", OTHER_TERMS)
def test_parties_that_were_told_different_things_do_not_hear_each_other(told: str) -> None:
    """What they were told is in the ceremony id, so the victim is in a session of its own, and what it says there is
    nothing to those in the other: they wait, and blame nobody."""
    elsewhere, _ = hand_over(OLD, OTHER_TERMS[told], DEALERS, session=SessionId(b"\2" * 32))
    strayed = [(s.sender, s.recipient, s.frame) for s in elsewhere.sent if s.sender == VICTIM]
    strayed = [(sender, to, frame) for sender, to, frame in strayed if to in {*DEALERS, JOINER}]

    def deaf(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return DROP if sender == VICTIM else message

    outcome = play(deaf, inject=strayed, session=SessionId(b"\1" * 32))
    assert_all_wait_for(outcome, VICTIM)


def test_frames_of_an_earlier_reshare_change_nothing() -> None:
    old, _ = hand_over(OLD, NEW, DEALERS, seed=5)
    replayed = [(each.sender, each.recipient, each.frame) for each in old.sent]
    outcome, _ = hand_over(OLD, NEW, DEALERS, inject=replayed)
    assert not outcome.failures
