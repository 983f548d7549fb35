"""Ethereum transactions of type 2 (EIP-1559): what is hashed and signed, and what is sent.

docs/spec/operations.md, section OP-3. The unsigned serialisation is the message of an ESKEC256 request: its Keccak-256
is the hash that the chain checks the signature against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import rlp

from quorate.errors import UsageError
from quorate.operations.digests import keccak256
from quorate.operations.signatures import EcdsaSignature

_TYPE = b"\x02"
_LIMITS = {
    "chain_id": 2**64,
    "nonce": 2**64 - 1,  # EIP-2681
    "max_priority_fee_per_gas": 2**256,
    "max_fee_per_gas": 2**256,
    "gas_limit": 2**64,
    "value": 2**256,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An account (20 bytes) and those of its storage slots (32 bytes each) that a transaction announces (EIP-2930)."""

    account: bytes
    slots: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Fees and value are in wei. ``to`` is an account of 20 bytes, or empty where the transaction creates a contract.

    ``UsageError`` for what no chain would accept, whatever its state.
    """

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas_limit: int
    to: bytes
    value: int
    data: bytes = b""
    access_list: tuple[Access, ...] = ()

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            number = getattr(self, name)
            if not 0 <= number < limit:
                raise _refused(f"OP-3.1 numbers: {name} is {number}, which is not from 0 up to {limit}")
        if self.chain_id == 0:
            raise _refused("OP-3.2 chain: chain_id 0 is no chain; a signature for none could be sent to any")
        if self.max_priority_fee_per_gas > self.max_fee_per_gas:
            raise _refused("OP-3.3 fees: the priority fee is above the fee it is a part of")
        if len(self.to) not in (0, 20):
            raise _refused(f"OP-3.4 accounts: to has {len(self.to)} bytes; an account has 20")
        for access in self.access_list:
            if len(access.account) != 20 or any(len(slot) != 32 for slot in access.slots):
                raise _refused("OP-3.5 access list: an account has 20 bytes and a storage slot 32")

    def unsigned(self) -> bytes:
        """What is signed: the type and the list of all fields."""
        return _typed(self._fields())

    def hash(self) -> bytes:
        """The 32 bytes that ECDSA signs."""
        return keccak256(self.unsigned())

    def signed(self, signature: EcdsaSignature) -> bytes:
        """What is sent to the chain. ``UsageError`` for a signature that it would refuse for its form."""
        if not signature.is_low or signature.recovery > 1:
            raise _refused("OP-3.6 signature: the chain takes low s, and recovery id 0 or 1")
        return _typed([*self._fields(), signature.recovery, signature.r, signature.s])

    def _fields(self) -> list[Any]:
        return [
            self.chain_id,
            self.nonce,
            self.max_priority_fee_per_gas,
            self.max_fee_per_gas,
            self.gas_limit,
            self.to,
            self.value,
            self.data,
            [[access.account, list(access.slots)] for access in self.access_list],
        ]


def transaction_id(raw: bytes) -> bytes:
    """What a chain calls a signed transaction: 32 bytes."""
    return keccak256(raw)


def _typed(fields: list[Any]) -> bytes:
    encoded: bytes = rlp.encode(fields)
    return _TYPE + encoded


def _refused(why: str) -> UsageError:
    return UsageError(why, code="INVALID_TRANSACTION")
