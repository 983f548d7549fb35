"""Every hash of the protocols made again from what the specification says goes into it.

Two ends that leave out the same field agree with each other: only a third one notices.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from quorate.curves import group_of
from quorate.identifiers import Curve, DeviceId, SessionId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest, encode
from quorate.protocols import certificate as certificates
from quorate.protocols.eddsa import hashes, nonces
from quorate.protocols.trial import trial_message
from quorate.wire.envelope import unpack
from quorate.wire.mailbox import view_of
from quorate.wire.simulator import devices, identity_key, randomness
from tests.protocols.vaults import Vault, generate, hand_over, roster_of, sign, vault_of

SESSION = SessionId(b"\x5e" * 32)
CONTEXT = b"FROST-ED25519-SHA512-v1"


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


def test_key_generation_hashes_what_the_specification_says() -> None:
    said: dict[tuple[DeviceId, str], Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        said[sender, slot] = message
        return message

    outcome, shelves = generate([2, 1, 1], 3, tamper=listen, session=SESSION)
    assert not outcome.failures
    transcript, codes = [], []
    for curve in (Curve.SECP256K1, Curve.ED25519):
        sid = digest(Domain.SESSION, SESSION, curve.value)
        openings = {device: said[device, f"/{curve}/Opening"] for device in shelves}
        rids = [opening.rid for opening in openings.values()]
        rid = digest(Domain.KEYGEN_RID, sid, rids)
        codes.append(digest(Domain.KEYGEN_CHAIN_CODE, sid, rids))
        rows = []
        for device, opening in openings.items():
            shown = opening.polynomial
            points = [bytes(point) for point in shown.commitment]
            fields = [opening.rid, points, bytes(shown.move)]
            v = digest(Domain.KEYGEN_COMMIT, (sid, identity_key(device)), fields, opening.blinder)
            assert said[device, f"/{curve}/Commit"].digest == v
            stated = (identity_key(device), points[0], bytes(shown.move))
            e = group_of(curve).reduce(digest(Domain.SCHNORR, sid, rid, *stated, size=64))
            z = said[device, f"/{curve}/Proof"].response
            assert z * group_of(curve).generator == shown.move + e * shown.commitment[0]
            rows.append([device, v, fields, opening.blinder, bytes(z)])
        transcript.append([curve.value, rows])
    (certificate,) = set(outcome.results.values())
    assert certificate.record.transcript == digest(Domain.TRANSCRIPT, SESSION, transcript)
    assert [key.chain_code for key in certificate.record.keys] == codes


def test_a_reshare_hashes_what_the_specification_says() -> None:
    """Who does not deal commits to random bytes alone, and stands in the transcript without a proof."""
    said: dict[tuple[DeviceId, str], Any] = {}

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        said[sender, slot] = message
        return message

    old = vault_of([2, 1, 1], 3)
    one, other, _, joiner = devices(4)
    dealers = [one, other]
    target = roster_of({other: 1, joiner: 1}, 2)
    outcome, shelves = hand_over(old, target, dealers, tamper=listen, session=SESSION)
    assert not outcome.failures
    transcript = []
    for curve in (Curve.SECP256K1, Curve.ED25519):
        sid = digest(Domain.SESSION, SESSION, curve.value)
        openings = {device: said[device, f"/{curve}/Opening"] for device in shelves}
        rid = digest(Domain.KEYGEN_RID, sid, [opening.rid for opening in openings.values()])
        rows = []
        for device, opening in openings.items():
            fields: list[Any] = [opening.rid]
            z = said[device, f"/{curve}/Proof"].response
            if device in dealers:
                shown = opening.polynomial
                points = [bytes(point) for point in shown.commitment]
                fields += [points, bytes(shown.move)]
                stated = (identity_key(device), points[0], bytes(shown.move))
                e = group_of(curve).reduce(digest(Domain.SCHNORR, sid, rid, *stated, size=64))
                assert z * group_of(curve).generator == shown.move + e * shown.commitment[0]
            v = digest(Domain.KEYGEN_COMMIT, (sid, identity_key(device)), fields, opening.blinder)
            assert said[device, f"/{curve}/Commit"].digest == v
            rows.append([device, v, fields, opening.blinder, bytes(z) if device in dealers else b""])
        transcript.append([curve.value, rows])
    (certificate,) = set(outcome.results.values())
    record = certificate.record
    assert record.transcript == digest(Domain.TRANSCRIPT, SESSION, transcript)
    assert record.hash == digest(
        Domain.EPOCH_RECORD,
        [record.vault, 1, 1, old.record.hash],
        [[device, identity_key(device)] for device in dealers],
        [[p.device, p.identity_key, p.weight, p.reduced] for p in record.roster],
        [record.threshold, record.terms],
        [[key.curve.value, key.commitment, key.chain_code] for key in record.keys],
        record.setups,
        record.transcript,
    )


@pytest.mark.parametrize(
    ("echoed", "after"),
    [
        *[
            (f"/{curve}/{kind}", f"/{curve}/{after}")
            for curve in Curve
            for kind, after in [("Commit", "Opening"), ("Opening", "Proof"), ("Opening", "Shares")]
        ],
        ("/Objection", "/Endorsement"),
    ],
)
def test_a_round_of_a_reshare_is_signed_on_the_view_of_the_echoed_one_before(echoed: str, after: str) -> None:
    old = vault_of([2, 1, 1], 3)
    parties = devices(4)
    sent = hand_over(old, roster_of({parties[1]: 1, parties[3]: 1}, 2), parties[:2])[0].sent
    views = {unpack(each.frame).envelope.view for each in sent if each.slot == after}
    letters = {each.sender: unpack(each.frame).envelope.header for each in sent if each.slot == echoed}
    session = next(iter(letters.values())).session
    order = sorted(letters)
    assert views == {view_of(SessionId(session), echoed, [letters[device] for device in order])}


@pytest.mark.parametrize(
    ("echoed", "after"),
    [
        *[
            (f"/{curve}/{kind}", f"/{curve}/{after}")
            for curve in Curve
            for kind, after in [("Commit", "Opening"), ("Opening", "Proof"), ("Opening", "Shares")]
        ],
        ("/Verdict", "/Endorsement"),
        ("/ed25519/Commitments", "/ed25519/Response"),
    ],
)
def test_a_round_is_signed_on_the_view_of_the_echoed_one_before(
    echoed: str, after: str, vault: Vault
) -> None:
    making, _ = generate([2, 1, 1], 3)
    signing = sign(vault, vault.devices, [b"m"])
    sent = (making if echoed in making.slots else signing).sent
    views = {unpack(each.frame).envelope.view for each in sent if each.slot == after}
    letters = {each.sender: unpack(each.frame).envelope.header for each in sent if each.slot == echoed}
    session = next(iter(letters.values())).session
    assert views == {view_of(SessionId(session), echoed, [letters[device] for device in vault.devices])}


def test_an_epoch_is_hashed_endorsed_and_acknowledged_with_all_that_places_it(vault: Vault) -> None:
    record, device = vault.record, vault.devices[1]
    assert record.hash == digest(
        Domain.EPOCH_RECORD,
        [record.vault, record.epoch, record.attempt, record.previous],
        [],
        [[p.device, p.identity_key, p.weight, p.reduced] for p in record.roster],
        [record.threshold, record.terms],
        [[key.curve.value, key.commitment, key.chain_code] for key in record.keys],
        record.setups,
        record.transcript,
    )
    endorsed = digest(Domain.EPOCH_SIGNATURE, record.hash, device)
    assert certificates.endorsement(record.hash, device) == endorsed
    place = (record.vault, record.epoch, record.attempt, record.hash)
    acknowledged = digest(Domain.ACKNOWLEDGEMENT, *place, device)
    assert certificates.acknowledgement(record, device) == acknowledged


def test_the_trial_is_of_this_vault_certificate_and_set(vault: Vault) -> None:
    body = digest(Domain.INTERNAL, vault.record.vault, list(vault.devices))
    message = b"\xffquorate/internal/v1\x00\x01\x02" + vault.record.hash + body
    assert trial_message(vault.quorum(vault.devices[0], vault.devices)) == message


def test_the_assignment_binds_vault_epoch_certificate_threshold_and_every_index(vault: Vault) -> None:
    record = vault.record
    rows: Field = [[1, 2, [1, 2]], [3, 1, [3]], [4, 1, [4]]]
    fields = (CONTEXT, "widx", record.vault, record.epoch, record.hash, record.terms, rows)
    bound = hashes.assignment_of(vault.quorum(vault.devices[0], vault.devices))
    assert bound == hashlib.sha512(encode(fields)).digest()


def test_a_nonce_is_hashed_from_fresh_bytes_session_message_place_and_share(vault: Vault) -> None:
    share = vault.shelves[vault.devices[0]].shares[Curve.ED25519]
    shares = share.secret.reveal()
    hedge = hashlib.sha512(CONTEXT + b"hedge" + shares).digest()[:32]
    quorum = vault.quorum(vault.devices[0], vault.devices)
    assert quorum.hedge == hedge
    made = nonces.make_nonces(quorum.hedge, SESSION, b"m", 3, randomness("nonces"))
    fresh = randomness("nonces")
    message = digest(Domain.MESSAGES, b"m")
    for place, nonce in zip((6, 7), made.secret.take(), strict=True):
        drawn = digest(Domain.NONCE, fresh.secret(32).reveal(), SESSION, message, place)
        assert nonce == hashes.h3(SecretBytes.of(drawn), SecretBytes.of(hedge))


def test_a_response_says_which_messages_epoch_and_key_it_is_for(vault: Vault) -> None:
    said: list[Any] = []

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith("/Response"):
            said.append(message)
        return message

    assert not sign(vault, vault.devices, [b"one", b"two"], tamper=listen).failures
    assert {(m.messages, m.epoch, m.public_key) for m in said} == {
        (digest(Domain.MESSAGES, b"one", b"two"), 0, vault.public_key(Curve.ED25519))
    }
