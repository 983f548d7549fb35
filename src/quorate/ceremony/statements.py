"""What nodes say to each other outside a session: signed, purpose-tagged, and checked over the bytes that arrived."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, ClassVar, Protocol, Self, TypeVar

import msgspec
from msgspec import Meta

from quorate.ceremony.audit_heads import Head
from quorate.ceremony.identity import MAX_CARD
from quorate.ceremony.versions import Versions
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import DeviceId
from quorate.native import keys
from quorate.operations.kinds import MAX_PARTIES, Operation
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.protocols.policy import PolicyHead, SignedPolicy
from quorate.wire.codec import (
    Bytes32,
    Bytes64,
    Count,
    Identifier,
    Message,
    Millis,
    Moment,
    decode,
    encode,
    read_fields,
)

MAX_STATEMENT = 4 << 20
REMEMBERED = 8 << 10  # bytes of a statement that is worth remembering
MAX_ATTEMPTS = 64
MAX_ASKED = 1000
MAX_CERTIFICATE = 1 << 20
MAX_TRIAL = 200
MAX_APPROVER, MAX_RULE = 200, 200  # characters
NAMED_OR_NOT = r"^([a-z2-7]{24})?\Z"

Attempt = Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)]
Parties = Annotated[tuple[Identifier, ...], Meta(max_length=MAX_PARTIES)]
Verdict = Annotated[str, Meta(pattern=r"^(approve|reject|abstain)\Z")]


class Signer(Protocol):
    @property
    def device(self) -> DeviceId: ...

    def sign(self, message: bytes) -> bytes: ...


class Statement(Message):
    """``purpose`` is part of what is signed, so that one kind of statement never passes for another."""

    purpose: ClassVar[str]

    @classmethod
    def read(cls, body: bytes) -> Self:
        """``EncodingError`` for what is none."""
        return decode(cls, body)


class Proposal(Statement):
    """``certificate``: of a reshare, the one that is live, for those that have no record of the vault."""

    purpose = "proposal"
    operation: Operation
    certificate: Annotated[bytes, Meta(max_length=MAX_CERTIFICATE)] = b""


class Vote(Statement):
    """``verdict`` is approve, reject or abstain; ``boot`` the voter's random boot id. ``approver`` and ``rule`` are who
    decided at the voter, and by what, in its own words: text that prints, as ``printable`` makes it."""

    purpose = "vote"
    operation: Identifier
    digest: Bytes32
    verdict: Verdict
    boot: Bytes32
    at_ms: Moment
    approver: Annotated[str, Meta(max_length=MAX_APPROVER)] = ""
    rule: Annotated[str, Meta(max_length=MAX_RULE)] = ""

    def __post_init__(self) -> None:
        # It is shown to people on other nodes, whose terminals a line of it must not command.
        if not (self.approver + self.rule).isprintable():
            raise ValueError("CE-2.4 words: who decided, and by what, is text that prints")

    @classmethod
    def read(cls, body: bytes) -> Self:
        try:
            return decode(cls, body)
        except EncodingError:
            before = decode(BareVote, body)
        return cls(
            operation=before.operation, digest=before.digest, verdict=before.verdict, boot=before.boot,
            at_ms=before.at_ms,
        )  # fmt: skip


class BareVote(Message):
    """A vote as it was before votes said who decided: stores hold such ones for as long as their operations."""

    operation: Identifier
    digest: Bytes32
    verdict: Verdict
    boot: Bytes32
    at_ms: Moment


class Join(Statement):
    """One party's fresh contribution to one session: 32 random bytes and an X25519 key that live only in memory, and
    which versions of the protocol it speaks."""

    purpose = "join"
    digest: Bytes32
    attempt: Count
    boot: Bytes32
    nonce: Bytes32
    session_key: Bytes32
    oldest: Count
    newest: Count

    def __post_init__(self) -> None:
        if not 0 < self.oldest <= self.newest:
            raise ValueError("CE-10.1 range: from the oldest version spoken to the newest")

    @property
    def versions(self) -> Versions:
        return Versions(self.oldest, self.newest)


class Begin(Statement):
    """The proposer's call to start one attempt: who takes part is who joined; ``votes`` prove the approval. Of a
    reshare, ``dealers`` are those that deal."""

    purpose = "begin"
    operation: Identifier
    digest: Bytes32
    attempt: Attempt
    stage: Annotated[str, Meta(pattern=r"^(keygen|reshare|trial|sign|pair|policy)\Z")]
    joins: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=2 * MAX_PARTIES)]
    votes: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=2 * MAX_PARTIES)]
    dealers: Parties


class JoinCall(Statement):
    purpose = "join-call"
    operation: Identifier
    digest: Bytes32
    attempt: Attempt


class Abort(Statement):
    """This node's part in a session is over without output. Peers learn no more than that."""

    purpose = "abort"
    session: Bytes32


