from __future__ import annotations

import base64
import copy
import hashlib
import json
import pickle
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import VerifyKey

from quorate.ceremony.identity import MAX_CARD, Identity, card_of, fingerprint, read_card
from quorate.errors import UsageError
from quorate.native.memory import SecretBytes
from quorate.operations.kinds import device_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from tests.rules import breaks
from tests.storage.devices import NOW, Seeded, device, make_certificate

ALICE, MALLORY = device("alice"), device("mallory")
X25519_SPKI = bytes.fromhex("302a300506032b656e032100")  # RFC 8410, section 4
ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")

Fields = dict[str, Any]


def signed_again(by: Identity, **changes: str) -> str:
    """Alice's card with some fields changed, signed by ``by``: what only the holder of a device key can make."""
    card: Fields = json.loads(ALICE.card()) | changes
    names = ("device", "uuid", "name", "address", "hardware_id", "client_record", "certificate")
    card["signature"] = base64.b64encode(
        by.sign(digest(Domain.DEVICE_CARD, *(card[name] for name in names)))
    ).decode()
    return json.dumps(card)


def record(**changes: str) -> str:
    """Alice's client record with some fields changed."""
    fields: Fields = json.loads(json.loads(ALICE.card())["client_record"]) | changes
    return json.dumps(fields, separators=(",", ":"))


def spki(prefix: bytes, key: bytes) -> str:
    return base64.b64encode(prefix + key).decode()


def test_an_identity_has_the_public_keys_of_its_secret() -> None:
    # RFC 8032, section 7.1, test 1; RFC 7748, section 6.1, Alice
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    private = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    identity = Identity.of(SecretBytes.of(seed + private), "alice")
    assert identity.identity_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert identity.exchange_key.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    with pytest.raises(ValueError, match="64"):
        Identity.of(SecretBytes.of(seed), "alice")


def test_an_identity_comes_back_from_its_secret() -> None:
    made = Identity.generate(Seeded("somebody"), "alice")
    again = Identity.of(SecretBytes.of(made.secret().reveal()), "alice")
    for one, other in ((made.device, again.device), (made.identity_key, again.identity_key)):
        assert one == other
    assert made.exchange_key == again.exchange_key
    assert made.sign(b"m") == again.sign(b"m")
    assert made.device == device_id(made.identity_key)
    assert Identity.generate(Seeded("another"), "alice").device != made.device


def test_a_device_signs_raw_ed25519() -> None:
    identity = ALICE.identity
    assert VerifyKey(identity.identity_key).verify(b"message", identity.sign(b"message")) == b"message"


def test_an_identity_shows_no_key_and_is_not_copied() -> None:
    identity = ALICE.identity
    secret = identity.secret().reveal()
    shown = repr(identity) + str(identity) + f"{identity}"
    for part in (secret[:32], secret[32:], identity.identity_key):
        assert part.hex() not in shown
        assert repr(part) not in shown
    for act in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            act(identity)
    with pytest.raises(AttributeError):
        identity.name = "other"  # type: ignore[misc]


def test_a_card_says_what_its_device_is() -> None:
    card = card_of(ALICE.identity, "alice", "10.0.0.1:7100", ALICE.certificate, "hw", 7, NOW)
    peer = read_card(card)
    assert (peer.device, peer.name, peer.address, peer.hardware_id) == (
        ALICE.identity.device, "alice", "10.0.0.1:7100", "hw",
    )  # fmt: skip
    assert (peer.identity_key, peer.exchange_key) == (
        ALICE.identity.identity_key,
        ALICE.identity.exchange_key,
    )
    assert (peer.rev, peer.card, peer.certificate_pem) == (7, card, ALICE.certificate)
    key = x509.load_pem_x509_certificate(ALICE.certificate.encode()).public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert peer.certificate_pin == hashlib.sha256(info).digest()


def test_a_client_record_is_the_documented_one() -> None:
    peer = read_card(ALICE.card(rev=12))
    fields = json.loads(peer.client_record)
    assert list(fields) == ["pub_enc", "pub_sign", "rev", "sig", "updated"]
    assert base64.b64decode(fields["pub_enc"]) == X25519_SPKI + peer.exchange_key
    assert base64.b64decode(fields["pub_sign"]) == ED25519_SPKI + peer.identity_key
    assert (fields["rev"], fields["updated"]) == ("12", "2025-11-07T14:51:02.984Z")
    signature = base64.b64decode(fields["sig"])
    VerifyKey(peer.identity_key).verify(X25519_SPKI + peer.exchange_key, signature)
    assert uuid.UUID(peer.uuid).bytes == signature[:16]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", peer.uuid)


