"""The audit chain of a device: its records, its signed heads, and what is wrong with one that was tampered with.

docs/spec/audit.md. Verification needs the records and the device's public key, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from quorate.ceremony.audit_heads import Head, RecordNumber, head_of
from quorate.ceremony.statements import Signer, printable
from quorate.errors import Corrupt, EncodingError
from quorate.identifiers import DeviceId
from quorate.native import keys
from quorate.operations.kinds import device_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import Bytes32, Message, Moment, decode, encode

BEGUN = "begun"
NOTHING = bytes(32)  # what is before the first record
LONGEST = 6000  # characters of one fact
MOST_FLAWS = 100

Fact = tuple[Annotated[str, Meta(max_length=40)], Annotated[str, Meta(max_length=LONGEST)]]


class Record(Message):
    """One thing that happened here. ``facts`` are names and values, in order, each name once; ``previous`` is the hash
    of the record before."""

    sequence: RecordNumber
    at_ms: Moment
    event: Annotated[str, Meta(min_length=1, max_length=40)]
    operation: Annotated[str, Meta(max_length=100)]
    facts: Annotated[tuple[Fact, ...], Meta(max_length=64)]
    previous: Bytes32


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record as it is kept: ``body`` is its encoding, ``place`` the number it is kept under, None where it stands
    in a file behind the one before."""

    place: int | None
    body: bytes
    hash: bytes
    signature: bytes


def hash_of(device: DeviceId, body: bytes) -> bytes:
    return digest(Domain.AUDIT_RECORD, device, body)


def follow(
    signer: Signer, last: Head | None, at_ms: int, event: str, operation: str, facts: Mapping[str, object]
) -> tuple[Entry, Head]:
    """AU-1.3 chain: the record after ``last``, which is None before the first, and the head it makes. ``Corrupt`` where
    that is not the one that begins a chain (AU-1.4)."""
    if last is None and event != BEGUN:
        raise Corrupt("AU-1.4 begins: the audit chain of this store is gone, and no other one is begun")
    record = Record(
        sequence=last.sequence + 1 if last else 1,
        at_ms=at_ms,
        event=event,
        operation=operation,
        facts=tuple((name, printable(str(value), LONGEST)) for name, value in facts.items()),
        previous=last.hash if last else NOTHING,
    )
    body = encode(record)
    hashed = hash_of(signer.device, body)
    entry = Entry(place=record.sequence, body=body, hash=hashed, signature=signer.sign(hashed))
    return entry, head_of(signer, record.sequence, hashed)


# --- verification -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """What is wrong with the record of this number. ``rule`` names the check that failed."""

    sequence: int
    rule: str
    said: str

    def __str__(self) -> str:
        return f"record {self.sequence}: {self.rule}: {self.said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """``records``: how many there are. ``flaws``: the first of them."""

    records: int
    last: int
    flaws: tuple[Flaw, ...]

    @property
    def sound(self) -> bool:
        return not self.flaws


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A head that somebody else says the device signed."""

    who: str
    head: Head


