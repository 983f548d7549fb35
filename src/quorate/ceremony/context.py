"""What every part of the ceremony layer of one node shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TypeVar

from quorate.ceremony.bell import Board
from quorate.ceremony.identity import Identity
from quorate.ceremony.pairs import Pairs
from quorate.ceremony.policies import Policies
from quorate.ceremony.ports import Approver, Clock, Entropy, Inbox, Ledger, Mesh, Method, Peer
from quorate.ceremony.quarantine import Quarantine
from quorate.ceremony.rulebook import Rulebook
from quorate.ceremony.session import Patience, Sessions
from quorate.ceremony.steady_time import SteadyTime
from quorate.ceremony.vaults import Vaults
from quorate.ceremony.versions import SPOKEN, Versions
from quorate.errors import PeerError, Sealed, UsageError
from quorate.identifiers import DeviceId
from quorate.operations.tokens import Tokens

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in milliseconds where the name says so, else in seconds."""

    expiry_ms: int = 24 * 3600 * 1000  # of an operation, unless its request says otherwise
    longest_expiry_ms: int = 7 * 24 * 3600 * 1000
    clock_tolerance_ms: int = 30_000
    join_life: float = 60.0
    ask: float = 5.0  # one request to one peer
    repeat: float = 2.0  # between repetitions of a proposal to a peer that has not voted
    carry_out: float = 300.0  # from approval to the end, over all attempts
    attempts: int = 8
    unfinished: int = 1000  # operations of one proposer at once
    unfinished_bytes: int = 64 << 20  # their proposals together
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """One start of this node: the counter never goes back, the id is random."""

    counter: int
    id: bytes
    at_ms: int


@dataclass(slots=True, kw_only=True, eq=False)
class Context:
    """``limits``, ``tokens`` and ``boot`` alone are exchanged while the node runs; ``set_back`` is found out."""

    identity: Identity
    ledger: Ledger
    mesh: Mesh
    approver: Approver
    clock: Clock
    steady: SteadyTime
    entropy: Entropy
    limits: Limits
    boot: Boot
    pool: Executor
    vaults: Vaults
    pairs: Pairs
    quarantine: Quarantine
    policies: Policies
    rulebook: Rulebook
    sessions: Sessions
    board: Board
    organisation: str
    inbox: Inbox | None = None  # where requests wait for a person, if our approver is one
    tokens: Tokens = field(default_factory=Tokens)  # that this node has names for
    set_back: str = ""  # why our audit chain is not the one that we signed (AU-3.5)
    versions: Versions = SPOKEN  # of the protocol, that this node speaks

    @property
    def me(self) -> DeviceId:
        return self.identity.device

    def key_of(self, device: DeviceId) -> bytes | None:
        """The identity key of a known device; a device is known by its card."""
        peer = self.ledger.peers().get(device)
        return peer.identity_key if peer is not None else None

    def peer(self, device: DeviceId) -> Peer:
        peer = self.ledger.peers().get(device)
        if peer is None:
            raise UsageError(f"{device} is no peer here: add its card first", code="UNKNOWN_PEER")
        return peer

    def name_of(self, device: DeviceId) -> str:
        peer = self.ledger.peers().get(device)
        return peer.name if peer is not None else device

    def require_store(self) -> None:
        """CE-1.11 store: ``Unwritable`` while the store takes no changes: what is begun then could not be kept."""
        fault = self.ledger.fault
        if fault is not None:
            raise type(fault)(str(fault))

    def require_unsealed(self) -> None:
        """CE-9.1 sealed: ``Sealed`` while this node is."""
        fault = self.ledger.fault
        if isinstance(fault, Sealed):
            raise Sealed(str(fault))

    async def aside(self, work: Callable[[], T]) -> T:
        """Run blocking work (the disk, arithmetic) in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, copy_context().run, work)

    async def tell(self, peer: DeviceId, method: Method, body: bytes) -> None:
        """Say something that the peer can also find out by asking: a failure is not ours to mend."""
        try:
            await self.mesh.request(peer, method, body, timeout=self.limits.ask)
        except PeerError:
            return
