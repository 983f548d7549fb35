"""A device backup: what makes a node the one that its peers know, sealed like the shares and never taken for them.

docs/spec/backup.md, rules BK-4. A file is one JSON object: a label in the open, the lock, what is sealed, and the
device's signature over it all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from quorate.errors import Corrupt, EncodingError, UsageError
from quorate.native import keys
from quorate.native.memory import SecretBytes
from quorate.operations.kinds import device_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.primitives.verify import verify_ed25519
from quorate.recovery.locks import Closer, KeyLock, Lock, Opener, PassphraseLock, key_to
from quorate.wire.codec import Identifier, Message, decode, encode

LARGEST = 64 << 20  # bytes of a file
_MARK = b'"quorate_device_backup"'
_MOST_PEERS = 10_000

Name = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=32 * 1024)]


class DeviceLabel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says of itself before it is opened. ``rev`` is that of the device's card, ``peers`` a hash over the
    cards of the others: by both a node sees whether a file is as things are now."""

    version: Literal[1] = 1
    device: Identifier
    device_name: Name
    rev: Annotated[int, Meta(ge=1, le=2**53)]
    peers: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    made: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]

    def __post_init__(self) -> None:
        # It is shown to people before anything of it has been proven: it must not command their terminals.
        if not self.device_name.isprintable():
            raise ValueError("the names of a label are text that prints")

    def __str__(self) -> str:
        return f"{self.device_name or self.device}'s identity, card {self.rev}"

    def digest(self, lock: Lock) -> bytes:
        """BK-4.2 seal: what the seal is bound to."""
        match lock:
            case PassphraseLock():
                locked: list[Field] = ["argon2id", lock.salt, lock.memory_kib, lock.passes]
            case KeyLock():
                locked = ["hpke-x25519", lock.public_key]
        said: list[Field] = [self.version, self.device, self.device_name, self.rev, self.peers, self.made]
        return digest(Domain.DEVICE_BACKUP_LABEL, said, locked)


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    quorate_device_backup: DeviceLabel
    lock: Lock
    sealed: str
    signature: str


class KnownPeer(Message):
    """A peer's card, and where this node reaches it if its operator knows better than the card."""

    card: Text
    dial: Name = ""


class _Contents(Message):
    """``identity``: Ed25519 seed and X25519 private key. ``tls_key``: PEM, of the certificate on ``card``."""

    identity: SecretBytes
    tls_key: SecretBytes
    card: Text
    peers: Annotated[tuple[KnownPeer, ...], Meta(max_length=_MOST_PEERS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceBackup:
    """A file as it lies there: nothing in it has been shown to be true. ``source`` is its name, for messages."""

    source: str
    label: DeviceLabel
    lock: Lock
    sealed: bytes
    signature: bytes

    def is_signed_by(self, identity_key: bytes) -> bool:
        """BK-4.4 signature: whether it is as that device made it. The seal need not be open for that."""
        said = _signed(self.label.digest(self.lock), self.sealed)
        return verify_ed25519(identity_key, said, self.signature)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceCopy:
    """What an opened device backup has been shown to hold: the secret keys are the device's, who signed the file.
    ``card`` and ``peers`` are text that whoever uses them checks as any card."""

    source: str
    label: DeviceLabel
    identity: SecretBytes
    tls_key: SecretBytes
    card: str
    peers: tuple[KnownPeer, ...]


def is_device_backup(data: bytes) -> bool:
    """By its first field, wherever in the file that stands: ``read_device`` says whether it is sound."""
    return _MARK in data[:4096]


def peers_hash(peers: Sequence[KnownPeer]) -> str:
    return digest(Domain.DEVICE_BACKUP_LABEL, "peers", [[peer.card, peer.dial] for peer in peers]).hex()


def make_device(
    label: DeviceLabel,
    *,
    identity: SecretBytes,
    tls_key: SecretBytes,
    card: str,
    peers: Sequence[KnownPeer],
    closer: Closer,
    sign: Callable[[bytes], bytes],
) -> bytes:
    """The file. ``sign`` is the device's."""
    contents = _Contents(identity=identity, tls_key=tls_key, card=card, peers=tuple(peers))
    with SecretBytes.of(encode(contents, private=True)) as secret:
        lock, sealed = closer.seal(secret, label.digest)
    file = _File(
        quorate_device_backup=label,
        lock=lock,
        sealed=base64.b64encode(sealed).decode(),
        signature=base64.b64encode(sign(_signed(label.digest(lock), sealed))).decode(),
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def read_device(data: bytes, source: str) -> DeviceBackup:
    """``UsageError`` names the file that is none."""
    try:
        if len(data) > LARGEST:
            raise ValueError(f"it is over {LARGEST >> 20} MiB")
        file = msgspec.json.decode(data, type=_File)
        sealed = base64.b64decode(file.sealed, validate=True)
        signature = base64.b64decode(file.signature, validate=True)
        datetime.fromisoformat(file.quorate_device_backup.made).astimezone(UTC)
    except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
        raise UsageError(
            f"BK-4.1 form: {source} is no device backup, or a changed one: {error}", code="BAD_BACKUP"
        ) from None
    return DeviceBackup(
        source=source, label=file.quorate_device_backup, lock=file.lock, sealed=sealed, signature=signature
    )


def open_device(backup: DeviceBackup, openers: Sequence[Opener]) -> DeviceCopy:
    """What is in it, every claim checked that the file itself can prove. ``UsageError`` where none of ``openers`` opens
    it, ``Corrupt`` where it opens and something in it is not so; both name the file."""
    label, source = backup.label, backup.source
    bound = label.digest(backup.lock)
    opened = (opener.open(backup.lock, backup.sealed, bound) for opener in openers)
    secret = next((each for each in opened if each is not None), None)
    if secret is None:
        raise UsageError(
            f"BK-4.2 seal: {source} ({label}) does not open: it takes {key_to(backup.lock)}, or the file was changed",
            code="BACKUP_LOCKED",
        )
    with secret:
        try:
            contents = decode(_Contents, secret.reveal(), private=True)
        except EncodingError as error:
            raise Corrupt(f"BK-4.1 form: {source}: what is sealed in it does not read: {error}") from None
    if len(contents.identity) != 64:
        raise Corrupt(f"BK-4.3 identity: {source}: an identity is 64 bytes")
    _, identity_key = keys.signing_key(contents.identity.part(0, 32))
    if device_id(identity_key) != label.device:
        raise Corrupt(f"BK-4.3 identity: {source}: the keys in it are not those of {label.device}")
    if not backup.is_signed_by(identity_key):
        raise Corrupt(f"BK-4.4 signature: {source}: {label.device} did not sign it")
    if peers_hash(contents.peers) != label.peers:
        raise Corrupt(f"BK-4.5 label: {source}: it is labelled for other peers than it holds")
    return DeviceCopy(
        source=source, label=label, identity=contents.identity, tls_key=contents.tls_key, card=contents.card,
        peers=contents.peers,
    )  # fmt: skip


def _signed(bound: bytes, sealed: bytes) -> bytes:
    return digest(Domain.DEVICE_BACKUP, bound, hashlib.sha256(sealed).digest())
