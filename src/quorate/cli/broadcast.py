"""``quorate broadcast``: hand a signed transaction to its chain."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.ceremony.views import OperationView
from quorate.cli.chain import require_endpoint
from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.output import escape
from quorate.cli.views import hash_of
from quorate.errors import UsageError
from quorate.operations.transactions import evm


def register(app: typer.Typer) -> None:
    @command(app, "broadcast")
    async def broadcast(
        call: Call,
        operation: Annotated[str, typer.Argument(help="Operation id of a signed transaction.")],
        rpc: Annotated[str, typer.Option("--rpc", metavar="URL", help="The chain's JSON-RPC endpoint.")] = "",
    ) -> None:
        """Send a signed transaction to its chain. Again changes nothing."""
        async with connect(call) as node:
            view = await node.operation(operation)
        transaction, raw, ours = signed_of(view)
        async with require_endpoint(call.home, transaction, rpc) as endpoint:
            with call.output.progress(f"sending to chain {transaction.chain_id}"):
                await endpoint.require_chain(transaction.chain_id)
                new = await endpoint.send(raw)
        record = {
            "operation": view.id,
            "chain_id": transaction.chain_id,
            "transaction": ours,
            "already_known": not new,
        }
        what = "sent" if new else "was there before"
        call.output.show(
            record, f"[green]✓[/] {ours} {what}: chain {transaction.chain_id}, {escape(endpoint.host)}"
        )


def signed_of(view: OperationView) -> tuple[evm.Transaction, bytes, str]:
    """What was signed, how it is sent, and what the chain calls it."""
    if not view.signatures:
        raise UsageError(f"operation {view.id} is {view.state}: nothing is signed", code="NOT_COMPLETED")
    [signature, *_] = view.signatures
    if not signature.transaction:
        raise UsageError(
            f"operation {view.id} is a {view.kind}, no transaction of `quorate transfer` or `contract-call`"
        )
    return evm.read(signature.message), signature.transaction, hash_of(signature)
