"""Signed envelopes: what one party said to whom, in which slot of which session, and on what view of the rounds before.

What a party says at once is a flight, and has one signature. It covers every field of every envelope, bodies by their
hashes, so a ``Header`` proves what was signed without showing it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from msgspec import Meta

from quorate.errors import EncodingError
from quorate.identifiers import DeviceId, SessionId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest, fingerprint
from quorate.primitives.transcript import encode as transcribe
from quorate.wire.codec import Bytes32, Bytes64, Message, decode, encode

MAX_FLIGHT = 32  # envelopes under one signature
MAX_BODY = 1 << 20  # bytes, sealed or not
MAX_FRAME = MAX_BODY + 2048
MAX_SEALED = MAX_BODY // 2  # bytes of a sealed body: a complaint shows its whole envelope in one message
MAX_SEALED_FRAME = MAX_SEALED + 2048
MAX_SLOT = 256  # characters
VIEW_SIZE = 40  # bytes

ALL = DeviceId("")
"""The recipient of a broadcast."""

Device = Annotated[DeviceId, Meta(max_length=64)]
Slot = Annotated[str, Meta(min_length=1, max_length=MAX_SLOT)]
View = Annotated[bytes, Meta(max_length=VIEW_SIZE)]
Flight: TypeAlias = Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=MAX_FLIGHT)]
"""The digests of headers that were signed together."""


class Envelope(Message):
    """``view`` is empty, or that of the last echoed round (see ``view_of``); ``body`` a message, sealed or not."""

    session: Bytes32
    sender: Device
    recipient: Device
    slot: Slot
    view: View
    sealed: bool
    body: Annotated[bytes, Meta(max_length=MAX_BODY)]

    @property
    def header(self) -> Header:
        return Header(
            session=self.session, sender=self.sender, recipient=self.recipient, slot=self.slot, view=self.view,
            sealed=self.sealed, body_hash=fingerprint(Domain.BODY, self.body),
        )  # fmt: skip


class Header(Message):
    """An envelope with the hash of its body in the body's place. The device key signs its digest, with those of the
    flight's others."""

    session: Bytes32
    sender: Device
    recipient: Device
    slot: Slot
    view: View
    sealed: bool
    body_hash: Bytes32

    @property
    def digest(self) -> bytes:
        return digest(
            Domain.ENVELOPE, self.session, self.sender, self.recipient, self.slot, self.view, int(self.sealed),
            self.body_hash,
        )  # fmt: skip


class SignedHeader(Message):
    """Evidence: anyone who knows the sender's identity key can check that it signed this."""

    header: Header
    flight: Flight
    signature: Bytes64

    def is_genuine(self, verify: Callable[[DeviceId, bytes, bytes], bool]) -> bool:
        """Whether the header's sender signed a flight that it is one of; ``verify`` is a courier's."""
        header = self.header
        return header.digest in self.flight and verify(header.sender, statement(self.flight), self.signature)


class SignedEnvelope(Message):
    """What travels on a link."""

    envelope: Envelope
    flight: Flight
    signature: Bytes64

    @property
    def signed_header(self) -> SignedHeader:
        return SignedHeader(header=self.envelope.header, flight=self.flight, signature=self.signature)


def statement(flight: tuple[bytes, ...]) -> bytes:
    """What a device key signs."""
    return transcribe((Domain.FLIGHT, b"".join(flight)))


def pack(envelope: Envelope, flight: tuple[bytes, ...], signature: bytes) -> bytes:
    """The frame that carries a signed envelope."""
    return encode(SignedEnvelope(envelope=envelope, flight=flight, signature=signature))


def unpack(frame: bytes) -> SignedEnvelope:
    """The signed envelope in a frame, its signature not yet checked; ``EncodingError`` if it is not one."""
    if len(frame) > MAX_FRAME:
        raise EncodingError(f"a frame of {len(frame)} bytes; at most {MAX_FRAME} are read")
    signed = decode(SignedEnvelope, frame)
    if signed.envelope.sealed and len(signed.envelope.body) > MAX_SEALED:
        raise EncodingError(f"a sealed body has at most {MAX_SEALED} bytes")
    return signed


def session_of(frame: bytes) -> SessionId:
    """The session a frame says it belongs to, so that it can be handed to it; of the rest nothing is looked at.
    ``EncodingError`` if it says none."""
    beginning, session = frame[: len(_BEGINNING)], frame[len(_BEGINNING) : len(_BEGINNING) + 32]
    if beginning != _BEGINNING or len(session) != 32:
        raise EncodingError("a frame begins with the session it belongs to")
    return SessionId(session)


def conflict(first: Header, second: Header) -> bool:
    """Whether an honest sender never signs both: one slot of one session, told differently to one reader (whom what all
    are told is told too), or sent with different views to different ones (the view is the same for all by definition,
    even where bodies are private)."""
    if (first.session, first.sender, first.slot) != (second.session, second.sender, second.slot):
        return False
    one_reader = first.recipient == second.recipient or ALL in (first.recipient, second.recipient)
    return first.view != second.view or (one_reader and first != second)


_BEGINNING = b"\x93\x97\xc4\x20"
"""Of every frame: an array of three, the first of them an array of seven, the first of those 32 bytes."""
