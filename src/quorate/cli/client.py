"""``quorate client``: add, list, revoke."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from quorate.cli.command import Call, command
from quorate.cli.connection import registry
from quorate.cli.files import require_new
from quorate.cli.views import rows, time_of
from quorate.storage import Client


def register(app: typer.Typer) -> None:
    @command(app, "add")
    async def add(
        call: Call,
        name: Annotated[str, typer.Argument(help="The client's id.")],
        out: Annotated[
            Path, typer.Option("--out", help="The credentials file to write, for its owner only.")
        ],
        role: Annotated[str, typer.Option("--role", help="signer or admin.")] = "signer",
        vault: Annotated[
            list[str] | None, typer.Option("--vault", help="May use this vault only. Repeatable.")
        ] = None,
    ) -> None:
        """Let a program or a person ask this node. The secret is in the file and nowhere else."""
        require_new(out, "credentials are")
        async with registry(call) as book:
            credentials = await book.add_client(name, role, vault or ())
        credentials.save(out)
        call.output.show(
            {"client": name, "role": role, "endpoint": credentials.endpoint, "credentials": str(out)},
            f"[green]✓[/] {escape(name)} may ask {escape(credentials.endpoint)} as {role}, with {escape(str(out))}",
        )

    @command(app, "list")
    async def list_(call: Call) -> None:
        """Who may ask this node."""
        async with registry(call) as book:
            clients = await book.clients()
        if call.output.json:
            for client in clients:
                call.output.line(
                    {
                        "client": client.id,
                        "role": client.role,
                        "vaults": list(client.vaults),
                        "created": time_of(client.created_ms),
                        "revoked": None if client.revoked_ms is None else time_of(client.revoked_ms),
                    }
                )
            return
        body = (
            (escape(c.id), c.role, ", ".join(c.vaults), time_of(c.created_ms), standing(c)) for c in clients
        )
        call.output.out.print(rows(("CLIENT", "ROLE", "VAULTS", "CREATED", "STATE"), body))

    @command(app, "revoke")
    async def revoke(call: Call, name: Annotated[str, typer.Argument(help="The client's id.")]) -> None:
        """Serve a client no longer, from its next call on."""
        async with registry(call) as book:
            await book.revoke_client(name)
        call.output.show({"client": name, "revoked": True}, f"[green]✓[/] {escape(name)} is served no longer")


def standing(client: Client) -> str:
    return "[green]live[/]" if client.revoked_ms is None else f"[red]revoked {time_of(client.revoked_ms)}[/]"
