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


class _Heads(dict[int, bytes]):
    """How what has so many bytes or items begins: a type letter and eight bytes. Those of small numbers are kept."""

    def __init__(self, letter: bytes) -> None:
        super().__init__((size, _head(letter, size)) for size in range(129))
        self._letter = letter

    def __missing__(self, size: int) -> bytes:
        return _head(self._letter, size)


_BYTES, _LISTS = _Heads(b"b"), _Heads(b"l")


def encode(field: Field) -> bytes:
    """The unambiguous encoding of one field: a type letter, eight bytes of length or count, the content."""
    if type(field) is tuple or type(field) is list:
        return b"".join(_encodings(field))
    return b"".join(_encodings((field,))[1:])


def beginning(fields: Sequence[Field], count: int) -> bytes:
    """How the encoding of a list of ``count`` fields begins that begins with these."""
    return _LISTS[count] + b"".join(_encodings(fields)[1:])


def digest(domain: Domain, *fields: Field, size: int = 32) -> bytes:
    """``size`` bytes (1..64) that depend on the domain and on every field."""
    return hashlib.blake2b(b"".join(_encodings((domain, *fields))), digest_size=size).digest()


def fingerprint(domain: Domain, content: bytes) -> bytes:
    """32 bytes that depend on the domain and on content that may be long: SHA-256 over the same encoding, which takes
    half the time where CPUs have instructions for it."""
    hashed = hashlib.sha256(_LISTS[2] + _text(domain) + _BYTES[len(content)])
    hashed.update(content)
    return hashed.digest()


def _encodings(fields: Sequence[Field]) -> list[bytes]:
    out: list[bytes] = []
    _append(out, fields)
    return out


def _append(out: list[bytes], fields: Sequence[Field]) -> None:
    """A list's head, then every field, one after the other. What fields nearly always are is compared with first:
    ``isinstance`` would take longer than all the rest."""
    out.append(_LISTS[len(fields)])
    for field in fields:
        if type(field) is bytes:
            out += (_BYTES[len(field)], field)
        elif type(field) is str or type(field) is Domain:
            out.append(_text(field))
        elif type(field) is int:
            out.append(_number(field))
        elif type(field) is tuple or type(field) is list:
            _append(out, field)
        else:
            _append_derived(out, field)


def _append_derived(out: list[bytes], field: Field) -> None:
    """A field of a type derived from one of those that are hashed."""
    if isinstance(field, bytes):
        out += (_BYTES[len(field)], field)
    elif isinstance(field, str):
        out.append(_text(field))
    elif isinstance(field, bool):
        raise TypeError("hash a bool as 0 or 1")
    elif isinstance(field, int):
        out.append(_number(field))
    elif isinstance(field, (list, tuple)):
        _append(out, field)
    else:
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
