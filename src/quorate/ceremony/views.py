"""What the client side sees: who asks, and how this node's vaults, operations and own state look to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.ceremony.ports import SetupState, State
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId

OWNER = "local"  # the client id of whoever can open the node's Unix socket; no other client has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, after authentication. ``role``: the strongest that allows it; of the Unix socket's owner, ``owner``."""

    client: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerView:
    device: DeviceId
    name: str
    weight: int
    online: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupView:
    """The newest pair set-up with another member: what ECDSA needs with it is there if it is LIVE."""

    device: DeviceId
    name: str
    generation: int
    state: SetupState


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultView:
    id: VaultId
    name: str
    epoch: int
    certificate_hash: bytes
    threshold: int
    signers: tuple[SignerView, ...]
    state: str  # pending | active | ready | quarantined
    public_keys: Mapping[Curve, bytes]  # compressed 33 bytes, 32 bytes
    chain_codes: Mapping[Curve, bytes]
    xpubs: Mapping[Curve, str]
    setups: tuple[SetupView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteView:
    device: DeviceId
    name: str
    weight: int
    verdict: str  # "" while unknown; approve | reject | abstain
    approver: str = ""  # who decided there, and by what rule, as the voter says
    rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureView:
    """``signature`` is 64 bytes: R ‖ z, or for ECDSA r ‖ s with the recovery id (SEC 1, section 4.1.6) beside it.
    ``transaction``: what was signed was one, and this is how it is sent to its chain."""

    algorithm: str
    message: bytes
    signature: bytes
    public_key: bytes
    recovery_id: int | None = None
    transaction: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationView:
    id: OperationId
    kind: str
    vault: VaultId | None
    state: State
    created_ms: int
    expires_ms: int
    proposer: DeviceId
    votes: tuple[VoteView, ...]
    approved_weight: int
    threshold: int
    attempt: int
    reason: str
    detail: str
    culprits: tuple[DeviceId, ...]
    signature_may_exist: bool
    signers: tuple[DeviceId, ...]
    signatures: tuple[SignatureView, ...]
    phase: str = ""  # how far a running attempt has come, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedView:
    """What an approver was asked: the request as JSON, the digest that a decision binds, and whether it waits for a
    person."""

    operation: OperationId
    digest: bytes
    request: str
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why this node, or one vault on it, is not ready. ``code`` is a reason code."""

    code: str
    detail: str
    vault: VaultId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    device: DeviceId
    name: str
    version: str
    started_ms: int
    boot: int
    peers: Mapping[DeviceId, bool]
    vaults: tuple[VaultView, ...]
    unfinished: int
    not_ready: tuple[Cause, ...] = ()
    warnings: tuple[Cause, ...] = ()  # what somebody should look at, and readiness does not turn on
