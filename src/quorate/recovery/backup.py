"""A backup: one device's shares of one epoch of a vault, sealed, with the certificates they are to be checked against.

docs/spec/backup.md. A file is one JSON object: a label in the open, the lock, what is sealed, and the device's
signature over it all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from quorate.curves import group_of
from quorate.errors import Corrupt, EncodingError, QuorateError, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives import feldman
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.history import check_line
from quorate.protocols.quorum import KeyShare
from quorate.recovery.locks import Closer, KeyLock, Lock, Opener, PassphraseLock, key_to
from quorate.wire.codec import Identifier, Message, decode, encode

LARGEST = 64 << 20  # bytes of a file
_LONGEST_CHAIN = 100_000

Name = Annotated[str, Meta(max_length=256)]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says of itself before it is opened. It holds only once the seal has been opened, and the signature
    checked. ``certificate`` is the hash of the epoch's; ``made`` is RFC 3339, UTC."""

    version: Literal[1] = 1
    vault: Identifier
    vault_name: Name
    epoch: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    attempt: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    certificate: Hash
    device: Identifier
    device_name: Name
    made: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]

    def __post_init__(self) -> None:
        # It is shown to people before anything of it has been proven: it must not command their terminals.
        if not (self.vault_name + self.device_name).isprintable():
            raise ValueError("the names of a label are text that prints")

    def __str__(self) -> str:
        name = self.device_name or self.device
        return f"{name}'s shares of vault {self.vault_name or self.vault}, epoch {self.epoch}, attempt {self.attempt}"

    def digest(self, lock: Lock) -> bytes:
        """BK-1.3 label: what the seal is bound to."""
        match lock:
            case PassphraseLock():
                locked: list[Field] = ["argon2id", lock.salt, lock.memory_kib, lock.passes]
            case KeyLock():
                locked = ["hpke-x25519", lock.public_key]
        said: list[Field] = [self.version, self.vault, self.vault_name, self.epoch, self.attempt]
        return digest(
            Domain.BACKUP_LABEL, said, self.certificate, self.device, self.device_name, self.made, locked
        )


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    quorate_backup: Label
    lock: Lock
    sealed: str
    signature: str


class _Share(Message):
    """One curve's: a secret scalar of 32 bytes for each index of the device, in order."""

    curve: Curve
    secret: SecretBytes


class _Contents(Message):
    certificates: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=_LONGEST_CHAIN)]
    shares: tuple[_Share, _Share]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A file as it lies there: nothing in it has been shown to be true. ``source`` is its name, for messages."""

    source: str
    label: Label
    lock: Lock
    sealed: bytes
    signature: bytes

    def is_signed_by(self, identity_key: bytes) -> bool:
        """BK-2.4 signature: whether it is as that device made it. The seal need not be open for that."""
        return verify_ed25519(
            identity_key, _signed(self.label.digest(self.lock), self.sealed), self.signature
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """What an opened backup has been shown to hold: the shares fit the last record of the chain of ``certificates``,
    in which the device that signed the file is a member."""

    source: str
    label: Label
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
    label: Label,
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
    with SecretBytes.of(encode(contents, private=True)) as secret:
        lock, sealed = closer.seal(secret, label.digest)
    bound = label.digest(lock)
    file = _File(
        quorate_backup=label,
        lock=lock,
        sealed=base64.b64encode(sealed).decode(),
        signature=base64.b64encode(sign(_signed(bound, sealed))).decode(),
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def read(data: bytes, source: str) -> Backup:
    """``UsageError`` names the file that is none."""
    try:
        if len(data) > LARGEST:
            raise ValueError(f"it is over {LARGEST >> 20} MiB")
        file = msgspec.json.decode(data, type=_File)
        sealed = base64.b64decode(file.sealed, validate=True)
        signature = base64.b64decode(file.signature, validate=True)
        datetime.fromisoformat(file.quorate_backup.made).astimezone(UTC)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
        raise UsageError(
            f"BK-1.1 form: {source} is no backup, or a changed one: {error}", code="BAD_BACKUP"
        ) from None
    return Backup(
        source=source, label=file.quorate_backup, lock=file.lock, sealed=sealed, signature=signature
    )


def open_backup(backup: Backup, openers: Sequence[Opener]) -> Held:
    """What is in it, every claim checked. ``UsageError`` where none of ``openers`` opens it, ``Corrupt`` where it
    opens and something in it is not so; both name the file."""
    label, source = backup.label, backup.source
    bound = label.digest(backup.lock)
    opened = (opener.open(backup.lock, backup.sealed, bound) for opener in openers)
    secret = next((each for each in opened if each is not None), None)
    if secret is None:
        raise UsageError(
            f"BK-1.2 seal: {source} ({label}) does not open: it takes {key_to(backup.lock)}, or the file was changed",
            code="BACKUP_LOCKED",
        )
    with secret:
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


def timestamp(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _share(record: EpochRecord, label: Label, kept: _Share, source: str) -> KeyShare:
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


def _signed(bound: bytes, sealed: bytes) -> bytes:
    return digest(Domain.BACKUP, bound, hashlib.sha256(sealed).digest())


def _corrupt(rule: str, source: str, why: str) -> Corrupt:
    return Corrupt(f"{rule}: {source}: {why}")
