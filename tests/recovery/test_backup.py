"""What a backup proves when it is opened, and that one that was changed is named."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import msgspec
import pytest
from argon2.exceptions import HashingError
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from quorate.errors import Corrupt, QuorateError, UsageError
from quorate.identifiers import Curve
from quorate.native.memory import SecretBytes
from quorate.recovery.backup import Backup, EpochLabel, make, open_backup
from quorate.recovery.locks import Passphrase, RecoveryKey, RecoveryPublicKey
from quorate.wire.codec import encode
from quorate.wire.simulator import signer
from tests.protocols.vaults import handed_over, roster_of, vault_of
from tests.recovery.files import backup_of, certificate_of, label_of, passphrase, secrets_of
from tests.rules import breaks

VAULT = vault_of([2, 1, 1], 3)
ALICE, BOB, CAROL = VAULT.devices


def changed(file: bytes, **changes: Any) -> bytes:
    fields = json.loads(file)
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        if inner:
            fields[outer][inner] = value
        else:
            fields[outer] = value
    return json.dumps(fields).encode()


def opened(file: bytes, *openers: Any) -> Any:
    return open_backup(Backup.read(file, "a.backup"), openers or (passphrase(),))


def relabelled(label: EpochLabel, **changes: Any) -> EpochLabel:
    return msgspec.structs.replace(label, **changes)


def test_a_backup_opens_to_the_shares_it_was_made_of() -> None:
    held = opened(backup_of([VAULT], ALICE))
    assert (held.device, held.weight, held.record) == (ALICE, 2, VAULT.record)
    for curve in Curve:
        assert held.shares[curve].secret == VAULT.shelves[ALICE].shares[curve].secret


def test_a_backup_shows_no_share_and_two_of_the_same_shares_have_nothing_in_common() -> None:
    one, other = backup_of([VAULT], BOB), backup_of([VAULT], BOB)
    for curve in Curve:
        secret = VAULT.shelves[BOB].shares[curve].secret.reveal()
        for form in (secret, secret.hex().encode(), base64.b64encode(secret), base64.b64encode(secret)[:40]):
            assert form not in one
        assert secret not in base64.b64decode(json.loads(one)["sealed"])
    first, second = (base64.b64decode(json.loads(each)["sealed"]) for each in (one, other))
    assert first[12:28] != second[12:28]


def test_whoever_has_the_public_recovery_key_closes_and_only_the_private_half_opens(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    private, other = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    file = backup_of([VAULT], CAROL, RecoveryPublicKey.of(pem, "recovery.pub"))
    keys = [
        RecoveryKey.of(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "recovery.key")
        for key in (other, private)
    ]
    assert opened(file, *keys).device == CAROL
    with pytest.raises(UsageError, match="private half of the recovery key"):
        opened(file, keys[0], passphrase())


@pytest.mark.parametrize("half", [RecoveryPublicKey, RecoveryKey])
def test_what_is_no_recovery_key_is_refused_by_name(half: Any) -> None:
    for data in (
        b"",
        b"hello",
        os.urandom(32),
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ):
        with pytest.raises(UsageError, match=r"thing\.pem is no X25519 .* key in PEM"):
            half.of(data, "thing.pem")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(UsageError, match=r"words\.txt is under 12"):
        Passphrase.of(b"hunter2\n", "words.txt")


@breaks("BK-1.1")
@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[" * 100_000, b'{"quorate_backup": 1}', b"\xff\xfe", b"null"],
    ids=["empty", "object", "deep", "number", "bytes", "null"],
)
def test_a_file_that_is_no_backup_is_named(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"BK-1\.1 form: a\.backup is no backup"):
        Backup.read(data, "a.backup")


@breaks("BK-1.1")
@pytest.mark.parametrize("name", ["vault_name", "device_name"])
@pytest.mark.parametrize("wrong", ["\x1b[2J", "a\nb: sound", "\u202egnol", "\x9b31m"])
def test_a_label_that_commands_the_terminal_it_is_shown_on_is_refused(name: str, wrong: str) -> None:
    with pytest.raises(UsageError, match="names of a label are text that prints"):
        Backup.read(changed(backup_of([VAULT], ALICE), **{f"quorate_backup__{name}": wrong}), "a.backup")


@breaks("BK-1.1")
@pytest.mark.parametrize(("what", "most"), [("memory_kib", 1 << 20), ("passes", 12)])
def test_a_file_asks_for_no_more_memory_and_time_than_four_times_what_nodes_take(
    what: str, most: int
) -> None:
    file = backup_of([VAULT], ALICE)
    assert getattr(Backup.read(changed(file, **{f"lock__{what}": most}), "a.backup").lock, what) == most
    with pytest.raises(UsageError, match=r"BK-1\.1 form"):
        Backup.read(changed(file, **{f"lock__{what}": most + 1}), "a.backup")


def test_where_there_is_no_memory_to_open_it_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: Any) -> bytes:
        raise HashingError("Memory allocation error")

    file = backup_of([VAULT], ALICE)
    monkeypatch.setattr("quorate.recovery.locks.hash_secret_raw", fails)
    with pytest.raises(UsageError, match=r"Argon2id with 0 MiB.*Memory allocation"):
        opened(file)


@breaks("BK-1.1")
def test_unknown_and_missing_fields_are_refused() -> None:
    fields = json.loads(backup_of([VAULT], ALICE))
    for name in fields:
        with pytest.raises(UsageError, match=r"BK-1\.1"):
            Backup.read(
                json.dumps({key: value for key, value in fields.items() if key != name}).encode(), "a.backup"
            )
    for name in fields["quorate_backup"]:
        label = {key: value for key, value in fields["quorate_backup"].items() if key != name}
        if name == "version":
            continue
        with pytest.raises(UsageError, match=r"BK-1\.1"):
            Backup.read(json.dumps(fields | {"quorate_backup": label}).encode(), "a.backup")
    with pytest.raises(UsageError, match=r"BK-1\.1"):
        Backup.read(json.dumps(fields | {"note": ""}).encode(), "a.backup")


@breaks("BK-1.2", "BK-1.3")
def test_any_changed_field_of_label_lock_or_seal_is_found() -> None:
    file = backup_of([VAULT], ALICE)
    fields = json.loads(file)
    label = fields["quorate_backup"]
    other: dict[str, Any] = {
        "vault": "x".ljust(24, "3"), "vault_name": "savings", "epoch": 7, "attempt": 9, "certificate": "00" * 32,
        "device": BOB, "device_name": "mallory", "made": "2031-01-01T00:00:00Z",
    }  # fmt: skip
    assert set(other) == set(label) - {"version"}
    for name, value in other.items():
        with pytest.raises(UsageError, match=r"BK-1\.2 seal: a\.backup"):
            opened(changed(file, **{f"quorate_backup__{name}": value}))
    for name, value in {"salt": "00" * 16, "memory_kib": 9, "passes": 2}.items():
        with pytest.raises(UsageError, match=r"BK-1\.2 seal: a\.backup"):
            opened(changed(file, **{f"lock__{name}": value}))
    sealed = bytearray(base64.b64decode(fields["sealed"]))
    for place in range(0, len(sealed), 97):
        sealed[place] ^= 1
        with pytest.raises(UsageError, match=r"BK-1\.2 seal: a\.backup"):
            opened(changed(file, sealed=base64.b64encode(sealed).decode()))
        sealed[place] ^= 1
    for cut in (b"", bytes(sealed[:12]), bytes(sealed[:-1])):
        with pytest.raises(UsageError, match=r"BK-1\.2 seal: a\.backup"):
            opened(changed(file, sealed=base64.b64encode(cut).decode()))


@breaks("BK-1.2")
def test_another_passphrase_does_not_open_it_and_several_may_be_tried() -> None:
    file = backup_of([VAULT], ALICE)
    wrong = passphrase(b"another passphrase")
    with pytest.raises(UsageError, match="does not open: it takes the passphrase"):
        opened(file, wrong)
    assert opened(file, wrong, passphrase()).device == ALICE


def forged(why: str) -> bytes:
    """A file that seals and labels something other than what its device holds."""
    renewed = handed_over(VAULT, roster_of({ALICE: 1, BOB: 1}, 2), seed=5)
    label, chain, secrets = label_of(VAULT, ALICE), [certificate_of(VAULT)], secrets_of(VAULT, ALICE)
    sign = signer(ALICE)
    match why:
        case "unsigned certificate":
            bad = certificate_of(VAULT)
            chain = [msgspec.structs.replace(bad, signatures=(bytes(64), *bad.signatures[1:]))]
        case "chain that does not follow":
            chain = [certificate_of(renewed), certificate_of(VAULT)]
        case "another epoch's label":
            label = relabelled(label, epoch=1)
        case "another vault's label":
            label = relabelled(label, vault="other".ljust(24, "2"))
        case "another certificate's label":
            label = relabelled(label, certificate=renewed.record.hash.hex())
        case "no member":
            label, chain = relabelled(label_of(renewed, ALICE), device=CAROL), [
                certificate_of(VAULT), certificate_of(renewed)
            ]  # fmt: skip
        case "another device's signature":
            sign = signer(BOB)
        case "another device's shares":
            secrets = secrets_of(VAULT, BOB)
        case "shares of another epoch":
            secrets = secrets_of(renewed, ALICE)
        case "curves exchanged":
            one, other = Curve
            secrets = {one: secrets[other], other: secrets[one]}
        case "zeros":
            secrets = {curve: SecretBytes(len(secret)) for curve, secret in secrets.items()}
    return make(label, [encode(each) for each in chain], secrets, passphrase(), sign)


@breaks("BK-2.1", "BK-2.2", "BK-2.3", "BK-2.4", "BK-2.5")
@pytest.mark.parametrize(
    ("why", "rule"),
    [
        ("unsigned certificate", "BK-2.1"),
        ("chain that does not follow", "BK-2.1"),
        ("another epoch's label", "BK-2.2"),
        ("another vault's label", "BK-2.2"),
        ("another certificate's label", "BK-2.2"),
        ("no member", "BK-2.3"),
        ("another device's signature", "BK-2.4"),
        ("another device's shares", "BK-2.5"),
        ("shares of another epoch", "BK-2.5"),
        ("curves exchanged", "BK-2.5"),
        ("zeros", "BK-2.5"),
    ],
)
def test_what_opens_and_is_not_so_is_found_and_the_file_named(why: str, rule: str) -> None:
    with pytest.raises(Corrupt, match=rf"{rule} .*: a\.backup"):
        opened(forged(why))


def test_no_message_of_a_refusal_has_a_share_in_it() -> None:
    secret = VAULT.shelves[ALICE].shares[Curve.ED25519].secret.reveal()
    for why in ("zeros", "curves exchanged", "another device's shares"):
        with pytest.raises(QuorateError) as refused:
            opened(forged(why))
        assert secret.hex() not in str(refused.value)
