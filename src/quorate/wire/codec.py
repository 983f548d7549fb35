"""The strict codec: MessagePack arrays of fixed shape, one encoding per value.

A message is a frozen struct; its fields state exact lengths and bounds in their types. Decoding refuses unknown and
missing fields, wrong lengths, trailing bytes and any encoding other than the one ``encode`` gives. Points and scalars
are decoded strictly, in the group of the path the message travels on. Secret bytes cross in private messages only.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, dataclass_transform

import msgspec
from msgspec import Meta

from quorate.curves import Group, Point, Scalar
from quorate.errors import Bug, EncodingError
from quorate.native.memory import SecretBytes

Identifier = Annotated[str, Meta(pattern=r"^[a-z2-7]{24}\Z")]  # $ would let a line end follow
Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Bytes64 = Annotated[bytes, Meta(min_length=64, max_length=64)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Millis = Annotated[int, Meta(ge=0, le=2**53)]
Moment = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]  # Unix time in ms, through the year 9999


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, kw_only=True):
    """The base of everything that crosses the wire or is signed."""


M = TypeVar("M", bound=msgspec.Struct)


def encode(message: msgspec.Struct, *, private: bool = False) -> bytes:
    """The one encoding of ``message``. ``private``: it is about to be sealed, so it may hold ``SecretBytes``."""
    return (_PRIVATE if private else _PUBLIC).encode(message)


def decode(kind: type[M], data: bytes, group: Group | None = None, *, private: bool = False) -> M:
    """The message of type ``kind`` that ``data`` encodes; ``EncodingError`` for anything else.

    ``group`` is where points and scalars among its fields live; without one, a message may have none.
    """

    def enter(wanted: type, value: Any) -> Any:
        if isinstance(value, bytes):
            if wanted is Point and group is not None:
                return group.point(value)
            if wanted is Scalar and group is not None:
                return group.scalar(value)
            if wanted is SecretBytes and private:
                return SecretBytes.of(value)
        raise EncodingError(f"a {wanted.__name__} is not expected here")

    try:
        message = msgspec.msgpack.decode(data, type=kind, dec_hook=enter)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EncodingError(f"{kind.__name__}: {error}") from None
    if encode(message, private=private) != data:
        raise EncodingError(f"{kind.__name__}: not the canonical encoding")
    return message


def read_fields(data: bytes) -> list[Any]:
    """The fields of a message of whatever shape, in the one encoding they have; ``EncodingError`` for anything else."""
    try:
        fields = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise EncodingError(f"not a message: {error}") from None
    if not isinstance(fields, list) or _PUBLIC.encode(fields) != data:
        raise EncodingError("not a message in its canonical encoding")
    return fields


def prepare() -> None:
    """Build what decoding needs to know of every message type that exists. Before threads decode: msgspec builds it
    when a type is first decoded, and shows it to other threads half-built, which then crash the process."""
    waiting: list[type[msgspec.Struct]] = [Message]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        msgspec.msgpack.Decoder(kind)


def _leave(value: Any) -> bytes:
    if isinstance(value, (Point, Scalar)):
        return bytes(value)
    raise Bug(f"a {type(value).__name__} does not cross the wire in the open")


def _reveal(value: Any) -> bytes:
    return value.reveal() if isinstance(value, SecretBytes) else _leave(value)


_PRIVATE, _PUBLIC = msgspec.msgpack.Encoder(enc_hook=_reveal), msgspec.msgpack.Encoder(enc_hook=_leave)
