"""The node key from a file of 32 random bytes: a Docker secret, a systemd credential, a file on a removable disk."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from quorate.errors import Corrupt, Locked
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.storage.keywrap.secret_file import read_secret


@dataclass(frozen=True, slots=True)
class KeyFile:
    """32 bytes raw, or as 64 hexadecimal digits, or in base64. Each store derives its own key from it, by its salt."""

    path: Path

    @property
    def scheme(self) -> str:
        return "key-file"

    def enrol(self, _: DeviceId, /) -> str:
        self._key()
        return os.urandom(32).hex()

    def unlock(self, _: DeviceId, parameters: str, /) -> SecretBytes:
        try:
            salt = bytes.fromhex(parameters)
        except ValueError:
            raise Corrupt("node: the key file's salt does not read") from None
        derivation = HKDF(algorithm=SHA256(), length=32, salt=salt, info=Domain.STORE_KEY.value.encode())
        return SecretBytes.of(derivation.derive(self._key()))

    def _key(self) -> bytes:
        data = read_secret(self.path, "the key file")
        key = data if len(data) == 32 else _decoded(data.strip())
        if len(key) != 32:
            raise Locked(
                f"ST-2.2 source: the key file {self.path} is not 32 bytes, raw, hex or base64: openssl rand -hex 32"
            )
        if len(set(key)) < 8:
            raise Locked(f"ST-2.2 source: the key file {self.path} is not random: openssl rand -hex 32")
        return key


def _decoded(text: bytes) -> bytes:
    try:
        return (
            bytes.fromhex(text.decode("ascii")) if len(text) == 64 else base64.b64decode(text, validate=True)
        )
    except (ValueError, binascii.Error):
        return b""
