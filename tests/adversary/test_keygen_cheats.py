"""One party breaks one rule of key generation, and every honest party names it by that rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import ED25519, SECP256K1, Group, group_of
from quorate.errors import ProtocolAbort
from quorate.identifiers import Curve, DeviceId, Epoch, SessionId
from quorate.native.memory import SecretBytes
from quorate.protocols.certificate import CURVES
from quorate.protocols.complaint import Complaint, Verdict, complain
from quorate.protocols.dealing import Commit, Dealing, Proof, combine, joint
from quorate.protocols.inspection import Shares
from quorate.protocols.keygen import create, keygen
from quorate.protocols.pairing import pair_up
from quorate.protocols.quorum import KeyShare, Sharing, quorum_of
from quorate.wire.codec import Message, encode
from quorate.wire.courier import SEAL_OVERHEAD
from quorate.wire.envelope import ALL, MAX_SEALED
from quorate.wire.net import Net, gather
from quorate.wire.simulator import (
    DROP,
    Outcome,
    Rewritten,
    Simulator,
    Tamper,
    devices,
    randomness,
    signer,
    silent_after,
)
from tests.adversary.blame import (
    GROUPS,
    THRESHOLD,
    WEIGHTS,
    Cheat,
    assert_a_split_is_seen,
    assert_all_name,
    assert_all_wait_for,
    assert_no_honest_party_is_named,
    bad_points,
    rewritten,
)
from tests.protocols.ideal import dealt_setups
from tests.protocols.vaults import VAULT, Shelf, believing, generate, sharing
from tests.rules import breaks

VICTIM, CHEAT, OTHER = devices(3)


def each_curve(name: str, rule: str, kind: str, change: Any, *, one_victim: bool = False) -> list[Cheat]:
    return [
        Cheat(
            name=f"{name} on {group.curve}",
            rule=rule,
            slot=f"{path}{kind}",
            change=change,
            one_victim=one_victim,
        )
        for path, group in GROUPS.items()
    ]


def shares(change: Any) -> Any:
    """A cheat with the scalars of a Shares message, as a list of 32-byte encodings."""

    def cheat(message: Any, group: Group) -> Any:
        data = message.values.reveal()
        values = [data[place : place + 32] for place in range(0, len(data), 32)]
        return replace(message, values=SecretBytes.of(b"".join(change(values, group))))

    return cheat


def shown(change: Any) -> Any:
    """A cheat with the polynomial of an Opening."""
    return lambda message, group: replace(message, polynomial=change(message.polynomial, group))


def one_more(value: bytes, group: Group) -> bytes:
    return bytes(group.scalar(value) + group.scalar_of(1))


CHEATS = [
    *each_curve(
        "a longer F",
        "KG-2.1",
        "Opening",
        shown(lambda p, g: replace(p, commitment=(*p.commitment, g.generator))),
    ),
    *each_curve(
        "a shorter F", "KG-2.1", "Opening", shown(lambda p, _: replace(p, commitment=p.commitment[:-1]))
    ),
    *each_curve("no F", "KG-2.1", "Opening", lambda m, _: replace(m, polynomial=None)),
    *each_curve("another rid", "KG-2.2", "Opening", lambda m, g: replace(m, rid=bytes(32))),
    *each_curve("another blinder", "KG-2.2", "Opening", lambda m, g: replace(m, blinder=bytes(32))),
    *each_curve("another move", "KG-2.2", "Opening", shown(lambda p, g: replace(p, move=g.generator))),
    *each_curve(
        "another key share",
        "KG-2.2",
        "Opening",
        shown(lambda p, g: replace(p, commitment=(g.generator, *p.commitment[1:]))),
    ),
    *each_curve(
        "another last coefficient",
        "KG-2.2",
        "Opening",
        shown(lambda p, g: replace(p, commitment=(*p.commitment[:-1], g.generator))),
    ),
    *each_curve(
        "a bad proof", "KG-3.1", "Proof", lambda m, g: replace(m, response=m.response + g.scalar_of(1))
    ),
    *each_curve("a proof of zero", "KG-3.1", "Proof", lambda m, g: replace(m, response=g.scalar_of(0))),
    *each_curve("no proof", "KG-3.1", "Proof", lambda m, g: replace(m, response=None)),
    *each_curve(
        "a bad share to one victim",
        "KG-4.2",
        "Shares",
        shares(lambda values, group: [*values[:-1], one_more(values[-1], group)]),
        one_victim=True,
    ),
    *each_curve(
        "bad shares to all",
        "KG-4.2",
        "Shares",
        shares(lambda values, group: [one_more(v, group) for v in values]),
    ),
    *each_curve(
        "errors that cancel in a plain sum",
        "KG-4.2",
        "Shares",
        shares(lambda v, group: [one_more(v[0], group), bytes(group.scalar(v[1]) - group.scalar_of(1))]),
        one_victim=True,
    ),
    *each_curve("shares in another order", "KG-4.2", "Shares", shares(lambda v, _: v[::-1]), one_victim=True),
    *each_curve("a share too few", "KG-4.2", "Shares", shares(lambda v, _: v[:-1]), one_victim=True),
    *each_curve("a share too many", "KG-4.2", "Shares", shares(lambda v, _: [*v, v[0]]), one_victim=True),
    *each_curve("no shares", "KG-4.2", "Shares", shares(lambda v, _: []), one_victim=True),
    *each_curve(
        "zero shares", "KG-4.2", "Shares", shares(lambda v, _: [bytes(32)] * len(v)), one_victim=True
    ),
    *each_curve(
        "shares that are not canonical",
        "KG-4.2",
        "Shares",
        shares(
            lambda v, group: [
                (int(group.scalar(x)) % 5 + group.order).to_bytes(32, group.byteorder) for x in v
            ]
        ),
        one_victim=True,
    ),
    *each_curve("half a scalar", "KG-4.2", "Shares", shares(lambda v, _: [*v, b"\1"]), one_victim=True),
    *each_curve("shares that do not decode", "KG-4.2", "Shares", lambda m, g: b"\xc1", one_victim=True),
    *each_curve(
        "shares that do not open",
        "KG-4.2",
        "Shares",
        lambda m, g: Rewritten(m, {"body": bytes(100)}),
        one_victim=True,
    ),
    *each_curve(
        "the largest body that can be sealed",
        "KG-4.2",
        "Shares",
        lambda m, g: bytes(MAX_SEALED - SEAL_OVERHEAD),
        one_victim=True,
    ),
    *each_curve(
        "more points than any threshold",
        "W-1.1",
        "Opening",
        lambda m, g: encode(shown(lambda p, _: replace(p, commitment=(g.generator,) * 1001))(m, g)),
    ),
    *each_curve("a proof that is not canonical", "W-1.1", "Proof", lambda m, g: non_canonical_proof(m, g)),
]


def non_canonical_proof(message: Any, group: Group) -> bytes:
    return rewritten(message, bytes(message.response), b"\xff" * 32)


@breaks("KG-2.1", "KG-2.2", "KG-3.1", "KG-4.2")
@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.id)
def test_every_honest_party_names_the_cheat(cheat: Cheat) -> None:
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, cheat.rule)
    assert not any(shelves[device].events for device in (VICTIM, OTHER)), "nothing was stored"


@pytest.mark.parametrize(
    "fields", [{"recipient": ALL}, {"sealed": False}, {"recipient": OTHER}], ids=lambda fields: str(*fields)
)
def test_shares_for_the_wrong_ears_name_the_dealer_or_nobody(fields: dict[str, Any]) -> None:
    """Only the victim sees it, and no complaint can be made of it: the others wait."""
    cheat = Cheat(
        name="wrong ears",
        rule="W-4.1",
        slot="/ed25519/Shares",
        change=lambda m, _: Rewritten(m, fields),
        one_victim=True,
    )
    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_no_honest_party_is_named(outcome, CHEAT)


@pytest.mark.parametrize(
    ("group", "flaw"),
    [(group, flaw) for group in (SECP256K1, ED25519) for flaw in bad_points(group)],
    ids=lambda value: value if isinstance(value, str) else str(value.curve),
)
@pytest.mark.parametrize("field", ["F[0]", "F[2]", "A"])
def test_a_point_that_is_none_is_refused_in_every_field(group: Group, flaw: str, field: str) -> None:
    def change(message: Any, group: Group) -> bytes:
        shown = message.polynomial
        points = {"F[0]": shown.commitment[0], "F[2]": shown.commitment[2], "A": shown.move}
        good = bytes(points[field])
        return rewritten(message, good, bad_points(group)[flaw](good))

    cheat = Cheat(name=flaw, rule="W-1.1", slot=f"/{group.curve}/Opening", change=change)
    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, "W-1.1")


# --- cheats that run a protocol of their own


def member(device: DeviceId) -> Callable[[Net], Coroutine[Any, None, Any]]:
    """What a party of this vault should run."""
    roster, rng, sign = sharing(WEIGHTS, THRESHOLD), randomness(f"member {device}"), signer(device)
    return lambda net: create(net, roster, rng, Shelf(), vault=VAULT, attempt=1, sign=sign)


def play(cheating: Callable[[Net], Coroutine[Any, None, Any]], tamper: Tamper | None = None) -> Outcome[Any]:
    """A key generation in which the cheat runs ``cheating``, and everybody else what they should."""

    def protocol(device: DeviceId) -> Any:
        if device == CHEAT:
            return cheating
        return member(device)

    with dealt_setups():
        return Simulator({device: protocol(device) for device in devices(3)}, tamper=tamper).run()


async def first_three_rounds(net: Net, roster: Sharing) -> dict[Curve, Dealing]:
    rng = randomness("cheat")
    runs, _ = await gather(
        gather(*(keygen(net.over(group_of(curve)), roster, rng) for curve in CURVES)),
        pair_up(net, sharing(WEIGHTS, THRESHOLD), rng, vault=VAULT, epoch=Epoch(0), attempt=1),
    )
    return dict(zip(CURVES, runs, strict=True))


@breaks("KG-2.1")
@pytest.mark.parametrize("terms", [THRESHOLD - 1, THRESHOLD + 1])
def test_another_threshold_is_named_even_when_commitment_proof_and_shares_fit_it(terms: int) -> None:
    roster = dataclasses.replace(sharing(WEIGHTS, THRESHOLD), terms=terms)
    outcome = play(lambda net: first_three_rounds(net, roster))
    assert_all_name(outcome, CHEAT, "KG-2.1")


@breaks("KG-4.2")
def test_other_weights_than_agreed_name_who_deals_by_them() -> None:
    """The cheat deals as if it had more weight. (Where a proposal has other weights, it is another session.)"""
    roster = sharing([1, 2, 1], THRESHOLD)
    assert_all_name(play(lambda net: deal_by(net, roster)), CHEAT, "KG-4.2")


async def deal_by(net: Net, roster: Sharing) -> None:
    """Deals by another roster and finds nothing wrong, whatever it was dealt."""
    await first_three_rounds(net, roster)
    await net.echo(Verdict(complaint=None, setups=()))


def complaining(about: Callable[[Net], Complaint]) -> Outcome[Any]:
    """The cheat deals honestly, was dealt good shares, and complains."""

    async def protocol(net: Net) -> None:
        await first_three_rounds(net, sharing(WEIGHTS, THRESHOLD))
        await net.echo(Verdict(complaint=about(net), setups=()))

    return play(protocol)


@breaks("KG-4.3")
@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize("dealer", [VICTIM, OTHER])
def test_a_false_complaint_names_the_complainer(curve: Curve, dealer: DeviceId) -> None:
    assert_all_name(complaining(lambda net: complain(net, curve, dealer)), CHEAT, "KG-4.3")


def evidence(net: Net, dealer: DeviceId, kind: type[Message] = Shares) -> bytes:
    return net.over(ED25519).evidence(dealer, kind)


def complaint(net: Net, **fields: Any) -> Complaint:
    return replace(complain(net, Curve.ED25519, VICTIM), **fields)


@breaks("KG-4.1")
@pytest.mark.parametrize("dealer", [CHEAT, DeviceId("stranger"), DeviceId("")])
def test_a_complaint_about_no_other_party_names_the_complainer(dealer: DeviceId) -> None:
    assert_all_name(complaining(lambda net: complaint(net, dealer=dealer)), CHEAT, "KG-4.1")


FALSE_EVIDENCE: dict[str, Callable[[Net], Complaint]] = {
    "another session key": lambda net: complaint(net, session_key=bytes([1] * 32)),
    "another dealer's envelope": lambda net: complaint(net, envelope=evidence(net, OTHER)),
    "an envelope of another slot": lambda net: complaint(net, envelope=evidence(net, VICTIM, Proof)),
    "an envelope of another curve": lambda net: complaint(
        net, envelope=net.over(SECP256K1).evidence(VICTIM, Shares)
    ),
    "an envelope that was changed": lambda net: complaint(
        net, envelope=evidence(net, VICTIM)[:-1] + bytes([evidence(net, VICTIM)[-1] ^ 1])
    ),
    "half an envelope": lambda net: complaint(net, envelope=evidence(net, VICTIM)[:50]),
    "no envelope": lambda net: complaint(net, envelope=b""),
}


@breaks("W-3.2", "W-3.3")
@pytest.mark.parametrize("name", FALSE_EVIDENCE)
def test_a_complaint_with_false_evidence_names_the_complainer(name: str) -> None:
    outcome = complaining(FALSE_EVIDENCE[name])
    assert_all_name(outcome, CHEAT, "W-3.2" if name == "another session key" else "W-3.3")


@pytest.mark.parametrize("lied_to", [VICTIM, OTHER])
def test_a_complaint_to_some_and_none_to_others_names_no_honest_party(lied_to: DeviceId) -> None:
    async def protocol(net: Net) -> None:
        await first_three_rounds(net, sharing(WEIGHTS, THRESHOLD))
        await net.echo(Verdict(complaint=complain(net, Curve.ED25519, VICTIM), setups=()))

    def two_faced(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if (sender, slot) == (CHEAT, "/Verdict") and recipient != lied_to:
            return replace(message, complaint=None)
        return message

    outcome = play(protocol, tamper=two_faced)
    assert_no_honest_party_is_named(outcome, CHEAT)
    failure = outcome.failures[lied_to]
    assert isinstance(failure, ProtocolAbort)
    assert failure.culprits == {CHEAT}


def spoken_by(device: DeviceId) -> dict[str, Any]:
    """What a party says in this vault's generation, known before it is run, as no cheat could. By slot; of private
    messages, the last."""
    spoken: dict[str, Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == device:
            spoken[slot] = message
        return message

    assert not play(member(CHEAT), listen).failures
    return spoken


@breaks("KG-2.2")
@pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)
@pytest.mark.parametrize("kinds", [("Commit",), ("Commit", "Opening")], ids="+".join)
def test_a_commitment_copied_from_another_cannot_be_opened(group: Group, kinds: tuple[str, ...]) -> None:
    """Not with our own opening, and not with the other's either: it names its committer."""
    theirs = spoken_by(VICTIM)
    copied = {f"/{group.curve}/{kind}" for kind in kinds}
    outcome = play(believing(lambda _, slot, m: theirs[slot] if slot in copied else m, member(CHEAT)))
    assert_all_name(outcome, CHEAT, "KG-2.2")


