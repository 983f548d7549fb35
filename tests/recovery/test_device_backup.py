"""What a device backup proves when it is opened; and that it never passes for a backup of shares."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate.errors import Corrupt, UsageError
from quorate.native.memory import SecretBytes
from quorate.recovery.backup import Backup
from quorate.recovery.device import (
    DeviceBackup,
    DeviceCopy,
    DeviceLabel,
    KnownPeer,
    make_device,
    open_device,
    peers_hash,
)
from quorate.recovery.files import backup_at
from tests.protocols.vaults import vault_of
from tests.recovery.files import backup_of, passphrase, relabelled_to
from tests.rules import breaks
from tests.storage.devices import device

ALICE, BOB = device("alice"), device("bob")
PEERS = (KnownPeer(card=BOB.card(), dial="bob.internal:7100"),)
LABEL = DeviceLabel(
    device=ALICE.identity.device, device_name="alice", rev=3, peers=peers_hash(PEERS), made="2026-11-22T04:00:00Z"
)  # fmt: skip


def made(label: DeviceLabel = LABEL, *, of: Any = ALICE, sign: Any = None) -> bytes:
    return make_device(
        label, identity=of.identity.secret(), tls_key=SecretBytes.of(ALICE.tls_key),
        card=ALICE.card(rev=3), peers=PEERS, closer=passphrase(), sign=sign or ALICE.identity.sign,
    )  # fmt: skip


def opened(file: bytes, words: bytes = b"correct horse battery staple") -> DeviceCopy:
    return open_device(DeviceBackup.read(file, "alice.device"), [passphrase(words)])


def changed(file: bytes, **changes: Any) -> bytes:
    fields = json.loads(file)
    for name, value in changes.items():
        fields["quorate_device_backup"][name] = value
    return json.dumps(fields).encode()


def test_a_device_backup_opens_to_who_made_it_and_shows_no_key() -> None:
    file = made()
    copy = opened(file)
    assert copy.identity == ALICE.identity.secret()
    assert (copy.peers, copy.card) == (PEERS, ALICE.card(rev=3))
    for secret in (copy.identity.reveal(), copy.tls_key.reveal()):
        assert secret not in file
        assert base64.b64encode(secret)[:40] not in file
        assert secret.hex().encode() not in file


@breaks("BK-1.1")
@pytest.mark.parametrize(
    "file",
    [b"", b"{}", made()[:200], changed(made(), device_name="a\x1b[2J"), changed(made(), rev=0), b"[" * 9999],
    ids=["empty", "an empty object", "torn", "a name with an escape", "revision 0", "too deep"],
)
def test_what_is_no_device_backup_is_named(file: bytes) -> None:
    with pytest.raises(UsageError, match=r"BK-1\.1 form: alice\.device"):
        DeviceBackup.read(file, "alice.device")


@breaks("BK-4.1")
def test_what_is_sealed_in_it_and_is_no_identity_is_named() -> None:
    file = DeviceBackup.seal(LABEL, PEERS[0], passphrase(), ALICE.identity.sign)
    with pytest.raises(Corrupt, match=r"BK-4\.1 form: alice\.device: what is sealed in it"):
        opened(file)


@breaks("BK-1.2", "BK-1.3")
def test_another_passphrase_or_label_does_not_open_it() -> None:
    for file, words in (
        (made(), b"another passphrase"),
        (changed(made(), rev=4), b"correct horse battery staple"),
        (changed(made(), device=BOB.identity.device), b"correct horse battery staple"),
    ):
        with pytest.raises(UsageError, match=r"BK-1\.2 seal: alice\.device"):
            opened(file, words)


@breaks("BK-4.3")
def test_another_device_s_keys_are_refused() -> None:
    with pytest.raises(Corrupt, match=r"BK-4\.3 identity: alice\.device"):
        opened(made(of=BOB))


@breaks("BK-4.4")
def test_a_file_that_another_device_signed_is_refused() -> None:
    with pytest.raises(Corrupt, match=r"BK-4\.4 signature: alice\.device"):
        opened(made(sign=BOB.identity.sign))


@breaks("BK-4.5")
def test_a_label_for_other_peers_is_refused() -> None:
    with pytest.raises(Corrupt, match=r"BK-4\.5 label: alice\.device"):
        opened(made(msgspec.structs.replace(LABEL, peers="0" * 64)))


@breaks("BK-4.2")
def test_neither_kind_of_file_passes_for_the_other(tmp_path: Path) -> None:
    vault = vault_of([2, 1, 1], 3)
    shares, identity = backup_of([vault], vault.devices[0]), made()
    named = relabelled_to([vault], vault.devices[0], vault_name=DeviceBackup.KEY)
    for name, file, kind in (("a", identity, DeviceBackup), ("b", shares, Backup), ("c", named, Backup)):
        (tmp_path / name).write_bytes(file)
        assert type(backup_at(tmp_path / name)) is kind
    with pytest.raises(UsageError, match=r"BK-1\.1"):
        Backup.read(identity, "alice.device")
    with pytest.raises(UsageError, match=r"BK-1\.1"):
        DeviceBackup.read(shares, "alice.backup")
    sealed = {name: json.loads(shares)[name] for name in ("lock", "sealed", "signature")}
    moved = json.dumps(json.loads(identity) | sealed).encode()
    with pytest.raises(UsageError, match=r"BK-1\.2 seal"):
        opened(moved)
