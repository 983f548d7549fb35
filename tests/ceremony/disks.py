"""Disks that are lost, and come back out of backups, or as they were some time ago."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from quorate.node import config, restoring
from quorate.node.backups import Backups
from quorate.node.device_backups import DeviceBackups
from quorate.node.metrics import Metrics
from quorate.recovery.locks import RecoveryKey
from quorate.storage.keywrap.keyfile import KeyFile
from tests.ceremony.world import Node

_KEY = X25519PrivateKey.generate()
PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
OPENER = RecoveryKey.of(PRIVATE, "the recovery key")


@dataclass
class Safe:
    """Where one node's backups lie."""

    node: Node
    taken: int = 0
    files: list[Path] = field(default_factory=list)

    def take(self) -> list[Path]:
        """A backup of the device and of every vault, as they are now."""
        node, self.taken = self.node, self.taken + 1
        folder = node.path.parent / f"backups-{self.taken}"
        public = node.path.parent / "recovery.pub"
        public.write_bytes(PUBLIC)
        settings = config.Backup(folder=folder, recovery_key_file=public)
        device = DeviceBackups(node.ledger, node.clock)
        vaults = node.ceremonies.vaults.all
        made = Backups(settings, node.ledger, vaults, node.clock, Metrics(), device).create("", anew=False)
        self.files = [Path(each.path) for each in made]
        return self.files


async def lose(node: Node) -> None:
    """Its disk is gone."""
    await node.stop()
    node.ledger.close()
    for path in node.path.parent.glob("store.db*"):
        path.unlink()


async def restore(node: Node, files: list[Path]) -> None:
    """Another home, out of these backups, and running."""
    home = node.path.parent / f"home-{os.urandom(4).hex()}"
    copies = restoring.gather(files, [OPENER])
    await asyncio.to_thread(restoring.restore, home, copies)
    node.path, node.key = home / "node.db", KeyFile(home / "node.key")
    node.open()
    await node.start()


async def snapshot(node: Node) -> Path:
    """A copy of its disk, taken while it is down for a moment."""
    await node.stop()
    node.ledger.close()
    kept = node.path.parent / f"snapshot-{os.urandom(4).hex()}"
    shutil.copyfile(node.path, kept)
    node.open()
    await node.start()
    return kept


async def set_back(node: Node, kept: Path) -> None:
    """Its disk is as it was then."""
    await node.stop()
    node.ledger.close()
    for path in node.path.parent.glob(f"{node.path.name}-*"):
        path.unlink()
    shutil.copyfile(kept, node.path)
    node.open()
    await node.start()
