"""A node out of its backups: a store in which everything is in quarantine, whole or not there.

docs/spec/backup.md, rules BK-5.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quorate.ceremony.identity import Identity, read_card, require_dialable
from quorate.ceremony.ports import Peer, SealedShare
from quorate.errors import Corrupt, StoreError, UsageError
from quorate.identifiers import DeviceId
from quorate.node.config import FILE, load
from quorate.node.founding import STORE, key_source, write_card, write_key, write_settings
from quorate.recovery.backup import Held, open_backup
from quorate.recovery.device import DeviceBackup, DeviceCopy, open_device
from quorate.recovery.files import backup_at
from quorate.recovery.locks import Opener
from quorate.storage import SqliteLedger
from quorate.storage.files import put_new
from quorate.storage.quarantine import Restored

PART = ".restoring"
OWN_KEY = "node.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What opened files came to: one device, and of each of its vaults the newest epoch. ``left_out`` are files of
    earlier epochs, or of an earlier card."""

    device: DeviceCopy
    me: Peer
    peers: tuple[Peer, ...]
    vaults: tuple[Held, ...]
    left_out: tuple[str, ...]


def gather(paths: Iterable[Path], openers: Sequence[Opener]) -> Copies:
    """Open every file and check all that is in it. ``UsageError`` or ``Corrupt`` names the file that is in the way."""
    devices: list[DeviceCopy] = []
    held: list[Held] = []
    for path in paths:
        found = backup_at(path)
        if isinstance(found, DeviceBackup):
            devices.append(open_device(found, openers))
        else:
            held.append(open_backup(found, openers))
    device, earlier = _one_device(devices)
    me, peers = _cards(device)
    for each in held:
        if each.device != device.label.device:
            raise UsageError(
                f"BK-5.2 one device: {each.source} ({each.label}) is of device {each.device}, and {device.source} of"
                f" {device.label.device}: a node is restored from its own backups alone",
                code="WRONG_DEVICE",
            )
    vaults, older = newest_of(held)
    return Copies(device=device, me=me, peers=peers, vaults=vaults, left_out=(*earlier, *older))


def restore(
    home: Path,
    copies: Copies,
    *,
    passphrase_file: Path | None = None,
    key_file: Path | None = None,
    advertise: str = "",
    on_commit: Callable[[str], None] | None = None,
) -> Peer:
    """BK-5.5 whole: write the store into ``home``, which has none; our card. What was begun and not ended leaves no
    store behind, and is cleared away by the next."""
    require_empty(home)
    address = advertise or copies.me.address
    if key_file is None and passphrase_file is None and (home / OWN_KEY).exists():
        key_file = home / OWN_KEY  # of a restore that was not ended
    write_settings(
        home, port=int(address.rpartition(":")[2]), passphrase_file=passphrase_file, key_file=key_file
    )
    settings = load(home)
    if settings.key.key_file is not None and not settings.key.key_file.exists():
        write_key(settings.key.key_file)
    part = home / PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        device = copies.device
        with SqliteLedger.create(
            part / STORE,
            key_source(settings.key),
            identity=Identity.of(device.identity, copies.me.name),
            address=copies.me.address,
            hardware_id=copies.me.hardware_id,
            certificate_pem=copies.me.certificate_pem,
            tls_key=device.tls_key,
            card=device.card,
            boots=int(time.time()),  # above every number that a start was ever told under
            on_commit=on_commit,
        ) as ledger:
            for peer, known in zip(copies.peers, device.peers, strict=True):
                ledger.add_peer(known.card)
                if known.dial:
                    ledger.set_dial(peer.device, known.dial)
            for held in copies.vaults:
                ledger.restore_vault(_restored(held))
            if address != copies.me.address:
                ledger.renew_card(address=address)
            me = ledger.me
        _put(part / STORE, home / STORE)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    write_card(home, me)
    return me


