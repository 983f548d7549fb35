"""Whether an operation may come in: room for its proposer, and what our own records say to it."""

from __future__ import annotations

from contextlib import suppress

from quorate.ceremony import intake
from quorate.ceremony.catchup import CatchUp
from quorate.ceremony.context import Context
from quorate.ceremony.greetings import Greetings
from quorate.ceremony.ports import (
    OperationRow,
    State,
)
from quorate.ceremony.procedures import procedure_of
from quorate.errors import EncodingError, QuorateError, UsageError
from quorate.identifiers import DeviceId
from quorate.operations.kinds import Operation


class Admission:
    """Where every new operation passes, a peer's and a client's alike."""

    def __init__(self, context: Context, catchup: CatchUp, greetings: Greetings) -> None:
        self._context = context
        self._catchup = catchup
        self._greetings = greetings

    async def take_in(
        self, operation: Operation, proposal: bytes, shown: bytes = b"", *, role: str = ""
    ) -> OperationRow:
        """Journal a new operation, or find the one held under its id. ``UsageError`` by CE-1.2 to CE-1.10,
        CE-1.12, CE-1.13 and CE-7, ``Unwritable`` by CE-1.11. ``shown``: the certificate beside the proposal;
        ``role``: of the client, where it asked us."""
        context = self._context
        held = context.ledger.operation(operation.id)
        if held is not None:
            return held
        context.require_store()
        procedure = procedure_of(context, operation, shown)
        context.quarantine.admit(operation, procedure.vault)
        self._check_room(DeviceId(operation.proposer), len(proposal))
        if mismatch := self._greetings.mismatch(DeviceId(operation.proposer)):
            raise UsageError(mismatch, code="PROTOCOL_MISMATCH")
        await self._check_clocks(DeviceId(operation.proposer))
        await context.aside(procedure.study)
        await self._admit(operation, shown)
        row = _row(context, operation, proposal)
        held = await context.aside(
            lambda: context.ledger.add_operation(row, client=operation.client, role=role)
        )
        context.board.announce(operation.id)
        return held

    async def _admit(self, operation: Operation, shown: bytes) -> None:
        """``intake.admit``; where only acknowledgements are missing here, or a policy, the others are asked first."""
        procedure = procedure_of(self._context, operation)
        try:
            intake.admit(self._context, operation, shown)
        except UsageError as error:
            if error.code == "POLICY_BEHIND":
                await self._catchup.level_policy(DeviceId(operation.proposer))
                await self._context.aside(procedure.study)
            elif error.code == "VAULT_NOT_READY" and procedure.vault is not None:
                await self._catchup.complete(self._context.vaults.get(procedure.vault))
            else:
                raise
            intake.admit(self._context, operation, shown)

    async def _check_clocks(self, proposer: DeviceId) -> None:
        """Measured anew before anything is refused for it: somebody may just have set one of them right."""
        context, known = self._context, self._greetings.heard.get(proposer)
        tolerance = context.limits.clock_tolerance_ms / 1000
        if known is None or known.clock_apart <= tolerance:
            return
        with suppress(QuorateError, EncodingError):  # then as it was measured last
            known = await self._greetings.greet(proposer)
        if known.clock_apart > tolerance:
            raise UsageError(
                f"CE-1.12 clocks: the clocks of {context.name_of(proposer)} and {context.name_of(context.me)} are"
                f" {known.clock_apart:.0f} s apart, {tolerance:.0f} s are tolerated: set them by NTP",
                code="CLOCK_OFF",
            )

    def _check_room(self, proposer: DeviceId, size: int) -> None:
        """Of each proposer apart: none can take the room of the others."""
        context, limits = self._context, self._context.limits
        sizes = [row.size for row in context.ledger.unfinished() if row.proposer == proposer]
        if len(sizes) >= limits.unfinished or sum(sizes) + size > limits.unfinished_bytes:
            raise UsageError(
                f"CE-1.8 room: {len(sizes)} operations of {context.name_of(proposer)} are unfinished here, "
                f"{sum(sizes)} bytes together; no more until some end",
                code="BUSY",
            )


def _row(context: Context, operation: Operation, proposal: bytes) -> OperationRow:
    return OperationRow(
        id=operation.id,
        digest=operation.digest,
        kind=operation.kind.value,
        vault=procedure_of(context, operation).vault,
        proposer=DeviceId(operation.proposer),
        proposal=proposal,
        state=State.VOTING,
        created_ms=operation.created_ms,
        expires_ms=operation.expires_ms,
        ends_ms=context.steady.end_of(operation.expires_ms),
    )
