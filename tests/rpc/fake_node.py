"""A ``NodeApi`` and a registry that remember what they were asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from quorate.ceremony.audit import AuditVerdict, Flaw
from quorate.ceremony.chronicle import History
from quorate.ceremony.ports import Decided, Peer, SetupState, State, Verdict
from quorate.ceremony.rulebook import PolicyRow, PolicyView, ServedPolicy
from quorate.ceremony.views import (
    AskedView,
    Caller,
    Cause,
    NodeStatus,
    OperationView,
    SetupView,
    SignatureView,
    SignerView,
    VaultView,
    VoteView,
)
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.rpc.client import NodeClient
from quorate.rpc.client_certificates import read_certificate
from quorate.rpc.credentials import Credentials
from quorate.rpc.findings import Examination, Finding, Level, Pair
from quorate.rpc.limits import Limits, Pace
from quorate.rpc.node_server import NodeServer
from quorate.rpc.registry import Access
from quorate.rpc.tls import TlsIdentity, create_identity, server_name_of
from quorate.rpc.upkeep import AuditPage, BackupFile, Certificates, Reloaded
from quorate.storage.clients import EVERY, Client, Grant, Login

AMPLE = Pace(1e6, 10**6)
UNLIMITED = Limits(calls=AMPLE, strangers=AMPLE, failures=AMPLE, checks=AMPLE)
ALICE, BOB = DeviceId("a" * 24), DeviceId("b" * 24)
OPS = VaultView(
    id=VaultId("o" * 24),
    name="ops",
    epoch=3,
    certificate_hash=bytes(range(32)),
    threshold=3,
    signers=(
        SignerView(device=ALICE, name="alice", weight=2, online=True),
        SignerView(device=BOB, name="bob", weight=1, online=False),
    ),
    state="ready",
    public_keys={Curve.SECP256K1: b"\x02" * 33, Curve.ED25519: b"\x03" * 32},
    chain_codes={Curve.SECP256K1: b"\x04" * 32, Curve.ED25519: b"\x05" * 32},
    xpubs={Curve.SECP256K1: "xpub6"},
    setups=(SetupView(device=BOB, name="bob", generation=2, state=SetupState.DEAD),),
)
SIGNED_POLICY = PolicyRow(
    version=7,
    vault=OPS.id,
    policy=b"# rules\n",
    certificate=bytes(range(32)),
    signature=b"s" * 64,
    signers=(ALICE, BOB),
    at_ms=1_767_182_400_000,
)
POLICY = PolicyView(
    served=(
        ServedPolicy(section="approver", source="signed", policy=b"# rules\n", refused="PG-3.3 behind: ..."),
    ),
    signed=SIGNED_POLICY,
    latest=8,
    vault=OPS.id,
    public_key=b"\x03" * 32,
)
ASKED = AskedView(
    operation=OperationId("p" * 24), digest=bytes(range(32)), request='{"id":"p"}', pending=True
)
COLD = VaultView(
    id=VaultId("c" * 24),
    name="cold",
    epoch=0,
    certificate_hash=b"",
    threshold=1,
    signers=(),
    state="pending",
    public_keys={},
    chain_codes={},
    xpubs={},
)
FINDINGS = (
    Finding(check="approver sign", level=Level.OK, said="answers"),
    Finding(check="approver create-vault", level=Level.PROBLEM, said="lies", code="AP-3.6", remedy="a key"),
)
EXAMINATION = Examination(
    findings=FINDINGS,
    pairs=(
        Pair(observer="alice", peer="bob", connected=True, rtt=0.001, clock_offset=-60.5, version="1"),
        Pair(observer="bob", peer="alice", connected=False, certificate_ends_ms=1),
    ),
)


def operation(letter: str = "p", **changes: Any) -> OperationView:
    fields: dict[str, Any] = {
        "id": OperationId(letter * 24),
        "kind": "sign",
        "vault": OPS.id,
        "state": State.COMPLETED,
        "created_ms": 1_700_000_000_000,
        "expires_ms": 1_700_000_600_000,
        "proposer": ALICE,
        "votes": (
            VoteView(device=ALICE, name="alice", weight=2, verdict="approve", approver="policy", rule="R 1"),
            VoteView(device=BOB, name="bob", weight=1, verdict=""),
        ),
        "approved_weight": 2,
        "threshold": 2,
        "attempt": 1,
        "reason": "",
        "detail": "",
        "culprits": (BOB,),
        "signature_may_exist": True,
        "signers": (ALICE,),
        "signatures": (
            SignatureView(algorithm="EDDSA", message=b"", signature=b"s" * 64, public_key=b"k" * 32),
            *(
                SignatureView(
                    algorithm="ES256K",
                    message=b"m",
                    signature=b"e" * 64,
                    public_key=b"\x02" * 33,
                    recovery_id=recovery_id,
                )
                for recovery_id in range(4)
            ),
        ),
    }
    return OperationView(**(fields | changes))


@dataclass
class FakeNode:
    """``NodeApi``: every call lands in ``calls``; ``failure`` is raised if there is one."""

    calls: list[tuple[str, Caller | None, dict[str, Any]]] = field(default_factory=list)
    vaults_held: tuple[VaultView, ...] = (OPS, COLD)
    operations_held: tuple[OperationView, ...] = (operation(),)
    failure: Exception | None = None
    gate: asyncio.Event | None = None
    endless: bool = False
    watchers: int = 0

    async def _note(self, called: str, caller: Caller | None, /, **arguments: Any) -> None:
        self.calls.append((called, caller, arguments))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    async def create_vault(self, caller: Caller, **arguments: Any) -> OperationView:
        await self._note("create_vault", caller, **arguments)
        return operation(kind="create-vault", vault=None, state=State.PROPOSED, signatures=())

    async def sign(self, caller: Caller, **arguments: Any) -> OperationView:
        await self._note("sign", caller, **arguments)
        return operation(kind="batch-sign" if arguments["batch"] else "sign", state=State.VOTING)

    async def sign_transaction(self, caller: Caller, **arguments: Any) -> OperationView:
        await self._note("sign_transaction", caller, **arguments)
        return operation(kind=arguments["purpose"], state=State.VOTING)

    async def reshare(self, caller: Caller, **arguments: Any) -> OperationView:
        await self._note("reshare", caller, **arguments)
        return operation(kind="reshare", state=State.VOTING, signatures=())

    async def history(self, caller: Caller, vault: str) -> History:
        await self._note("history", caller, vault=vault)
        return History(certificates=(b"one", b"two"), forks=(b"three",))

    async def erase_earlier(self, caller: Caller, vault: str) -> VaultView:
        await self._note("erase_earlier", caller, vault=vault)
        return await self.vault(caller, vault)

    async def release_vault(self, caller: Caller, vault: str, without: Sequence[str]) -> VaultView:
        await self._note("release_vault", caller, vault=vault, without=without)
        return await self.vault(caller, vault)

    async def change_policy(self, caller: Caller, **arguments: Any) -> OperationView:
        await self._note("change_policy", caller, **arguments)
        return operation(kind="policy-change", state=State.VOTING, signatures=())

    async def policy(self, caller: Caller) -> PolicyView:
        await self._note("policy", caller)
        return POLICY

    async def policies(self, caller: Caller) -> Sequence[PolicyRow]:
        await self._note("policies", caller)
        return (SIGNED_POLICY,)

    async def install_policy(self, caller: Caller, **arguments: Any) -> PolicyView:
        await self._note("install_policy", caller, **arguments)
        return POLICY

    async def pair_reset(self, caller: Caller, **arguments: Any) -> OperationView:
        await self._note("pair_reset", caller, **arguments)
        return operation(kind="pair-reset", state=State.VOTING, signatures=())

    async def operation(self, caller: Caller, operation: str) -> OperationView:
        await self._note("operation", caller, operation=operation)
        for held in self.operations_held:
            if held.id == operation:
                return held
        raise UsageError(f"there is no operation {operation}", code="UNKNOWN_OPERATION")

    async def wait(self, caller: Caller, operation: str, timeout: float) -> OperationView:
        await self._note("wait", caller, operation=operation, timeout=timeout)
        return self.operations_held[0]

    async def operations(
        self, caller: Caller, *, limit: int, after: str = ""
    ) -> tuple[Sequence[OperationView], str]:
        await self._note("operations", caller, limit=limit, after=after)
        return self._page(limit, after)

    def _page(self, limit: int, after: str) -> tuple[Sequence[OperationView], str]:
        held = self.operations_held
        begin = [view.id for view in held].index(OperationId(after)) + 1 if after else 0
        page = held[begin : begin + limit]
        return page, page[-1].id if len(held) > begin + limit else ""

    async def watch(
        self, caller: Caller, *, operation: str = "", vault: str = ""
    ) -> AsyncIterator[OperationView]:
        await self._note("watch", caller, operation=operation, vault=vault)
        self.watchers += 1
        try:
            for held in self.operations_held:
                yield held
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.watchers -= 1

    async def cancel(self, caller: Caller, operation: str) -> OperationView:
        await self._note("cancel", caller, operation=operation)
        return self.operations_held[0]

    async def asked(self, caller: Caller, operation: str) -> AskedView:
        await self._note("asked", caller, operation=operation)
        return ASKED

    async def receipt(self, caller: Caller, operation: str) -> str:
        await self._note("receipt", caller, operation=operation)
        return "{}"

    async def pending(
        self, caller: Caller, *, limit: int, after: str = ""
    ) -> tuple[Sequence[OperationView], str]:
        await self._note("pending", caller, limit=limit, after=after)
        return self._page(limit, after)

    async def decide(
        self, caller: Caller, *, operation: str, digest: bytes, verdict: Verdict, reason: str
    ) -> OperationView:
        await self._note("decide", caller, operation=operation, digest=digest, verdict=verdict, reason=reason)
        return self.operations_held[0]

    async def vaults(self, caller: Caller) -> Sequence[VaultView]:
        return self.vaults_held

    async def vault(self, caller: Caller, vault: str) -> VaultView:
        await self._note("vault", caller, vault=vault)
        for held in self.vaults_held:
            if vault in (held.id, held.name):
                return held
        raise UsageError(f"there is no vault {vault}", code="UNKNOWN_VAULT")

    async def status(self) -> NodeStatus:
        await self._note("status", None)
        return NodeStatus(
            device=ALICE,
            name="alice",
            version="1",
            started_ms=5,
            boot=2,
            peers={BOB: True},
            vaults=self.vaults_held,
            unfinished=1,
        )


@dataclass
class FakeBook:
    """The registry and the check of secrets, over a dictionary."""

    cards: list[Peer] = field(default_factory=list)
    decisions: list[Decided] = field(default_factory=list)
    secrets: dict[str, tuple[str, Client]] = field(default_factory=dict)
    pinned: list[Login] = field(default_factory=list)
    checks: int = 0
    rotations: int = 0

    def enrol(self, name: str, *grants: Grant) -> str:
        secret = f"secret of {name}"
        client = Client(id=name, grants=grants, created_ms=7)
        self.secrets[name] = (secret, client)
        return secret

    def pin(self, name: str, identity: TlsIdentity, *grants: Grant) -> None:
        """Enrol a client that has this certificate."""
        client = Client(id=name, grants=grants, created_ms=7)
        certificate = read_certificate(identity.certificate_pem)
        self.secrets[name] = ("", client)
        self.pinned.append(Login(client=client, until_ms=None, certificate=certificate))

    def authenticate(self, name: str, secret: str) -> Login | None:
        self.checks += 1
        expected, client = self.secrets.get(name, ("", None))
        return Login(client=client, until_ms=None) if client is not None and secret == expected else None

    def certified(self) -> Sequence[Login]:
        return tuple(self.pinned)

    def peers(self) -> Sequence[Peer]:
        return self.cards

    def add_peer(self, card: str) -> Peer:
        raise UsageError(f"not a card: {len(card)} characters", code="INVALID_CARD")

    def remove_peer(self, device: DeviceId) -> Peer:
        raise UsageError(f"no peer {device} is known here", code="UNKNOWN_PEER")

    def decided(self, since_ms: int, *, after: int, limit: int) -> Sequence[Decided]:
        return [each for each in self.decisions if each.row.at_ms >= since_ms and each.number > after][:limit]

    def clients(self) -> Sequence[Client]:
        return [client for _, client in self.secrets.values()]

    def add_client(
        self, client: str, grants: Sequence[Grant], *, certificate_pem: str = "", idempotency_key: str = ""
    ) -> Access:
        return Access(endpoint="node:7200", secret=self.enrol(client, *grants), ca_pem="PEM")

    def rotate_client(
        self, client: str, *, certificate_pem: str = "", overlap_ms: int = 0, idempotency_key: str = ""
    ) -> Access:
        if client not in self.secrets:
            raise UsageError(f"there is no client {client}", code="UNKNOWN_CLIENT")
        self.rotations += 1
        secret = f"secret {self.rotations} of {client}"
        self.secrets[client] = (secret, self.secrets[client][1])
        return Access(endpoint="node:7200", secret=secret, ca_pem="PEM")

    def revoke_client(self, client: str) -> None:
        self.pinned = [each for each in self.pinned if each.client.id != client]
        if self.secrets.pop(client, None) is None:
            raise UsageError(f"there is no client {client}", code="UNKNOWN_CLIENT")


class FakeExaminer:
    def __init__(self) -> None:
        self.under_way = 0
        self.gate: asyncio.Event | None = None

    async def node(self) -> Examination:
        await self._look()
        return EXAMINATION

    async def approver(self) -> Sequence[Finding]:
        await self._look()
        return FINDINGS

    async def _look(self) -> None:
        self.under_way += 1
        if self.gate is not None:
            await self.gate.wait()


class FakeSealing:
    """Who sealed, and what with it was unsealed."""

    def __init__(self) -> None:
        self.sealed = False
        self.passphrases: list[bytes] = []

    async def seal(self) -> None:
        self.sealed = True

    async def unseal(self, passphrase: bytes) -> None:
        self.sealed = False
        self.passphrases.append(passphrase)


class FakeUpkeep:
    def __init__(self) -> None:
        self.sealing = FakeSealing()

    def certificates(self) -> Certificates:
        raise UsageError("not here")

    def rotate(self, *, rev: int, at_once: bool) -> Certificates:
        raise UsageError(f"not here: {rev} {at_once}")

    def set_address(self, device: str, address: str) -> Peer:
        raise UsageError(f"no {device} at {address}", code="UNKNOWN_PEER")

    def reload(self) -> Reloaded:
        return Reloaded(changed=("limits.drain",), restart=("peer.port",))

    def create_backups(self, vault: str, *, anew: bool) -> Sequence[BackupFile]:
        return () if anew else self.backups()

    def audit(self, *, after: int, limit: int) -> AuditPage:
        records = tuple(f"record {number}" for number in range(after + 1, min(after + limit, 3) + 1))
        return AuditPage(device=DeviceId("d" * 24), records=records, head="head")

    def examine_audit(self) -> AuditVerdict:
        flaw = Flaw(sequence=2, rule="AU-2.1 edited", said="it does not read")
        return AuditVerdict(records=3, last=3, flaws=(flaw,))

    def backups(self) -> Sequence[BackupFile]:
        return (
            BackupFile(
                path="/backups/one.backup", vault=VaultId("v" * 24), vault_name="one", epoch=2, attempt=1,
                device="d" * 24, made="2030-01-01T00:00:00Z", live=True,
            ),
        )  # fmt: skip


class Served:
    """A node server on loopback and on a socket in ``home``, and clients for it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.api = FakeNode()
        self.book = FakeBook()
        self.causes: tuple[Cause, ...] = ()
        self.limits = UNLIMITED
        self.certificates = False
        self.refused: list[str] = []
        self.examiner = FakeExaminer()
        self.upkeep = FakeUpkeep()
        self.tls = create_identity(ALICE)
        self.port = 0
        self.server: NodeServer | None = None

    async def start(self) -> None:
        self.server = NodeServer(
            self.api,
            self.tls,
            f"127.0.0.1:{self.port}",
            socket=self.home / "quorate.sock",
            logins=self.book,
            registry=self.book,
            causes=lambda: self.causes,
            examiner=self.examiner,
            certificate_address="127.0.0.1:0" if self.certificates else "",
            limits=self.limits,
            refused=self.refused.append,
            upkeep=self.upkeep,
        )
        self.port = await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop()

    def credentials(self, name: str, secret: str) -> Credentials:
        return Credentials(
            endpoint=f"127.0.0.1:{self.port}",
            client_id=name,
            secret=secret,
            ca_pem=self.tls.certificate_pem,
        )

    def enrolled(self, name: str, role: str, vaults: Sequence[str] = (EVERY,)) -> NodeClient:
        return NodeClient.remote(self.credentials(name, self.book.enrol(name, Grant(role, tuple(vaults)))))

    def local(self) -> NodeClient:
        return NodeClient.local(self.home)

    def called(self, name: str) -> list[tuple[Caller | None, Mapping[str, Any]]]:
        return [(caller, arguments) for called, caller, arguments in self.api.calls if called == name]


def secure_channel(served: Served) -> grpc.aio.Channel:
    tls = grpc.ssl_channel_credentials(served.tls.certificate_pem.encode())
    name = server_name_of(served.tls.certificate_pem)
    return grpc.aio.secure_channel(
        f"127.0.0.1:{served.port}", tls, options=[("grpc.ssl_target_name_override", name)]
    )
