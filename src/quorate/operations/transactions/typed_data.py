"""Typed structured data (EIP-712): from the JSON that wallets exchange to the 66 bytes whose Keccak-256 is signed.

docs/spec/operations.md, section OP-5. Wallets differ in what they let pass; what two readers could take for different
things is refused here: fields missing or over, a number outside its type, a member named twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NoReturn

from quorate.errors import UsageError
from quorate.operations.addresses import account_of
from quorate.operations.digests import keccak256

PREFIX = b"\x19\x01"
MAX_DEPTH = 32  # of structs and arrays within each other
MAX_TYPES = 100
MAX_NAME = 200  # characters of a name, or of a type with its brackets
_DOMAIN = "EIP712Domain"
_DOMAIN_FIELDS = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*", re.ASCII)
_ARRAY = re.compile(r"(.+)\[(0|[1-9][0-9]{0,3})?\]", re.ASCII)
_INTEGER = re.compile(r"(u?)int([1-9][0-9]{0,2})", re.ASCII)
_BYTES = re.compile(r"bytes([1-9][0-9]?)", re.ASCII)
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,77}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_HEX_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)

Fields = tuple[tuple[str, str], ...]  # of a struct: name and type of each, in the order of its declaration


@dataclass(frozen=True)
class TypedData:
    """``domain`` and ``message`` as JSON has them. Every value is checked against its type when it is hashed."""

    types: Mapping[str, Fields]
    primary_type: str
    domain: Mapping[str, Any]
    message: Mapping[str, Any]

    @cached_property
    def _type_hashes(self) -> Mapping[str, bytes]:
        return {name: keccak256(self.encoded_type(name).encode()) for name in self.types}

    @cached_property
    def signed_bytes(self) -> bytes:
        """0x1901, the domain separator, and the hash of the message: the message of an ESKEC256 request.

        ``UsageError`` naming the field (rules OP-5).
        """
        domain = self._hash(_DOMAIN, self.domain, "domain", 0)
        if self.primary_type == _DOMAIN:  # then the domain is all there is
            return PREFIX + domain
        return PREFIX + domain + self._hash(self.primary_type, self.message, "message", 0)

    def encoded_type(self, name: str) -> str:
        """The struct's declaration, then those of all that it refers to, by name."""
        others = sorted(self._referred(name) - {name})
        return "".join(self._declaration(struct) for struct in (name, *others))

    def _declaration(self, struct: str) -> str:
        return f"{struct}({','.join(f'{kind} {name}' for name, kind in self.types[struct])})"

    def _referred(self, struct: str) -> set[str]:
        found, waiting = set[str](), [struct]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [base for _, kind in self.types[name] if (base := _base(kind)) in self.types]
        return found

    def _hash(self, struct: str, value: Any, where: str, depth: int) -> bytes:
        fields = self.types[struct]
        if not isinstance(value, Mapping):
            raise _refused(where, f"a {struct} is an object")
        if missing := [name for name, _ in fields if name not in value]:
            raise _refused(where, f"{struct} without {', '.join(missing)}")
        if strange := sorted(value.keys() - {name for name, _ in fields}):
            raise _refused(where, f"{struct} has no {', '.join(strange)}: it would be shown, and not signed")
        parts = [self._field(kind, value[name], f"{where}.{name}", depth + 1) for name, kind in fields]
        return keccak256(self._type_hashes[struct] + b"".join(parts))

    def _field(self, kind: str, value: Any, where: str, depth: int) -> bytes:
        """The 32 bytes that stand for a value in the hash of what it is in."""
        if depth > MAX_DEPTH:
            raise _refused(where, f"more than {MAX_DEPTH} levels deep")
        if (array := _ARRAY.fullmatch(kind)) is not None:
            if not isinstance(value, list):
                raise _refused(where, f"{kind} is a list")
            if array[2] is not None and len(value) != int(array[2]):
                raise _refused(where, f"{len(value)} items in {kind}")
            each = (
                self._field(array[1], item, f"{where}[{place}]", depth + 1)
                for place, item in enumerate(value)
            )
            return keccak256(b"".join(each))
        if kind in self.types:
            # A type that refers to itself ends somewhere; where, the standard leaves to wallets.
            return bytes(32) if value is None else self._hash(kind, value, where, depth)
        if kind == "string":
            return keccak256(_text(value, where))
        if kind == "bytes":
            return keccak256(_bytes(value, where))
        return _atom(kind, value, where)


def read(text: str) -> TypedData:
    """The typed data of this JSON. ``UsageError`` (rules OP-5) where there could be two readings of it."""
    if _depth(text) > 2 * MAX_DEPTH + 8:  # a level of structs is one of objects, and one of lists
        raise _refused("document", f"more than {MAX_DEPTH} levels deep")
    try:
        document = json.loads(
            text, object_pairs_hook=_without_twins, parse_constant=_no_number, parse_float=_no_number
        )
    except ValueError as error:
        raise _refused("document", f"not JSON: {error}") from None
    parts = {"types", "primaryType", "domain", "message"}
    if not isinstance(document, dict) or document.keys() != parts:
        raise _refused("document", f"an object of exactly {', '.join(sorted(parts))}")
    types, primary = _types(document["types"]), document["primaryType"]
    if primary not in types:
        raise _refused("primaryType", f"{primary!r} is not one of the types")
    for kind in ("domain", "message"):
        if not isinstance(document[kind], dict):
            raise _refused(kind, "an object")
    if primary == _DOMAIN and document["message"]:
        raise _refused("message", f"nothing of it is signed where {_DOMAIN} is the primary type")
    data = TypedData(
        types=types, primary_type=primary, domain=document["domain"], message=document["message"]
    )
    _ = data.signed_bytes  # every value of it has been looked at
    return data


