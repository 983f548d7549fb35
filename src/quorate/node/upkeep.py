"""What the admin service changes of this node while it runs: its cards, its settings; its backups;
and its audit chain."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.ceremony.audit import AuditVerdict
from quorate.ceremony.ports import Peer
from quorate.node.audit import audit_page
from quorate.node.backups import Backups
from quorate.node.cards import Cards
from quorate.node.reload import Configuration
from quorate.rpc.upkeep import AuditPage, BackupFile, Certificates, Reloaded, Sealing
from quorate.storage import SqliteLedger


class NodeUpkeep:
    """Implements ``rpc.upkeep.Upkeep``."""

    def __init__(
        self,
        cards: Cards,
        configuration: Configuration,
        backups: Backups,
        ledger: SqliteLedger,
        sealing: Sealing,
    ) -> None:
        self.sealing = sealing
        self._cards, self._configuration, self._backups, self._ledger = cards, configuration, backups, ledger

    def certificates(self) -> Certificates:
        return self._cards.certificates()

    def rotate(self, *, rev: int, at_once: bool) -> Certificates:
        return self._cards.rotate(rev=rev, at_once=at_once)

    def set_address(self, device: str, address: str) -> Peer:
        return self._cards.set_address(device, address)

    def reload(self) -> Reloaded:
        return self._configuration.reload()

    def create_backups(self, vault: str, *, anew: bool) -> Sequence[BackupFile]:
        return self._backups.create(vault, anew=anew)

    def backups(self) -> Sequence[BackupFile]:
        return self._backups.listed()

    def audit(self, *, after: int, limit: int) -> AuditPage:
        return audit_page(self._ledger, after=after, limit=limit)

    def examine_audit(self) -> AuditVerdict:
        return self._ledger.verify_audit()