def test_people_may_format_a_card() -> None:
    card = ALICE.card()
    fields = dict(reversed(json.loads(card).items()))
    for text in (
        json.dumps(fields),
        "\n" + json.dumps(fields, indent=8) + "\n\n",
        card.replace("\n", "\r\n"),
    ):
        assert read_card(text) == read_card(card)


def test_a_fingerprint_is_read_out_in_groups_and_outlives_the_card() -> None:
    first, later = read_card(ALICE.card()), read_card(ALICE.card(rev=2, address="elsewhere:1", name="al"))
    assert re.fullmatch(r"([a-z2-7]{4} ){7}[a-z2-7]{4}", fingerprint(first))
    assert fingerprint(first) == fingerprint(later) == fingerprint(ALICE.identity)
    assert fingerprint(first) != fingerprint(read_card(MALLORY.card()))


def test_a_fingerprint_covers_both_keys() -> None:
    seed, other = ALICE.identity.secret().reveal(), MALLORY.identity.secret().reveal()
    mixed = Identity.of(SecretBytes.of(seed[:32] + other[32:]), "alice")
    assert mixed.device == ALICE.identity.device
    assert fingerprint(mixed) != fingerprint(ALICE.identity)


@breaks("ST-5.1")
@pytest.mark.parametrize("field", ["name", "address", "hardware_id", "certificate"])
def test_a_changed_card_does_not_verify(field: str) -> None:
    card: Fields = json.loads(ALICE.card())
    other: Fields = json.loads(MALLORY.card())
    card[field] = other[field] if field != "hardware_id" else "hw-2"
    with pytest.raises(UsageError, match="changed since its device signed it"):
        read_card(json.dumps(card))


@breaks("ST-5.1")
@pytest.mark.parametrize("name", ["rev", "updated"])
def test_what_the_client_record_says_is_signed_too(name: str) -> None:
    card: Fields = json.loads(ALICE.card())
    changed = {"rev": "9", "updated": "2025-11-07T14:51:02.985Z"}
    card["client_record"] = record(**{name: changed[name]})
    with pytest.raises(UsageError, match="changed since"):
        read_card(json.dumps(card))


@breaks("ST-5.1")
def test_a_card_signed_by_another_device_is_refused() -> None:
    with pytest.raises(UsageError, match="changed since its device signed it"):
        read_card(signed_again(MALLORY.identity, address="mallory:7100"))


@breaks("ST-5.1")
def test_nobody_takes_anothers_id_or_uuid() -> None:
    mallory: Fields = json.loads(MALLORY.card())
    theirs = {"client_record": mallory["client_record"]}
    with pytest.raises(UsageError, match=f"not the id of its key, which is {MALLORY.identity.device}"):
        read_card(signed_again(MALLORY.identity, **theirs))
    with pytest.raises(UsageError, match="uuid"):
        read_card(signed_again(MALLORY.identity, **theirs, device=MALLORY.identity.device))


@breaks("ST-5.1")
def test_nobody_takes_anothers_exchange_key() -> None:
    enc = json.loads(json.loads(MALLORY.card())["client_record"])["pub_enc"]
    with pytest.raises(UsageError, match="not signed by its own key"):
        read_card(signed_again(ALICE.identity, client_record=record(pub_enc=enc)))


SMALL = [bytes([1]) + bytes(31), bytes(32), bytes.fromhex("ecff" + "ff" * 29 + "7f")]
TORSIONED = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


@breaks("ST-5.1")
@pytest.mark.parametrize(
    "changes",
    [
        *({"pub_sign": spki(ED25519_SPKI, key)} for key in [*SMALL, TORSIONED, b"\xff" * 32]),
        *({"pub_enc": spki(X25519_SPKI, key)} for key in SMALL[:2]),
    ],
)
def test_a_key_anyone_can_sign_or_share_for_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="sound public key"):
        read_card(signed_again(ALICE.identity, client_record=record(**changes)))