class Outcome(Statement):
    """How an operation ended at the signer of this statement. Signatures and certificates inside prove themselves;
    anything else is believed of the proposer only. ``released``: a signature may exist."""

    purpose = "outcome"
    operation: Identifier
    digest: Bytes32
    state: Annotated[str, Meta(max_length=20)]
    attempt: Count
    reason: Annotated[str, Meta(max_length=100)]
    culprits: Parties
    result: bytes
    released: bool


class Seal(Statement):
    """Under a receipt: this node issued it as it is. ``document`` is its hash."""

    purpose = "receipt"
    document: Bytes32


class Query(Statement):
    """Asks for an operation's outcome, for the sharings that it made, or for those of a vault from one epoch on."""

    purpose = "query"
    operation: Annotated[str, Meta(pattern=NAMED_OR_NOT)] = ""
    vault: Annotated[str, Meta(pattern=NAMED_OR_NOT)] = ""
    epoch: Count = 0


class Holding(Statement):
    """What a node holds of one sharing: the record, its certificate if complete, the acknowledgements so far, and the
    trial signatures."""

    purpose = "holding"
    record: bytes
    certificate: bytes
    acknowledgements: Annotated[tuple[tuple[Identifier, Bytes64], ...], Meta(max_length=2 * MAX_PARTIES)]
    trial: Annotated[bytes, Meta(max_length=MAX_TRIAL)]


class Holdings(Statement):
    purpose = "holdings"
    items: Annotated[tuple[Holding, ...], Meta(max_length=MAX_ATTEMPTS)]


class PolicyQuery(Statement):
    """Asks a signer of the governing vault for the policy in force, if it is above this version."""

    purpose = "policy-query"
    vault: Identifier
    above: Count


class PolicyShown(Statement):
    """The policy in force; nothing where none is above the version asked about."""

    purpose = "policy-shown"
    signed: SignedPolicy | None


class VaultHead(Message):
    vault: Identifier
    epoch: Count
    certificate: Bytes32
    ready: bool


class Sight(Message):
    """How a node sees one of its peers: the ``rev`` of the card it holds, whether a link is up, and, unless ``rtt_us``
    is 0, what the peer's last hello measured and said. ``offset_ms``: how far the peer's clock is ahead."""

    device: Identifier
    rev: Millis
    connected: bool
    rtt_us: Millis
    offset_ms: Annotated[int, Meta(ge=-(2**53), le=2**53)]
    version: Annotated[str, Meta(max_length=40)]


class Hello(Statement):
    """``asked``: devices of which the sender would like to know how the hearer sees them; ``sights``: the answer, of
    those that are the sender's peers too. ``holds``: the rev of the hearer's card that the sender holds; ``card``: the
    sender's own, if the hearer is known to hold an earlier one. ``policy``: the latest that the sender knows to be
    signed by the vault that governs both. ``oldest`` and ``protocol``: from which version of the protocol to which the
    sender speaks; 0 where it says one alone."""

    purpose = "hello"
    version: Annotated[str, Meta(max_length=40)]
    protocol: Count
    clock_ms: Millis
    boot_counter: Count
    boot: Bytes32
    vaults: Annotated[tuple[VaultHead, ...], Meta(max_length=10_000)]
    asked: Annotated[tuple[Identifier, ...], Meta(max_length=MAX_ASKED)] = ()
    sights: Annotated[tuple[Sight, ...], Meta(max_length=MAX_ASKED)] = ()
    holds: Millis = 0
    card: Annotated[str, Meta(max_length=MAX_CARD)] = ""
    policy: PolicyHead | None = None
    oldest: Count = 0

    @property
    def versions(self) -> Versions:
        return Versions(min(self.oldest or self.protocol, self.protocol), self.protocol)

    @classmethod
    def read(cls, body: bytes) -> Self:
        """CE-10.3 readable: also one of a release with more fields than we know, or fewer: who greets us must be
        understood well enough to be named."""
        fields = read_fields(body)[: len(cls.__struct_fields__)]
        try:
            return msgspec.convert(fields, cls)
        except (msgspec.MsgspecError, ValueError) as error:
            raise EncodingError(f"Hello: {error}") from None


