"""What is signed: from the payload a caller wrote to the bytes of the message, by every node for itself.

EDDSA signs the message itself, the ECDSA algorithms a digest of it (``digests.signing_digest``). A payload has exactly
one reading: what is not the strict form of its content type is refused, never repaired.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from quorate.errors import UsageError
from quorate.operations.kinds import MAX_BATCH, MAX_MESSAGE, MAX_REQUEST, Algorithm, SigningData
from quorate.operations.transactions import signing_input, typed_data
from quorate.protocols.trial import is_internal

TYPED_DATA = "application/x-eip712+json"
PERSONAL = "text/x-eip191"
SIGNING_INPUT = "application/x-wallet-core+hex"
MAX_PARTS = 30_000
"""Values and fields that the typed data of a request has together, about: each is hashed, some on their own, so a
request of the greatest length could have a node do nothing else for minutes."""
_OF_ETHEREUM = (TYPED_DATA, PERSONAL, SIGNING_INPUT)  # what they are made for is a digest by Keccak-256


def messages(signing: SigningData) -> tuple[bytes, ...]:
    """The messages to sign, in the caller's order; an empty message is legal.

    ``UsageError`` names what cannot be signed: content type or item. The path is ``derivation``'s to read.
    """
    read = _READERS.get(signing.content_type)
    if read is None:
        raise UsageError(
            f"content type {signing.content_type!r} is not one of {', '.join(_READERS)}",
            code="UNSUPPORTED_CONTENT_TYPE",
        )
    if signing.content_type in _OF_ETHEREUM and signing.algorithm is not Algorithm.ESKEC256:
        raise UsageError(
            f"content type {signing.content_type} is signed with ESKEC256, not {signing.algorithm}",
            code="UNSUPPORTED_ALGORITHM",
        )
    if not 1 <= len(signing.data) <= MAX_BATCH:
        raise UsageError(f"{len(signing.data)} messages; a request holds 1 to {MAX_BATCH}", code="BATCH_SIZE")
    if signing.content_type == TYPED_DATA:
        parts = sum(text.count(mark) for text in signing.data for mark in ",[{")
        if parts > MAX_PARTS:
            raise UsageError(
                f"typed data of {parts} values and fields; a request holds at most {MAX_PARTS}: send several",
                code="REQUEST_TOO_LONG",
            )
    read_all = tuple(_message(read, text, item) for item, text in enumerate(signing.data, start=1))
    if (size := sum(len(text.encode()) for text in signing.data)) > MAX_REQUEST:
        raise UsageError(
            f"{size} bytes of messages; a request holds at most {MAX_REQUEST}: send several",
            code="REQUEST_TOO_LONG",
        )
    return read_all


def _personal(text: str) -> bytes:
    """A text as wallets sign it (EIP-191, version 0x45): it is no transaction, whatever it says."""
    message = _text(text)
    return b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message


def _typed_data(text: str) -> bytes:
    return typed_data.read(text).signed_bytes


def _signing_input(text: str) -> bytes:
    return signing_input.read(_hex(text)).unsigned()


def algorithm(name: str) -> Algorithm:
    """The algorithm of this COSE name; ``UsageError`` for a name that is none."""
    try:
        return Algorithm(name)
    except ValueError:
        known = ", ".join(Algorithm)
        raise UsageError(f"algorithm {name!r} is not one of {known}", code="UNSUPPORTED_ALGORITHM") from None


def _message(read: Callable[[str], bytes], text: str, item: int) -> bytes:
    try:
        message = read(text)
    except ValueError as error:
        raise UsageError(f"message {item}: {error}", code="INVALID_PAYLOAD") from None
    if len(message) > MAX_MESSAGE:
        raise UsageError(
            f"message {item} has {len(message)} bytes; the limit is {MAX_MESSAGE}", code="MESSAGE_TOO_LONG"
        )
    if is_internal(message):
        raise UsageError(
            f"message {item} begins 0xFF 'quorate/', which only the nodes' own messages may",
            code="INTERNAL_MESSAGE",
        )
    return message


def _text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("not text that UTF-8 can encode") from None


def _hex(text: str) -> bytes:
    # bytes.fromhex alone would skip spaces.
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})*", text) is None:
        raise ValueError("not hex: an even number of digits 0-9 a-f A-F, without 0x, spaces or line ends")
    return bytes.fromhex(text)


def _base64(text: str) -> bytes:
    try:
        decoded = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        decoded = b""
    # The one encoding of these bytes: strict mode still lets unused bits of the last character be set.
    if base64.b64encode(decoded).decode() != text:
        raise ValueError("not base64: the standard alphabet with padding, without spaces or line ends")
    return decoded


_READERS: Mapping[str, Callable[[str], bytes]] = MappingProxyType(
    {
        "text/plain": _text,
        "application/octet-stream+hex": _hex,
        "application/octet-stream+base64": _base64,
        TYPED_DATA: _typed_data,
        PERSONAL: _personal,
        SIGNING_INPUT: _signing_input,
    }
)