@breaks("ST-5.1")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"pub_enc": spki(ED25519_SPKI, bytes(range(32)))},
            "pub_enc is not an X25519 key|pub_enc is not a public key",
        ),
        ({"pub_sign": spki(X25519_SPKI, bytes(range(32)))}, "pub_sign is not an Ed25519 key"),
        ({"pub_sign": "AAAA"}, "pub_sign is not a public key"),
        ({"pub_sign": "not base64"}, "pub_sign is not base64"),
        ({"pub_enc": ""}, "pub_enc is not base64"),
        ({"sig": "AAAA="}, "signature is not base64"),
        ({"sig": "AAAA"}, "not signed by its own key"),
        ({"rev": "0"}, "client record does not read"),
        ({"rev": "07"}, "client record does not read"),
        ({"rev": "-1"}, "client record does not read"),
        ({"rev": "9" * 30}, "client record does not read"),
        ({"updated": "yesterday"}, "client record does not read"),
        ({"updated": "2025-13-07T14:51:02.984Z"}, "is no time"),
        ({"more": "x"}, "client record does not read"),
    ],
)
def test_a_client_record_that_is_wrong_in_one_thing_is_refused(changes: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_card(signed_again(ALICE.identity, client_record=record(**changes)))


@breaks("ST-5.1")
def test_a_client_record_is_written_one_way() -> None:
    loose = json.dumps(json.loads(record()))
    with pytest.raises(UsageError, match="not written the one way"):
        read_card(signed_again(ALICE.identity, client_record=loose))


@breaks("ST-5.1")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": " alice"}, "space"),
        ({"name": "al\x1b[31mice"}, "print"),
        ({"name": ""}, "not a device card"),
        ({"name": "x" * 101}, "not a device card"),
        ({"name": MALLORY.identity.device}, "looks like a device id"),
        ({"hardware_id": "a\nb"}, "print"),
        ({"hardware_id": ""}, "not a device card"),
        *(({"address": address}, "is not host:port") for address in (
            "", "alice", "alice:", "alice:0", "alice:65536", "al ice:1", "alice:7100\n", "alice:７１００", "-a:1",
            "http://alice:7100", "::1:7100", "alice@mallory:1",
        )),
        ({"certificate": ""}, "not one PEM certificate"),
        ({"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "not one PEM certificate"),
        ({"certificate": ALICE.certificate + MALLORY.certificate}, "not one PEM certificate"),
        ({"certificate": ALICE.certificate + ALICE.tls_key.decode()}, "something beside it"),
        ({"certificate": make_certificate("ed25519")[0]}, "P-256"),
        ({"certificate": make_certificate("secp256k1")[0]}, "P-256"),
        ({"type": "quorate/v2/device-card"}, "not a device card"),
        ({"signed_by": "me"}, "not a device card"),
    ],
)  # fmt: skip
def test_a_card_whose_own_device_claims_nonsense_is_refused(changes: dict[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        read_card(signed_again(ALICE.identity, **changes))
    assert refused.value.code == "INVALID_CARD"


@breaks("ST-5.1")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda card: "",
        lambda card: "null",
        lambda card: "[]",
        lambda card: card[:-1],
        lambda card: card + "x",
        lambda card: card + card,
        lambda card: "[" * 10_000,
        lambda card: card + " " * MAX_CARD,
        lambda card: "\ud800" + card,
        lambda card: card.replace('"name": "alice"', '"name": 7'),
        lambda card: card.replace('"signature"', '"signatures"'),
        lambda card: card.replace('"signature": "', '"signature": "A'),
    ],
)
def test_what_is_no_card_is_refused(spoil: Callable[[str], str]) -> None:
    with pytest.raises(UsageError):
        read_card(spoil(ALICE.card()))


@breaks("ST-5.1")
def test_a_field_given_twice_says_what_the_device_signed_or_nothing() -> None:
    card = ALICE.card()
    forged = card.replace('"name": "alice",', '"name": "alice", "name": "mallory",')
    with pytest.raises(UsageError, match="changed since"):
        read_card(forged)
    masked = card.replace('"name": "alice",', '"name": "mallory", "name": "alice",')
    assert read_card(masked).card == card


def test_no_card_is_made_that_would_not_be_read() -> None:
    for wrong in (
        {"address": "nowhere"},
        {"name": "x\n"},
        {"rev": 0},
        {"certificate": "none"},
        {"hardware_id": "\t"},
    ):
        with pytest.raises(UsageError, match="refused"):
            ALICE.card(**wrong)
