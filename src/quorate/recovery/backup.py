"""A backup: one device's shares of one epoch of a vault, sealed, with the certificates they are to be checked against.

docs/spec/backup.md, rules BK-2.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from quorate.curves import group_of
from quorate.errors import Corrupt, EncodingError, QuorateError
from quorate.identifiers import Curve, DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives import feldman
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.history import check_line
from quorate.protocols.quorum import KeyShare
from quorate.recovery.locks import Closer, Opener
from quorate.recovery.sealed import Hash, Label, Name, SealedFile
from quorate.wire.codec import Identifier, Message, decode

_LONGEST_CHAIN = 100_000


class EpochLabel(Label, frozen=True, kw_only=True):
    """``certificate`` is the hash of the epoch's."""

    vault: Identifier
    vault_name: Name
    epoch: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    attempt: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    certificate: Hash

    def __str__(self) -> str:
        name = self.device_name or self.device
        return f"{name}'s shares of vault {self.vault_name or self.vault}, epoch {self.epoch}, attempt {self.attempt}"

    def names(self) -> tuple[str, ...]:
        return self.vault_name, self.device_name

    def said(self) -> list[Field]:
        numbers: list[Field] = [self.version, self.vault, self.vault_name, self.epoch, self.attempt]
        return [numbers, self.certificate, self.device, self.device_name, self.made]


class Backup(SealedFile[EpochLabel]):
    KIND = "backup of shares"
    SUFFIX = ".backup"
    KEY = "quorate_backup"
    LABEL = EpochLabel
    LABEL_DOMAIN = Domain.BACKUP_LABEL
    FILE_DOMAIN = Domain.BACKUP


class _Share(Message):
    """One curve's: a secret scalar of 32 bytes for each index of the device, in order."""

    curve: Curve
    secret: SecretBytes


class _Contents(Message):
    certificates: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=_LONGEST_CHAIN)]
    shares: tuple[_Share, _Share]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What an opened backup has been shown to hold: the shares fit the last record of the chain of ``certificates``,
    in which the device that signed the file is a member."""

    source: str
    label: EpochLabel
    certificates: tuple[Certificate, ...]
    shares: dict[Curve, KeyShare]

    @property
    def record(self) -> EpochRecord:
        return self.certificates[-1].record

    @property
    def device(self) -> DeviceId:
        return DeviceId(self.label.device)

    @property
    def weight(self) -> int:
        return self.record.sharing.seat(self.device).weight


def make(
    label: EpochLabel,
    certificates: Sequence[bytes],
    shares: dict[Curve, SecretBytes],
    closer: Closer,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """The file. ``certificates``: encoded, the oldest known first, the last that of these shares. ``sign`` is the
    device's."""

    def share(curve: Curve) -> _Share:
        return _Share(curve=curve, secret=shares[curve])

    contents = _Contents(
        certificates=tuple(certificates),
        shares=(share(Curve.SECP256K1), share(Curve.ED25519)),
    )
    return Backup.seal(label, contents, closer, sign)


def open_backup(backup: Backup, openers: Sequence[Opener]) -> Held:
    """What is in it, every claim checked. ``UsageError`` where none of ``openers`` opens it, ``Corrupt`` where it
    opens and something in it is not so; both name the file."""
    label, source = backup.label, backup.source
    with backup.unseal(openers) as secret:
        try:
            contents = decode(_Contents, secret.reveal(), private=True)
            certificates = tuple(decode(Certificate, each) for each in contents.certificates)
        except EncodingError as error:
            raise _corrupt("BK-1.1 form", source, f"what is sealed in it does not read: {error}") from None
    record = certificates[-1].record
    try:
        check_line(certificates)
    except QuorateError as error:
        raise _corrupt("BK-2.1 chain", source, str(error)) from None
    said = (label.vault, label.epoch, label.attempt, label.certificate)
    if said != (record.vault, record.epoch, record.attempt, record.hash.hex()):
        raise _corrupt("BK-2.2 label", source, "it is labelled for another epoch than it holds")
    member = next((place for place in record.roster if place.device == label.device), None)
    if member is None:
        raise _corrupt("BK-2.3 device", source, f"{label.device} is no signer of this epoch")
    if not backup.is_signed_by(member.identity_key):
        raise _corrupt("BK-2.4 signature", source, f"{label.device} did not sign it")
    shares = {share.curve: _share(record, label, share, source) for share in contents.shares}
    if set(shares) != set(Curve):
        raise _corrupt("BK-1.1 form", source, "it does not have one share for each curve")
    return Held(source=source, label=label, certificates=certificates, shares=shares)


def _share(record: EpochRecord, label: EpochLabel, kept: _Share, source: str) -> KeyShare:
    """BK-2.5 shares: they are those of the committed polynomial at the device's indices."""
    group = group_of(kept.curve)
    try:
        share = record.share(kept.curve, DeviceId(label.device), kept.secret)
    except EncodingError as error:
        raise _corrupt("BK-2.5 shares", source, str(error)) from None
    blinders = [group.scalar_of(int.from_bytes(os.urandom(16), "big")) for _ in share.indices]
    sums = feldman.power_sums(group, share.indices, blinders, len(share.commitment))
    if len(share.secret) != len(share.indices) or not feldman.fits(
        share.secret, share.commitment, blinders, sums
    ):
        raise _corrupt(
            "BK-2.5 shares", source, f"the {kept.curve} shares do not fit the epoch's public commitment"
        )
    return share


def _corrupt(rule: str, source: str, why: str) -> Corrupt:
    return Corrupt(f"{rule}: {source}: {why}")
