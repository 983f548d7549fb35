"""The names things go by. All are plain values; the types keep them apart."""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

DeviceId = NewType("DeviceId", str)
"""24 characters a-z2-7: base32 of the first 15 bytes of a hash of the device's identity key. Ordered by its bytes."""

VaultId = NewType("VaultId", str)
"""24 characters a-z2-7, of the ceremony that made the vault: another attempt is another vault."""

OperationId = NewType("OperationId", str)
"""24 characters a-z2-7, of (client, idempotency key, request): a retry at any node is the same operation."""

SessionId = NewType("SessionId", bytes)
"""32 bytes: the hash of everything the parties of one attempt agreed on."""

Epoch = NewType("Epoch", int)
"""0 at creation, +1 at each reshare or refresh."""

Weight = NewType("Weight", int)
"""Signing power as given by people; sharing uses reduced weights."""

Index = NewType("Index", int)
"""A Shamir x-coordinate, 1..W of reduced weights."""


class Curve(StrEnum):
    SECP256K1 = "secp256k1"
    ED25519 = "ed25519"
