"""Sealed copies of who this node is, beside those of its shares: made anew whenever its card or its peers change."""

from __future__ import annotations

from pathlib import Path

import structlog

from quorate.ceremony.identity import read_card
from quorate.ceremony.ports import Clock, Peer
from quorate.identifiers import VaultId
from quorate.node.backup_folder import BackupFolder, file_name, in_label
from quorate.recovery.device import DeviceBackup, DeviceLabel, KnownPeer, make_device, peers_hash
from quorate.recovery.locks import Closer
from quorate.recovery.sealed import timestamp
from quorate.rpc.upkeep import BackupFile
from quorate.storage import SqliteLedger

log = structlog.get_logger()


class DeviceBackups:
    """Blocks: for worker threads, one at a time."""

    def __init__(self, ledger: SqliteLedger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._files = BackupFolder(DeviceBackup, ledger)

    def ensure(self, folder: Path, closer: Closer, *, anew: bool = False) -> BackupFile:
        """The file of this device as it is now: the one that is there, unless ``anew``, or a new one."""
        me, peers = self._ledger.me, self._peers()
        for path, (label, lock) in self._files.files(folder).items():
            current = (label.device, label.rev, label.peers) == (me.device, me.rev, peers_hash(peers))
            if current and not anew and closer.fits(lock):
                return _shown(path, label, live=True)
        label = DeviceLabel(
            device=me.device, device_name=in_label(me.name), rev=me.rev, peers=peers_hash(peers),
            made=timestamp(self._clock.now_ms()),
        )  # fmt: skip
        data = make_device(
            label, identity=self._ledger.identity.secret(), tls_key=self._ledger.tls()[1], card=me.card, peers=peers,
            closer=closer, sign=self._ledger.identity.sign,
        )  # fmt: skip
        name = file_name(me.name, "node", me.device[:8], f"card{me.rev}")
        path = folder / f"{name}-{label.made.replace(':', '')}{DeviceBackup.SUFFIX}"
        if path.exists():  # within a second of the last one, which a card was changed in
            path = path.with_name(f"{name}-{label.peers[:8]}{DeviceBackup.SUFFIX}")
        self._files.put(path, data)
        log.info("device backup made", rev=me.rev, peers=len(peers), file=str(path))
        return _shown(path, label, live=True)

    def listed(self, folder: Path) -> list[BackupFile]:
        """Newest first."""
        me, now = self._ledger.me, peers_hash(self._peers())
        files = [
            _shown(path, label, live=(label.device, label.rev, label.peers) == (me.device, me.rev, now))
            for path, (label, _) in self._files.files(folder).items()
        ]
        return sorted(files, key=lambda each: (each.epoch, each.made), reverse=True)

    def _peers(self) -> tuple[KnownPeer, ...]:
        me = self._ledger.me.device
        return tuple(
            KnownPeer(card=peer.card, dial=_dial(peer))
            for peer in self._ledger.peers().values()
            if peer.device != me
        )


def _dial(peer: Peer) -> str:
    """Where an operator said that a peer is, if that is not what stands on its card."""
    return "" if read_card(peer.card).address == peer.address else peer.address


def _shown(path: Path, label: DeviceLabel, *, live: bool) -> BackupFile:
    return BackupFile(
        path=str(path), vault=VaultId(""), vault_name="", epoch=label.rev, attempt=0, device=label.device,
        made=label.made, live=live,
    )  # fmt: skip
