"""What the journal holds of an operation, in the words it was said in."""

from __future__ import annotations

from quorate.ceremony.context import Context
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.statements import Proposal, Vote, hear
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.kinds import Operation


def known_row(context: Context, identifier: OperationId) -> OperationRow:
    row = context.ledger.operation(identifier)
    if row is None:
        raise UsageError(f"there is no operation {identifier} on this node", code="UNKNOWN_OPERATION")
    return row


def known_operation(context: Context, identifier: OperationId) -> Operation:
    return operation_of(context, known_row(context, identifier))


def operation_of(context: Context, row: OperationRow) -> Operation:
    """The operation a row was journalled for."""
    return proposal_of(context, row).operation


def proposal_of(context: Context, row: OperationRow) -> Proposal:
    """The proposer's signed statement."""
    return hear(Proposal, row.proposal, context.key_of)[1]


def votes(context: Context, operation: Operation) -> dict[DeviceId, Vote]:
    """What everybody has said so far, by the signed votes kept."""
    kept = context.ledger.votes(operation.id).values()
    return dict(hear(Vote, signed, context.key_of) for signed in kept)


def verdicts(context: Context, operation: Operation) -> dict[DeviceId, str]:
    return {voter: vote.verdict for voter, vote in votes(context, operation).items()}