@breaks("KG-2.2", "KG-3.1", "KG-4.2")
@pytest.mark.parametrize(
    ("kinds", "rule"),
    [
        (("Commit",), "KG-2.2"),
        (("Commit", "Opening"), "KG-2.2"),
        (("Proof",), "KG-3.1"),
        (("Shares",), "KG-4.2"),
    ],
    ids=str,
)
@pytest.mark.parametrize("curve", Curve)
def test_what_was_said_in_another_session_is_worth_nothing_here(
    kinds: tuple[str, ...], rule: str, curve: Curve
) -> None:
    """The cheat has the same randomness in both, and repeats what it said: commitments are bound to the session,
    challenges to everybody's rid, and shares to what was committed to."""
    old: dict[tuple[str, DeviceId], Any] = {}
    repeated = {f"/{curve}/{kind}" for kind in kinds}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT:
            old[slot, recipient] = old[slot, ALL] = message
        return message

    generate(WEIGHTS, THRESHOLD, seed=5, tamper=listen)
    outcome = play(believing(lambda to, slot, m: old[slot, to] if slot in repeated else m, member(CHEAT)))
    assert_all_name(outcome, CHEAT, rule)


@breaks("KG-2.2")
def test_an_opening_of_another_session_does_not_open_there_what_it_opened_here() -> None:
    """The same randomness in two sessions gives the same opening; the commitment to it differs."""
    here, there = (one_commit(bytes([n]) * 32) for n in (1, 2))
    assert here[1] == there[1]
    assert here[0] != there[0]


