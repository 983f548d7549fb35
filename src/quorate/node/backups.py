"""Sealed copies of this node's shares in a folder of its own: made after each new epoch, and on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import structlog

from quorate.ceremony.ports import Clock
from quorate.ceremony.vaults import Vault
from quorate.errors import Corrupt, QuorateError, StoreError, UsageError
from quorate.identifiers import Curve, VaultId
from quorate.node import config
from quorate.node.backup_folder import BackupFolder, file_name, in_file_name, in_label
from quorate.node.device_backups import DeviceBackups
from quorate.node.metrics import Metrics
from quorate.protocols.certificate import Certificate
from quorate.protocols.history import line_of
from quorate.recovery.backup import Backup, EpochLabel, make
from quorate.recovery.locks import Closer, Passphrase, RecoveryPublicKey
from quorate.recovery.sealed import timestamp
from quorate.rpc.upkeep import BackupFile
from quorate.storage import SqliteLedger
from quorate.storage.keywrap.secret_file import read_secret
from quorate.wire.codec import decode, encode

ROUND = 5.0  # seconds between looks for an epoch that has no backup
SELDOM = 300.0  # the same where it keeps failing: sealing under a passphrase is dear

log = structlog.get_logger()


def closer_of(settings: config.Backup) -> Closer | None:
    """What the configuration has backups sealed with. Nothing else may say, nor anybody who can write to the file:
    whoever could name a key to seal to could have every share. ``Locked`` or ``UsageError`` names a file that is
    unfit."""
    if settings.passphrase_file is not None:
        path = settings.passphrase_file
        return Passphrase.of(read_secret(path, "the passphrase of backups"), str(path))
    if settings.recovery_key_file is not None:
        path = settings.recovery_key_file
        return RecoveryPublicKey.of(read_secret(path, "the recovery key of backups"), str(path))
    return None


class Backups:
    """``create`` and ``listed`` block: for worker threads."""

    def __init__(
        self,
        settings: config.Backup,
        ledger: SqliteLedger,
        vaults: Callable[[], Sequence[Vault]],
        clock: Clock,
        metrics: Metrics,
        device: DeviceBackups | None = None,
    ) -> None:
        """``device``: copies of who this node is, kept with those of its shares."""
        self._settings, self._ledger, self._vaults = settings, ledger, vaults
        self._clock, self._metrics, self._device = clock, metrics, device
        self._closer = closer_of(settings)
        self._lock = threading.Lock()
        self._files = BackupFolder(Backup, ledger)
        self._shown: set[tuple[VaultId, str]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, and from time to time, for epochs that have no backup, if the node makes any."""
        if self._settings.folder is not None:
            self._task = asyncio.create_task(self._keep_renewing())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def create(self, vault: str, *, anew: bool) -> Sequence[BackupFile]:
        """A backup of the live epoch of this vault (id or name), or of each and of the device. Where there is one
        already it is that one, unless ``anew``."""
        found = [each for each in self._live() if vault in ("", each.id, each.name)]
        if vault and not found:
            raise UsageError(f"there is no vault {vault} with a live epoch here", code="UNKNOWN_VAULT")
        with self._lock:
            files = [self._ensure(each, anew=anew) for each in found]
            if self._device is not None and not vault:
                files.append(self._device.ensure(self._folder(), self._require_closer(), anew=anew))
            return files

    def listed(self) -> Sequence[BackupFile]:
        """What is in the folder: newest epoch of each vault first, then what is of devices."""
        live = {each.certificate_hash.hex() for each in self._live()}
        files = [
            BackupFile(
                path=str(path), vault=VaultId(label.vault), vault_name=label.vault_name, epoch=label.epoch,
                attempt=label.attempt, device=label.device, made=label.made, live=label.certificate in live,
            )
            for path, (label, _) in self._files.files(self._folder()).items()
        ]  # fmt: skip
        shares = sorted(files, key=lambda each: (each.vault_name, each.vault, -each.epoch, each.made))
        return [*shares, *(self._device.listed(self._folder()) if self._device is not None else ())]

    async def _keep_renewing(self) -> None:
        pause = ROUND
        while True:
            well = False
            try:
                well = await asyncio.to_thread(self.renew)
            except Exception:
                log.exception("bug in the backups")
            pause = ROUND if well else min(2 * pause, SELDOM)
            await asyncio.sleep(pause)

    def renew(self) -> bool:
        """Make what is missing, if that is ours to do, and set the figures. Whether all went well; the log says what
        did not."""
        well = True
        try:
            with self._lock:
                for vault in self._missing() if self._settings.automatic else ():
                    try:
                        self._make(vault)
                    except (QuorateError, OSError) as error:
                        well = False
                        log.error("no backup", vault=vault.id, epoch=vault.epoch, why=str(error))
                if self._device is not None and self._settings.automatic:
                    try:
                        self._device.ensure(self._folder(), self._require_closer())
                    except (QuorateError, OSError) as error:
                        well = False
                        log.error("no device backup", why=str(error))
            self._show(self.listed())
        except QuorateError as error:
            well = False
            log.error("backups cannot be looked at", why=str(error))
            self._show(())
        return well

    def _show(self, files: Sequence[BackupFile]) -> None:
        """The newest of each vault by this device, of its latest epoch. A vault whose files are gone has no figure."""
        mine = [each for each in files if each.device == self._ledger.me.device and each.vault]
        newest = {each.vault: each for each in sorted(mine, key=lambda e: (e.epoch, e.attempt, e.made))}
        labels = {(each.vault, each.vault_name) for each in newest.values()}
        for gone in self._shown - labels:
            self._metrics.backup_epoch.remove(*gone)
            self._metrics.backup_made.remove(*gone)
        for each in newest.values():
            made = datetime.fromisoformat(each.made).timestamp()
            self._metrics.backup_epoch.labels(each.vault, each.vault_name).set(each.epoch)
            self._metrics.backup_made.labels(each.vault, each.vault_name).set(made)
        self._shown = labels
        devices = [each.made for each in files if each.live and not each.vault]
        self._metrics.device_backup_made.set(
            datetime.fromisoformat(max(devices)).timestamp() if devices else 0
        )

    def _live(self) -> list[Vault]:
        return [each for each in self._vaults() if each.active]

    def _folder(self) -> Path:
        if self._settings.folder is None or self._closer is None:
            raise UsageError(
                "this node makes no backups: set folder, and passphrase_file or recovery_key_file, in [backup] of"
                " quorate.toml",
                code="NO_BACKUPS",
            )
        try:
            self._settings.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StoreError(f"backup: {self._settings.folder}: {error.strerror}") from error
        return self._settings.folder

    def _require_closer(self) -> Closer:
        if self._closer is None:
            raise UsageError("backup: nothing to seal with", code="NO_BACKUPS")
        return self._closer

    def _existing(self) -> Mapping[str, tuple[Path, EpochLabel]]:
        """Of each certificate, by its hash, our newest file that the present lock may open."""
        found: dict[str, tuple[Path, EpochLabel]] = {}
        files = sorted(self._files.files(self._folder()).items(), key=lambda item: item[1][0].made)
        for path, (label, lock) in files:
            if (
                label.device == self._ledger.me.device
                and self._closer is not None
                and self._closer.fits(lock)
            ):
                found[label.certificate] = path, label
        return found

    def _missing(self) -> Sequence[Vault]:
        existing = self._existing()
        return [each for each in self._live() if each.certificate_hash.hex() not in existing]

    def _ensure(self, vault: Vault, *, anew: bool) -> BackupFile:
        existing = None if anew else self._existing().get(vault.certificate_hash.hex())
        path, label = existing or self._make(vault)
        return BackupFile(
            path=str(path), vault=vault.id, vault_name=vault.name, epoch=label.epoch, attempt=label.attempt,
            device=label.device, made=label.made, live=True,
        )  # fmt: skip

    def _make(self, vault: Vault) -> tuple[Path, EpochLabel]:
        folder, closer, me = self._folder(), self._require_closer(), self._ledger.me
        label = EpochLabel(
            vault=vault.id, vault_name=in_label(vault.name), epoch=vault.epoch,
            attempt=vault.row.attempt, certificate=vault.certificate_hash.hex(), device=me.device,
            device_name=in_label(me.name), made=timestamp(self._clock.now_ms()),
        )  # fmt: skip
        shares = {
            curve: self._ledger.share(vault.id, vault.epoch, vault.row.attempt, curve).secret
            for curve in Curve
        }
        data = make(label, self._line(vault), shares, closer, self._ledger.identity.sign)
        name = file_name(
            vault.name, "vault", vault.id[:8], f"epoch{vault.epoch}", in_file_name(me.name), label.made.replace(":", "")
        )  # fmt: skip
        path = folder / f"{name}{Backup.SUFFIX}"
        self._files.put(path, data)
        log.info("backup made", vault=vault.id, epoch=vault.epoch, file=str(path))
        return path, label

    def _line(self, vault: Vault) -> list[bytes]:
        """The certificates up to the live epoch, encoded."""
        rows = [
            row
            for row in self._ledger.epochs(vault.id)
            if row.certificate and (row.epoch < vault.epoch or row.record_hash == vault.certificate_hash)
        ]
        line = line_of([decode(Certificate, row.certificate) for row in rows])
        if line[-1].hash != vault.certificate_hash:
            raise Corrupt(f"epochs: the certificate of vault {vault.id}, epoch {vault.epoch}, is not there")
        return [encode(each) for each in line]
