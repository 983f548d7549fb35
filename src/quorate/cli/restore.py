"""``quorate restore``: a node whose disk is gone, out of its backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.ceremony.identity import check_address, fingerprint
from quorate.cli.backup import Passphrases, RecoveryKeys
from quorate.cli.command import Call, command
from quorate.cli.files import expanded
from quorate.cli.output import escape
from quorate.errors import UsageError
from quorate.node import restoring
from quorate.recovery.files import openers_of


def register(app: typer.Typer) -> None:
    @command(app, "restore")
    def restore(
        call: Call,
        files: Annotated[list[Path], typer.Argument(help="This node's backups: *.device and *.backup.")],
        passphrase_file: Passphrases = None,
        recovery_key: RecoveryKeys = None,
        store_passphrase_file: Annotated[
            Path | None, typer.Option("--store-passphrase-file", help="Is to open the new store.")
        ] = None,
        store_key_file: Annotated[
            Path | None,
            typer.Option(
                "--store-key-file", help="The same: 32 random bytes; made if there is no such file."
            ),
        ] = None,
        advertise: Annotated[
            str,
            typer.Option("--advertise", metavar="HOST:PORT", help="Where peers reach it, if not as before."),
        ] = "",
    ) -> None:
        """Make this node again out of its backups, in a home that has no store. It takes no part in a vault until
        the other signers have shown that they hold it as the backup does."""
        restoring.require_empty(call.home)
        if store_passphrase_file and store_key_file:
            raise UsageError("give --store-passphrase-file or --store-key-file, not both")
        if advertise:
            check_address(advertise)
        with call.output.progress("opening the backups"):
            copies = restoring.gather(expanded(files), openers_of(passphrase_file or (), recovery_key or ()))
        with call.output.progress("writing the store"):
            me = restoring.restore(
                call.home, copies, passphrase_file=store_passphrase_file, key_file=store_key_file,
                advertise=advertise,
            )  # fmt: skip
        vaults = [
            {
                "vault": held.record.vault,
                "name": held.label.vault_name,
                "epoch": held.record.epoch,
                "made": held.label.made,
                "weight": held.weight,
                "threshold": held.record.threshold,
                "state": "quarantined",
            }
            for held in copies.vaults
        ]
        strangers = restoring.unknown_signers(copies)
        lines = [
            f"[bold]{escape(me.name)}[/] is device {me.device} again",
            f"fingerprint [bold]{fingerprint(me)}[/]",
        ]
        lines += [f"peers       {', '.join(escape(peer.name) for peer in copies.peers) or 'none'}"]
        lines += [
            f"vault       {escape(str(each['name'] or each['vault']))}, epoch {each['epoch']}, of {each['made']}:"
            " [yellow]in quarantine[/]"
            for each in vaults
        ]
        call.output.show(
            {
                "device": me.device,
                "name": me.name,
                "address": me.address,
                "fingerprint": fingerprint(me),
                "home": str(call.home),
                "peers": [peer.name for peer in copies.peers],
                "vaults": vaults,
                "left_out": list(copies.left_out),
                "unknown_signers": list(strangers),
            },
            "\n".join(lines),
        )
        for source in copies.left_out:
            call.output.note(f"left out, as there is a later one: {escape(source)}")
        if strangers:
            call.output.note(
                f"[yellow]No card of {', '.join(strangers)}, who sign too: `quorate peer add` it before you start.[/]"
            )
        if not vaults:
            call.output.note(
                "[yellow]No shares: this node takes part again once the others refresh their vaults.[/]"
            )
        call.output.note(
            "Never run the old disk again, if it turns up: this is that node now.\n"
            "Next: set \\[approver] and \\[backup] in quorate.toml, `quorate run`, `quorate doctor`; once every other"
            " signer is up and has shown its certificate the vaults leave quarantine by themselves (`quorate status`);"
            " then `quorate vault pair-reset` with each of them, for ECDSA, and `quorate client add` for every"
            " application, whose credentials were not backed up."
        )
