"""What the ceremony layer needs from outside, as interfaces, and the values that cross them.

Implemented by ``storage`` (Ledger), ``approval`` (Approver), ``rpc`` (Mesh) and ``node`` (Clock, randomness). The
ceremony is tested with dictionaries in their place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Literal, Protocol

from quorate.ceremony.audit_heads import AuditTrail, PeerHeads
from quorate.ceremony.chronicle import ForkShelf
from quorate.ceremony.confinement import QuarantineShelf
from quorate.ceremony.rulebook import PolicyShelf
from quorate.errors import Bug, Unwritable
from quorate.identifiers import Curve, DeviceId, Epoch, OperationId, SessionId, VaultId
from quorate.native.memory import SecretBytes
from quorate.operations.effect import Effect

# --- approval ---------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What an approver says. The value 0 is never an approval."""

    REFUSE = 0  # no usable answer: down, slow, lying, malformed
    APPROVE = 1
    REJECT = 2
    ABSTAIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """``body`` is the operation JSON of the documented dialect; ``route`` picks the URL it goes to. ``effect`` is what
    the operation does as this node reads it: it is judged here, and not sent."""

    operation: OperationId
    digest: bytes
    route: Literal["transaction", "reshare"]
    body: Mapping[str, Any]
    expires_ms: int
    effect: Effect

    def encoded(self) -> bytes:
        """The body as it is sent: JSON."""
        return json.dumps(dict(self.body), allow_nan=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """``rule`` names the check or policy rule that decided: the vote tells it. ``explanation`` is for people, and stays
    on this node."""

    verdict: Verdict
    approver: str
    rule: str
    explanation: str


class Approver(Protocol):
    @property
    def name(self) -> str: ...

    async def decide(self, request: ApprovalRequest) -> Decision:
        """Never raises for a backend's fault: anything but a sound answer is ``REFUSE`` with the check that failed."""
        ...


class Inbox(Protocol):
    """Where requests wait for a person. Nothing in it outlives the process: what was not answered is asked again."""

    def pending(self) -> Sequence[ApprovalRequest]:
        """What waits, longest first."""
        ...

    def answer(self, operation: OperationId, digest: bytes, decision: Decision) -> None:
        """``UsageError`` unless a request of this operation and digest waits. The first answer counts."""
        ...


# --- clock and randomness ---------------------------------------------------------------------------------------


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall clock, Unix milliseconds, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTime:
    """What a node's steady time was when its wall clock should have shown ``wall_ms``."""

    steady_ms: int
    wall_ms: int


class Entropy(Protocol):
    """The operating system's randomness, or a seeded stand-in."""

    def public(self, size: int) -> bytes: ...

    def secret(self, size: int) -> SecretBytes: ...


# --- peers ------------------------------------------------------------------------------------------------------


class Method(StrEnum):
    """The unary calls of PeerService. Bodies are signed statements, opaque to rpc."""

    HELLO = "Hello"
    PROPOSE = "Propose"
    CAST_VOTE = "CastVote"
    JOIN = "Join"
    BEGIN = "Begin"
    ABORT = "Abort"
    CONCLUDE = "Conclude"
    GET_OPERATION = "GetOperation"
    GET_CERTIFICATE = "GetCertificate"
    GET_POLICY = "GetPolicy"
    WITNESS = "Witness"
    INQUIRE = "Inquire"


class Mesh(Protocol):
    """How this node reaches its peers. The channel's identity is pinned: what comes from ``peer`` came from it."""

    async def request(self, peer: DeviceId, method: Method, body: bytes, *, timeout: float) -> bytes:
        """The peer's answer; ``PeerError`` when it could not be reached in time or refused."""
        ...

    def post(self, peer: DeviceId, frame: bytes) -> None:
        """Queue one envelope on the peer's link: in order, at most once, never blocking. Drops when there is no link
        and the queue is full; a session that misses it stalls and names who it waits on."""
        ...

    def connected(self, peer: DeviceId) -> bool: ...


class PeerHandler(Protocol):
    """What rpc calls when a peer speaks. ``sender`` is the identity of the channel."""

    async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        """Raises QuorateError to refuse; rpc sends only its reason code."""
        ...

    def on_envelope(self, sender: DeviceId, frame: bytes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A device card as this node keeps it. Our own is one of them."""

    device: DeviceId
    name: str
    identity_key: bytes
    exchange_key: bytes
    hardware_id: str
    address: str
    certificate_pem: str
    certificate_pin: bytes  # SHA-256 of the certificate's SubjectPublicKeyInfo
    rev: int
    client_record: str  # the documented JSON string: pub_enc, pub_sign, rev, sig, updated
    uuid: str
    card: str  # the card's own JSON, signed, as it is exchanged


# --- the ledger -------------------------------------------------------------------------------------------------


class State(StrEnum):
    """The life of an operation. ``ceremony.lifecycle`` has the one table of moves."""

    PROPOSED = "PROPOSED"
    VOTING = "VOTING"
    APPROVED = "APPROVED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRow:
    """One operation as journalled. ``proposal`` is the proposer's signed statement; ``result`` the encoded outcome;
    ``expires_ms`` is by the wall clock, ``ends_ms`` by this node's steady time."""

    id: OperationId
    digest: bytes
    kind: str
    vault: VaultId | None
    proposer: DeviceId
    proposal: bytes
    state: State
    created_ms: int
    expires_ms: int
    ends_ms: int
    attempt: int = 0  # highest attempt this node has taken part in
    released: bool = False  # a signature share has left, or is about to: a signature may exist
    reason: str = ""
    detail: str = ""
    culprits: tuple[DeviceId, ...] = ()
    result: bytes = b""
    updated_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What to know of an operation that has not ended, to look after many: not the proposal, but its ``size`` in
    bytes."""

    id: OperationId
    proposer: DeviceId
    state: State
    expires_ms: int
    ends_ms: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    operation: OperationId
    digest: bytes
    decision: Decision
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What an operation takes of limits over a window: its effect, encoded, and when it was approved."""

    operation: OperationId
    effect: bytes
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision with the effect it was about, encoded, and whether the operation goes on, or was signed or may have
    been. ``number`` counts all decisions of a node."""

    number: int
    row: DecisionRow
    effect: bytes
    counts: bool


class EpochState(StrEnum):
    PENDING = "PENDING"  # shares durable, record not signed by us: may be dropped
    SIGNED = "SIGNED"  # our signature over the record may be out: never dropped for want of a certificate
    ACTIVE = "ACTIVE"
    RETIRED = "RETIRED"
    ERASED = "ERASED"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One sharing of one vault's keys. ``record`` is the encoded epoch record, ``certificate`` its signatures once
    complete, ``acknowledgements`` the signed acknowledgements held so far, ``trial`` the encoded trial signatures;
    ``waived``: the operator here goes on without the acknowledgements that are missing."""

    vault: VaultId
    epoch: Epoch
    attempt: int
    record_hash: bytes
    record: bytes
    state: EpochState
    operation: OperationId
    certificate: bytes = b""
    acknowledgements: Mapping[DeviceId, bytes] = field(default_factory=dict)
    trial: bytes = b""
    waived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedShare:
    """A party's share on one curve on its way to the ledger, which seals it."""

    curve: Curve
    indices: tuple[int, ...]
    secret: SecretBytes


class SetupState(StrEnum):
    PENDING = "PENDING"  # ours is durable; whether the peer's is, we have not heard
    LIVE = "LIVE"
    DEAD = "DEAD"  # for ever; its secret is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupRow:
    """One pair set-up of a sharing, without its secret. ``generation`` counts those of one peer from 0."""

    vault: VaultId
    epoch: Epoch
    attempt: int
    peer: DeviceId
    generation: int
    id: bytes
    state: SetupState


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSetup:
    """Our half of a pair set-up on its way to the ledger, which seals it, or back: ``PairSetup.seal()``."""

    id: bytes
    peer: DeviceId
    generation: int
    secret: SecretBytes

    def __post_init__(self) -> None:
        if len(self.id) != 32 or self.generation < 0:
            raise Bug(f"set-up with {self.peer}: an id has 32 bytes, generations count from 0")


NO_VOTES: Mapping[DeviceId, bytes] = MappingProxyType({})


class Ledger(ForkShelf, PolicyShelf, AuditTrail, QuarantineShelf, Protocol):
    """The durable side of a node. Synchronous and thread-safe; every method that changes something returns only when
    the change is on disk (fsync), and each is one transaction. Called from worker threads."""

    @property
    def fault(self) -> Unwritable | None:
        """Why nothing can be written, as far as is known without trying. Never waits."""

    # operations
    def add_operation(self, row: OperationRow, *, client: str = "", role: str = "") -> OperationRow:
        """Insert, or return the row already there under this id (unchanged). ``client`` and ``role``: who asked."""

    def operation(self, operation: OperationId) -> OperationRow | None: ...

    def unfinished(self) -> Sequence[Unfinished]:
        """Every operation that has not ended, newest first."""

    def operations(self, *, limit: int = 1000) -> Sequence[OperationRow]:
        """Newest first."""

    def operations_of(self, kind: str) -> Sequence[OperationId]:
        """All of one kind that there ever were, newest first: however many of others came since."""

    def operation_ids(self, *, limit: int, after: OperationId | None = None) -> Sequence[OperationId]:
        """Newest first, and only those older than ``after``, which must be one of them (else ``UsageError``)."""

    def move_operation(
        self, operation: OperationId, frm: Sequence[State], to: State, *, reason: str = "", detail: str = "",
        culprits: Sequence[DeviceId] = (), result: bytes = b"", released: bool = False,
    ) -> bool:  # fmt: skip
        """Set the state if it is one of ``frm``; False, and nothing changed, if it is not. RELEASED stays once set."""

    def begin_attempt(
        self,
        operation: OperationId,
        attempt: int,
        session: SessionId,
        *,
        released: bool = False,
        setups: Sequence[bytes] = (),
        sharing: bytes = b"",
        votes: Mapping[DeviceId, bytes] = NO_VOTES,
    ) -> bool:
        """One transaction: the session id into the unique table of consumed ones, the attempt strictly above any
        before, the state VOTING (whose votes were just shown to us), APPROVED or RUNNING → RUNNING; ``released``: and
        RELEASED, as others are about to sign without us; ``votes``: others', on which the attempt stands, kept unless
        there is one. False, and nothing changed, if any of these fails.
        ``NoSetup``, and nothing changed, unless each of ``setups``, ids, is LIVE in an ACTIVE sharing; ``StaleEpoch``
        unless ``sharing``, a record hash, is that of an ACTIVE one, if there is one to begin under."""

    def release(self, operation: OperationId, attempt: int, digest: bytes) -> bool:
        """Journal RELEASED. False unless the operation is RUNNING this attempt, has this digest, and this node's
        recorded decision for that digest is APPROVE. ``StaleEpoch`` where the sharing that the attempt was begun under
        is ACTIVE no more."""

    # time
    def kept_time(self) -> KeptTime | None:
        """What ``keep_time`` kept last; None before the first."""
        ...

    def keep_time(self, time: KeptTime) -> None: ...

    # votes and decisions
    def record_decision(self, row: DecisionRow, *, request: bytes = b"", effect: bytes = b"") -> None:
        """``request``: what the approver was asked, as JSON; ``effect``: what the operation does, encoded."""

    def decision(self, operation: OperationId) -> DecisionRow | None: ...

    def decided_request(self, operation: OperationId) -> bytes:
        """What the approver was asked before its last decision, as JSON; empty where nothing was kept."""
        ...

    def record_vote(
        self, operation: OperationId, voter: DeviceId, vote: bytes, *, heads: PeerHeads | None = None
    ) -> bytes:
        """Keep a signed vote; the first one stands. Returns the one that stands. ``heads``: what we hold of the voter's
        audit chain from now on."""

    def votes(self, operation: OperationId) -> Mapping[DeviceId, bytes]: ...

    # epochs and shares
    def store_pending(
        self, row: EpochRow, shares: Sequence[SealedShare], setups: Sequence[SealedSetup]
    ) -> None:
        """Seal the shares and set-ups and keep them with the record, state PENDING. The set-ups are of generation 0,
        and LIVE as soon as the sharing is ACTIVE."""

    def mark_signed(self, vault: VaultId, epoch: Epoch, attempt: int) -> None:
        """PENDING → SIGNED; must be durable before the signature over the record exists."""
        ...

    def activate(self, vault: VaultId, epoch: Epoch, attempt: int, certificate: bytes) -> None:
        """SIGNED → ACTIVE with its certificate; RETIRED for the vault's earlier ACTIVE one, and for every sharing of an
        earlier epoch."""
        ...

    def adopt(self, row: EpochRow) -> None:
        """Keep a certified sharing of which nothing is ours as the ACTIVE one, RETIRED for every earlier one;
        ``StaleEpoch`` unless it is later than every one that was signed."""
        ...

    def record_trial(self, vault: VaultId, epoch: Epoch, attempt: int, trial: bytes) -> None:
        """The first that is recorded stands."""
        ...

    def waive(self, vault: VaultId, epoch: Epoch, attempt: int) -> None:
        """Go on without the acknowledgements that are missing of an ACTIVE sharing; never of the first epoch."""
        ...

    def erase_before(self, vault: VaultId, epoch: Epoch, attempt: int) -> int:
        """Erase the shares and set-ups of every epoch before an ACTIVE one, out of the file and its log; how many
        sharings became ERASED."""
        ...

    def drop_pending(self, vault: VaultId, epoch: Epoch, attempt: int) -> bool:
        """Erase a PENDING sharing whose record we never signed; False if it was SIGNED or further."""
        ...

    def record_acknowledgement(
        self, vault: VaultId, epoch: Epoch, attempt: int, device: DeviceId, ack: bytes
    ) -> None: ...

    def epochs(self, vault: VaultId | None = None) -> Sequence[EpochRow]: ...

    def active_epoch(self, vault: VaultId) -> EpochRow | None: ...

    def share(self, vault: VaultId, epoch: Epoch, attempt: int, curve: Curve) -> SealedShare:
        """Unseal a share; ``Corrupt`` naming the row if it does not open under its own place."""
        ...

    # pair set-ups
    def setups(self, vault: VaultId, epoch: Epoch, attempt: int) -> Sequence[SetupRow]:
        """Every generation, in rising order of (peer, generation)."""
        ...

    def setup(self, vault: VaultId, epoch: Epoch, attempt: int, peer: DeviceId) -> SealedSetup:
        """Unseal the LIVE one with a peer; ``NoSetup`` if there is none, or the sharing is not ACTIVE; ``Corrupt``
        naming the row if it does not open under its own place."""
        ...

    def live_setup(self, vault: VaultId, epoch: Epoch, attempt: int, peer: DeviceId) -> bytes:
        """The id of what ``setup`` would unseal now; ``NoSetup`` likewise."""
        ...

    def store_setup(
        self,
        vault: VaultId,
        epoch: Epoch,
        attempt: int,
        setup: SealedSetup,
        state: Literal[SetupState.PENDING, SetupState.LIVE],
    ) -> None:
        """Keep the next generation, in place of one that is PENDING; a LIVE one becomes DEAD. ``StaleEpoch`` unless
        the sharing is ACTIVE, ``StoreError`` unless the generation is above every LIVE or DEAD one with that peer."""
        ...

    def enliven_setup(self, vault: VaultId, epoch: Epoch, peer: DeviceId, setup: bytes) -> bool:
        """PENDING → LIVE, by id; False, and nothing changed, unless it is PENDING in the ACTIVE sharing."""
        ...

    def kill_setup(self, setup: bytes) -> None:
        """Any state → DEAD, by id, and its secret erased from the file and its log. One we do not hold is dead."""
        ...

    # peers
    def peers(self) -> Mapping[DeviceId, Peer]: ...

    def learn_card(self, device: DeviceId, card: str) -> bool:
        """Keep a later card that a known peer showed of itself (ST-5.8); whether it was new."""
        ...
