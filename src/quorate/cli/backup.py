"""``quorate backup``: create, list, verify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.files import expanded
from quorate.cli.output import escape
from quorate.cli.views import rows
from quorate.recovery.backup import open_backup
from quorate.recovery.device import DeviceBackup, open_device
from quorate.recovery.files import backup_at, openers_of
from quorate.rpc.upkeep import BackupFile

Passphrases = Annotated[
    list[Path] | None,
    typer.Option("--passphrase-file", help="Opens backups. May be repeated: each is tried."),
]
RecoveryKeys = Annotated[
    list[Path] | None, typer.Option("--recovery-key", help="The same: an X25519 private key in PEM.")
]


def register(app: typer.Typer) -> None:
    @command(app, "create")
    async def create(
        call: Call,
        vault: Annotated[str, typer.Argument(help="Name or id. [default: every vault]")] = "",
        anew: Annotated[bool, typer.Option("--anew", help="Another file, even where there is one.")] = False,
    ) -> None:
        """Seal a copy of this node's shares into its [backup] folder, and one of its identity and its peers' cards.
        Where there is one of the live epoch, and of the present cards, that is it."""
        with call.output.progress("sealing"):
            async with connect(call) as node:
                files = await node.create_backups(vault, anew=anew)
        _show(call, files, "this node has no vault with a live epoch: nothing to copy")

    @command(app, "list")
    async def list_(call: Call) -> None:
        """The backups in the node's folder. Those of earlier epochs are keys too: destroy them after a refresh."""
        async with connect(call) as node:
            files = await node.backups()
        _show(call, files, "there are none")

    @command(app, "verify")
    def verify(
        call: Call,
        files: Annotated[list[Path], typer.Argument(help="Backups.")],
        passphrase_file: Passphrases = None,
        recovery_key: RecoveryKeys = None,
    ) -> None:
        """Open backups and check all that is in them: the certificates, the signature, that the shares fit. Offline;
        nothing secret is shown."""
        openers = openers_of(passphrase_file or (), recovery_key or ())
        for path in expanded(files):
            found = backup_at(path)
            if isinstance(found, DeviceBackup):
                copy = open_device(found, openers)
                record = {
                    "file": str(path),
                    "sound": True,
                    "device": copy.label.device,
                    "rev": copy.label.rev,
                    "peers": len(copy.peers),
                    "made": copy.label.made,
                }
                text = f"[green]sound[/]: {escape(str(path))}: {escape(str(copy.label))}"
                call.output.show(record, f"{text}; with the cards of {len(copy.peers)} peers")
                continue
            held = open_backup(found, openers)
            record = {
                "file": str(path),
                "sound": True,
                "vault": held.record.vault,
                "epoch": held.record.epoch,
                "device": held.device,
                "weight": held.weight,
                "threshold": held.record.threshold,
                "made": held.label.made,
            }
            text = f"[green]sound[/]: {escape(str(path))}: {escape(str(held.label))}, weight {held.weight}"
            call.output.show(record, f"{text}; the threshold is {held.record.threshold}")


def _show(call: Call, files: Sequence[BackupFile], none: str) -> None:
    if call.output.json:
        for each in files:
            call.output.line(asdict(each))
        return
    if not files:
        call.output.out.print(none)
        return
    body = [
        (
            escape(each.vault_name or each.vault) if each.vault else f"[dim]device[/] {each.device[:8]}",
            str(each.epoch),
            "live" if each.live else "[yellow]earlier[/]",
            each.made,
            escape(each.path),
        )
        for each in files
    ]
    call.output.out.print(rows(("VAULT", "EPOCH", "", "MADE", "FILE"), body))
