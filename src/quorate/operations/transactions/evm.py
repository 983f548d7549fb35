"""Ethereum transactions: what is hashed and signed, what is sent, and reading the one back from its bytes.

docs/spec/operations.md, section OP-3. The unsigned serialisation is the message of an ESKEC256 request: its Keccak-256
is the hash that the chain checks the signature against. Forms: legacy with a chain id (EIP-155), with an access list
(EIP-2930), and with a dynamic fee (EIP-1559).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import rlp

from quorate.errors import UsageError
from quorate.operations.digests import keccak256
from quorate.operations.signatures import EcdsaSignature

MAX_TRANSACTION = 128 << 10  # bytes; nodes of the chain pass on none that is longer

_LIMITS = {
    "chain_id": 2**64,
    "nonce": 2**64 - 1,  # EIP-2681
    "gas_price": 2**256,
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

    def __post_init__(self) -> None:
        if len(self.account) != 20 or any(len(slot) != 32 for slot in self.slots):
            raise _refused("OP-3.5 access list: an account has 20 bytes and a storage slot 32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction(ABC):
    """What every form has. Fees and value are in wei. ``to`` is an account of 20 bytes, or empty where the transaction
    creates a contract.

    ``UsageError`` for what no chain would accept, whatever its state.
    """

    TYPE: ClassVar[bytes]  # what an enveloped transaction begins with (EIP-2718); nothing for a legacy one

    chain_id: int
    nonce: int
    gas_limit: int
    to: bytes
    value: int
    data: bytes = b""

    def __post_init__(self) -> None:
        for name in _LIMITS.keys() & {*self.__dataclass_fields__}:
            number, limit = getattr(self, name), _LIMITS[name]
            if not 0 <= number < limit:
                raise _refused(f"OP-3.1 numbers: {name} is {number}, which is not from 0 up to {limit}")
        if self.chain_id == 0:
            raise _refused("OP-3.2 chain: chain_id 0 is no chain; a signature for none could be sent to any")
        if len(self.to) not in (0, 20):
            raise _refused(f"OP-3.4 accounts: to has {len(self.to)} bytes; an account has 20")

    @property
    @abstractmethod
    def fee_limit(self) -> int:
        """The most that running it can cost, in wei, the value not counted."""

    @abstractmethod
    def unsigned(self) -> bytes:
        """What is signed: the type and the list of all fields."""

    @abstractmethod
    def signed(self, signature: EcdsaSignature) -> bytes:
        """What is sent to the chain. ``UsageError`` for a signature that it would refuse for its form."""

    def hash(self) -> bytes:
        """The 32 bytes that ECDSA signs."""
        return keccak256(self.unsigned())


@dataclass(frozen=True, slots=True, kw_only=True)
class Legacy(Transaction):
    """Before there were types; only in the form that names its chain (EIP-155)."""

    TYPE: ClassVar[bytes] = b""

    gas_price: int

    @property
    def fee_limit(self) -> int:
        return self.gas_limit * self.gas_price

    def unsigned(self) -> bytes:
        return _encoded([*self._fields(), self.chain_id, 0, 0])

    def signed(self, signature: EcdsaSignature) -> bytes:
        _require_sound(signature)
        v = 35 + 2 * self.chain_id + signature.recovery
        return _encoded([*self._fields(), v, signature.r, signature.s])

    def _fields(self) -> list[Any]:
        return [self.nonce, self.gas_price, self.gas_limit, self.to, self.value, self.data]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enveloped(Transaction):
    """With a type before the list of fields (EIP-2718), and an access list in it."""

    access_list: tuple[Access, ...] = ()

    def unsigned(self) -> bytes:
        return self.TYPE + _encoded(self._fields())

    def signed(self, signature: EcdsaSignature) -> bytes:
        _require_sound(signature)
        return self.TYPE + _encoded([*self._fields(), signature.recovery, signature.r, signature.s])

    @abstractmethod
    def _fees(self) -> list[int]: ...

    def _fields(self) -> list[Any]:
        announced = [[access.account, list(access.slots)] for access in self.access_list]
        head = [self.chain_id, self.nonce, *self._fees(), self.gas_limit]
        return [*head, self.to, self.value, self.data, announced]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessListed(_Enveloped):
    """Type 1 (EIP-2930)."""

    TYPE: ClassVar[bytes] = b"\x01"

    gas_price: int

    @property
    def fee_limit(self) -> int:
        return self.gas_limit * self.gas_price

    def _fees(self) -> list[int]:
        return [self.gas_price]


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicFee(_Enveloped):
    """Type 2 (EIP-1559)."""

    TYPE: ClassVar[bytes] = b"\x02"

    max_priority_fee_per_gas: int
    max_fee_per_gas: int

    def __post_init__(self) -> None:
        Transaction.__post_init__(self)
        if self.max_priority_fee_per_gas > self.max_fee_per_gas:
            raise _refused("OP-3.3 fees: the priority fee is above the fee it is a part of")

    @property
    def fee_limit(self) -> int:
        return self.gas_limit * self.max_fee_per_gas

    def _fees(self) -> list[int]:
        return [self.max_priority_fee_per_gas, self.max_fee_per_gas]


def read(unsigned: bytes) -> Transaction:
    """The transaction whose ``unsigned()`` these bytes are, to the last one. ``UsageError`` (rule OP-3.7) for anything
    else: another type, fields too many or too few, a number with leading zeros, a legacy one that names no chain."""
    if len(unsigned) > MAX_TRANSACTION:
        raise _refused(f"OP-3.7 form: {len(unsigned)} bytes; a transaction has at most {MAX_TRANSACTION}")
    try:
        match unsigned[:1]:
            case AccessListed.TYPE:
                transaction: Transaction = _access_listed(rlp_items(unsigned[1:]))
            case DynamicFee.TYPE:
                transaction = _dynamic_fee(rlp_items(unsigned[1:]))
            case first if first >= b"\xc0":
                transaction = _legacy(rlp_items(unsigned))
            case _:
                raise _refused("OP-3.7 form: not a transaction of a form that is known here")
    except NO_RLP as error:
        raise _refused(f"OP-3.7 form: not the fields of a transaction: {error}") from None
    if transaction.unsigned() != unsigned:
        raise _refused("OP-3.7 form: not the one serialisation of what it says")
    return transaction


def transaction_id(raw: bytes) -> bytes:
    """What a chain calls a signed transaction: 32 bytes."""
    return keccak256(raw)


NO_RLP = (rlp.DecodingError, AssertionError, IndexError, ValueError, TypeError)
"""What reading ``rlp_items`` raises where they are not as many, or not of the form, that is asked for."""


def rlp_items(encoded: bytes) -> Iterable[Any]:
    """Those of a list, read one by one as they are asked for: a stranger's list of a million items costs as much as
    one of those that it should have. Loose: the caller compares what it reads with the one encoding of that."""
    items = rlp.decode_lazy(encoded)
    if isinstance(items, bytes):
        raise TypeError("no list")
    return cast("Iterable[Any]", items)


def _legacy(fields: Iterable[Any]) -> Legacy:
    nonce, gas_price, gas_limit, to, value, data, chain_id, _, _ = fields
    return Legacy(
        chain_id=_number(chain_id), nonce=_number(nonce), gas_price=_number(gas_price), to=as_bytes(to),
        gas_limit=_number(gas_limit), value=_number(value), data=as_bytes(data),
    )  # fmt: skip


def _access_listed(fields: Iterable[Any]) -> AccessListed:
    chain_id, nonce, gas_price, gas_limit, to, value, data, announced = fields
    return AccessListed(
        chain_id=_number(chain_id), nonce=_number(nonce), gas_price=_number(gas_price), to=as_bytes(to),
        gas_limit=_number(gas_limit), value=_number(value), data=as_bytes(data), access_list=_accesses(announced),
    )  # fmt: skip


def _dynamic_fee(fields: Iterable[Any]) -> DynamicFee:
    chain_id, nonce, priority, fee, gas_limit, to, value, data, announced = fields
    return DynamicFee(
        chain_id=_number(chain_id), nonce=_number(nonce), max_priority_fee_per_gas=_number(priority), to=as_bytes(to),
        max_fee_per_gas=_number(fee), gas_limit=_number(gas_limit), value=_number(value), data=as_bytes(data),
        access_list=_accesses(announced),
    )  # fmt: skip


def _accesses(announced: Iterable[Any]) -> tuple[Access, ...]:
    return tuple(
        Access(account=as_bytes(account), slots=tuple(map(as_bytes, slots))) for account, slots in announced
    )


def _number(field: Any) -> int:
    return int.from_bytes(as_bytes(field), "big")


def as_bytes(field: Any) -> bytes:
    """An item that is none of ``rlp_items``' lists."""
    if not isinstance(field, bytes):
        raise TypeError("a list where bytes belong")
    return field


def _encoded(fields: list[Any]) -> bytes:
    encoded: bytes = rlp.encode(fields)
    return encoded


def _require_sound(signature: EcdsaSignature) -> None:
    if not signature.is_low or signature.recovery > 1:
        raise _refused("OP-3.6 signature: the chain takes low s, and recovery id 0 or 1")


def _refused(why: str) -> UsageError:
    return UsageError(why, code="INVALID_TRANSACTION")
