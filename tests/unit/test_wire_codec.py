from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from quorate.curves import ED25519, SECP256K1, Group
from quorate.errors import Bug, EncodingError
from quorate.native.memory import SecretBytes
from quorate.wire.codec import Bytes32, Count, Message, decode, encode
from tests.unit.conversations import Algebra, Secret


class Inner(Message):
    flag: bool
    items: Annotated[tuple[bytes, ...], Meta(max_length=4)]


class Outer(Message):
    name: str
    number: Count
    digest: Bytes32
    inner: Inner


messages = st.builds(
    Outer,
    name=st.text(max_size=40),
    number=st.integers(0, 2**32 - 1),
    digest=st.binary(min_size=32, max_size=32),
    inner=st.builds(
        Inner, flag=st.booleans(), items=st.lists(st.binary(max_size=300), max_size=4).map(tuple)
    ),
)
EXAMPLE = Outer(name="a", number=5, digest=bytes(32), inner=Inner(flag=True, items=(b"x", b"")))


@given(messages)
def test_decoding_gives_back_what_was_encoded(message: Outer) -> None:
    assert decode(Outer, encode(message)) == message


@given(messages, messages)
def test_two_messages_never_share_an_encoding(first: Outer, second: Outer) -> None:
    assert (encode(first) == encode(second)) == (first == second)


@given(messages, st.data())
def test_a_mutated_encoding_is_refused_or_is_another_message(message: Outer, data: st.DataObject) -> None:
    good = encode(message)
    place = data.draw(st.integers(0, len(good) - 1))
    cut, insert = data.draw(st.integers(0, 3)), data.draw(st.binary(max_size=3))
    bad = good[:place] + insert + good[place + cut :]
    try:
        other = decode(Outer, bad)
    except EncodingError:
        return
    assert (other == message) == (bad == good)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_decode_canonically_or_not_at_all(data: bytes) -> None:
    try:
        message = decode(Inner, data)
    except EncodingError:
        return
    assert encode(message) == data


def raw(*values: object) -> bytes:
    return msgspec.msgpack.encode(values)


@pytest.mark.parametrize(
    "data",
    [
        encode(EXAMPLE) + b"\x00",
        encode(EXAMPLE)[:-1],
        b"",
        raw("a", 5, bytes(32)),
        raw("a", 5, bytes(32), (True, ()), "more"),
        raw("a", 5, bytes(31), (True, ())),
        raw("a", 5, bytes(33), (True, ())),
        raw("a", -1, bytes(32), (True, ())),
        raw("a", 2**32, bytes(32), (True, ())),
        raw("a", 5.0, bytes(32), (True, ())),
        raw("a", 5, "0" * 32, (True, ())),
        raw("a", 5, bytes(32), (1, ())),
        raw("a", 5, bytes(32), (True, (b"",) * 5)),
        raw("a", None, bytes(32), (True, ())),
        raw(b"a", 5, bytes(32), (True, ())),
        msgspec.msgpack.encode({"name": "a", "number": 5, "digest": bytes(32), "inner": (True, ())}),
        encode(EXAMPLE).replace(b"\xa1a", b"\xd9\x01a"),
        encode(EXAMPLE).replace(b"\xa1a\x05", b"\xa1a\xcc\x05"),
        encode(EXAMPLE).replace(b"\xa1a", b"\xa1\xff"),
        b"\xdc\x00\x04" + encode(EXAMPLE)[1:],
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
    ],
    ids=[
        "trailing byte", "truncated", "empty", "field missing", "field added", "bytes short", "bytes long",
        "negative", "too large", "float for integer", "text for bytes", "integer for bool", "list too long",
        "nil", "bytes for text", "map for array", "long form of a short text", "long form of a small number",
        "not UTF-8", "long form of a short array", "nested without end", "array of 4 billion",
    ],
)  # fmt: skip
def test_anything_but_the_one_encoding_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode(Outer, data)


@pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda g: g.curve.value)
def test_points_and_scalars_cross_in_the_group_of_the_path(group: Group) -> None:
    message = Algebra(point=group.scalar_of(5) * group.generator, scalar=group.scalar_of(5))
    assert decode(Algebra, encode(message), group) == message


def test_points_of_the_other_group_are_refused() -> None:
    message = Algebra(point=SECP256K1.generator, scalar=SECP256K1.scalar_of(5))
    with pytest.raises(EncodingError):
        decode(Algebra, encode(message), ED25519)


def test_points_are_refused_on_a_path_without_a_group() -> None:
    message = Algebra(point=ED25519.generator, scalar=ED25519.scalar_of(5))
    with pytest.raises(EncodingError, match="not expected here"):
        decode(Algebra, encode(message))


@pytest.mark.parametrize(
    ("point", "scalar"),
    [
        (b"\x01" + bytes(31), bytes(32)),
        (bytes(32), bytes(32)),
        (bytes(ED25519.generator), (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little")),
        (bytes(ED25519.generator)[:31], bytes(32)),
        (7, bytes(32)),
    ],
    ids=["identity", "small order", "scalar of the order", "short point", "number for a point"],
)
def test_points_and_scalars_that_are_not_canonical_are_refused(point: object, scalar: bytes) -> None:
    with pytest.raises(EncodingError):
        decode(Algebra, raw(point, scalar), ED25519)


def test_secret_bytes_cross_only_in_private_messages() -> None:
    message = Secret(value=SecretBytes.of(b"share"))
    with pytest.raises(Bug, match="in the open"):
        encode(message)
    data = encode(message, private=True)
    assert decode(Secret, data, private=True).value == b"share"
    with pytest.raises(EncodingError):
        decode(Secret, data)


def test_only_known_types_leave() -> None:
    class Odd(Message):
        value: complex

    with pytest.raises(Bug, match="complex"):
        encode(Odd(value=1j))
