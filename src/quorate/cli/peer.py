"""``quorate peer``: add, remove, list, set-address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from quorate.ceremony.identity import fingerprint, peer_named, read_card
from quorate.ceremony.ports import Peer
from quorate.cli.cert import cards
from quorate.cli.command import Call, command
from quorate.cli.connection import registry
from quorate.cli.files import expanded
from quorate.cli.output import escape, plain
from quorate.cli.views import rows
from quorate.errors import UsageError


def register(app: typer.Typer) -> None:
    @command(app, "add")
    async def add(
        call: Call,
        cards: Annotated[
            list[Path],
            typer.Argument(metavar="CARD...", help="Device cards of the other signers, or patterns of them."),
        ],
        yes: Annotated[
            bool, typer.Option("--yes", "-y", help="The fingerprints have been compared; do not ask.")
        ] = False,
    ) -> None:
        """Trust other signers by their device cards, on a running node too. Compare every fingerprint by another way
        than the card came."""
        async with registry(call) as book:
            known = {peer.device: peer for peer in await book.peers()}
            me = next(iter(known))
            for path in expanded(cards):
                peer = read(path)
                held = known.get(peer.device)
                if peer.device == me:
                    call.output.show(
                        record(peer) | {"added": False}, f"{escape(peer.name)}: this node itself, skipped"
                    )
                elif held is not None and held.card == peer.card:
                    call.output.show(record(peer) | {"added": False}, f"{escape(peer.name)}: known already")
                else:
                    if not yes and held is None:
                        call.confirm(introduced(peer), "Does its operator read out the same?")
                    added = await book.add_peer(peer.card)
                    text = (
                        f"[green]✓[/] {escape(added.name)} at {escape(added.address)}  {fingerprint(added)}"
                    )
                    call.output.show(record(added) | {"added": True}, text)

    @command(app, "remove")
    async def remove(
        call: Call,
        name: Annotated[str, typer.Argument(metavar="NAME", help="Or the device's id.")],
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    ) -> None:
        """Trust a signer no more, on a running node too: its links end. First it is taken out of the vaults."""
        async with registry(call) as book:
            peer = peer_named(name, await book.peers())
            if not yes:
                call.confirm(Text(plain(f"{peer.name} {peer.device}")), "Trust it no more?")
            await book.remove_peer(peer.device)
        call.output.show(
            record(peer) | {"removed": True}, f"[green]✓[/] {escape(peer.name)} is trusted no more"
        )

    @command(app, "list")
    async def list_(call: Call) -> None:
        """The signers this node trusts, and whether they are connected."""
        async with registry(call) as book:
            peers = await book.peers()
            links = await book.links()
        if call.output.json:
            for peer in peers:
                call.output.line(record(peer) | {"connected": links.get(peer.device)})
            return
        body = (
            (
                escape(peer.name),
                peer.device,
                escape(peer.address),
                "this node" if number == 0 else connection(links.get(peer.device)),
                fingerprint(peer),
            )
            for number, peer in enumerate(peers)
        )
        call.output.out.print(rows(("NAME", "DEVICE", "ADDRESS", "LINK", "FINGERPRINT"), body))

    @command(app, "set-address")
    async def set_address(
        call: Call,
        address: Annotated[str, typer.Argument(help="host:port.")],
        peer: Annotated[
            str | None,
            typer.Option("--peer", help="Of where this node reaches that peer, until it announces another."),
        ] = None,
    ) -> None:
        """This node has moved: its peers learn the new address over their links, by a card with a higher rev.

        With --peer, reach that peer at another address than the one on its card; "" takes that back."""
        async with cards(call) as own:
            changed = await own.set_address(address, device=peer or "")
        call.output.show(
            record(changed),
            f"[green]✓[/] {escape(changed.name)} at {escape(changed.address)}, card rev {changed.rev}",
        )


def connection(connected: bool | None) -> str:
    return {True: "[green]connected[/]", False: "[yellow]not connected[/]", None: "[dim]node not running[/]"}[
        connected
    ]


def introduced(peer: Peer) -> Text:
    return Text.from_markup(
        f"[bold]{escape(peer.name)}[/] at {escape(peer.address)}\n  fingerprint [bold]{fingerprint(peer)}[/]"
    )


def read(path: Path) -> Peer:
    try:
        return read_card(path.read_text())
    except UsageError as error:
        raise UsageError(f"{path}: {error}", code=error.code) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not a device card") from None


def record(peer: Peer) -> dict[str, Any]:
    return {
        "device": peer.device,
        "name": peer.name,
        "address": peer.address,
        "rev": peer.rev,
        "fingerprint": fingerprint(peer),
    }
