"""What a backup is locked with: a passphrase, or a recovery key of which the node knows the public half alone.

docs/spec/backup.md, rules BK-1. The label that a file bears in the open is bound into either lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, TypeAlias

import msgspec
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from msgspec import Meta

from quorate.errors import UsageError
from quorate.native.memory import SecretBytes
from quorate.primitives.transcript import Field

SHORTEST = 12  # characters of a passphrase
_NONCE, _KEY = 12, 32
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class PassphraseLock(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="argon2id", tag_field="lock"
):
    """AES-256-GCM under Argon2id (RFC 9106) of the passphrase and a salt of this file's own. What a file may ask for is
    four times what nodes take, of memory and of passes: nothing is known of a file before it is open."""

    salt: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
    memory_kib: Annotated[int, Meta(ge=8, le=1 << 20)]
    passes: Annotated[int, Meta(ge=1, le=12)]

    def said(self) -> list[Field]:
        return ["argon2id", self.salt, self.memory_kib, self.passes]


class KeyLock(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="hpke-x25519", tag_field="lock"
):
    """HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""

    public_key: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

    def said(self) -> list[Field]:
        return ["hpke-x25519", self.public_key]


Lock: TypeAlias = PassphraseLock | KeyLock


class Closer(Protocol):
    """What a node seals its backups with: under a new lock each time, to which ``bound`` gives the label."""

    def seal(self, secret: SecretBytes, bound: Callable[[Lock], bytes]) -> tuple[Lock, bytes]: ...

    def fits(self, lock: Lock) -> bool:
        """Whether such a lock may be one of this closer's. Which passphrase it takes a lock does not show."""
        ...


class Opener(Protocol):
    """What opens backups: ``None`` where it is not the one that this lock takes, or the seal is not whole."""

    def open(self, lock: Lock, sealed: bytes, label: bytes) -> SecretBytes | None: ...


@dataclass(frozen=True, slots=True)
class Passphrase:
    """Closes and opens. What a guess costs is for new files: each keeps its own."""

    _text: SecretBytes
    memory_kib: int = 256 << 10
    passes: int = 3

    @classmethod
    def of(cls, text: bytes, source: str) -> Passphrase:
        """From a file's content: without its last line end."""
        text = text.removesuffix(b"\n").removesuffix(b"\r")
        if len(text.strip()) < SHORTEST:
            raise UsageError(
                f"the passphrase in {source} is under {SHORTEST} characters: openssl rand -base64 32"
            )
        return cls(SecretBytes.of(text))

    def seal(self, secret: SecretBytes, bound: Callable[[Lock], bytes]) -> tuple[Lock, bytes]:
        lock = PassphraseLock(salt=os.urandom(16).hex(), memory_kib=self.memory_kib, passes=self.passes)
        nonce = os.urandom(_NONCE)
        return lock, nonce + AESGCM(self._key(lock)).encrypt(nonce, secret.reveal(), bound(lock))

    def fits(self, lock: Lock) -> bool:
        return isinstance(lock, PassphraseLock)

    def open(self, lock: Lock, sealed: bytes, label: bytes) -> SecretBytes | None:
        if not isinstance(lock, PassphraseLock):
            return None
        try:
            return SecretBytes.of(AESGCM(self._key(lock)).decrypt(sealed[:_NONCE], sealed[_NONCE:], label))
        except (InvalidTag, ValueError):
            return None

    def _key(self, lock: PassphraseLock) -> bytes:
        try:
            return hash_secret_raw(
                secret=self._text.reveal(), salt=bytes.fromhex(lock.salt), time_cost=lock.passes,
                memory_cost=lock.memory_kib, parallelism=1, hash_len=_KEY, type=Type.ID,
            )  # fmt: skip
        except HashingError as error:
            raise UsageError(
                f"Argon2id with {lock.memory_kib >> 10} MiB, as this lock takes: {error}",
                code="BACKUP_LOCKED",
            ) from None


@dataclass(frozen=True, slots=True)
class RecoveryPublicKey:
    """Closes only: who has a node, and its backups, opens none."""

    _key: X25519PublicKey

    @classmethod
    def of(cls, pem: bytes, source: str) -> RecoveryPublicKey:
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise _not_a_key(source, "public", "openssl pkey -in recovery.key -pubout") from None
        if not isinstance(key, X25519PublicKey):
            raise _not_a_key(source, "public", "openssl pkey -in recovery.key -pubout")
        return cls(key)

    def seal(self, secret: SecretBytes, bound: Callable[[Lock], bytes]) -> tuple[Lock, bytes]:
        lock = KeyLock(public_key=self._key.public_bytes_raw().hex())
        return lock, _SUITE.encrypt(secret.reveal(), self._key, bound(lock))

    def fits(self, lock: Lock) -> bool:
        return isinstance(lock, KeyLock) and lock.public_key == self._key.public_bytes_raw().hex()


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """Opens only."""

    _key: X25519PrivateKey

    @classmethod
    def of(cls, pem: bytes, source: str) -> RecoveryKey:
        try:
            key = load_pem_private_key(pem, None)
        except TypeError:
            raise UsageError(
                f"{source} is a key under a passphrase of its own: take that off in a copy"
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            raise _not_a_key(source, "private", "openssl genpkey -algorithm X25519") from None
        if not isinstance(key, X25519PrivateKey):
            raise _not_a_key(source, "private", "openssl genpkey -algorithm X25519")
        return cls(key)

    def open(self, lock: Lock, sealed: bytes, label: bytes) -> SecretBytes | None:
        if (
            not isinstance(lock, KeyLock)
            or lock.public_key != self._key.public_key().public_bytes_raw().hex()
        ):
            return None
        try:
            return SecretBytes.of(_SUITE.decrypt(sealed, self._key, label))
        except (InvalidTag, ValueError):
            return None


def key_to(lock: Lock) -> str:
    """What opens it, in words."""
    if isinstance(lock, PassphraseLock):
        return "the passphrase it was made with"
    return f"the private half of the recovery key {lock.public_key}"


def _not_a_key(source: str, half: Literal["public", "private"], how: str) -> UsageError:
    return UsageError(f"{source} is no X25519 {half} key in PEM: {how}")
