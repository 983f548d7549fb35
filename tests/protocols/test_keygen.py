from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from quorate.curves import group_of
from quorate.errors import Bug, Stalled
from quorate.identifiers import Curve, DeviceId, SessionId
from quorate.native.ot import LEAVES
from quorate.protocols import pairing
from quorate.protocols.certificate import EpochRecord
from quorate.protocols.keygen import create
from quorate.protocols.ot.setup import PairSetup, SetupContext
from quorate.protocols.quorum import KeyShare
from quorate.wire.net import Net, Pair
from quorate.wire.simulator import DROP, Simulator, devices, randomness, signer
from tests.oracle import curve as oracle
from tests.oracle import shamir
from tests.protocols.ideal import deal_setup, dealt_setups
from tests.protocols.vaults import VAULT, Shelf, generate, sharing, vault_of

CURVES: dict[Curve, oracle.Curve] = {Curve.SECP256K1: oracle.Secp256k1(), Curve.ED25519: oracle.Ed25519()}


def test_every_party_ends_with_the_same_certificate() -> None:
    outcome, shelves = generate([2, 1, 1], 3)
    assert not outcome.failures
    certificates = set(outcome.results.values())
    assert len(certificates) == 1
    assert next(iter(certificates)).verify()
    assert {shelf.certificate for shelf in shelves.values()} == certificates


def test_the_record_says_who_what_and_when() -> None:
    record = vault_of([4, 2, 2], 6).record
    assert [(place.device, place.weight, place.reduced) for place in record.roster] == [
        (device, weight, weight // 2) for device, weight in zip(devices(3), [4, 2, 2], strict=True)
    ]
    assert (record.vault, record.epoch, record.attempt, record.previous) == (VAULT, 0, 1, b"")
    assert (record.threshold, record.terms, len(record.setups)) == (6, 3, 3)


@pytest.mark.parametrize("curve", Curve)
@pytest.mark.parametrize(
    ("weights", "threshold"), [([2, 1, 1], 3), ([1, 1], 2), ([2], 2), ([3, 2, 2, 1], 5), ([4, 6], 5)]
)
def test_the_shares_are_those_of_the_mathematics(curve: Curve, weights: list[int], threshold: int) -> None:
    """Recomputed in plain integers: from what dealers sent in private, to F, PK and every share."""
    math, group = CURVES[curve], group_of(curve)
    dealt: dict[DeviceId, dict[int, int]] = defaultdict(dict)
    opened: dict[DeviceId, Any] = {}
    roster = sharing(weights, threshold)

    def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot == f"/{curve}/Shares":
            shares = group.secret_vector(message.values)
            dealt[sender] |= {
                x: math.number(shares[place].reveal())
                for place, x in enumerate(roster.seat(recipient).indices)
            }
        if slot == f"/{curve}/Opening":
            opened[sender] = message
        return message

    outcome, shelves = generate(weights, threshold, tamper=watch)
    assert not outcome.failures
    held: dict[int, int] = {}
    for device, shelf in shelves.items():
        share = shelf.shares[curve]
        held |= {x: math.number(share.secret[p].reveal()) for p, x in enumerate(roster.seat(device).indices)}
    joint = shamir.coefficients_of({x: held[x] for x in range(1, roster.terms + 1)}, math.q)
    assert all(shamir.evaluate(joint, x, math.q) == value for x, value in held.items())
    key = shelves[roster.devices[0]].record.key(curve)  # type: ignore[union-attr]
    assert key.commitment == tuple(oracle.base(math, coefficient) for coefficient in joint)
    assert key.public_key == oracle.base(math, shamir.interpolate(held, 0, math.q))
    if len(weights) == 1:
        return
    assert len({key.chain_code, *(opening.rid for opening in opened.values())}) == len(weights) + 1
    # What the others were dealt is enough to rebuild a dealer's polynomial where they reach the threshold.
    for dealer, values in dealt.items():
        if len(values) >= roster.terms:
            f = shamir.coefficients_of(dict(list(values.items())[: roster.terms]), math.q)
            assert [bytes(point) for point in opened[dealer].polynomial.commitment] == [
                oracle.base(math, a) for a in f
            ]


def test_the_order_of_delivery_changes_nothing() -> None:
    session = SessionId(bytes(32))
    roster = sharing([2, 1, 1], 3)

    def record(seed: int) -> bytes:
        protocols = {
            device: lambda net, device=device: create(
                net,
                roster,
                randomness(f"fixed {device}"),
                Shelf(),
                vault=VAULT,
                attempt=1,
                sign=signer(device),
            )
            for device in roster.devices
        }
        with dealt_setups():
            results = Simulator(protocols, seed=seed, session=session).run().results
        (one,) = {certificate.hash for certificate in results.values()}
        return one

    assert record(1) == record(2)


def test_two_generations_have_nothing_in_common() -> None:
    one, other = vault_of([1, 1], 2, seed=1).record, vault_of([1, 1], 2, seed=2).record
    for curve in Curve:
        assert not set(one.key(curve).commitment) & set(other.key(curve).commitment)
        assert one.key(curve).chain_code != other.key(curve).chain_code
    assert one.transcript != other.transcript


def test_a_share_is_durable_and_the_intent_to_sign_too_before_the_record_is_signed() -> None:
    roster = sharing([1, 1], 2)
    told: list[str] = []
    shelves = {device: Shelf(events=told) for device in roster.devices}

    def sign(device: DeviceId, message: bytes) -> bytes:
        told.append("device key used")
        return signer(device)(message)

    protocols = {
        device: lambda net, device=device: create(
            net,
            roster,
            randomness(f"order {device}"),
            shelves[device],
            vault=VAULT,
            attempt=1,
            sign=lambda message: sign(device, message),
        )
        for device in roster.devices
    }
    with dealt_setups():
        assert not Simulator(protocols).run().failures
    assert told == ["pending", "signed", "device key used"] * 2 + ["active"] * 2


@pytest.mark.parametrize("event", ["pending", "signed"])
def test_what_could_not_be_made_durable_is_not_signed(event: str) -> None:
    (alone,) = devices(1)
    asked: list[bytes] = []

    class Full(Shelf):
        def pending(
            self, record: EpochRecord, shares: Sequence[KeyShare], setups: Sequence[PairSetup]
        ) -> None:
            if event == "pending":
                raise OSError("disk full")

        def signed(self, record: EpochRecord) -> None:
            raise OSError("disk full")

    def sign(message: bytes) -> bytes:
        asked.append(message)
        return signer(alone)(message)

    def protocol(net: Net) -> Any:
        return create(net, sharing([1], 1), randomness("full"), Full(), vault=VAULT, attempt=1, sign=sign)

    with pytest.raises(OSError, match="disk full"):
        Simulator({alone: protocol}).run()
    assert not asked


def test_a_generation_costs_five_rounds() -> None:
    outcome, _ = generate([2, 1, 1], 3, lockstep=True, ideally=False)
    assert outcome.rounds == 5
    assert outcome.messages == 12 * 6


def test_every_pair_ends_with_both_halves_of_a_set_up_that_the_record_names() -> None:
    outcome, shelves = generate([2, 1, 1], 3, ideally=False)
    assert not outcome.failures
    roster = devices(3)
    assert {device: set(shelf.setups) for device, shelf in shelves.items()} == {
        device: set(roster) - {device} for device in roster
    }
    pairs = list(combinations(roster, 2))
    record = shelves[roster[0]].record
    assert record is not None
    assert record.setups == tuple(shelves[one].setups[other].id for one, other in pairs)
    assert len(set(record.setups)) == 3
    for one, other in pairs:
        mine, theirs = shelves[one].setups[other], shelves[other].setups[one]
        assert (mine.id, mine.zero_seed) == (theirs.id, theirs.zero_seed)
        for sending, receiving in ((mine.sending, theirs.receiving), (theirs.sending, mine.receiving)):
            assert_all_but_one(sending.reveal(), receiving.reveal())


def assert_all_but_one(sending: bytes, receiving: bytes) -> None:
    """Of each tree's leaves the sender has all but the one it says it misses."""
    for tree, missing in enumerate(sending[len(receiving) :]):
        for leaf in range(LEAVES):
            at = 32 * (LEAVES * tree + leaf)
            held = bytes(32) if leaf == missing else receiving[at : at + 32]
            assert sending[at : at + 32] == held


def test_set_ups_are_of_one_attempt_of_one_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SetupContext] = []

    async def watch(pair: Pair, context: SetupContext, rng: Any) -> PairSetup:
        asked.append(context)
        return await deal_setup(pair, context, rng)

    monkeypatch.setattr(pairing, "set_up", watch)
    generate([4, 2, 2], 6, ideally=False)
    seats = sharing([4, 2, 2], 6).seats
    assert len(asked) == 6
    for context in asked:
        assert (context.vault, context.epoch, context.attempt, context.generation) == (VAULT, 0, 1, 0)
        assert context.members in list(combinations(seats, 2))


