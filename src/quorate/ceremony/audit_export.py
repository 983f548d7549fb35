"""An audit chain as JSON lines: a heading, one line for each record, and the signed head at the end.

What a line says is what is hashed: whoever verifies it makes the record's encoding from it anew. A line is written one
way only, so that nothing can be in it that people read and the hash does not cover.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Literal

import msgspec

from quorate.ceremony.audit import AuditVerdict, Entry, Record, Verification, Witness
from quorate.ceremony.audit_heads import Head
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import DeviceId
from quorate.operations.kinds import device_id
from quorate.wire.codec import decode, encode

LONGEST_LINE = 256 << 10  # characters


class Heading(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    type: Literal["quorate/v1/audit"]
    device: str


class RecordLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hashes and signature in hex; ``at_ms`` is Unix time."""

    sequence: int
    at_ms: int
    event: str
    operation: str
    facts: dict[str, str]
    previous: str
    hash: str
    signature: str


class DamagedLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record that does not read as that of its place: what is kept there, in hex."""

    place: int
    damaged: str
    hash: str
    signature: str


class HeadLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    head: int
    hash: str
    signature: str


def heading(device: DeviceId) -> str:
    return _text(Heading(type="quorate/v1/audit", device=device))


def line_of(entry: Entry) -> str:
    try:
        record = decode(Record, entry.body)
    except EncodingError:
        record = None
    if record is None or entry.place not in (None, record.sequence):
        return _text(
            DamagedLine(
                place=entry.place or 0, damaged=entry.body.hex(), hash=entry.hash.hex(),
                signature=entry.signature.hex(),
            )
        )  # fmt: skip
    return _text(
        RecordLine(
            sequence=record.sequence, at_ms=record.at_ms, event=record.event, operation=record.operation,
            facts=dict(record.facts), previous=record.previous.hex(), hash=entry.hash.hex(),
            signature=entry.signature.hex(),
        )
    )  # fmt: skip


def head_line(head: Head) -> str:
    return _text(HeadLine(head=head.sequence, hash=head.hash.hex(), signature=head.signature.hex()))


def record_of(text: str) -> RecordLine | None:
    """The record of a line, unverified; None for a line that is no sound one."""
    try:
        line = msgspec.json.decode(text, type=RecordLine)
    except msgspec.MsgspecError:
        return None
    return line


def place_of(text: str) -> int:
    """The number that the record of a line is kept under, as the node that wrote the line says."""
    record = record_of(text)
    try:
        return record.sequence if record is not None else msgspec.json.decode(text, type=DamagedLine).place
    except msgspec.MsgspecError:
        raise UsageError("the node shows what is no record of an audit chain", code="MALFORMED") from None


def head_in(text: str) -> Head | None:
    """The head of a line, unverified."""
    try:
        line = msgspec.json.decode(text, type=HeadLine)
        return _head(line.head, line.hash, line.signature)
    except (msgspec.MsgspecError, EncodingError, ValueError, OverflowError):
        return None


def _head(sequence: int, hashed: str, signature: str) -> Head:
    """``EncodingError``, ``ValueError`` or ``OverflowError`` for what no head says."""
    said = Head(sequence=sequence, hash=bytes.fromhex(hashed), signature=bytes.fromhex(signature))
    return decode(Head, encode(said))


def verify_lines(
    identity_key: bytes, lines: Iterable[str], witnesses: Iterable[Witness] = ()
) -> AuditVerdict:
    """``UsageError`` for what is no export of this device's chain."""
    rest = iter(lines)
    device = device_id(identity_key)
    text = next(rest, "")
    try:
        first = msgspec.json.decode(text, type=Heading)
    except msgspec.MsgspecError:
        first = None
    if first is None or _text(first) != text:
        raise UsageError("this is no audit export", code="MALFORMED")
    if first.device != device:
        raise UsageError(
            f"this is the chain of device {first.device}, and the key is that of {device}",
            code="MALFORMED",
        )
    verification = Verification(identity_key, witnesses)
    return verification.end(_take(verification, rest))


def witnesses_in(lines: Iterable[str], device: DeviceId) -> Iterator[Witness]:
    """The heads of a device's chain that the export of another has, which came with votes. Each is the device's own
    signature, so the export need not be verified for it."""
    who = ""
    for text in lines:
        if not who:
            with suppress(msgspec.MsgspecError):
                who = f"device {msgspec.json.decode(text, type=Heading).device}"
        line = record_of(text)
        if line is None or line.event != "vote" or line.facts.get("voter") != device:
            continue
        number, _, rest = line.facts.get("head", "").partition(":")
        hashed, _, signature = rest.partition(":")
        with suppress(EncodingError, ValueError, OverflowError):
            yield Witness(who=who, head=_head(int(number), hashed, signature))


def _take(verification: Verification, lines: Iterator[str]) -> Head | None:
    head = None
    for text in lines:
        if head is not None:
            raise UsageError("AU-2.5 whole: there are lines after the signed head", code="MALFORMED")
        head = head_in(text)
        if head is None or head_line(head) != text:
            head = None
            verification.take(_entry(text))
    return head


def _entry(text: str) -> Entry:
    """What a line says, encoded anew; the line itself, which is no record, where that does not work."""
    unread = Entry(place=None, body=text.encode(errors="replace"), hash=b"", signature=b"")
    try:
        line = msgspec.json.decode(text, type=RecordLine)
        record = Record(
            sequence=line.sequence, at_ms=line.at_ms, event=line.event, operation=line.operation,
            facts=tuple(line.facts.items()), previous=bytes.fromhex(line.previous),
        )  # fmt: skip
        entry = Entry(
            place=None,
            body=encode(record),
            hash=bytes.fromhex(line.hash),
            signature=bytes.fromhex(line.signature),
        )
    except (msgspec.MsgspecError, ValueError, OverflowError):
        return unread
    return entry if line_of(entry) == text else unread


def _text(line: msgspec.Struct) -> str:
    return msgspec.json.encode(line).decode()
