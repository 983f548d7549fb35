"""The folder of a node's backups: what is made, what counts as there, and what nobody's file can do to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from quorate.ceremony.ports import EpochRow, EpochState
from quorate.ceremony.vaults import Vault
from quorate.errors import Locked, UsageError
from quorate.identifiers import DeviceId, Epoch, OperationId, VaultId
from quorate.node import config
from quorate.node.backups import ROUND, SELDOM, Backups, closer_of
from quorate.node.metrics import Metrics
from quorate.recovery.backup import Backup, make
from quorate.recovery.locks import RecoveryPublicKey
from quorate.recovery.sealed import LARGEST
from quorate.wire.codec import encode
from quorate.wire.simulator import signer
from tests.protocols.vaults import vault_of
from tests.recovery.files import NOW, certificate_of, label_of, secrets_of

MADE = vault_of([1, 1, 1], 2)
ALICE, BOB, _ = MADE.devices


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def now_ms(self) -> int:
        self.now += 1000
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


def lives(name: str = "treasury") -> Vault:
    record = MADE.record
    row = EpochRow(
        vault=VaultId(record.vault), epoch=Epoch(record.epoch), attempt=record.attempt, record_hash=record.hash,
        record=encode(record), state=EpochState.ACTIVE, operation=OperationId("a" * 24),
        certificate=encode(certificate_of(MADE)),
    )  # fmt: skip
    return Vault(
        id=row.vault, name=name, operation=row.operation, row=row, record=record, sharing=record.sharing
    )


class Node:
    """Alice's backups, of a store that holds one vault."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        self.folder, self.lock = folder / "backups", folder / "recovery.pub"
        self.new_key()
        identity_key = MADE.record.signers[ALICE]
        self.ledger: Any = SimpleNamespace(
            me=SimpleNamespace(device=ALICE, name="alice", identity_key=identity_key),
            identity=SimpleNamespace(sign=signer(ALICE)),
            epochs=lambda _: [vault.row],
            share=lambda *at: SimpleNamespace(secret=secrets_of(MADE, ALICE)[at[-1]]),
        )
        self.vault, self.metrics, self.clock = vault, Metrics(), Clock()

    def new_key(self) -> None:
        public = X25519PrivateKey.generate().public_key()
        self.lock.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def backups(self) -> Backups:
        settings = config.Backup(folder=self.folder, recovery_key_file=self.lock)
        return Backups(settings, self.ledger, lambda: [self.vault], self.clock, self.metrics)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*"))

    def put(self, device: DeviceId, sign: Callable[[bytes], bytes], name: str = "a.backup") -> Path:
        """A file of the live epoch, labelled as this device's."""
        closer = RecoveryPublicKey.of(self.lock.read_bytes(), "")
        certificates = [encode(certificate_of(MADE))]
        data = make(label_of(MADE, device), certificates, secrets_of(MADE, device), closer, sign)
        self.folder.mkdir(exist_ok=True)
        (self.folder / name).write_bytes(data)
        return self.folder / name

    def safe(self) -> float | None:
        labels = {"vault": self.vault.id, "name": "treasury"}
        return self.metrics.registry.get_sample_value("quorate_backup_epoch", labels)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path, lives())


def test_an_epoch_has_one_backup_however_often_it_is_looked_at(node: Node) -> None:
    for _ in range(3):
        assert node.backups().renew()
    assert len(node.files()) == 1
    assert node.safe() == MADE.record.epoch


def test_what_only_calls_itself_ours_is_no_backup_of_ours(node: Node) -> None:
    """Where folders are shared, or a file is damaged, the label may stand and the shares not be there."""
    forged = node.put(ALICE, signer(BOB))
    assert not node.backups().listed()
    assert node.backups().renew()
    [made] = set(node.files()) - {forged}
    assert [each.path for each in node.backups().listed()] == [str(made)]
    fields = msgspec.json.decode(made.read_bytes())
    made.write_bytes(msgspec.json.encode(fields | {"sealed": fields["sealed"][:40]}))
    assert node.backups().renew()
    assert len(node.files()) == 3


