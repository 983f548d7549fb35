"""``quorate doctor``: what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import typer

from quorate.cli import findings
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, runs
from quorate.cli.output import escape
from quorate.cli.views import rows, time_of
from quorate.rpc.findings import Examination, Pair


def register(app: typer.Typer) -> None:
    @command(app, "doctor")
    async def doctor(call: Call) -> None:
        """Look at everything this node needs: disk, store, key, approver, every pair of nodes, vaults.

        Works on a running node and, as far as that goes, on one at rest. Exit code 1 if there is a problem."""
        with call.output.progress("examining"):
            examination = await examine(call)
        findings.show(call.output, examination.findings)
        if call.output.json:
            for pair in examination.pairs:
                call.output.line({"pair": asdict(pair)})
        elif examination.pairs:
            call.output.out.print()
            call.output.out.print(rows(HEADINGS, map(row, examination.pairs)))
        findings.end(examination.findings)


HEADINGS: Sequence[str] = ("FROM", "TO", "LINK", "ROUND TRIP", "CLOCK", "VERSION", "CERTIFICATE ENDS")


async def examine(call: Call) -> Examination:
    if await runs(call):
        async with connect(call) as node:
            return await node.examine()
    from quorate.node.doctor import resting  # only here: a running node is asked

    return await resting.examine_resting(call.home)


def row(pair: Pair) -> Sequence[str]:
    return (
        escape(pair.observer),
        escape(pair.peer),
        "[green]up[/]" if pair.connected else "[red]down[/]",
        "-" if pair.rtt is None else f"{pair.rtt * 1000:.1f} ms",
        "-" if pair.clock_offset is None else f"{pair.clock_offset:+.3f} s",
        escape(pair.version) or "-",
        "-" if pair.certificate_ends_ms is None else time_of(pair.certificate_ends_ms),
    )
