"""Injective hashing: BLAKE2b over a domain tag and typed, length-prefixed fields.

Two different lists of fields never give the same bytes: each field carries its type, its length and, for a list, its
count. BLAKE2b also binds the output length. No field has a default, so a context cannot be left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import TypeAlias

from quorate.primitives.domains import Domain

Field: TypeAlias = "bytes | str | int | Sequence[Field]"

_head = Struct(">cQ").pack
_BYTES = tuple(_head(b"b", size) for size in range(129))  # of what is hashed most
_LISTS = tuple(_head(b"l", count) for count in range(33))


def encode(field: Field) -> bytes:
    """The unambiguous encoding of one field: a type letter, eight bytes of length or count, the content."""
    return _content((field,))


def beginning(fields: Sequence[Field], count: int) -> bytes:
    """How the encoding of a list of ``count`` fields begins that begins with these."""
    return _head(b"l", count) + _content(fields)


def digest(domain: Domain, *fields: Field, size: int = 32) -> bytes:
    """``size`` bytes (1..64) that depend on the domain and on every field."""
    return hashlib.blake2b(_list((domain, *fields)), digest_size=size).digest()


def fingerprint(domain: Domain, content: bytes) -> bytes:
    """32 bytes that depend on the domain and on content that may be long: SHA-256 over the same encoding, which takes
    half the time where CPUs have instructions for it."""
    hashed = hashlib.sha256(_LISTS[2] + _text(domain) + _head(b"b", len(content)))
    hashed.update(content)
    return hashed.digest()


def _list(fields: Sequence[Field]) -> bytes:
    count = len(fields)
    return (_LISTS[count] if count < len(_LISTS) else _head(b"l", count)) + _content(fields)


def _content(fields: Sequence[Field]) -> bytes:
    """Every field, one after the other. What fields nearly always are is compared with first: ``isinstance`` would take
    longer than all the rest."""
    out: list[bytes] = []
    for field in fields:
        if type(field) is bytes:
            size = len(field)
            out.append(_BYTES[size] if size < len(_BYTES) else _head(b"b", size))
            out.append(field)
        elif type(field) is str or type(field) is Domain:
            out.append(_text(field))
        elif type(field) is int:
            out.append(_number(field))
        elif type(field) is tuple or type(field) is list:
            out.append(_list(field))
        else:
            out.append(_derived(field))
    return b"".join(out)


def _derived(field: Field) -> bytes:
    """A field of a type derived from one of those that are hashed."""
    if isinstance(field, bytes):
        return _head(b"b", len(field)) + field
    if isinstance(field, str):
        return _text(field)
    if isinstance(field, bool):
        raise TypeError("hash a bool as 0 or 1")
    if isinstance(field, int):
        return _number(field)
    if isinstance(field, (list, tuple)):
        return _list(field)
    # A bytearray would be a list of numbers, a dict one of its keys.
    raise TypeError(f"a field of type {type(field).__name__} is not hashed")


# Names, slots and small numbers return in every message.


@lru_cache(maxsize=1024)
def _text(field: str) -> bytes:
    text = field.encode()
    return _head(b"s", len(text)) + text


@lru_cache(maxsize=1024)
def _number(field: int) -> bytes:
    if field < 0:
        raise ValueError("negative numbers are not hashed")
    size = (field.bit_length() + 7) // 8
    return _head(b"i", size) + field.to_bytes(size, "big")
