"""Whole nodes in one process: real ledgers and ceremonies, a mesh of function calls, approvers that obey."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from quorate.approval.manual import ManualApprover
from quorate.approval.policy.approver import PolicyApprover
from quorate.approval.policy.book import Book
from quorate.approval.policy.library import Library
from quorate.approval.policy.rules import Policy
from quorate.ceremony.ceremonies import Ceremonies
from quorate.ceremony.context import Boot, Limits
from quorate.ceremony.identity import Identity
from quorate.ceremony.policies import Governing, Policies
from quorate.ceremony.ports import ApprovalRequest, Decision, Mesh, Method, Verdict
from quorate.ceremony.session import Patience
from quorate.ceremony.versions import SPOKEN
from quorate.ceremony.views import Caller, OperationView, VaultView
from quorate.errors import PeerError, QuorateError, UsageError
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.rpc.tls import create_identity
from quorate.storage.keywrap import KeySource
from quorate.storage.keywrap.keyfile import KeyFile
from quorate.storage.ledger import SqliteLedger

NO_KEYS: Mapping[str, KeySource] = MappingProxyType({})
CALLER = Caller(client="tester", role="signer")
QUICK = Limits(
    ask=2.0, repeat=0.2, carry_out=8.0, patience=Patience(silence=2.0, unlinked=0.5, deadline=20.0)
)


class SystemEntropy:
    def public(self, size: int) -> bytes:
        return os.urandom(size)

    def secret(self, size: int) -> SecretBytes:
        return SecretBytes.of(os.urandom(size))


@dataclass
class SteadyClock:
    """The real one, that a test can push."""

    ahead_ms: int = 0
    ahead_s: float = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass
class Says:
    """An approver that says what it is told to, and remembers what it was asked."""

    verdict: Verdict = Verdict.APPROVE
    name: str = "says"
    rule: str = "told"
    asked: list[ApprovalRequest] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def decide(self, request: ApprovalRequest) -> Decision:
        self.asked.append(request)
        if self.gate is not None:
            await self.gate.wait()
        return Decision(verdict=self.verdict, approver=self.name, rule=self.rule, explanation="as told")


Intercept = Callable[[DeviceId, DeviceId, Method, bytes], bytes | None]


class World:
    """Nodes by name, on the stores that are in the folder, else on new ones. ``down`` are unreachable; ``intercept``
    sees every request and may replace its body; ``cut`` says which envelopes get lost."""

    def __init__(self, folder: Path, names: Iterable[str], keys: Mapping[str, KeySource] = NO_KEYS) -> None:
        self.folder, self.keys = folder, keys
        self.nodes: dict[str, Node] = {}
        self.down: set[DeviceId] = set()
        self.cut: Callable[[DeviceId, DeviceId, bytes], bool] = lambda *_: False
        self.intercept: Intercept = lambda *_: None
        self.requests: list[tuple[DeviceId, DeviceId, Method]] = []
        self.refusals: list[tuple[DeviceId, Method, str]] = []
        for name in names:
            self.nodes[name] = Node(self, name)
        self.down |= {node.device for node in self.nodes.values()}  # until they start
        for node in self.nodes.values():
            for other in self.nodes.values():
                if other.device not in node.ledger.peers():
                    node.ledger.add_peer(other.card)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def of(self, device: DeviceId) -> Node:
        return next(node for node in self.nodes.values() if node.device == device)

    async def start(self) -> None:
        for node in self.nodes.values():
            await node.start()

    async def stop(self) -> None:
        for node in self.nodes.values():
            await node.stop()
            node.pool.shutdown()
            node.ledger.close()


class Node:
    person: ManualApprover | None = None  # decides in its place
    governing: Governing | None = None  # from its next start on
    policy: Policy | None = None  # it decides by this file, or the signed one, from its next start on

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.clock = SteadyClock()
        self.approver = Says()
        self.limits, self.versions = QUICK, SPOKEN
        self.path = world.folder / name / "store.db"
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.key = world.keys.get(name) or new_key(self.path.parent / "key")
        self.ledger: SqliteLedger
        if self.path.exists():
            self.open()
        else:
            self._create()
        self.card = self.ledger.me.card
        self.device = self.ledger.me.device
        self.pool = ThreadPoolExecutor(2)
        self.ceremonies: Ceremonies

    def _create(self) -> None:
        identity = Identity.generate(SystemEntropy(), self.name)
        tls = create_identity(identity.device)
        self.ledger = SqliteLedger.create(
            self.path, self.key, identity=identity, address="127.0.0.1:1", hardware_id="test",
            certificate_pem=tls.certificate_pem, tls_key=SecretBytes.of(tls.private_key_pem),
        )  # fmt: skip

    async def start(self) -> None:
        boot = self.ledger.boot()
        self.policies = Policies(self.ledger, self.device, self.governing)
        self.library = Library(self.policies, frozenset())
        by_policy = self._by_policy() if self.policy is not None else None
        self.ceremonies = Ceremonies(
            identity=self.ledger.identity, ledger=self.ledger, mesh=self.line(), policies=self.policies,
            approver=self.person or by_policy or self.approver, inbox=self.person, rulebook=self.library,
            clock=self.clock, entropy=SystemEntropy(), boot=Boot(counter=boot.counter, id=boot.id, at_ms=0),
            pool=self.pool, version="test", limits=self.limits, versions=self.versions,
        )  # fmt: skip
        self.world.down.discard(self.device)
        await self.ceremonies.start()

    def _by_policy(self) -> PolicyApprover:
        source = self.library.source("approver", self.policy, bootstrap=True)
        return PolicyApprover(source, Book(self.ledger, here=self.device), self.clock, others={})

    def line(self) -> Mesh:
        return Line(self.world, self)

    async def stop(self) -> None:
        self.world.down.add(self.device)
        await self.ceremonies.stop()

    async def restart(self) -> None:
        """Everything in memory goes; the disk stays."""
        await self.stop()
        self.ledger.close()
        self.open()
        if self.person is not None:
            self.person = ManualApprover()
        await self.start()

    async def ask_a_person(self) -> None:
        """From now on nothing is approved here but by ``decide``."""
        self.person = ManualApprover()
        await self.restart()

    def open(self) -> None:
        """The store as it is on the disk."""
        self.ledger = SqliteLedger.open(self.path, self.key)

    async def create_vault(
        self, name: str, weights: dict[str, int], threshold: int, *, seconds: float = 12, sole: bool = False
    ) -> OperationView:
        view = await self.ceremonies.clients.create_vault(
            CALLER, name=name, weights=weights, threshold=threshold, allow_sole_signer=sole, memo="",
            idempotency_key=f"create {name}", expires_in_ms=None,
        )  # fmt: skip
        return await self.ceremonies.clients.wait(CALLER, view.id, seconds)

    async def reshare(
        self, vault: str, weights: dict[str, int] | None = None, *, removed: tuple[str, ...] = (),
        threshold: int | None = None, sole: bool = False, key: str = "", seconds: float = 20,
    ) -> OperationView:  # fmt: skip
        view = await self.ceremonies.clients.reshare(
            CALLER, vault=vault, weights=weights or {}, removed=removed, threshold=threshold,
            allow_sole_signer=sole, memo="", idempotency_key=key or os.urandom(8).hex(), expires_in_ms=None,
        )  # fmt: skip
        return await self.ceremonies.clients.wait(CALLER, view.id, seconds)

    async def ready(self, name: str, *, seconds: float = 10) -> VaultView:
        """The vault once this node calls it ready."""
        ends = time.monotonic() + seconds
        while (view := await self.ceremonies.clients.vault(CALLER, name)).state != "ready":
            assert time.monotonic() < ends, f"{self.name} still calls {name} {view.state}"
            await asyncio.sleep(0.05)
        return view

    async def sign(
        self, vault: str, *data: str, batch: bool = False, seconds: float = 12, key: str = "",
        content: str = "text/plain", path: str = "", algorithm: str = "EDDSA", life_ms: int | None = None,
    ) -> OperationView:  # fmt: skip
        view = await self.ceremonies.clients.sign(
            CALLER, vault=vault, data=data, batch=batch, content_type=content, algorithm=algorithm,
            derivation_path=path, idempotency_key=key or os.urandom(8).hex(), expires_in_ms=life_ms,
        )  # fmt: skip
        return await self.ceremonies.clients.wait(CALLER, view.id, seconds)


class Line:
    """One node's mesh."""

    def __init__(self, world: World, node: Node) -> None:
        self._world, self._me = world, node.device
        self._loop = asyncio.get_running_loop()

    async def request(
        self,
        peer: DeviceId,
        method: Method,
        body: bytes,
        *,
        timeout: float,
    ) -> bytes:
        world = self._world
        await asyncio.sleep(0)
        if {peer, self._me} & world.down:
            raise PeerError(peer, "down")
        world.requests.append((self._me, peer, method))
        changed = world.intercept(self._me, peer, method, body)
        target = world.of(peer).ceremonies
        try:
            async with asyncio.timeout(timeout):  # wait_for would lose a cancellation now and then
                return await target.on_request(self._me, method, body if changed is None else changed)
        except TimeoutError:
            raise PeerError(peer, "no answer in time") from None
        except QuorateError as error:
            world.refusals.append((peer, method, code_of(error)))
            raise PeerError(peer, str(error), code=code_of(error)) from None

    def post(self, peer: DeviceId, frame: bytes) -> None:
        if {peer, self._me} & self._world.down or self._world.cut(self._me, peer, frame):
            return
        self._loop.call_soon(self._world.of(peer).ceremonies.on_envelope, self._me, frame)

    def connected(self, peer: DeviceId) -> bool:
        return not {peer, self._me} & self._world.down


def new_key(path: Path) -> KeyFile:
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    return KeyFile(path)


def code_of(error: QuorateError) -> str:
    return error.code if isinstance(error, (UsageError, PeerError)) else error.reason
