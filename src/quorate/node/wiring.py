"""The composition root: one store, one approver, one mesh, two servers, and the ceremonies between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quorate.approval.configure import Means, build_approver, library_of
from quorate.approval.policy.book import Book
from quorate.ceremony.ceremonies import Ceremonies
from quorate.ceremony.context import Boot, Limits
from quorate.ceremony.ports import Clock
from quorate.ceremony.session import Patience
from quorate.node import config
from quorate.node.backups import Backups
from quorate.node.cards import Cards, LiveCards
from quorate.node.certificates import earlier_identities, issue_client_certificate, own_identity
from quorate.node.device_backups import DeviceBackups
from quorate.node.doctor.examiner import NodeExaminer
from quorate.node.entropy import SystemClock, SystemEntropy
from quorate.node.governance import policies_of
from quorate.node.metrics import Metrics
from quorate.node.monitor import Monitor
from quorate.node.observers import OperationWatch, WatchedApprover
from quorate.node.probes import ProbeServer
from quorate.node.registry import Registry
from quorate.node.release import program_version
from quorate.node.reload import Configuration, keeps_nothing
from quorate.node.sealing import NodeSealing
from quorate.node.upkeep import NodeUpkeep
from quorate.operations.tokens import read_tokens
from quorate.rpc import limits as rpc_limits
from quorate.rpc.approver import GrpcApprover
from quorate.rpc.client import SOCKET_NAME
from quorate.rpc.mesh import GrpcMesh, Observer
from quorate.rpc.node_server import SERVICES, NodeServer
from quorate.rpc.peer_server import PeerServer
from quorate.rpc.trust import Trust
from quorate.storage import SqliteLedger

WORKERS = 8


@dataclass(slots=True, kw_only=True)
class Node:
    """One running node. ``start`` and ``stop`` belong to one event loop."""

    ledger: SqliteLedger
    boot: Boot
    mesh: GrpcMesh
    ceremonies: Ceremonies
    peer_server: PeerServer
    node_server: NodeServer
    monitor: Monitor
    probes: ProbeServer | None
    backups: Backups
    sealing: NodeSealing
    starts_sealed: bool
    pool: ThreadPoolExecutor
    peer_address: str
    client_address: str

    async def start(self) -> None:
        """Serve peers, then take up what the journal holds, then serve clients."""
        if self.probes is not None:
            self.probes.start()
        if self.starts_sealed:
            await self.sealing.seal()
        await self.peer_server.start()
        await self.mesh.start()
        await self.ceremonies.start()
        await self.monitor.start()
        self.backups.start()
        await self.node_server.start()

    async def stop(self, drain: float) -> None:
        """Take nothing new, give running sessions ``drain`` seconds, then end what is left. Nothing is lost: the
        journal says what to take up again."""
        await self.monitor.drain()
        await self.node_server.stop(grace=0.5)
        ends = asyncio.get_running_loop().time() + drain
        while self.ceremonies.sessions_running and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await self.ceremonies.stop()
        await self.monitor.stop()
        await self.backups.stop()
        await self.peer_server.stop(grace=0.2)
        await self.mesh.stop()
        if self.probes is not None:
            await asyncio.to_thread(self.probes.stop)
        self.pool.shutdown(cancel_futures=True)


def build(
    home: Path,
    settings: config.Settings,
    ledger: SqliteLedger,
    *,
    metrics: Metrics,
    observer: Observer | None = None,
    configuration: Configuration | None = None,
) -> Node:
    """Wire a node on an open store, counting one more boot. On the event loop it is to run on. ``configuration`` is
    what a reload changes."""
    clock, entropy = SystemClock(), SystemEntropy()
    configuration = configuration or Configuration(home, settings)
    now = partial(_now, clock)
    trust = Trust(
        ledger.identity.device,
        own_identity(ledger),
        ledger.peers(),
        earlier=earlier_identities(ledger, now),
        overlap=settings.limits.overlap,
    )
    mesh = GrpcMesh(trust, observer=observer)
    counted = ledger.boot(program_version(), approver=settings.approver.type)
    configuration.record = ledger.note_settings
    boot = Boot(counter=counted.counter, id=counted.id, at_ms=clock.now_ms())
    metrics.requests.starts = counted.counter
    book = Book(ledger, here=ledger.identity.device)
    policies = policies_of(settings, ledger)
    library = library_of(settings.approver, settings.approvers, policies)
    means = Means(
        sign=ledger.identity.sign,
        device=book.here,
        clock=clock,
        book=book,
        grpc=GrpcApprover.made,
        library=library,
    )
    approver, person = build_approver(settings.approver, means, settings.approvers)
    watched = WatchedApprover(approver, clock, metrics)
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="ceremony")
    ceremonies = Ceremonies(
        identity=ledger.identity,
        ledger=ledger,
        mesh=mesh,
        approver=watched,
        clock=clock,
        entropy=entropy,
        boot=boot,
        pool=pool,
        version=program_version(),
        limits=limits_of(settings.limits),
        inbox=person,
        tokens=read_tokens(settings.tokens.files),
        policies=policies,
        rulebook=library,
        on_change=OperationWatch(ledger, clock, metrics, then=book.settle),
        on_cards=lambda peer, holds: live.on_cards(peer, holds),
    )
    live = LiveCards(ledger, trust, mesh, configuration, now)

    def prepare(wanted: config.Settings) -> Callable[[], None]:
        """Another approver, other limits, the token lists of now: made first, so that putting them into effect cannot
        fail."""
        exchanged = keeps_nothing(configuration()) and keeps_nothing(wanted)
        other = build_approver(wanted.approver, means, wanted.approvers)[0] if exchanged else approver
        limits, tokens = limits_of(wanted.limits), read_tokens(wanted.tokens.files)
        paces = paces_of(wanted.client.limits)

        def apply() -> None:
            if exchanged:
                watched.exchange(other)
            ceremonies.limit(limits)
            ceremonies.name_tokens(tokens)
            node_server.limit(paces)
            trust.overlap = wanted.limits.overlap

        return apply

    configuration.prepare.append(prepare)
    device = DeviceBackups(ledger, clock)
    backups = Backups(settings.backup, ledger, ceremonies.vaults.all, clock, metrics, device)
    peer_address = f"{settings.peer.bind}:{settings.peer.port}"
    client_address = f"{settings.client.bind}:{settings.client.port}"
    sealing = NodeSealing(ledger, ceremonies, lambda: configuration().key)
    node_server = NodeServer(
        ceremonies.clients,
        issue_client_certificate(ledger, settings),
        client_address,
        socket=home / SOCKET_NAME,
        logins=ledger,
        certificate_address=settings.client.certificate_listener,
        limits=paces_of(settings.client.limits),
        refused=metrics.refused,
        registry=Registry(ledger, settings, changed=mesh.update),
        causes=lambda: monitor.causes(),
        warnings=lambda: monitor.warnings(),
        examiner=NodeExaminer(
            home=home,
            configured=configuration,
            ledger=ledger,
            ceremonies=ceremonies,
            clock=clock,
            entropy=entropy,
            version=program_version(),
        ),
        upkeep=NodeUpkeep(Cards(home, ledger, configuration, live), configuration, backups, ledger, sealing),
    )
    live.begin(ceremonies.greetings, node_server)
    monitor = Monitor(
        ledger=ledger,
        ceremonies=ceremonies,
        mesh=mesh,
        approver=watched,
        clock=clock,
        metrics=metrics,
        tell=node_server.set_serving,
        services={service.full_name: name == "SigningService" for name, service in SERVICES.items()},
        client_certificate=lambda: node_server.certificate_pem,
    )
    served = settings.metrics
    return Node(
        ledger=ledger,
        boot=boot,
        mesh=mesh,
        ceremonies=ceremonies,
        peer_server=PeerServer(trust, ceremonies, peer_address, observer=observer),
        node_server=node_server,
        monitor=monitor,
        probes=ProbeServer(served.bind, served.port, metrics.registry, monitor) if served.enabled else None,
        backups=backups,
        sealing=sealing,
        starts_sealed=settings.key.start == "sealed",
        pool=pool,
        peer_address=peer_address,
        client_address=client_address,
    )


def paces_of(limits: config.CallLimits) -> rpc_limits.Limits:
    return rpc_limits.Limits(
        calls=rpc_limits.Pace(limits.calls_per_second, limits.calls_burst),
        strangers=rpc_limits.Pace(limits.strangers_per_second, limits.strangers_burst),
        failures=rpc_limits.Pace(limits.failures_per_second, limits.failures_burst),
        checks=rpc_limits.Pace(limits.checks_per_second, limits.checks_burst),
    )


def _now(clock: Clock) -> tuple[int, float]:
    return clock.now_ms(), clock.monotonic()


def limits_of(limits: config.Limits) -> Limits:
    return Limits(
        expiry_ms=round(limits.expiry * 1000),
        longest_expiry_ms=round(limits.longest_expiry * 1000),
        clock_tolerance_ms=round(limits.clock_tolerance * 1000),
        repeat=limits.repeat,
        carry_out=limits.carry_out,
        attempts=limits.attempts,
        unfinished=limits.unfinished,
        patience=Patience(silence=limits.silence, unlinked=limits.unlinked, deadline=limits.deadline),
    )
