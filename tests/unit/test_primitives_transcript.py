from __future__ import annotations

import hashlib
from itertools import combinations
from typing import Any

import pytest

from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest, encode, fingerprint

FIELDS: list[tuple[Field, ...]] = [
    (),
    (b"",),
    ("",),
    (0,),
    ([],),
    (b"", b""),
    (b"ab",),
    ("ab",),
    (b"a", b"b"),
    ([b"a", b"b"],),
    ([b"a"], b"b"),
    (b"a", [b"b"]),
    ([[b"a"], b"b"],),
    ((b"a", b"b"), b""),
    (0x6162,),
    (1,),
    (256,),
    (b"\1",),
    (b"b" + (0).to_bytes(8, "big"),),
]


def test_no_two_lists_of_fields_have_one_encoding() -> None:
    for one, other in combinations(FIELDS, 2):
        assert encode(one) != encode(other)
        assert digest(Domain.SESSION, *one) != digest(Domain.SESSION, *other)


def test_a_list_and_a_tuple_are_one_field() -> None:
    assert encode([b"a", [1, "x"]]) == encode((b"a", (1, "x")))


def test_no_two_domains_share_a_tag() -> None:
    assert len({digest(domain, b"same") for domain in Domain}) == len(Domain)


def test_a_digest_binds_its_length() -> None:
    assert digest(Domain.SESSION, b"a", size=64)[:32] != digest(Domain.SESSION, b"a", size=32)


def test_a_digest_is_blake2b_over_the_documented_encoding() -> None:
    def field(kind: bytes, length: int, content: bytes) -> bytes:
        return kind + length.to_bytes(8, "big") + content

    tag = Domain.SESSION.value.encode()
    fields = [
        field(b"s", len(tag), tag),
        field(b"b", 2, b"\0\1"),
        field(b"i", 2, b"\1\0"),
        field(b"l", 0, b""),
    ]
    expected = hashlib.blake2b(field(b"l", 4, b"".join(fields)), digest_size=32).digest()
    assert digest(Domain.SESSION, b"\0\1", 256, []) == expected


def test_a_bool_is_not_hashed_as_a_number() -> None:
    with pytest.raises(TypeError, match="0 or 1"):
        encode([True])


@pytest.mark.parametrize(
    "field", [bytearray(b"ab"), memoryview(b"ab"), range(2), {"a": 1}, {1, 2}, None, 1.0], ids=type
)
def test_what_might_be_taken_for_another_field_is_not_hashed(field: Any) -> None:
    with pytest.raises(TypeError, match="not hashed"):
        encode([b"a", field])


def test_a_negative_number_is_not_hashed() -> None:
    with pytest.raises(ValueError, match="negative"):
        encode(-1)


def test_a_fingerprint_is_sha_256_over_the_documented_encoding() -> None:
    content = bytes(range(256)) * 9
    assert fingerprint(Domain.BODY, content) == hashlib.sha256(encode((Domain.BODY, content))).digest()
    assert fingerprint(Domain.BODY, content) != fingerprint(Domain.VIEW, content)
    assert fingerprint(Domain.BODY, content) != fingerprint(Domain.BODY, content[:-1])
