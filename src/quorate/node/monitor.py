"""Looks at a running node once a second: what is up, what is ready and why not, and whether the event loop turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from prometheus_client import Gauge

from quorate.ceremony.ceremonies import Ceremonies
from quorate.ceremony.ports import Clock, EpochState, SetupState
from quorate.ceremony.vaults import Vault
from quorate.ceremony.views import Cause
from quorate.errors import QuorateError, StoreError
from quorate.identifiers import DeviceId, VaultId
from quorate.node import readiness
from quorate.node.metrics import Metrics
from quorate.node.observers import WatchedApprover
from quorate.node.pulse import Pulse
from quorate.node.readiness import Standing
from quorate.node.wall_clock import WallClock
from quorate.rpc.mesh import GrpcMesh
from quorate.rpc.tls import last_day_of
from quorate.storage import SqliteLedger

ROUND = 1.0  # seconds between looks
STORE_ROUND = 10.0  # seconds between checks that the store can be written, which cost a commit
HUNG = 60.0  # seconds in one commit: the disk is gone, and with it the node
SILENT = 5.0  # seconds without a beat or a look: the node does not answer for itself

log = structlog.get_logger()

Tell = Callable[[str, bool], Awaitable[None]]
"""What health is to say of a service, or of ``vault/ID``."""


class Monitor:
    """``causes`` and ``alive`` may be asked from any thread."""

    def __init__(
        self, *, ledger: SqliteLedger, ceremonies: Ceremonies, mesh: GrpcMesh, approver: WatchedApprover,
        clock: Clock, metrics: Metrics, tell: Tell, services: Mapping[str, bool],
        client_certificate: Callable[[], str],
    ) -> None:  # fmt: skip
        """``services``: whether each needs the node ready, or only up. ``client_certificate``: what the client port
        shows, PEM."""
        self._ledger, self._ceremonies, self._mesh = ledger, ceremonies, mesh
        self._approver, self._clock, self._metrics = approver, clock, metrics
        self._tell, self._services, self._client_certificate = tell, services, client_certificate
        self._causes: tuple[Cause, ...] = (Cause(code="STARTING", detail="the node is not serving yet"),)
        self._warnings: tuple[Cause, ...] = ()
        self._store: StoreError | None = None
        self._paired: Mapping[bytes, frozenset[DeviceId]] = {}
        self._vaults: Mapping[VaultId, str] = {}
        self._told: dict[str, bool] = {}
        self._shown: set[tuple[Gauge, tuple[str, ...]]] = set()
        self._draining = False
        self._pulse, self._wall = Pulse(clock, metrics), WallClock(clock, metrics)
        self._looked_at = clock.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the first look, then go on looking."""
        await self._check_store()
        await self.look()
        greeting = self._ceremonies.greetings.keep_greeting()
        witnessing = self._ceremonies.witnesses.keep_witnessing()
        loops = (
            self._pulse.keep_beating(),
            self._keep_looking(),
            self._keep_checking(),
            greeting,
            witnessing,
        )
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def drain(self) -> None:
        """From now on the node is not ready, for it is stopping."""
        self._draining = True
        await self.look()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def alive(self) -> bool:
        return not self._tasks or (self._pulse.silence < SILENT and self._ledger.commit_takes < HUNG)

    def causes(self) -> tuple[Cause, ...]:
        """Why the node, or a vault on it, is not ready; empty if all is well."""
        unseen = max(self._pulse.silence, self._clock.monotonic() - self._looked_at)
        if self._tasks and unseen >= SILENT:
            silent = f"the event loop has not turned for {SILENT:.0f} s"
            return (Cause(code="UNRESPONSIVE", detail=silent), *self._causes)
        fault = self._ledger.fault
        if fault is not None and fault.reason not in {cause.code for cause in self._causes}:
            return (Cause(code=fault.reason, detail=str(fault)), *self._causes)  # since the last look
        return self._causes

    def warnings(self) -> tuple[Cause, ...]:
        """What somebody should look at, as of the last look."""
        return self._warnings

    def known(self, vault: str) -> VaultId | None:
        """The vault of this id or name, if it was there at the last look."""
        return next((held for held, name in self._vaults.items() if vault in (held, name)), None)

    async def look(self) -> None:
        """On the event loop."""
        self._wall.look()
        standing = self._standing()
        vaults = [vault for vault in self._ceremonies.vaults.all() if vault.active]
        of_node = tuple(readiness.of_node(standing))
        if self._draining:
            of_node = (Cause(code="DRAINING", detail="this node is stopping"), *of_node)
        of_vaults = {vault.id: tuple(readiness.of_vault(vault, standing)) for vault in vaults}
        causes = (*of_node, *(cause for each in of_vaults.values() for cause in each))
        health = {
            name: not (of_node if needs_ready else self._draining)
            for name, needs_ready in self._services.items()
        }
        health |= {f"vault/{vault}": not (of_node or each) for vault, each in of_vaults.items()}
        await self._tell_health({"": not causes, **health})
        self._vaults = {vault.id: vault.name for vault in vaults}
        self._report(causes)
        self._warnings = tuple(readiness.warnings(standing))
        self._show(standing, vaults)
        self._metrics.sessions.set(self._ceremonies.sessions_running)
        self._metrics.audit.set((await asyncio.to_thread(self._ledger.audit_head)).sequence)
        self._metrics.unfinished.set(len(await asyncio.to_thread(self._ledger.unfinished)))
        self._looked_at = self._clock.monotonic()

    def _standing(self) -> Standing:
        peers = self._ledger.peers()
        return Standing(
            me=self._ledger.me.device,
            approver=self._approver.name,
            decision=self._approver.last,
            decided=self._clock.monotonic() - self._approver.last_at,
            store=self._ledger.fault or self._store,
            set_back=self._ceremonies.set_back,
            paired=self._paired,
            connected=frozenset(peer for peer in peers if self._mesh.connected(peer)),
            heard=self._ceremonies.greetings.heard,
            names={device: peer.name for device, peer in peers.items()},
            tolerance=self._ceremonies.clock_tolerance,
            speaks=self._ceremonies.versions,
            confined=self._ceremonies.reconciler.confinements(),
            peers_set_back=self._ceremonies.reconciler.set_back,
        )

    def _report(self, causes: tuple[Cause, ...]) -> None:
        """Every reason is a line in the log when it comes and when it goes."""
        before = {(cause.code, cause.vault): cause for cause in self._causes}
        now = {(cause.code, cause.vault): cause for cause in causes}
        for key in now.keys() - before.keys():
            log.warning("not ready", reason=key[0], vault=key[1], detail=now[key].detail)
        for key in before.keys() - now.keys():
            log.info("no longer a reason" if causes else "ready", reason=key[0], vault=key[1])
        self._causes = causes

    def _show(self, standing: Standing, vaults: Sequence[Vault]) -> None:
        """Set every gauge of a peer, a vault or a reason, and take away those of what is gone."""
        metrics, shown = self._metrics, dict[tuple[Gauge, tuple[str, ...]], float]()
        links = self._mesh.status()
        shown |= self._certificates()
        for device, name in standing.names.items():
            if device == standing.me:
                continue
            shown[metrics.peer_up, (name,)] = device in standing.connected
            if (link := links.get(device)) is not None and link.rtt is not None:
                shown[metrics.peer_rtt, (name,)] = link.rtt
            if (known := standing.heard.get(device)) is not None and known.clock_offset is not None:
                shown[metrics.peer_clock, (name,)] = known.clock_offset
            shown[metrics.peer_audit_doubt, (name,)] = device in self._ceremonies.witnesses.doubts
            if (heads := self._ceremonies.witnesses.held.get(device)) is not None:
                shown[metrics.peer_audit, (name,)] = heads.highest.sequence
        unready = {cause.vault for cause in self._causes}
        for vault in vaults:
            labels: tuple[str, ...] = (vault.id, vault.name)
            shown[metrics.vault_epoch, labels] = vault.epoch
            shown[metrics.vault_threshold, labels] = vault.sharing.threshold
            shown[metrics.vault_online, labels] = readiness.online_weight(vault, standing)
            shown[metrics.vault_ready, labels] = not unready & {None, vault.id}
            if (confined := standing.confined.get(vault.id)) is not None:
                shown[metrics.vault_quarantined, (*labels, confined[0].value)] = 1
        shown |= {(metrics.peer_set_back, (standing.name(each),)): 1.0 for each in standing.peers_set_back}
        shown |= {(metrics.not_ready, (cause.code,)): 1.0 for cause in self._causes}
        for gauge, labels in self._shown - shown.keys():
            gauge.remove(*labels)
        for (gauge, labels), value in shown.items():
            gauge.labels(*labels).set(value)
        self._shown = set(shown)

    def _certificates(self) -> dict[tuple[Gauge, tuple[str, ...]], float]:
        ledger, ends = self._ledger, self._metrics.certificate_ends
        found = {("peer", peer.name): peer.certificate_pem for peer in ledger.peers().values()}
        found["client", ledger.me.name] = self._client_certificate()
        return {(ends, labels): last_day_of(pem).timestamp() for labels, pem in found.items()}

    async def _tell_health(self, health: dict[str, bool]) -> None:
        """What changed. A vault that is gone is not serving."""
        for name, serving in (dict.fromkeys(self._told, False) | health).items():
            if self._told.get(name) is not serving:
                await self._tell(name, serving)
                self._told[name] = serving

    # --- what goes on until the stop

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(ROUND)
            try:
                await self.look()
            except QuorateError as error:
                log.error("cannot tell how this node is", why=str(error))
            except Exception:
                log.exception("bug in the monitor")

    async def _keep_checking(self) -> None:
        while True:
            for _ in range(round(STORE_ROUND / ROUND)):
                await asyncio.sleep(ROUND)
                if self._ledger.fault is not None:  # it may be over by now
                    break
            try:
                await self._check_store()
            except Exception as error:
                log.exception("bug in the store's check")
                self._store = StoreError(f"the store could not be checked: {type(error).__name__}")

    def _live_pairs(self) -> dict[bytes, frozenset[DeviceId]]:
        ledger = self._ledger
        return {
            row.record_hash: frozenset(
                setup.peer
                for setup in ledger.setups(row.vault, row.epoch, row.attempt)
                if setup.state is SetupState.LIVE
            )
            for row in ledger.epochs()
            if row.state is EpochState.ACTIVE
        }

    async def _check_store(self) -> None:
        try:
            await asyncio.to_thread(self._ledger.check)
            self._paired = await asyncio.to_thread(self._live_pairs)
        except StoreError as error:
            self._store = error
        except OSError as error:
            self._store = StoreError(f"the store's disk does not answer: {error.strerror}")
        else:
            self._store = None
