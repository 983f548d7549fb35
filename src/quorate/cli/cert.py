"""``quorate cert``: show, rotate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol

import typer

from quorate.ceremony.ports import Peer
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, runs
from quorate.cli.output import escape
from quorate.cli.views import time_of
from quorate.rpc.tls import end_of, pin_of
from quorate.rpc.upkeep import Certificates


def register(app: typer.Typer) -> None:
    @command(app, "show")
    async def show(call: Call) -> None:
        """The certificate that peers pin, those before it that are still shown, and who does not know it yet."""
        async with cards(call) as own:
            held, peers = await own.certificates(), await own.peers()
        call.output.show(record(held, peers), "\n".join(told(held, peers)))

    @command(app, "rotate")
    async def rotate(
        call: Call,
        now: Annotated[
            bool,
            typer.Option("--now", help="No overlap: who is not connected needs the new card by hand."),
        ] = False,
    ) -> None:
        """Make new certificates for the peer port and the client port, while the node runs. Peers learn of it over
        their links and sessions go on; those that are away learn later, for limits.overlap. Credentials stay valid."""
        async with cards(call) as own:
            held = await own.rotate_certificate(at_once=now)
            peers = await own.peers()
        call.output.show(record(held, peers), "\n".join(told(held, peers)))


class Own(Protocol):
    """``NodeClient``, or the cards of a node at rest."""

    async def certificates(self) -> Certificates: ...

    async def rotate_certificate(self, *, at_once: bool = False) -> Certificates: ...

    async def set_address(self, address: str, *, device: str = "") -> Peer: ...

    async def peers(self) -> Sequence[Peer]: ...


@asynccontextmanager
async def cards(call: Call) -> AsyncIterator[Own]:
    """Of the node that is asked, or, if the one in ``--home`` does not run, of its store."""
    if await runs(call):
        async with connect(call) as node:
            yield node
        return
    from quorate.cli.resting import RestingCards  # only here: a running node is asked

    with RestingCards.of(call.home) as own:
        yield own


def record(held: Certificates, peers: Sequence[Peer]) -> dict[str, Any]:
    names = {peer.device: peer.name for peer in peers}
    end = end_of(held.me.certificate_pem)
    return {
        "name": held.me.name,
        "rev": held.me.rev,
        "pin": held.me.certificate_pin.hex(),
        "ends": None if end is None else f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "earlier": [
            {"rev": each.rev, "pin": pin_of(each.certificate_pem).hex(), "until": time_of(each.until_ms)}
            for each in held.earlier
        ],
        "awaited": [names.get(device, device) for device in held.awaited],
        "client_authority_pin": pin_of(held.authority_pem).hex(),
    }


def told(held: Certificates, peers: Sequence[Peer]) -> list[str]:
    fields = record(held, peers)
    lines = [
        f"[bold]{escape(held.me.name)}[/] card rev {held.me.rev}, certificate {fields['pin'][:16]}, "
        + ("has no end" if fields["ends"] is None else f"ends {fields['ends']}")
    ]
    lines += [
        f"  before: card rev {each['rev']}, certificate {each['pin'][:16]}, shown until {each['until']}"
        for each in fields["earlier"]
    ]
    if fields["awaited"]:
        lines.append(f"  [yellow]do not know this card yet:[/] {escape(', '.join(fields['awaited']))}")
    return lines
