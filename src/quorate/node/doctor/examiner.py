"""Examines the node that runs it: what the admin service asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from quorate.ceremony.ceremonies import Ceremonies
from quorate.ceremony.ports import Clock, Entropy
from quorate.node import founding
from quorate.node.config import Settings
from quorate.node.doctor.approver import ask_approver
from quorate.node.doctor.audit import examine_chains
from quorate.node.doctor.machine import examine_disk, examine_key, examine_sealing, examine_store
from quorate.node.doctor.peers import examine_peers, greet_all, pairs
from quorate.node.doctor.vaults import examine_starts, examine_vaults
from quorate.operations.kinds import Kind
from quorate.rpc.findings import Examination, Finding
from quorate.storage import SqliteLedger

ONE_OF_EACH_URL = (Kind.CREATE_VAULT, Kind.SIGN)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExaminer:
    """Implements ``rpc.findings.Examiner``."""

    home: Path
    configured: Callable[[], Settings]
    ledger: SqliteLedger
    ceremonies: Ceremonies
    clock: Clock
    entropy: Entropy
    version: str

    async def approver(self) -> Sequence[Finding]:
        return await self._ask_approver(tuple(Kind))

    async def node(self) -> Examination:
        me = self.ledger.me
        others = [peer for peer in self.ledger.peers().values() if peer.device != me.device]
        machine, approver, vaults, mesh = await asyncio.gather(
            asyncio.to_thread(self._examine_machine),
            self._ask_approver(ONE_OF_EACH_URL),
            asyncio.to_thread(self.ceremonies.vaults.all),
            greet_all(me, others, self.ceremonies.greetings),
        )
        tolerance = self.configured().limits.clock_tolerance
        findings = [
            *machine,
            *approver,
            *examine_peers(
                mesh,
                version=self.version,
                tolerance=tolerance,
                now=datetime.now(UTC),
                speaks=self.ceremonies.versions,
            ),
            *examine_chains(self.ceremonies.set_back, self.ceremonies.witnesses.doubts, mesh.peers),
            *examine_vaults(vaults, mesh, self.ceremonies.reconciler.confinements()),
            *examine_starts(mesh, self.ceremonies.reconciler.set_back),
        ]
        return Examination(findings=tuple(findings), pairs=tuple(pairs(mesh)))

    async def _ask_approver(self, kinds: Sequence[Kind]) -> Sequence[Finding]:
        return await ask_approver(
            self.configured(), self.ledger, kinds, clock=self.clock, entropy=self.entropy
        )

    def _examine_machine(self) -> list[Finding]:
        key = founding.key_source(self.configured().key)
        return [
            examine_disk(self.home),
            examine_store(self.home, self.home / founding.STORE, lambda: self.ledger.check(0)),
            examine_key(lambda: self.ledger.require_key(key)),
            examine_sealing(self.ledger.fault),
        ]
