"""The node key from a passphrase file, by Argon2id (RFC 9106)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from argon2.low_level import Type, hash_secret_raw
from msgspec import Meta

from quorate.errors import Corrupt, Locked
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.storage.keywrap.secret_file import read_secret
from quorate.wire.codec import Bytes16

MIN_LENGTH = 12


class Argon2(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a guess costs: the memory in KiB, the passes over it, and how many lanes fill it side by side.

    The upper bounds keep a changed store from making its own opening impossible.
    """

    memory_kib: Annotated[int, Meta(ge=8, le=4 << 20)] = 64 << 10
    passes: Annotated[int, Meta(ge=1, le=100)] = 3
    lanes: Annotated[int, Meta(ge=1, le=16)] = 1


class _Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    cost: Argon2
    salt: Bytes16


@dataclass(frozen=True, slots=True)
class PassphraseFile:
    """The file's text without its last line end. ``cost`` is for a new store; an old one keeps its own."""

    path: Path
    cost: Argon2 = field(default_factory=Argon2)

    @property
    def scheme(self) -> str:
        return "passphrase"

    def enrol(self, _: DeviceId, /) -> str:
        self._passphrase()
        return msgspec.json.encode(_Parameters(cost=self.cost, salt=os.urandom(16))).decode()

    def unlock(self, _: DeviceId, parameters: str, /) -> SecretBytes:
        return _derive(self._passphrase(), parameters)

    def _passphrase(self) -> bytes:
        text = read_secret(self.path, "the passphrase file").removesuffix(b"\n").removesuffix(b"\r")
        if len(text.strip()) < MIN_LENGTH:
            raise Locked(
                f"ST-2.2 source: the passphrase in {self.path} is under {MIN_LENGTH} characters:"
                " openssl rand -base64 32"
            )
        return text


@dataclass(frozen=True, slots=True)
class Passphrase:
    """What somebody typed, for a store that has one."""

    text: bytes = field(repr=False)

    @property
    def scheme(self) -> str:
        return "passphrase"

    def enrol(self, _: DeviceId, /) -> str:
        raise Locked("ST-2.2 source: a store is made with a passphrase in a file")

    def unlock(self, _: DeviceId, parameters: str, /) -> SecretBytes:
        return _derive(self.text.removesuffix(b"\n").removesuffix(b"\r"), parameters)


def _derive(passphrase: bytes, parameters: str) -> SecretBytes:
    try:
        stored = msgspec.json.decode(parameters, type=_Parameters)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"node: the passphrase's parameters do not read: {error}") from None
    return SecretBytes.of(
        hash_secret_raw(
            secret=passphrase,
            salt=stored.salt,
            time_cost=stored.cost.passes,
            memory_cost=max(stored.cost.memory_kib, 8 * stored.cost.lanes),
            parallelism=stored.cost.lanes,
            hash_len=32,
            type=Type.ID,
        )
    )