def test_others_files_are_listed_and_do_not_count_as_ours(node: Node) -> None:
    other = node.put(BOB, signer(BOB))
    assert node.backups().renew()
    assert len(node.files()) == 2
    assert {each.device for each in node.backups().listed()} == {ALICE, BOB}
    assert other in node.files()


def test_files_that_another_recovery_key_opens_do_not_count(node: Node) -> None:
    node.backups().renew()
    node.new_key()
    backups = node.backups()
    for _ in range(2):
        assert backups.renew()
    assert len(node.files()) == 2


def test_what_is_no_file_or_too_large_is_not_read(node: Node) -> None:
    node.folder.mkdir()
    os.mkfifo(node.folder / "pipe.backup")  # who reads it waits for ever
    with (node.folder / "huge.backup").open("wb") as file:
        file.truncate(LARGEST + 1)
    assert node.backups().renew()
    assert len(node.backups().listed()) == 1


@pytest.mark.parametrize(
    "name", ["-rf", "--recovery-key=x", ".hidden", "../../etc", "\x1b[2J\nvault", "¥" * 100]
)
def test_no_name_of_a_vault_is_an_option_a_path_or_a_command_to_a_terminal(tmp_path: Path, name: str) -> None:
    node = Node(tmp_path, lives(name))
    for _ in range(2):
        assert node.backups().renew()
    [file] = node.files()
    assert file.name[0] not in "-."
    assert Backup.read(file.read_bytes(), file.name).label.vault_name.isprintable()


def test_what_could_not_be_read_again_is_never_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.recovery.sealed.LARGEST", 1000)
    assert not node.backups().renew()
    with pytest.raises(UsageError, match=r"BK-1\.1 form.*is over"):
        node.backups().create("", anew=True)
    assert node.files() == []


async def test_a_folder_that_cannot_be_written_is_tried_ever_less_often(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            node.folder.unlink()
        if len(pauses) == 11:
            raise asyncio.CancelledError

    node.folder.write_text("a file where the folder should be")
    monkeypatch.setattr("quorate.node.backups.asyncio.sleep", pause)
    backups = node.backups()
    with pytest.raises(asyncio.CancelledError):
        await backups._keep_renewing()
    assert pauses[:10] == sorted(pauses[:10])
    assert pauses[9] == SELDOM
    assert pauses[10] == ROUND
    assert node.safe() == MADE.record.epoch


def test_every_vault_is_looked_for_in_one_look_at_the_folder(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups, looks, glob = node.backups(), 0, Path.glob
    many = [node.vault, *(replace(node.vault, name=f"v{number}") for number in range(50))]
    monkeypatch.setattr(backups, "_vaults", lambda: many)
    backups.renew()

    def counted(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return glob(*args)

    monkeypatch.setattr(Path, "glob", counted)
    assert backups.renew()
    assert looks == 2  # for what is missing, and for the figures


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_nobody_else_may_be_able_to_write_what_backups_are_sealed_with(tmp_path: Path, mode: int) -> None:
    """Who can exchange the key has the shares."""
    file = tmp_path / "recovery.pub"
    public = X25519PrivateKey.generate().public_key()
    file.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for settings in (
        config.Backup(folder=tmp_path, recovery_key_file=file),
        config.Backup(folder=tmp_path, passphrase_file=file),
    ):
        file.chmod(mode)
        with pytest.raises(Locked, match=r"recovery\.pub: others may change it"):
            closer_of(settings)
        file.chmod(0o644)
        assert closer_of(settings) is not None


def test_a_passphrase_that_could_not_be_read_whole_again_seals_nothing(tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_bytes(b"x" * 5000)
    with pytest.raises(Locked, match="over 4096 bytes"):
        closer_of(config.Backup(folder=tmp_path, passphrase_file=file))
