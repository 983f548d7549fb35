"""``quorate operation``: list, show, watch, cancel."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.ceremony.views import AskedView, OperationView
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, finish, progress_of
from quorate.cli.output import escape
from quorate.cli.views import (
    asked_record,
    coloured,
    operation_record,
    operation_text,
    reason_of,
    rows,
    time_of,
)
from quorate.errors import UsageError
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError


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
        """One operation: votes, state, what came of it. With --json also what this node's approver was asked."""
        async with connect(call) as node:
            view = await node.operation(operation)
            if wait:
                with call.output.progress("waiting") as tell:
                    view = await finish(node, view, timeout=timeout, tell=tell)
            asked = await asked_of(node, view) if call.output.json else None
        record = operation_record(view, der=der) | {"asked": asked and asked_record(asked)}
        call.output.show(record, operation_text(view, der=der))

    @command(app, "watch")
    async def watch(
        call: Call,
        operation: Annotated[str, typer.Argument(help="Operation id.")] = "",
        vault: Annotated[str, typer.Option("--vault", help="Every operation of this vault.")] = "",
        every: Annotated[bool, typer.Option("--all", help="Every operation.")] = False,
    ) -> None:
        """An operation at every change until it has ended, or those of a vault, or all, until stopped."""
        if (bool(operation), bool(vault), every).count(True) != 1:
            raise UsageError("watch one operation, or --vault VAULT, or --all")
        async with connect(call) as node:
            async for view in node.watch(operation=operation, vault=vault, every=every):
                if call.output.json:
                    call.output.line(operation_record(view))
                else:
                    call.output.out.print(f"{view.id} {progress_of(view)} {escape(reason_of(view))}".rstrip())

    @command(app, "cancel")
    async def cancel(call: Call, operation: Annotated[str, typer.Argument(help="Operation id.")]) -> None:
        """End an operation that this node proposed. Every member hears of it."""
        async with connect(call) as node:
            view = await node.cancel(operation)
        call.output.show(operation_record(view), operation_text(view))


async def asked_of(node: NodeClient, view: OperationView) -> AskedView | None:
    """What the node's approver was asked about it, if it was."""
    try:
        return await node.asked(view.id)
    except RemoteError as error:
        if error.code != "NOT_ASKED":
            raise
        return None
