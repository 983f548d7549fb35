"""What an operation came to: kept, shown to others, and believed only where it proves itself."""

from __future__ import annotations

from collections.abc import Collection

from quorate.ceremony.context import Context
from quorate.ceremony.lifecycle import sources
from quorate.ceremony.ports import OperationRow, State
from quorate.ceremony.statements import Outcome, state
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.kinds import Operation
from quorate.wire.codec import Bytes32, Count, Identifier, Message


class Made(Message):
    """The vault an operation made, once everybody has acknowledged it."""

    vault: Identifier
    epoch: Count
    certificate: Bytes32


def complete(context: Context, operation: OperationId, result: bytes) -> None:
    context.ledger.move_operation(operation, sources(State.COMPLETED), State.COMPLETED, result=result)


def outcome(context: Context, operation: Operation, row: OperationRow) -> bytes:
    """How the operation ended here (or that it has not), as a signed statement."""
    return state(
        context.identity,
        Outcome(
            operation=operation.id,
            digest=operation.digest,
            state=row.state.value,
            attempt=row.attempt,
            reason=row.reason[:100],
            culprits=row.culprits,
            result=row.result,
            released=row.released,
        ),
    )


def report(
    context: Context, operation: Operation, attempt: int, reason: str, suspects: Collection[DeviceId]
) -> bytes:
    """That our part in one attempt is over without output: a hint for a proposer that is no party of it."""
    return state(
        context.identity,
        Outcome(
            operation=operation.id,
            digest=operation.digest,
            state=State.RUNNING.value,
            attempt=attempt,
            reason=reason,
            culprits=tuple(sorted(suspects)),
            result=b"",
            released=False,
        ),
    )
