"""What a call says it does, by the first four bytes of its data: the methods of tokens, read strictly.

docs/spec/operations.md, section OP-4. A contract may do anything under any name; what is read here is what it does if
it is the token that it is taken for. What isn't read stays a call of an unknown method, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from quorate.errors import UsageError
from quorate.operations.digests import keccak256

UNLIMITED = 2**256 - 1  # what an allowance that never runs out says


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


def _refused(why: str) -> UsageError:
    return UsageError(f"OP-4.1 one encoding: {why}", code="INVALID_TRANSACTION")
