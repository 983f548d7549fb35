"""``quorate init``: a node's identity, certificate, store and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.ceremony.identity import fingerprint
from quorate.cli.command import Call, command
from quorate.cli.files import require_new
from quorate.cli.output import escape
from quorate.errors import UsageError
from quorate.node import founding
from quorate.storage.files import write_new


def register(app: typer.Typer) -> None:
    @command(app, "init")
    def init(
        call: Call,
        name: Annotated[
            str, typer.Option("--name", envvar="QUORATE_NAME", help="What people call this signer.")
        ],
        advertise: Annotated[
            str,
            typer.Option(
                "--advertise", envvar="QUORATE_ADVERTISE", metavar="HOST:PORT", help="Where peers reach it."
            ),
        ],
        card: Annotated[Path | None, typer.Option("--card", help="Also write the device card here.")] = None,
        cards: Annotated[
            Path | None,
            typer.Option(
                "--cards", envvar="QUORATE_CARDS", help="Also write it into this directory, as NAME.json."
            ),
        ] = None,
        passphrase_file: Annotated[
            Path | None, typer.Option("--passphrase-file", help="Holds the passphrase that opens the store.")
        ] = None,
        key_file: Annotated[
            Path | None, typer.Option("--key-file", help="Holds 32 random bytes; made if it does not exist.")
        ] = None,
    ) -> None:
        """Make this machine a signer: identity, certificate, store, settings, and a device card for the others."""
        port = port_of(advertise)
        if passphrase_file and key_file:
            raise UsageError("give --passphrase-file or --key-file, not both")
        if card is None and cards is not None:
            card = founding.card_file(cards, name)
        if card is not None:
            require_new(card, "a card is")
        fresh = founding.write_settings(
            call.home, port=port, passphrase_file=passphrase_file, key_file=key_file
        )
        if not fresh and (passphrase_file or key_file):
            raise UsageError(
                f"{call.home / 'quorate.toml'} exists and says what opens the store; change [key] there"
            )
        with call.output.progress("making the identity and its store"):
            me = founding.found(call.home, name=name, advertise=advertise)
        written = founding.write_card(call.home, me)
        if card is not None:
            write_new(card, me.card.encode() + b"\n", mode=0o644)
            written = card
        call.output.show(
            {
                "device": me.device,
                "name": me.name,
                "address": me.address,
                "fingerprint": fingerprint(me),
                "card": str(written),
                "home": str(call.home),
            },
            f"[bold]{escape(me.name)}[/] is device {me.device}\n"
            f"fingerprint [bold]{fingerprint(me)}[/]\n"
            f"card        {escape(str(written))}",
        )
        if (call.home / "node.key").exists():
            call.output.note(
                "[yellow]The store opens with node.key, which lies beside it: keep the disk safe, or start over "
                "with --passphrase-file.[/]"
            )
        call.output.note(
            "Next: give the card to the other signers, `quorate peer add` theirs here, set \\[approver] in "
            "quorate.toml, then `quorate run`."
        )


def port_of(advertise: str) -> int:
    _, colon, port = advertise.rpartition(":")
    if not colon or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise UsageError(f"--advertise {advertise}: peers need HOST:PORT, such as signer.example:7100")
    return int(port)
