"""What the journal holds of an operation, in the words it was said in."""

from __future__ import annotations

from quorate.ceremony.context import Context
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.statements import Proposal, Signed, Vote, hear
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.kinds import Kind, Operation, Request
from quorate.wire.codec import decode


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


def recorded_request(context: Context, identifier: OperationId) -> Request:
    """What a journalled operation asks for, whether or not its proposer is still a peer."""
    return decode(Proposal, decode(Signed, known_row(context, identifier).proposal).body).operation.request


def proposal_of(context: Context, row: OperationRow) -> Proposal:
    """The proposer's signed statement."""
    return hear(Proposal, row.proposal, context.key_of)[1]


def asked_before(context: Context, kind: Kind, client: str, key: str) -> OperationId | None:
    """What a client asked for under this key, of a kind whose request says how things stood then."""
    for each in context.ledger.operations_of(kind.value):
        row = known_row(context, each)
        if row.proposer == context.me:
            operation = operation_of(context, row)
            if (operation.client, operation.idempotency_key) == (client, key):
                return each
    return None


def votes(context: Context, operation: Operation) -> dict[DeviceId, Vote]:
    """What everybody has said so far, by the signed votes kept."""
    kept = context.ledger.votes(operation.id).values()
    return dict(hear(Vote, signed, context.key_of) for signed in kept)


def verdicts(context: Context, operation: Operation) -> dict[DeviceId, str]:
    return {voter: vote.verdict for voter, vote in votes(context, operation).items()}
