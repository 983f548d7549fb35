"""Examines the node that runs it: what the admin service asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quorate.ceremony.ports import Clock, Entropy
from quorate.node.config import Settings
from quorate.node.doctor.approver import examine_approver
from quorate.rpc.findings import Finding
from quorate.storage import SqliteLedger


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExaminer:
    """Implements ``rpc.findings.Examiner``."""

    settings: Settings
    ledger: SqliteLedger
    clock: Clock
    entropy: Entropy

    async def approver(self) -> Sequence[Finding]:
        return await examine_approver(
            self.settings.approver,
            self.ledger.me,
            self.ledger.identity.sign,
            clock=self.clock,
            entropy=self.entropy,
        )
