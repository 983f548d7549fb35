"""Sealed copies of who this node is, beside those of its shares: made anew whenever its card or its peers change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from quorate.ceremony.identity import read_card
from quorate.ceremony.ports import Clock, Peer
from quorate.ceremony.statements import printable
from quorate.errors import StoreError, UsageError
from quorate.identifiers import VaultId
from quorate.recovery.backup import timestamp
from quorate.recovery.device import (
    LARGEST,
    DeviceLabel,
    KnownPeer,
    make_device,
    peers_hash,
    read_device,
)
from quorate.recovery.locks import Closer, Lock
from quorate.rpc.upkeep import BackupFile
from quorate.storage import SqliteLedger
from quorate.storage.files import write_new

SUFFIX = ".device"
_LONGEST_NAME = 100  # characters of a name in a label
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

log = structlog.get_logger()


class DeviceBackups:
    """Blocks: for worker threads, one at a time."""

    def __init__(self, ledger: SqliteLedger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._seen: Mapping[tuple[Path, int, int], tuple[DeviceLabel, Lock] | None] = {}

    def ensure(self, folder: Path, closer: Closer, *, anew: bool = False) -> BackupFile:
        """The file of this device as it is now: the one that is there, unless ``anew``, or a new one."""
        me, peers = self._ledger.me, self._peers()
        for path, (label, lock) in self._files(folder).items():
            current = (label.device, label.rev, label.peers) == (me.device, me.rev, peers_hash(peers))
            if current and not anew and closer.fits(lock):
                return _shown(path, label, live=True)
        label = DeviceLabel(
            device=me.device, device_name=printable(me.name, _LONGEST_NAME), rev=me.rev, peers=peers_hash(peers),
            made=timestamp(self._clock.now_ms()),
        )  # fmt: skip
        data = make_device(
            label, identity=self._ledger.identity.secret(), tls_key=self._ledger.tls()[1], card=me.card, peers=peers,
            closer=closer, sign=self._ledger.identity.sign,
        )  # fmt: skip
        name = f"{_UNSAFE.sub('_', me.name)[:40].lstrip('-.') or 'node'}-{me.device[:8]}-card{me.rev}"
        path = folder / f"{name}-{label.made.replace(':', '')}{SUFFIX}"
        read_device(data, str(path))
        if path.exists():  # within a second of the last one, which a card was changed in
            path = path.with_name(f"{name}-{label.peers[:8]}{SUFFIX}")
        try:
            write_new(path, data)
        except OSError as error:
            raise StoreError(f"backup: {path}: {error.strerror}") from error
        log.info("device backup made", rev=me.rev, peers=len(peers), file=str(path))
        return _shown(path, label, live=True)

    def listed(self, folder: Path) -> list[BackupFile]:
        """Newest first."""
        me, now = self._ledger.me, peers_hash(self._peers())
        files = [
            _shown(path, label, live=(label.device, label.rev, label.peers) == (me.device, me.rev, now))
            for path, (label, _) in self._files(folder).items()
        ]
        return sorted(files, key=lambda each: (each.epoch, each.made), reverse=True)

    def _peers(self) -> tuple[KnownPeer, ...]:
        me = self._ledger.me.device
        return tuple(
            KnownPeer(card=peer.card, dial=_dial(peer))
            for peer in self._ledger.peers().values()
            if peer.device != me
        )

    def _files(self, folder: Path) -> Mapping[Path, tuple[DeviceLabel, Lock]]:
        """The device backups in the folder, by their labels. What is labelled as ours we signed. Each is read once."""
        try:
            paths = sorted(folder.glob(f"*{SUFFIX}"))
        except OSError as error:
            raise StoreError(f"backup: {folder}: {error.strerror}") from error
        seen: dict[tuple[Path, int, int], tuple[DeviceLabel, Lock] | None] = {}
        for path in paths:
            with suppress(OSError):
                at = path.stat()
                key = (path, at.st_mtime_ns, at.st_size)
                if path.is_file() and at.st_size <= LARGEST:
                    seen[key] = self._seen[key] if key in self._seen else self._look(path)
        self._seen = seen
        return {path: found for (path, _, _), found in seen.items() if found is not None}

    def _look(self, path: Path) -> tuple[DeviceLabel, Lock] | None:
        try:
            backup = read_device(path.read_bytes(), str(path))
        except UsageError:
            return None
        mine = self._ledger.me
        if backup.label.device == mine.device and not backup.is_signed_by(mine.identity_key):
            log.warning("a device backup that is labelled as ours is another's, or damaged", file=str(path))
            return None
        return backup.label, backup.lock


def _dial(peer: Peer) -> str:
    """Where an operator said that a peer is, if that is not what stands on its card."""
    return "" if read_card(peer.card).address == peer.address else peer.address


def _shown(path: Path, label: DeviceLabel, *, live: bool) -> BackupFile:
    return BackupFile(
        path=str(path), vault=VaultId(""), vault_name="", epoch=label.rev, attempt=0, device=label.device,
        made=label.made, live=live,
    )  # fmt: skip
