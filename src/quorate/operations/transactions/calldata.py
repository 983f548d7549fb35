"""What a call says it does, by the first four bytes of its data: the methods of tokens, read strictly.

docs/spec/operations.md, section OP-4. A contract may do anything under any name; what is read here is what it does if
it is the token that it is taken for. What isn't read stays a call of an unknown method, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from quorate.errors import UsageError
from quorate.operations.addresses import account_of
from quorate.operations.digests import keccak256

UNLIMITED = 2**256 - 1  # what an allowance that never runs out says


_SIGNATURE = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\(([a-z0-9,]*)\)", re.ASCII)
_INTEGER = re.compile(r"u?int([1-9][0-9]{0,2})", re.ASCII)
_FIXED = re.compile(r"bytes([1-9][0-9]?)", re.ASCII)


class Token(StrEnum):
    """The standard that a method belongs to."""

    FUNGIBLE = "ERC-20"
    UNIQUE = "ERC-721"
    EITHER = "ERC-20 or ERC-721"  # transferFrom: an amount for the one, a token's id for the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """``arguments``: the name that the standard gives each, with its ABI type."""

    name: str
    token: Token
    arguments: tuple[tuple[str, str], ...]

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(kind for _, kind in self.arguments)})"

    @property
    def selector(self) -> bytes:
        return keccak256(self.signature.encode())[:4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A method with its arguments by name: integers, and accounts of 20 bytes."""

    method: Method
    arguments: Mapping[str, Any]


def _method(name: str, token: Token, *arguments: str) -> Method:
    """Each argument as "type name"."""
    split = (argument.split() for argument in arguments)
    return Method(name=name, token=token, arguments=tuple((called, kind) for kind, called in split))


_FROM_TO = ("address from", "address to")
_METHODS = (
    _method("transfer", Token.FUNGIBLE, "address to", "uint256 amount"),
    _method("approve", Token.EITHER, "address spender", "uint256 amount"),
    _method("increaseAllowance", Token.FUNGIBLE, "address spender", "uint256 amount"),
    _method("decreaseAllowance", Token.FUNGIBLE, "address spender", "uint256 amount"),
    _method("transferFrom", Token.EITHER, *_FROM_TO, "uint256 amount"),
    _method("mint", Token.FUNGIBLE, "address to", "uint256 amount"),
    _method("burn", Token.FUNGIBLE, "uint256 amount"),
    _method("burnFrom", Token.FUNGIBLE, "address from", "uint256 amount"),
    _method("safeTransferFrom", Token.UNIQUE, *_FROM_TO, "uint256 id"),
    _method("safeTransferFrom", Token.UNIQUE, *_FROM_TO, "uint256 id", "bytes data"),
    _method("setApprovalForAll", Token.UNIQUE, "address operator", "bool approved"),
)
BY_SELECTOR: Mapping[bytes, Method] = MappingProxyType({method.selector: method for method in _METHODS})


def read(data: bytes) -> Call:
    """The call that ``data`` is the one encoding of. ``UsageError`` (rule OP-4.1) where the method is unknown, or its
    arguments are not exactly those that it takes: bytes after them, an account with bytes before it, are for a contract
    to read, and hide from a person what it would do with them."""
    method = BY_SELECTOR.get(data[:4])
    if method is None:
        raise _refused(f"{data[:4].hex() or 'no data'} names no method that is known here")
    kinds = [kind for _, kind in method.arguments]
    try:
        values = decode(kinds, data[4:])
        exact = encode(kinds, values) == data[4:]
    except (DecodingError, OverflowError, ValueError):
        exact = False
    if not exact:
        raise _refused(f"not exactly the arguments of {method.signature}")
    named = (
        (name, bytes.fromhex(value[2:]) if kind == "address" else value)
        for (name, kind), value in zip(method.arguments, values, strict=True)
    )
    return Call(method=method, arguments=MappingProxyType(dict(named)))


def write(name: str, **arguments: Any) -> bytes:
    """The data of a call of the one known method with these arguments; accounts are 20 bytes. ``ValueError`` where
    there is none; ``eth_abi``'s ``EncodingError`` for a value that is not of its type."""
    for method in _METHODS:
        if method.name == name and {called for called, _ in method.arguments} == arguments.keys():
            values = [arguments[called] for called, _ in method.arguments]
            return method.selector + encode([kind for _, kind in method.arguments], values)
    raise ValueError(f"no method {name} with {', '.join(arguments)}")


def call_of(signature: str, arguments: Sequence[str]) -> bytes:
    """The data of a call of any method, from its signature and its arguments as people write them: accounts and bytes
    in hex after 0x, numbers in decimal or hex, ``true`` or ``false``. ``UsageError`` naming what does not fit."""
    match = _SIGNATURE.fullmatch(signature)
    kinds = match[1].split(",") if match and match[1] else []
    if match is None or not all(map(_is_canonical, kinds)):
        raise UsageError(
            f"{signature!r} is no signature of plain types, such as mint(address,uint256); give the data itself"
        )
    if len(kinds) != len(arguments):
        raise UsageError(f"{signature} takes {len(kinds)} arguments, not {len(arguments)}")
    values = [_argument(kind, text) for kind, text in zip(kinds, arguments, strict=True)]
    try:
        return keccak256(signature.encode())[:4] + encode(kinds, values)
    except (EncodingError, OverflowError) as error:
        raise UsageError(f"{signature}: {error}") from None


def _is_canonical(kind: str) -> bool:
    """Selectors are hashes of the names: ``uint`` for ``uint256`` would call another method."""
    if kind in ("address", "bool", "string", "bytes"):
        return True
    number, size = _INTEGER.fullmatch(kind), _FIXED.fullmatch(kind)
    if number is not None:
        return int(number[1]) % 8 == 0 and int(number[1]) <= 256
    return size is not None and int(size[1]) <= 32


def _argument(kind: str, text: str) -> Any:
    try:
        if kind == "string":
            return text
        if kind == "address":
            return account_of(text)
        if kind == "bool":
            return {"true": True, "false": False}[text]
        if not kind.startswith("bytes"):
            return int(text, 16 if text.startswith("0x") else 10)
        if not text.startswith("0x"):
            raise ValueError("bytes are hex after 0x")
        data = bytes.fromhex(text[2:])
        if kind != "bytes" and len(data) != int(kind[5:]):
            raise ValueError(f"{len(data)} bytes")  # no padding that nobody wrote
        return data
    except (ValueError, KeyError) as error:
        raise UsageError(f"{text!r} is no {kind}: {error}") from None


def _refused(why: str) -> UsageError:
    return UsageError(f"OP-4.1 one encoding: {why}", code="INVALID_TRANSACTION")
