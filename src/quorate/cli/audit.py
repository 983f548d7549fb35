"""``quorate audit``: verify, export and tail, of a running node, of one at rest, and of an export, which needs none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer

from quorate.ceremony.audit import AuditVerdict
from quorate.ceremony.audit_export import (
    LONGEST_LINE,
    RecordLine,
    head_in,
    heading,
    place_of,
    record_of,
    verify_lines,
    witnesses_in,
)
from quorate.ceremony.identity import read_card
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, runs
from quorate.cli.files import require_new
from quorate.cli.output import escape
from quorate.cli.views import time_of
from quorate.errors import UsageError
from quorate.operations.kinds import device_id
from quorate.rpc.client import AUDIT_PAGE
from quorate.rpc.upkeep import AuditPage

LOOK = 1.0  # seconds between looks for new records


class Chain(Protocol):
    """The chain of a node, whether it runs or not."""

    async def audit(self, *, after: int = 0, limit: int = AUDIT_PAGE) -> AuditPage: ...

    async def examine_audit(self) -> AuditVerdict: ...


def register(app: typer.Typer) -> None:
    @command(app, "verify")
    async def verify(
        call: Call,
        file: Annotated[
            Path | None, typer.Argument(help="An export. [default: the node's own chain]")
        ] = None,
        card: Annotated[Path | None, typer.Option("--card", help="The device card of its node.")] = None,
        public_key: Annotated[
            str, typer.Option("--public-key", metavar="HEX", help="Or the device's Ed25519 key.")
        ] = "",
        witness: Annotated[
            list[Path] | None,
            typer.Option(
                "--witness", help="The export of another node: it has heads of this one's. May be repeated."
            ),
        ] = None,
    ) -> None:
        """Check every record and signature of an audit chain, and that it is whole. A FILE is verified offline, by the
        card or the key of its node. Exit code 1, and the records named, if anything is wrong."""
        if file is not None:
            key = _key(card, public_key)
            device = device_id(key)
            seen = [each for path in witness or () for each in witnesses_in(_lines(path), device)]
            verdict = verify_lines(key, _lines(file), seen)
        elif card is not None or public_key or witness:
            raise UsageError(
                "--card, --public-key and --witness are for a FILE: a node asks its peers itself"
            )
        else:
            with call.output.progress("verifying"):
                async with chain_of(call) as node:
                    verdict = await node.examine_audit()
        show_verdict(call, verdict)

    @command(app, "export")
    async def export(
        call: Call,
        out: Annotated[
            Path | None, typer.Option("--out", help="Write to this new file. [default: stdout]")
        ] = None,
    ) -> None:
        """The whole audit chain as JSON lines, with its signed head at the end: what `audit verify FILE` takes."""
        if out is not None:
            require_new(out, "an export is")
        async with chain_of(call) as node:
            if out is None:
                async for line in exported(node):
                    typer.echo(line)
                return
            with out.open("w", encoding="utf-8") as file:
                async for line in exported(node):
                    file.write(line + "\n")
        call.output.show({"file": str(out)}, f"written to {escape(str(out))}")

    @command(app, "tail")
    async def tail(
        call: Call,
        count: Annotated[int, typer.Option("-n", "--lines", min=0, max=10_000, help="Records to show.")] = 20,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more come.")] = False,
    ) -> None:
        """The last records of the audit chain, as the node says them: `audit verify` says whether they stand."""
        async with chain_of(call) as node:
            last = _head_number(await node.audit(limit=0))
            after = max(last - count, 0)
            while True:
                page = await node.audit(after=after)
                for text in page.records:
                    show_record(call, text)
                    after = place_of(text)
                if len(page.records) < AUDIT_PAGE:
                    if not follow:
                        return
                    await asyncio.sleep(LOOK)


@asynccontextmanager
async def chain_of(call: Call) -> AsyncIterator[Chain]:
    if await runs(call):
        async with connect(call) as node:
            yield node
        return
    from quorate.node import audit  # only here: most commands ask a node and need none of it

    with audit.at_rest(call.home) as resting:
        yield resting


async def exported(node: Chain) -> AsyncIterator[str]:
    """Up to the head that there is now, whatever comes meanwhile."""
    first = await node.audit(limit=0)
    yield heading(first.device)
    upto, place = _head_number(first), 0
    while place < upto and (page := await node.audit(after=place)).records:
        for line in page.records:
            place = place_of(line)
            if place <= upto:
                yield line
    yield first.head


def show_record(call: Call, text: str) -> None:
    record = record_of(text)
    if call.output.json:
        typer.echo(text)
    elif record is None:
        call.output.out.print(f"[red]damaged[/]: {escape(text)}")
    else:
        call.output.out.print(record_text(record))


def record_text(record: RecordLine) -> str:
    facts = " ".join(
        f"[dim]{escape(name)}[/] {escape(value)}" for name, value in record.facts.items() if value
    )
    about = f" {escape(record.operation)}" if record.operation else ""
    return f"{record.sequence} {time_of(record.at_ms)} [bold]{escape(record.event)}[/]{about} {facts}"


def show_verdict(call: Call, verdict: AuditVerdict) -> None:
    said = {
        "sound": verdict.sound,
        "records": verdict.records,
        "last": verdict.last,
        "flaws": [{"record": flaw.sequence, "rule": flaw.rule, "said": flaw.said} for flaw in verdict.flaws],
    }
    lines = [f"[red]{escape(str(flaw))}[/]" for flaw in verdict.flaws]
    if verdict.sound:
        lines.append(f"[green]sound[/]: {verdict.records} records, whole and signed")
    else:
        lines.append(f"[red]not sound[/]: {verdict.records} records")
    call.output.show(said, "\n".join(lines))
    if not verdict.sound:
        raise typer.Exit(1)


def _head_number(page: AuditPage) -> int:
    head = head_in(page.head)
    if head is None:
        raise UsageError("the node shows no head of its audit chain", code="MALFORMED")
    return head.sequence


def _key(card: Path | None, public_key: str) -> bytes:
    if (card is None) is (not public_key):
        raise UsageError("whose chain: --card FILE or --public-key HEX")
    if card is not None:
        return read_card(card.read_text()).identity_key
    try:
        key = bytes.fromhex(public_key)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise UsageError("--public-key: 32 bytes in hexadecimal")
    return key


def _lines(file: Path) -> Iterator[str]:
    """What is no UTF-8, or longer than any line of an export, is none."""
    with file.open(encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
        while line := lines.readline(LONGEST_LINE):
            yield line.removesuffix("\n")
