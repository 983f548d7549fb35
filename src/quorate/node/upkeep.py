"""What the admin service changes of this node while it runs: its cards, its settings; and its backups."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.ceremony.ports import Peer
from quorate.node.backups import Backups
from quorate.node.cards import Cards
from quorate.node.reload import Configuration
from quorate.rpc.upkeep import BackupFile, Certificates, Reloaded


class NodeUpkeep:
    """Implements ``rpc.upkeep.Upkeep``."""

    def __init__(self, cards: Cards, configuration: Configuration, backups: Backups) -> None:
        self._cards, self._configuration, self._backups = cards, configuration, backups

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
