"""``quorate seal`` and ``quorate unseal``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.errors import UsageError


def register(app: typer.Typer) -> None:
    @command(app, "seal")
    async def seal(call: Call) -> None:
        """Have the running node end its sessions and forget its key and all shares. It votes on nothing and signs
        nothing until `quorate unseal`, or until it is started again."""
        async with connect(call) as node:
            await node.seal()
        call.output.show(
            {"sealed": True}, "sealed: it votes on nothing and signs nothing until `quorate unseal`"
        )

    @command(app, "unseal")
    async def unseal(
        call: Call,
        passphrase_file: Annotated[
            Path | None,
            typer.Option(
                "--passphrase-file", help="Holds the passphrase, instead of what [key] names; - is stdin."
            ),
        ] = None,
    ) -> None:
        """Give a sealed node its key again, on its own machine: from where [key] says, or by the passphrase."""
        passphrase = b""
        if passphrase_file is not None:
            stdin = str(passphrase_file) == "-"
            passphrase = sys.stdin.buffer.readline() if stdin else passphrase_file.read_bytes()
            if not passphrase.strip():
                raise UsageError("the passphrase is empty")
        async with connect(call) as node:
            await node.unseal(passphrase)
        call.output.show({"sealed": False}, "unsealed: what waited goes on")