def one_commit(session: bytes) -> tuple[Any, Any]:
    spoken: dict[str, Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT:
            spoken[slot] = message
        return message

    protocols = {device: member(device) for device in devices(3)}
    with dealt_setups():
        run = Simulator(protocols, session=SessionId(session), tamper=listen).run()
    assert not run.failures
    return spoken["/ed25519/Commit"], spoken["/ed25519/Opening"]


@breaks("KG-2.2", "KG-3.1", "KG-4.2")
@pytest.mark.parametrize(
    ("kind", "rule"), [("Commit", "KG-2.2"), ("Opening", "W-1.1"), ("Proof", "KG-3.1"), ("Shares", "KG-4.2")]
)
def test_what_was_said_for_the_other_curve_is_worth_nothing_for_this_one(kind: str, rule: str) -> None:
    mine = spoken_by(CHEAT)
    other = mine[f"/ed25519/{kind}"]

    def repeat(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return encode(other, private=True) if (sender, slot) == (CHEAT, f"/secp256k1/{kind}") else message

    def believe(to: DeviceId, slot: str, message: Any) -> Any:
        return other if slot == "/secp256k1/Commit" else message

    believed = believing(believe, member(CHEAT))
    outcome = play(believed) if kind == "Commit" else play(member(CHEAT), repeat)
    assert_all_name(outcome, CHEAT, rule)


def test_frames_of_another_session_change_nothing() -> None:
    old, _ = generate(WEIGHTS, THRESHOLD, seed=5)
    replayed = [(each.sender, each.recipient, each.frame) for each in old.sent]
    outcome, _ = generate(WEIGHTS, THRESHOLD, inject=replayed)
    assert not outcome.failures


@pytest.mark.parametrize("path", ["/secp256k1", "/ed25519"])
@pytest.mark.parametrize("kind", ["Commit", "Opening"])
def test_an_equivocator_is_named_or_nobody_is(path: str, kind: str) -> None:
    """One of the two stories is sound: only comparing views shows that there are two."""
    stories: dict[str, Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT:
            stories[slot] = message
        return message

    generate(WEIGHTS, THRESHOLD, seed=5, tamper=listen)

    def two_faced(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        aimed = sender == CHEAT and recipient == VICTIM and slot in {f"{path}/Commit", f"{path}/{kind}"}
        return stories[slot] if aimed else message

    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=two_faced)
    assert_a_split_is_seen(outcome, CHEAT)


def test_two_envelopes_in_one_slot_name_their_sender() -> None:
    def twice(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT and slot == "/ed25519/Commit":
            return [message, Commit(digest=bytes(32))]
        return message

    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=twice)
    assert_no_honest_party_is_named(outcome, CHEAT)
    assert any(failure.culprits == {CHEAT} for failure in blames(outcome))


def blames(outcome: Outcome[Any]) -> list[ProtocolAbort]:
    return [failure for failure in outcome.failures.values() if isinstance(failure, ProtocolAbort)]


@pytest.mark.parametrize("last", ["Commit", "Opening", "Shares", "Verdict"])
def test_a_party_that_falls_silent_is_waited_for_by_name(last: str) -> None:
    outcome, _ = generate(WEIGHTS, THRESHOLD, tamper=silent_after(CHEAT, last))
    assert_all_wait_for(outcome, CHEAT)


def test_a_party_that_never_speaks_is_waited_for_by_name() -> None:
    outcome, _ = generate(
        WEIGHTS, THRESHOLD, tamper=lambda sender, _, __, message: DROP if sender == CHEAT else message
    )
    assert_all_wait_for(outcome, CHEAT)


# --- what no single party can bring about


@breaks("KG-5.1")
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)
def test_a_public_polynomial_with_the_identity_in_it_is_refused(group: Group, place: int) -> None:
    """Two dealers whose coefficients cancel: a public key that is none, or a threshold that is lower."""
    g = group.generator
    one, other = [g, g], [g, g]
    other[place] = -g
    with pytest.raises(ProtocolAbort, match=r"KG-5\.1") as raised:
        joint(dict(zip(devices(2), [tuple(one), tuple(other)], strict=True)))
    assert not raised.value.culprits


@breaks("KG-5.2")
@pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)
def test_a_share_that_comes_to_zero_is_refused(group: Group) -> None:
    g, seat = group.generator, sharing([2, 1], 3).seats[0]
    one, seven = group.scalar_of(1), group.scalar_of(7)
    parts = [
        group.secret_vector(bytes(one) + bytes(seven)),
        group.secret_vector(bytes(one) + bytes(-seven)),
    ]
    commitments = dict.fromkeys(devices(2), (g, g, g))
    dealing = Dealing(
        sid=b"",
        rids=[],
        commitments=commitments,
        commitment=joint(commitments),
        parts=dict(zip(devices(2), parts, strict=True)),
        transcript=[],
    )
    with pytest.raises(ProtocolAbort, match=r"KG-5\.2") as raised:
        combine(group.curve, seat, dealing, bytes(32))
    assert not raised.value.culprits


@breaks("KG-5.3")
@pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)
def test_a_signer_whose_image_is_the_identity_is_refused(group: Group) -> None:
    """f(x) = 1 - x: zero at the first signer's index."""
    g, roster = group.generator, sharing([1, 1], 2)
    share = KeyShare(
        curve=group.curve,
        device=roster.devices[1],
        indices=range(2, 3),
        secret=group.secret_vector(bytes(group.scalar_of(-1))),
        commitment=(g, -g),
        chain_code=bytes(32),
    )
    with pytest.raises(ProtocolAbort, match=r"KG-5\.3") as raised:
        quorum_of(share, roster, roster.devices, vault=VAULT, epoch=Epoch(0), certificate=bytes(32))
    assert not raised.value.culprits
