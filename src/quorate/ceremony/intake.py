"""What a node checks about an operation before it asks its approver: its own records against the proposer's words.

docs/spec/ceremony.md, section CE-1. The proposer is trusted for nothing; a refusal here leaves no trace but its reason.
"""

from __future__ import annotations

from quorate.ceremony.context import Context
from quorate.ceremony.procedures import procedure_of
from quorate.errors import UsageError
from quorate.operations.kinds import Operation


def admit(context: Context, operation: Operation, shown: bytes = b"") -> None:
    """``UsageError`` with the rule's reason code unless this node may put the operation to its approver.
    ``shown``: the certificate beside the proposal."""
    _check_times(context, operation)
    procedure_of(context, operation, shown).admit()


def _check_times(context: Context, operation: Operation) -> None:
    now = context.clock.now_ms()
    if operation.created_ms > now + context.limits.clock_tolerance_ms:
        ahead = (operation.created_ms - now) // 1000
        raise UsageError(
            f"CE-1.2 times: created {ahead} s in the future: check the clocks", code="CLOCK_AHEAD"
        )
    if operation.expires_ms <= now:
        raise UsageError("CE-1.2 times: the operation has expired", code="EXPIRED")
    if not 0 < operation.expires_ms - operation.created_ms <= context.limits.longest_expiry_ms:
        raise UsageError(
            "CE-1.2 times: the operation would live longer than this node allows", code="EXPIRY_TOO_LONG"
        )