def require_empty(home: Path) -> None:
    """BK-5.4 empty: ``UsageError`` where there is a store, or what is left of one."""
    for name in (STORE, f"{STORE}-wal", f"{STORE}-shm"):
        if (home / name).exists():
            raise UsageError(
                f"BK-5.4 empty: {home / name} exists: a node is restored into a home that has no store, never over one",
                code="STORE_EXISTS",
            )


def _one_device(devices: Sequence[DeviceCopy]) -> tuple[DeviceCopy, tuple[str, ...]]:
    """BK-5.1 device: the newest of the one device that there is, by its card's rev, and of one rev the last made."""
    if not devices:
        raise UsageError(
            f"BK-5.1 device: none of the files is a device backup: without it nobody knows this node ({FILE} has"
            " [backup] folder, where it lies beside the others, as *.device)",
            code="NO_DEVICE_BACKUP",
        )
    if len({each.label.device for each in devices}) > 1:
        told = ", ".join(f"{each.source} of {each.label.device}" for each in devices)
        raise UsageError(
            f"BK-5.1 device: the files are of several devices: {told}: give those of one", code="WRONG_DEVICE"
        )
    *earlier, newest = sorted(devices, key=lambda each: (each.label.rev, each.label.made))
    return newest, tuple(each.source for each in earlier)


def _cards(device: DeviceCopy) -> tuple[Peer, tuple[Peer, ...]]:
    """BK-5.1 device: the card is that of its keys, and every peer's is sound."""
    try:
        me = read_card(device.card)
        peers = tuple(read_card(known.card) for known in device.peers)
        for each in (me, *peers):
            require_dialable(each)
    except UsageError as error:
        raise Corrupt(f"BK-5.1 device: {device.source}: {error}") from None
    if (me.device, me.rev) != (device.label.device, device.label.rev):
        raise Corrupt(f"BK-5.1 device: {device.source}: its card is {me.device}'s, rev {me.rev}")
    return me, peers


def newest_of(held: Sequence[Held]) -> tuple[tuple[Held, ...], tuple[str, ...]]:
    """BK-5.3 newest: of each vault the file of the highest epoch, and the names of what it leaves out. Two certificates
    of one epoch, or an epoch that is not in the line of the newest, are refused: of two claims none is chosen."""
    chosen: dict[str, Held] = {}
    for each in sorted(held, key=lambda each: (each.record.epoch, each.label.made)):
        chosen[each.record.vault] = each
    left_out = []
    for each in held:
        newest = chosen[each.record.vault]
        if each is newest:
            continue
        line = {certificate.record.epoch: certificate.hash for certificate in newest.certificates}
        if line.get(each.record.epoch, each.record.hash) != each.record.hash:
            raise UsageError(
                f"BK-5.3 newest: {each.source} and {newest.source} have two certificates of epoch"
                f" {each.record.epoch} of vault {each.record.vault}: leave out the one that did not live",
                code="AMBIGUOUS_EPOCH",
            )
        left_out.append(each.source)
    return tuple(chosen.values()), tuple(left_out)


def _restored(held: Held) -> Restored:
    return Restored(
        name=held.label.vault_name or held.record.vault,
        line=held.certificates,
        shares=tuple(
            SealedShare(curve=curve, indices=tuple(share.indices), secret=share.secret.secret())
            for curve, share in held.shares.items()
        ),
    )


def _put(made: Path, place: Path) -> None:
    """The last step, and the only one that counts: it takes no other file's place, and is on disk when it returns."""
    if any(made.with_name(f"{made.name}{end}").exists() for end in ("-wal", "-shm")):
        raise StoreError(f"{made} was not closed whole")
    try:
        put_new(made, place)
    except FileExistsError:
        raise UsageError(f"BK-5.4 empty: {place} exists by now", code="STORE_EXISTS") from None


def unknown_signers(copies: Copies) -> tuple[DeviceId, ...]:
    """Who else is a signer of what was restored, and is no peer that is known."""
    known = {peer.device for peer in (copies.me, *copies.peers)}
    signers = {device for held in copies.vaults for device in held.record.sharing.devices}
    return tuple(sorted(signers - known))