class Verification:
    """Goes through a chain once, record by record, in constant memory."""

    def __init__(self, identity_key: bytes, witnesses: Iterable[Witness] = ()) -> None:
        self._key, self._device = identity_key, device_id(identity_key)
        self._witnesses = [each for each in witnesses if each.head.signed_by(identity_key)]
        self._awaited: dict[int, list[Witness]] = {}
        for each in self._witnesses:
            self._awaited.setdefault(each.head.sequence, []).append(each)
        self._flaws: list[Flaw] = []
        self._count, self._last = 0, 0
        self._links: frozenset[bytes] | None = frozenset({NOTHING})  # what the next may follow, if known
        self._missing: list[range] = []

    def take(self, entry: Entry) -> None:
        """The next record, as it stands."""
        self._count += 1
        hashed = hash_of(self._device, entry.body)
        try:
            record = decode(Record, entry.body)
        except EncodingError:
            record = None
        signed = keys.verify(self._key, entry.hash, entry.signature)
        place = self._last + 1 if entry.place is None else entry.place
        # Where a record belongs is believed of what the device signed, and of nothing else.
        number = record.sequence if record is not None and signed and hashed == entry.hash else place
        if record is None:
            self._find(number, "AU-2.1 edited", "it does not read")
        elif hashed != entry.hash:
            self._find(number, "AU-2.1 edited", "it has another hash than the one it was kept under")
        elif not signed:
            self._find(number, "AU-2.4 signature", f"device {self._device} did not sign it")
        elif entry.place not in (None, number):
            self._find(number, "AU-2.3 order", f"it stands in the place of record {entry.place}")
        if number <= self._last:
            self._return(number)
            return
        if number > self._last + 1:
            if len(self._missing) < MOST_FLAWS:  # each is looked at for every record that comes late
                self._missing.append(range(self._last + 1, number))
        elif record is not None and self._links is not None and record.previous not in self._links:
            self._find(
                number, "AU-2.2 follows", f"it does not follow record {number - 1} as that stands here"
            )
        if record is not None and number == 1 and (record.event, record.previous) != (BEGUN, NOTHING):
            self._find(number, "AU-1.4 begins", "it is no beginning of a chain")
        # Of an edited record the next may follow either hash: one edit is one flaw.
        self._last, self._links = number, None if record is None else frozenset({hashed, entry.hash})
        for witness in self._awaited.get(number, ()):
            if witness.head.hash not in (hashed, entry.hash):
                self._find(number, "AU-2.6 witnesses", f"{witness.who} holds a signed head of another one")

    def end(self, head: Head | None) -> AuditVerdict:
        """``head``: what the device last signed, as it was kept with the chain."""
        for gap in self._missing:
            upto = f" to {gap[-1]}" if len(gap) > 1 else ""
            self._find(gap[0], "AU-2.2 follows", f"missing: {gap[0]}{upto}")
        if head is None:
            self._find(self._last, "AU-2.5 whole", "there is no signed head after the last record")
        elif not head.signed_by(self._key):
            self._find(head.sequence, "AU-2.4 signature", f"device {self._device} did not sign this head")
        else:
            self._compare(head)
        for witness in self._witnesses:
            if witness.head.sequence > self._last:
                cut = f"cut off: {witness.who} holds a signed head of record {witness.head.sequence}"
                self._find(self._last + 1, "AU-2.6 witnesses", cut)
        flaws = tuple(sorted(self._flaws, key=lambda flaw: flaw.sequence)[:MOST_FLAWS])
        return AuditVerdict(records=self._count, last=self._last, flaws=flaws)

    def _compare(self, head: Head) -> None:
        if head.sequence > self._last:
            cut = f"cut off: the signed head is of record {head.sequence}"
            self._find(self._last + 1, "AU-2.5 whole", cut)
        elif head.sequence < self._last:
            self._find(head.sequence, "AU-2.5 whole", f"the head is of this one, and not of {self._last}")
        elif self._links is not None and head.hash not in self._links:
            self._find(head.sequence, "AU-2.5 whole", "the signed head is of another record of this number")

    def _return(self, number: int) -> None:
        """A record of a number that was passed."""
        for index, gap in enumerate(self._missing):
            if number in gap:
                rest = range(gap.start, number), range(number + 1, gap.stop)
                self._missing[index : index + 1] = [each for each in rest if each]
                self._find(number, "AU-2.3 order", f"it stands after record {self._last}")
                return
        self._find(number, "AU-2.3 order", "it is there more than once")

    def _find(self, sequence: int, rule: str, said: str) -> None:
        if len(self._flaws) < 2 * MOST_FLAWS:
            self._flaws.append(Flaw(sequence=sequence, rule=rule, said=said))


def verify(
    identity_key: bytes, entries: Iterable[Entry], head: Head | None, witnesses: Iterable[Witness] = ()
) -> AuditVerdict:
    verification = Verification(identity_key, witnesses)
    for entry in entries:
        verification.take(entry)
    return verification.end(head)
