"""Injective hashing: BLAKE2b over a domain tag and typed, length-prefixed fields.

Two different lists of fields never give the same bytes: each field carries its type, its length and, for a list, its
count. BLAKE2b also binds the output length. No field has a default, so a context cannot be left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

from quorate.primitives.domains import Domain

Field: TypeAlias = "bytes | str | int | Sequence[Field]"


def encode(field: Field) -> bytes:
    """The unambiguous encoding of one field: a type letter, eight bytes of length or count, the content."""
    match field:
        case bytes():
            return b"b" + len(field).to_bytes(8, "big") + field
        case str():
            text = field.encode()
            return b"s" + len(text).to_bytes(8, "big") + text
        case bool():
            raise TypeError("hash a bool as 0 or 1")
        case int():
            if field < 0:
                raise ValueError("negative numbers are not hashed")
            digits = field.to_bytes((field.bit_length() + 7) // 8, "big")
            return b"i" + len(digits).to_bytes(8, "big") + digits
        case _:
            return b"l" + len(field).to_bytes(8, "big") + b"".join(map(encode, field))


def digest(domain: Domain, *fields: Field, size: int = 32) -> bytes:
    """``size`` bytes (1..64) that depend on the domain and on every field."""
    return hashlib.blake2b(encode((domain.value, *fields)), digest_size=size).digest()