class Inquiry(Statement):
    """Asks a peer what it remembers of us, and tells it that we started: the counter and the random id of this boot.
    ``confined``: the vaults of both that are in quarantine here; ``settled``: none of any is that others could
    end by their word."""

    purpose = "inquiry"
    boot_counter: Count
    boot: Bytes32
    nonce: Bytes32
    settled: bool
    confined: Annotated[tuple[Identifier, ...], Meta(max_length=10_000)] = ()


class Recollection(Message):
    """How a vault stands at a node: its live epoch, the highest attempt that it knows at the next one, its latest pair
    set-up with who asks (``setup`` is empty where there never was one), and whether it is out of quarantine there."""

    vault: Identifier
    epoch: Count
    certificate: Bytes32
    attempts: Count
    generation: Count
    setup: Annotated[bytes, Meta(max_length=32)]
    free: bool


class Testimony(Statement):
    """Answers the inquiry of this boot and nonce. ``start``: the latest one that the asker ever made here before, as it
    signed it; empty if there was none."""

    purpose = "testimony"
    boot: Bytes32
    nonce: Bytes32
    start: Annotated[bytes, Meta(max_length=MAX_CERTIFICATE)]
    vaults: Annotated[tuple[Recollection, ...], Meta(max_length=10_000)]


class Witness(Statement):
    """Shows the head of the speaker's audit chain, and the heads that it holds of the hearer's. In an answer, which has
    the question's nonce, ``confirms`` are those that it was shown and stands by."""

    purpose = "witness"
    nonce: Bytes32
    head: Head
    held: Annotated[tuple[Head, ...], Meta(max_length=2)]
    confirms: Annotated[tuple[Head, ...], Meta(max_length=2)]


class BareBallot(Message):
    """For a proposer that never spoke of audit chains, as one of an earlier release."""

    vote: bytes
    join: bytes


class Ballot(Message):
    """A vote, and, where the voter approves, its join for the first attempt. Both are signed statements. ``head``: that
    of the voter's audit chain."""

    vote: bytes
    join: bytes
    head: Head | None = None

    def written(self) -> bytes:
        return encode(BareBallot(vote=self.vote, join=self.join) if self.head is None else self)

    @classmethod
    def read(cls, body: bytes) -> Self:
        try:
            return decode(cls, body)
        except EncodingError:
            bare = decode(BareBallot, body)
        return cls(vote=bare.vote, join=bare.join)


class Signed(Message):
    signer: Identifier
    body: bytes
    signature: Bytes64


S = TypeVar("S", bound=Statement)


def printable(text: str, longest: int) -> str:
    """As it may stand in a vote: cut, and a question mark for every character that does not print."""
    cut = text[:longest]
    return cut if cut.isprintable() else "".join(each if each.isprintable() else "?" for each in cut)


def state(signer: Signer, statement: Statement) -> bytes:
    """The statement, signed by this device."""
    body = encode(statement)
    return encode(
        Signed(
            signer=signer.device,
            body=body,
            signature=signer.sign(digest(Domain.STATEMENT, statement.purpose, signer.device, body)),
        )
    )


def hear(kind: type[S], data: bytes, key_of: Callable[[DeviceId], bytes | None]) -> tuple[DeviceId, S]:
    """Who signed a statement, and the statement. ``UsageError`` names what is wrong and whose it claims to be."""
    if len(data) > MAX_STATEMENT:
        raise UsageError(f"a {kind.purpose} of {len(data)} bytes is over the limit", code="OVERSIZE")
    try:
        signed = decode(Signed, data)
    except EncodingError as error:
        raise UsageError(f"a {kind.purpose} is malformed: {error}", code="MALFORMED") from None
    signer = DeviceId(signed.signer)
    key = key_of(signer)
    if key is None:
        raise UsageError(f"a {kind.purpose} is signed by {signer}, who is no peer here", code="UNKNOWN_PEER")
    check = _check if len(data) <= REMEMBERED else _check.__wrapped__
    return signer, check(kind, signed, key)


@lru_cache(maxsize=2048)
def _check(kind: type[S], signed: Signed, key: bytes) -> S:
    """The statement inside, if ``key`` signed it. What passed is remembered: the same vote or proposal is looked at
    many times in the life of an operation. What did not pass raises, and so is never remembered."""
    said = digest(Domain.STATEMENT, kind.purpose, signed.signer, signed.body)
    if not keys.verify(key, said, signed.signature):
        raise UsageError(
            f"the signature of {signed.signer} on a {kind.purpose} is wrong", code="BAD_SIGNATURE"
        )
    try:
        return kind.read(signed.body)
    except EncodingError as error:
        raise UsageError(
            f"a {kind.purpose} of {signed.signer} is malformed: {error}", code="MALFORMED"
        ) from None
