"""How a command asks the signers for something: what each that does takes, and how it is seen through."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.command import Call
from quorate.cli.connection import finish
from quorate.cli.views import operation_record, operation_text
from quorate.rpc.client import NodeClient

Memo = Annotated[str, typer.Option(help="Shown to the approvers.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """Options of a command. Times in seconds."""

    wait: Annotated[bool, typer.Option("--wait", help="Until it is done, or refused.")] = False
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.")] = None
    expires_in: Annotated[float | None, typer.Option(help="Seconds until the request expires.")] = None
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same request.")] = None
    _fresh: str = field(init=False, default_factory=lambda: uuid.uuid4().hex)

    @property
    def key(self) -> str:
        return self.idempotency_key or self._fresh

    @property
    def expires_in_ms(self) -> int | None:
        return None if self.expires_in is None else round(self.expires_in * 1000)

    async def waited(
        self, node: NodeClient, view: OperationView, tell: Callable[[str], None]
    ) -> OperationView:
        """As it is, or, with ``--wait``, as it ends. ``tell`` hears the progress."""
        return await finish(node, view, timeout=self.timeout, tell=tell) if self.wait else view

    def conclude(self, call: Call, view: OperationView, more: Mapping[str, Any] | None = None) -> None:
        """Show it, with ``more`` for programs; the command fails if what was waited for did not come."""
        call.output.show(operation_record(view) | dict(more or {}), operation_text(view))
        if self.wait and view.state is not State.COMPLETED:
            raise typer.Exit(1)
