"""``quorate run``, ``quorate status`` and ``quorate reload``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import typer
from rich.console import Group
from rich.table import Table

from quorate.ceremony.views import NodeStatus
from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.output import escape
from quorate.cli.views import coloured, time_of, vault_record
from quorate.identifiers import DeviceId


def register(app: typer.Typer) -> None:
    @command(app, "run")
    async def run(call: Call) -> None:
        """Run this node until SIGTERM or Ctrl-C. Its log goes to stderr, as JSON lines unless log.format says text."""
        from quorate.node import daemon  # only here: `status` needs none of it

        def ready(news: daemon.Ready) -> None:
            again = f", started {news.boot} times" if news.boot > 1 else ""
            call.output.show(
                {"ready": True, **asdict(news)},
                f"[bold]{escape(news.name)}[/] is ready: peers at {news.peer_address}, clients at "
                f"{news.client_address}, {news.peers} peers known, approver {news.approver}{again}",
            )

        await daemon.run(call.home, ready=ready)

    @command(app, "status")
    async def status(call: Call) -> None:
        """How this node is: since when it runs, its peers, its vaults, what is unfinished."""
        async with connect(call) as node:
            view = await node.status()
        call.output.show(status_record(view), status_text(view))

    @command(app, "reload")
    async def reload(call: Call) -> None:
        """Have the running node read quorate.toml again, as SIGHUP does. A file with a mistake changes nothing."""
        async with connect(call) as node:
            done = await node.reload()
        lines = [f"[green]✓[/] {escape(name)} in effect" for name in done.changed]
        lines += [f"[yellow]restart needed[/] for {escape(name)}" for name in done.restart]
        call.output.show(
            {"changed": list(done.changed), "restart_needed": list(done.restart)},
            "\n".join(lines) or "nothing has changed",
        )


def status_record(view: NodeStatus) -> dict[str, Any]:
    names = names_of(view)
    return {
        "device": view.device,
        "name": view.name,
        "version": view.version,
        "started": time_of(view.started_ms),
        "boot": view.boot,
        "restarted": view.boot > 1,
        "peers": [
            {"id": device, "name": names.get(device), "connected": up} for device, up in view.peers.items()
        ],
        "vaults": [vault_record(vault) for vault in view.vaults],
        "unfinished": view.unfinished,
        "summary": status_line(view),
        "ready": not view.not_ready,
        "not_ready": [asdict(cause) for cause in view.not_ready],
        "warnings": [asdict(cause) for cause in view.warnings],
    }


def status_text(view: NodeStatus) -> Group:
    names = names_of(view)
    table = Table.grid(padding=(0, 2))
    verb = "restarted" if view.boot > 1 else "started"
    since = datetime.fromtimestamp(view.started_ms / 1000).astimezone()
    table.add_row("[bold]status", escape(status_line(view)))
    table.add_row("[bold]node", f"[bold]{escape(view.name)}[/] [dim]{view.device} version {view.version}[/]")
    table.add_row("running", f"{verb} {since:%Y-%m-%d %H:%M:%S} (start {view.boot})")
    away = [escape(names.get(device, device)) for device, up in view.peers.items() if not up]
    missing = f", [yellow]not connected: {', '.join(away)}[/]" if away else ""
    table.add_row("peers", f"{sum(view.peers.values())}/{len(view.peers)}{missing}")
    for vault in view.vaults:
        online = sum(signer.weight for signer in vault.signers if signer.online)
        table.add_row(
            "vault",
            f"{escape(vault.name)} {coloured(vault.state)} [dim]{vault.id}[/], epoch {vault.epoch}, "
            f"online weight {online}, threshold {vault.threshold}",
        )
    table.add_row("unfinished", str(view.unfinished))
    vaults = {vault.id: vault.name for vault in view.vaults}
    for cause in view.not_ready:
        where = f"vault {escape(vaults.get(cause.vault, cause.vault))}: " if cause.vault else ""
        table.add_row("[yellow]not ready", f"{where}{escape(cause.detail)} [dim]{cause.code}[/]")
    for cause in view.warnings:
        table.add_row("[yellow]warning", f"{escape(cause.detail)} [dim]{cause.code}[/]")
    if not view.not_ready:
        table.add_row("[green]ready", "the node, and every vault on it")
    return Group(table)


def status_line(view: NodeStatus) -> str:
    """The whole in one line: restarted 14:02; vault ops ready; peers 2/2."""
    verb = "restarted" if view.boot > 1 else "started"
    since = datetime.fromtimestamp(view.started_ms / 1000).astimezone()
    today = since.date() == datetime.now().astimezone().date()
    unready = {cause.vault for cause in view.not_ready}
    vaults = [
        f"vault {vault.name} {'not ready' if unready & {None, vault.id} else vault.state}"
        for vault in view.vaults
    ]
    peers = f"peers {sum(view.peers.values())}/{len(view.peers)}"
    return "; ".join([f"{verb} {since:%H:%M}" if today else f"{verb} {since:%Y-%m-%d %H:%M}", *vaults, peers])


def names_of(view: NodeStatus) -> dict[DeviceId, str]:
    """Names by device id, as far as the vaults' rosters tell."""
    return {signer.device: signer.name for vault in view.vaults for signer in vault.signers}