def test_a_vault_of_one_is_made_without_a_message() -> None:
    outcome, shelves = generate([2], 2)
    assert outcome.messages == 0
    assert shelves[devices(1)[0]].events == ["pending", "signed", "active"]


def test_a_withheld_endorsement_leaves_a_signed_share_that_the_certificate_fits() -> None:
    """The victim may not drop its share: others hold a certificate, and it activates when it is shown that."""
    liar, friend, victim = devices(3)

    def withhold(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return DROP if (sender, recipient, slot) == (liar, victim, "/Endorsement") else message

    outcome, shelves = generate([1, 1, 1], 2, tamper=withhold)
    failure = outcome.failures[victim]
    assert isinstance(failure, Stalled)
    assert failure.waiting_on == {liar}
    assert shelves[victim].events == ["pending", "signed"]
    assert outcome.results[friend].record == shelves[victim].record
    assert outcome.results[friend].verify()


def test_a_session_with_other_parties_than_the_roster_is_our_mistake() -> None:
    roster = sharing([1, 1, 1], 2)
    alone = devices(1)[0]

    def protocol(net: Any) -> Any:
        return create(net, roster, randomness("x"), Shelf(), vault=VAULT, attempt=1, sign=signer(alone))

    with pytest.raises(Bug, match="roster"):
        Simulator({alone: protocol}).run()
