"""``quorate approver``: test."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from quorate.cli import findings
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, runs
from quorate.rpc.findings import Finding


def register(app: typer.Typer) -> None:
    @app.callback()
    def approver() -> None:
        """A noun with one verb is still a noun."""

    @command(app, "test")
    async def test(call: Call) -> None:
        """Send the approver a sample of every kind of request and check its answers. Nothing can be approved by it.

        Exit code 1 if an answer does not count."""
        with call.output.progress("asking the approver"):
            found = await ask(call)
        findings.show(call.output, found)
        findings.end(found)


async def ask(call: Call) -> Sequence[Finding]:
    """By the node, if it runs, since it is the node's question that has to be answered; else in its place."""
    if await runs(call):
        async with connect(call) as node:
            return await node.try_approver()
    from quorate.node.doctor import resting  # only here: a running node is asked

    return await resting.try_approver(call.home)
