"""A device backup: what makes a node the one that its peers know, sealed like the shares and never taken for them.

docs/spec/backup.md, rules BK-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from quorate.errors import Corrupt, EncodingError
from quorate.native import keys
from quorate.native.memory import SecretBytes
from quorate.operations.kinds import device_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.recovery.locks import Closer, Opener
from quorate.recovery.sealed import Hash, Label, Name, SealedFile
from quorate.wire.codec import Message, decode

_MOST_PEERS = 10_000

Text = Annotated[str, Meta(max_length=32 * 1024)]


class DeviceLabel(Label, frozen=True, kw_only=True):
    """``rev`` is that of the device's card, ``peers`` a hash over the cards of the others: by both a node sees whether
    a file is as things are now."""

    rev: Annotated[int, Meta(ge=1, le=2**53)]
    peers: Hash

    def __str__(self) -> str:
        return f"{self.device_name or self.device}'s identity, card {self.rev}"

    def said(self) -> list[Field]:
        return [[self.version, self.device, self.device_name, self.rev, self.peers, self.made]]


class DeviceBackup(SealedFile[DeviceLabel]):
    """BK-4.2 kind: by domains of its own."""

    KIND = "device backup"
    SUFFIX = ".device"
    KEY = "quorate_device_backup"
    LABEL = DeviceLabel
    LABEL_DOMAIN = Domain.DEVICE_BACKUP_LABEL
    FILE_DOMAIN = Domain.DEVICE_BACKUP


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
    return DeviceBackup.seal(label, contents, closer, sign)


def open_device(backup: DeviceBackup, openers: Sequence[Opener]) -> DeviceCopy:
    """What is in it, every claim checked that the file itself can prove. ``UsageError`` where none of ``openers`` opens
    it, ``Corrupt`` where it opens and something in it is not so; both name the file."""
    label, source = backup.label, backup.source
    with backup.unseal(openers) as secret:
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
