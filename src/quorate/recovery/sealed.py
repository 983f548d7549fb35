"""The form of every backup: a label in the open, the lock, what is sealed, and the device's signature over it all.

docs/spec/backup.md, rules BK-1. A file is one JSON object. What is sealed in it, and what that must prove, is for its
kind to say: ``backup`` and ``device``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from quorate.errors import UsageError
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.primitives.verify import verify_ed25519
from quorate.recovery.locks import Closer, Lock, Opener, key_to
from quorate.wire.codec import Identifier, Message, encode

LARGEST = 64 << 20  # bytes of a file

Name = Annotated[str, Meta(max_length=256)]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says of itself before it is opened. It holds only once the seal has been opened, and the signature
    checked. ``device`` is whose it is; ``made`` is RFC 3339, UTC."""

    version: Literal[1] = 1
    device: Identifier
    device_name: Name
    made: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")]

    def __post_init__(self) -> None:
        # It is shown to people before anything of it has been proven: it must not command their terminals.
        if not all(name.isprintable() for name in self.names()):
            raise ValueError("the names of a label are text that prints")
        datetime.fromisoformat(self.made)

    def names(self) -> tuple[str, ...]:
        """What in it somebody chose freely."""
        return (self.device_name,)

    def said(self) -> list[Field]:
        """All of it, to be hashed."""
        raise NotImplementedError


L = TypeVar("L", bound=Label)


@cache
def _form(key: str, label: type[Label]) -> type[msgspec.Struct]:
    """The JSON object with such a label under this key."""
    fields = [(key, label), ("lock", Lock), ("sealed", str), ("signature", str)]
    return msgspec.defstruct(key, fields, frozen=True, forbid_unknown_fields=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile(Generic[L]):
    """A file as it lies there: nothing in it has been shown to be true. ``source`` is its name, for messages."""

    KIND: ClassVar[str]  # in words
    SUFFIX: ClassVar[str]  # of the names that nodes give such files
    KEY: ClassVar[str]  # of the label, in the file
    LABEL: ClassVar[type[Label]]
    LABEL_DOMAIN: ClassVar[Domain]
    FILE_DOMAIN: ClassVar[Domain]

    source: str
    label: L
    lock: Lock
    sealed: bytes
    signature: bytes

    @classmethod
    def read(cls, data: bytes, source: str) -> Self:
        """BK-1.1 form. ``UsageError`` names the file that is none of this kind."""
        try:
            if len(data) > LARGEST:
                raise ValueError(f"it is over {LARGEST >> 20} MiB")
            file: Any = msgspec.json.decode(data, type=_form(cls.KEY, cls.LABEL))
            sealed = base64.b64decode(file.sealed, validate=True)
            signature = base64.b64decode(file.signature, validate=True)
        except (msgspec.MsgspecError, binascii.Error, ValueError, RecursionError) as error:
            raise UsageError(
                f"BK-1.1 form: {source} is no {cls.KIND}, or a changed one: {error}", code="BAD_BACKUP"
            ) from None
        label: L = getattr(file, cls.KEY)
        return cls(source=source, label=label, lock=file.lock, sealed=sealed, signature=signature)

    @classmethod
    def seal(cls, label: L, contents: Message, closer: Closer, sign: Callable[[bytes], bytes]) -> bytes:
        """The file. ``sign`` is the device's."""
        with SecretBytes.of(encode(contents, private=True)) as secret:
            lock, sealed = closer.seal(secret, lambda lock: cls._bound(label, lock))
        file = {
            cls.KEY: label,
            "lock": lock,
            "sealed": base64.b64encode(sealed).decode(),
            "signature": base64.b64encode(sign(cls._signed(cls._bound(label, lock), sealed))).decode(),
        }
        return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"

    def is_signed_by(self, identity_key: bytes) -> bool:
        """Whether it is as that device made it. The seal need not be open for that."""
        said = self._signed(self._bound(self.label, self.lock), self.sealed)
        return verify_ed25519(identity_key, said, self.signature)

    def unseal(self, openers: Sequence[Opener]) -> SecretBytes:
        """BK-1.2 seal. ``UsageError`` where none of ``openers`` opens it."""
        bound = self._bound(self.label, self.lock)
        for opener in openers:
            if (secret := opener.open(self.lock, self.sealed, bound)) is not None:
                return secret
        raise UsageError(
            f"BK-1.2 seal: {self.source} ({self.label}) does not open: it takes {key_to(self.lock)}, or the file was"
            " changed",
            code="BACKUP_LOCKED",
        )

    @classmethod
    def _bound(cls, label: L, lock: Lock) -> bytes:
        """BK-1.3 label: what the seal is bound to."""
        return digest(cls.LABEL_DOMAIN, *label.said(), lock.said())

    @classmethod
    def _signed(cls, bound: bytes, sealed: bytes) -> bytes:
        return digest(cls.FILE_DOMAIN, bound, hashlib.sha256(sealed).digest())


def timestamp(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