def _types(declared: Any) -> dict[str, Fields]:
    if not isinstance(declared, dict):
        raise _refused("types", "an object")
    if len(declared) > MAX_TYPES:
        raise _refused("types", f"{len(declared)} of them; at most {MAX_TYPES} are read")
    types = {name: _fields(name, fields) for name, fields in declared.items()}
    if _DOMAIN not in types:
        raise _refused("types", f"no {_DOMAIN}: what the signature is for is not said")
    if not types[_DOMAIN] or any(_DOMAIN_FIELDS.get(name) != kind for name, kind in types[_DOMAIN]):
        raise _refused(
            _DOMAIN, f"some of {', '.join(f'{kind} {name}' for name, kind in _DOMAIN_FIELDS.items())}"
        )
    for struct, fields in types.items():
        if not _IDENTIFIER.fullmatch(struct) or _is_atom(struct):
            raise _refused("types", f"{struct!r} is no name for a struct")
        for name, kind in fields:
            base = _base(kind)
            if not (base in types or _is_atom(base)):
                raise _refused(f"{struct}.{name}", f"{kind!r} is no type")
    return types


def _fields(struct: str, declared: Any) -> Fields:
    if not isinstance(declared, list):
        raise _refused(struct, "a list of fields")
    fields = []
    for field in declared:
        if not isinstance(field, dict) or field.keys() != {"name", "type"}:
            raise _refused(struct, "a field is an object of name and type")
        name, kind = field["name"], field["type"]
        if not isinstance(name, str) or not isinstance(kind, str) or not _IDENTIFIER.fullmatch(name):
            raise _refused(struct, f"{name!r} is no name for a field")
        if max(len(struct), len(name), len(kind)) > MAX_NAME:
            raise _refused(struct[:MAX_NAME], f"a name of more than {MAX_NAME} characters")
        fields.append((name, kind))
    if len({name for name, _ in fields}) != len(fields):
        raise _refused(struct, "two fields of one name")
    return tuple(fields)


def _base(kind: str) -> str:
    """What the innermost items of a type are."""
    while (array := _ARRAY.fullmatch(kind)) is not None:
        kind = array[1]
    return kind


def _is_atom(kind: str) -> bool:
    if kind in ("bool", "address", "string", "bytes"):
        return True
    if (integer := _INTEGER.fullmatch(kind)) is not None:
        return int(integer[2]) % 8 == 0 and int(integer[2]) <= 256
    fixed = _BYTES.fullmatch(kind)
    return fixed is not None and int(fixed[1]) <= 32


def _atom(kind: str, value: Any, where: str) -> bytes:
    """32 bytes: numbers fill them from the right, as two's complement, bytes from the left."""
    if kind == "bool":
        if not isinstance(value, bool):
            raise _refused(where, "true or false")
        return value.to_bytes(32, "big")
    if kind == "address":
        return _account(value, where).rjust(32, b"\0")
    if kind.startswith("bytes"):
        data = _bytes(value, where)
        if len(data) != int(kind[5:]):
            raise _refused(where, f"{len(data)} bytes in {kind}")
        return data.ljust(32, b"\0")
    number, (least, most) = _integer(value, where), _range(kind)
    if not least <= number <= most:
        raise _refused(where, f"{number} is no {kind}")
    return number.to_bytes(32, "big", signed=number < 0)


@lru_cache(maxsize=64)  # there are no more
def _range(kind: str) -> tuple[int, int]:
    unsigned, _, bits = kind.rpartition("int")
    size = int(bits)
    return (0, (1 << size) - 1) if unsigned else (-(1 << size - 1), (1 << size - 1) - 1)


def _integer(value: Any, where: str) -> int:
    """A number of JSON's own, a decimal text, because many writers of JSON round long numbers, or hex, as some do."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    if isinstance(value, str) and _HEX_NUMBER.fullmatch(value):
        return int(value, 16)
    raise _refused(where, f"{value!r} is no integer")


def _bytes(value: Any, where: str) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise _refused(where, "bytes are hex after 0x, two digits each")
    return bytes.fromhex(value[2:])


def _account(value: Any, where: str) -> bytes:
    try:
        return account_of(value if isinstance(value, str) else "")
    except ValueError as error:
        raise _refused(where, str(error)) from None


def _text(value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise _refused(where, "a text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _refused(where, "not text that UTF-8 can encode") from None


def _depth(text: str) -> int:
    """How deep lists and objects lie in each other: the parser has a stack to lose."""
    opened = (character in "[{" or -1 for character in re.sub(r"[^][{}]+", "", _STRING.sub("", text)))
    return max(accumulate(opened), default=0)


def _without_twins(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) != len(members):
        raise ValueError("an object has two members of one name")
    return named


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no integer")


def _refused(where: str, why: str) -> UsageError:
    return UsageError(f"OP-5.1 typed data: {where}: {why}", code="INVALID_PAYLOAD")
