"""One party breaks one rule of the certificate or of the trial."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.errors import ProtocolAbort, Stalled
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.certificate import Endorsement, acknowledgement, endorsement
from quorate.protocols.ecdsa.lane import Product
from quorate.protocols.ecdsa.sign import sign as ecdsa_sign
from quorate.protocols.eddsa import frost
from quorate.protocols.trial import Acknowledgement, Purpose, internal_message, trial
from quorate.wire.net import gather
from quorate.wire.simulator import DROP, Simulator, devices, randomness, signer
from tests.adversary.blame import (
    THRESHOLD,
    WEIGHTS,
    Cheat,
    assert_all_name,
    assert_all_name_nobody,
    assert_no_honest_party_is_named,
)
from tests.protocols.vaults import generate, try_out, vault_of
from tests.rules import breaks

VICTIM, CHEAT, OTHER = devices(3)
ELSEWHERE = bytes(32)


def signed_by(device: DeviceId, record: bytes, stated: bytes | None = None) -> Endorsement:
    signature = signer(device)(endorsement(record, CHEAT))
    return Endorsement(record=record if stated is None else stated, signature=signature)


ENDORSEMENTS = {
    "no signature": lambda m, _: replace(m, signature=bytes(64)),
    "a signature of another device": lambda m, _: signed_by(OTHER, m.record),
    "a signature over another record": lambda m, _: signed_by(CHEAT, ELSEWHERE, stated=m.record),
    "a signature for another device": lambda m, _: replace(
        m, signature=signer(CHEAT)(endorsement(m.record, VICTIM))
    ),
    "a signature for another purpose": lambda m, _: replace(m, signature=signer(CHEAT)(m.record)),
    "another record without its signature": lambda m, _: replace(m, record=ELSEWHERE),
}


@breaks("CT-1.1")
@pytest.mark.parametrize("name", ENDORSEMENTS)
def test_a_bad_endorsement_names_its_sender(name: str) -> None:
    cheat = Cheat(name=name, rule="CT-1.1", slot="/Endorsement", change=ENDORSEMENTS[name])
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, "CT-1.1")
    assert [shelves[device].events for device in (VICTIM, OTHER)] == [["pending", "signed"]] * 2


@breaks("CT-1.2")
def test_another_record_with_a_good_signature_names_who_signed_it() -> None:
    cheat = Cheat(
        name="other record",
        rule="CT-1.2",
        slot="/Endorsement",
        change=lambda m, _: signed_by(CHEAT, ELSEWHERE),
    )
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, "CT-1.2")
    assert not any("active" in shelves[device].events for device in (VICTIM, OTHER))


def test_two_endorsements_shown_to_different_members_certify_one_record_at_most() -> None:
    cheat = Cheat(
        name="other record",
        rule="CT-1.2",
        slot="/Endorsement",
        change=lambda m, _: signed_by(CHEAT, ELSEWHERE),
        one_victim=True,
    )
    outcome, shelves = generate(WEIGHTS, THRESHOLD, tamper=cheat.played_by(CHEAT, VICTIM))
    assert outcome.results[OTHER].verify()
    assert outcome.results[OTHER].record == shelves[VICTIM].record, "the victim can activate what it is shown"
    assert outcome.failures[VICTIM].culprits == {CHEAT}  # type: ignore[attr-defined]


ACKNOWLEDGEMENTS = {
    "no signature": lambda record: bytes(64),
    "a signature of another device": lambda record: signer(OTHER)(acknowledgement(record, CHEAT)),
    "a signature for another device": lambda record: signer(CHEAT)(acknowledgement(record, VICTIM)),
    "an endorsement": lambda record: signer(CHEAT)(endorsement(record.hash, CHEAT)),
    "an acknowledgement of another attempt": lambda record: signer(CHEAT)(
        acknowledgement(replace(record, attempt=2), CHEAT)
    ),
}


@breaks("TR-1.1")
@pytest.mark.parametrize("name", ACKNOWLEDGEMENTS)
def test_a_bad_acknowledgement_names_its_sender(name: str) -> None:
    vault = vault_of(WEIGHTS, THRESHOLD)
    cheat = Cheat(
        name=name,
        rule="TR-1.1",
        slot="/Acknowledgement",
        change=lambda m, _: Acknowledgement(signature=ACKNOWLEDGEMENTS[name](vault.record)),
    )
    assert_all_name(try_out(vault, tamper=cheat.played_by(CHEAT, VICTIM)), CHEAT, "TR-1.1")


@pytest.mark.parametrize("victims", [[VICTIM], [VICTIM, OTHER]], ids=["one", "all"])
def test_a_dropped_acknowledgement_is_waited_for_by_name(victims: list[DeviceId]) -> None:
    def drop(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        dropped = sender == CHEAT and recipient in victims and slot == "/Acknowledgement"
        return DROP if dropped else message

    outcome = try_out(vault_of(WEIGHTS, THRESHOLD), tamper=drop)
    for victim in victims:
        failure = outcome.failures[victim]
        assert isinstance(failure, Stalled)
        assert failure.waiting_on == {CHEAT}


@breaks("ED-2.2", "EC-1.1")
@pytest.mark.parametrize("curve", Curve)
def test_a_trial_of_another_message_is_signed_by_nobody(curve: Curve) -> None:
    """The cheat would have the vault sign a policy instead: everyone builds the message from its own records."""
    vault = vault_of(WEIGHTS, THRESHOLD)

    def protocol(device: DeviceId) -> Any:
        rng, sign = randomness(f"trial {device}"), signer(device)
        quorums = {each: vault.quorum(device, vault.devices, each) for each in Curve}
        setups = vault.shelves[device].setups.__getitem__
        if device != CHEAT:
            return lambda net: trial(net, vault.record, quorums, setups, rng, sign)
        purposes = {each: Purpose.POLICY if each is curve else Purpose.TRIAL for each in Curve}
        messages = {
            each: internal_message(
                purpose, each, vault.record.hash, vault.record.vault, list(quorums[each].devices)
            )
            for each, purpose in purposes.items()
        }
        hashed, plain = sha256(messages[Curve.SECP256K1]).digest(), messages[Curve.ED25519]
        return lambda net: gather(
            ecdsa_sign(net, quorums[Curve.SECP256K1], [hashed], None, setups, rng, lambda: None),
            frost.sign(net, quorums[Curve.ED25519], [plain], None, rng, lambda: None),
        )

    outcome = Simulator({device: protocol(device) for device in vault.devices}).run()
    if curve is Curve.ED25519:
        assert_all_name(outcome, CHEAT, "ED-2.2")
    else:
        assert_all_name_nobody(outcome, CHEAT, "EC-1.1")


@breaks("OT-4.3")
def test_a_cheat_at_the_multiplications_of_a_trial_is_told_from_other_failures() -> None:
    """So that the set-up with it ends, as after any ECDSA session."""

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT and recipient == VICTIM and isinstance(message, Product):
            return replace(message, m2=message.m2[:-1] + bytes([message.m2[-1] ^ 1]))
        return message

    outcome = try_out(vault_of(WEIGHTS, THRESHOLD), tamper=tamper)
    assert_no_honest_party_is_named(outcome, CHEAT)
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert (failure.rule.split()[0], failure.culprits, failure.cheat) == ("OT-4.3", frozenset({CHEAT}), True)


@pytest.mark.parametrize("path", ["/secp256k1/committed", "/ed25519"])
def test_an_equivocator_in_the_trial_is_named_or_nobody_is(path: str) -> None:
    def two_faced(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if (sender, recipient, slot) != (CHEAT, VICTIM, f"{path}/Commitments"):
            return message
        if path == "/ed25519":
            (pair,) = message.pairs
            return replace(message, pairs=(replace(pair, hiding=pair.binding),))
        return replace(message, commitments=(bytes(32),))

    outcome = try_out(vault_of(WEIGHTS, THRESHOLD), tamper=two_faced)
    assert_no_honest_party_is_named(outcome, CHEAT)
