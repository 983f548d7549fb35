"""Sealing: AES-256-GCM under a data key of its own for every value, the data key wrapped by the node key.

Both layers are bound to the value's place, so that it opens in its own row of its own node's store and nowhere else. A
blob is version ‖ nonce ‖ wrapped key ‖ nonce ‖ ciphertext, nonces random.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from quorate.errors import Corrupt, Sealed
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import encode

SCHEMA = 1
SEALED = "ST-2.7 sealed: this node is sealed: its operator unseals it (quorate unseal)"
_NONCE, _TAG = 12, 16
_WRAPPED = 32 + _TAG
_HEAD = 1 + _NONCE + _WRAPPED + _NONCE


NodeSecret: TypeAlias = Literal["check", "identity", "tls-key", "retired-tls-key", "client-authority"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a sealed value lives. Every field is authenticated with it."""

    device: DeviceId
    kind: NodeSecret | Literal["share", "setup", "policy"]
    vault: str = ""
    epoch: int = 0
    attempt: int = 0
    curve: str = ""
    indices: tuple[int, ...] = ()
    record_hash: bytes = b""
    peer: str = ""
    generation: int = 0
    setup: bytes = b""

    def binding(self, layer: Literal["key", "value"]) -> bytes:
        node = (Domain.STORE_SEAL.value, SCHEMA, layer, self.device, self.kind)
        row = (self.vault, self.epoch, self.attempt, self.curve, self.indices, self.record_hash)
        pair = (self.peer, self.generation, self.setup) if self.kind == "setup" else ()
        return encode((*node, *row, *pair))

    def __str__(self) -> str:
        sharing = f"vault {self.vault}, epoch {self.epoch}, attempt {self.attempt}"
        match self.kind:
            case "share":
                return f"shares: {sharing}, curve {self.curve}"
            case "setup":
                return f"setups: {sharing}, peer {self.peer}, generation {self.generation}"
            case _:
                return f"node: {self.kind}"


class Sealer:
    """Holds the node key. Opened values go to secret memory at once; the AEAD's own copy lives for the call."""

    def __init__(self, node_key: SecretBytes) -> None:
        self._node_key = node_key
        self.wiped = False

    def seal(self, place: Place, secret: SecretBytes) -> bytes:
        """ST-2.4 clear: the only form in which a secret goes to the file."""
        with SecretBytes.random(32) as data_key:
            inner = os.urandom(_NONCE)
            value = AESGCM(data_key.reveal()).encrypt(inner, secret.reveal(), place.binding("value"))
            return self._wrapped(place, data_key) + inner + value

    def open(self, place: Place, sealed: bytes) -> SecretBytes:
        """The secret; ``Corrupt`` naming the place if this blob was not sealed there under this key."""
        with self._opened(place), self._data_key(place, sealed) as data_key:
            inner, value = sealed[_HEAD - _NONCE : _HEAD], sealed[_HEAD:]
            return SecretBytes.of(AESGCM(data_key.reveal()).decrypt(inner, value, place.binding("value")))

    def rewrap(self, place: Place, sealed: bytes, to: Sealer) -> bytes:
        """The same value under the same data key, wrapped by the node key of ``to``. ``Corrupt`` as ``open``, of the
        data key alone."""
        with self._opened(place), self._data_key(place, sealed) as data_key:
            return to._wrapped(place, data_key) + sealed[_HEAD - _NONCE :]

    def _wrapped(self, place: Place, data_key: SecretBytes) -> bytes:
        """Version, nonce and wrapped key."""
        outer = os.urandom(_NONCE)
        wrapped = self._wrapping().encrypt(outer, data_key.reveal(), place.binding("key"))
        return bytes([SCHEMA]) + outer + wrapped

    def _data_key(self, place: Place, sealed: bytes) -> SecretBytes:
        if len(sealed) < _HEAD + _TAG or sealed[0] != SCHEMA:
            raise InvalidTag
        outer, wrapped = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE : _HEAD - _NONCE]
        return SecretBytes.of(self._wrapping().decrypt(outer, wrapped, place.binding("key")))

    @contextmanager
    def _opened(self, place: Place) -> Iterator[None]:
        try:
            yield
        except InvalidTag:
            raise Corrupt(
                f"ST-2.3 place: {place} does not open in its own place: changed, cut, or moved here from elsewhere"
            ) from None

    def wipe(self) -> None:
        self.wiped = True
        self._node_key.wipe()

    def _wrapping(self) -> AESGCM:
        if self.wiped:
            raise Sealed(SEALED)
        return AESGCM(self._node_key.reveal())
