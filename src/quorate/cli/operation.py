"""``quorate operation``: list, show."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from quorate.cli.command import Call, command
from quorate.cli.connection import connect, finish
from quorate.cli.views import coloured, operation_record, operation_text, reason_of, rows, time_of


def register(app: typer.Typer) -> None:
    @command(app, "list")
    async def list_(call: Call, limit: Annotated[int, typer.Option(help="At most so many.")] = 20) -> None:
        """The latest operations, newest first."""
        async with connect(call) as node:
            views = await node.operations(limit=limit)
        if call.output.json:
            for view in views:
                call.output.line(operation_record(view))
            return
        body = (
            (
                view.id,
                view.kind,
                coloured(str(view.state)),
                f"{view.approved_weight}/{view.threshold}",
                time_of(view.created_ms),
                escape(reason_of(view)),
            )
            for view in views
        )
        call.output.out.print(rows(("OPERATION", "KIND", "STATE", "APPROVED", "CREATED", "WHY"), body))

    @command(app, "show")
    async def show(
        call: Call,
        operation: Annotated[str, typer.Argument(help="Operation id.")],
        wait: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
        timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.")] = None,
        der: Annotated[bool, typer.Option("--der", help="Show ECDSA signatures in DER.")] = False,
    ) -> None:
        """One operation: votes, state, what came of it."""
        async with connect(call) as node:
            view = await node.operation(operation)
            if wait:
                with call.output.progress("waiting") as tell:
                    view = await finish(node, view, timeout=timeout, tell=tell)
        call.output.show(operation_record(view, der=der), operation_text(view, der=der))
