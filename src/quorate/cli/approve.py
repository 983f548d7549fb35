"""``quorate approve``: list, show, yes, no, abstain. For nodes whose approver is a person."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.output import escape
from quorate.cli.views import asked_record, asked_text, operation_record, operation_text, pending_rows
from quorate.errors import UsageError

Operation = Annotated[str, typer.Argument(help="Operation id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the node's journal.")]
Digest = Annotated[
    str | None,
    typer.Option("--digest", help="Decide on this very digest only, as `approve show` printed it."),
]
VERDICTS = {
    "yes": ("approve", "Have this node take part."),
    "no": ("reject", "Say no, which counts against the operation."),
    "abstain": ("abstain", "Keep this node out; others may still reach the threshold."),
}


def register(app: typer.Typer) -> None:
    @command(app, "list")
    async def list_(call: Call, limit: Annotated[int, typer.Option(help="At most so many.")] = 100) -> None:
        """What waits for a decision at this node, longest first."""
        async with connect(call) as node:
            views = await node.pending(limit=limit)
        if call.output.json:
            for view in views:
                call.output.line(operation_record(view))
            return
        call.output.out.print(pending_rows(views))

    @command(app, "show")
    async def show(call: Call, operation: Operation) -> None:
        """The request exactly as the approver got it, and the digest that a decision binds."""
        async with connect(call) as node:
            asked = await node.asked(operation)
        call.output.show(asked_record(asked), asked_text(asked))

    for word, (verdict, text) in VERDICTS.items():
        _decision(app, word, verdict, text)


def _decision(app: typer.Typer, word: str, verdict: str, text: str) -> None:
    @command(app, word, text)
    async def decide(call: Call, operation: Operation, reason: Reason = "", digest: Digest = None) -> None:
        async with connect(call) as node:
            bound = (await node.asked(operation)).digest if digest is None else _digest(digest)
            view = await node.decide(operation, digest=bound, verdict=verdict, reason=reason)
        call.output.note(f"[green]✓[/] {verdict} for {escape(operation)}, digest {bound.hex()}")
        call.output.show(operation_record(view), operation_text(view))


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        raise UsageError("--digest: 64 hex digits are needed") from None
    if len(digest) != 32:
        raise UsageError("--digest: 64 hex digits are needed")
    return digest
