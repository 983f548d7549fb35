"""Backups of simulated vaults, as their devices would make them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from quorate.identifiers import Curve, DeviceId
from quorate.native.memory import SecretBytes
from quorate.protocols.certificate import Certificate, endorsement
from quorate.recovery.backup import Backup, EpochLabel, Held, make, open_backup
from quorate.recovery.locks import Closer, Passphrase
from quorate.recovery.sealed import timestamp
from quorate.wire.codec import encode
from quorate.wire.simulator import signer
from tests.protocols.vaults import Vault

WORDS = b"correct horse battery staple\n"
NOW = 1_900_000_000_000


def passphrase(text: bytes = WORDS) -> Passphrase:
    """One that costs a guesser nothing, for tests."""
    return Passphrase(SecretBytes.of(text.rstrip(b"\n")), memory_kib=8, passes=1)


def certificate_of(vault: Vault) -> Certificate:
    """The vault's record, signed by all that sign it."""
    signatures = tuple(
        signer(device)(endorsement(vault.record.hash, device)) for device in vault.record.signers
    )
    return Certificate(record=vault.record, signatures=signatures)


def label_of(vault: Vault, device: DeviceId) -> EpochLabel:
    record = vault.record
    return EpochLabel(
        vault=record.vault, vault_name="treasury", epoch=record.epoch, attempt=record.attempt,
        certificate=record.hash.hex(), device=device, device_name=f"node-{device[:4]}", made=timestamp(NOW),
    )  # fmt: skip


def secrets_of(vault: Vault, device: DeviceId) -> dict[Curve, SecretBytes]:
    return {curve: vault.shelves[device].shares[curve].secret.secret() for curve in Curve}


def backup_of(line: list[Vault], device: DeviceId, closer: Closer | None = None) -> bytes:
    """The file of this device in the last epoch of the line."""
    vault = line[-1]
    return make(
        label_of(vault, device),
        [encode(certificate_of(each)) for each in line],
        secrets_of(vault, device),
        closer or passphrase(),
        signer(device),
    )


def relabelled_to(line: list[Vault], device: DeviceId, **changes: str) -> bytes:
    """The file of a device whose label says something else: made so, not changed after."""
    label = structs.replace(label_of(line[-1], device), **changes)
    certificates = [encode(certificate_of(each)) for each in line]
    return make(label, certificates, secrets_of(line[-1], device), passphrase(), signer(device))


def held_by(line: list[Vault], devices: Iterable[DeviceId]) -> list[Held]:
    return [
        open_backup(Backup.read(backup_of(line, device), f"{device}.backup"), [passphrase()])
        for device in devices
    ]


def written(line: list[Vault], devices: Iterable[DeviceId], folder: Path) -> list[Path]:
    """Their files."""
    paths = []
    for device in devices:
        path = folder / f"{device}-{line[-1].record.epoch}.backup"
        path.write_bytes(backup_of(line, device))
        paths.append(path)
    return paths
