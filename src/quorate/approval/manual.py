"""The approver that is a person: a request waits until somebody decides, or nobody needs it any more.

docs/spec/approval.md, A person decides. What waits is in memory only: after a restart the undecided is asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from quorate.ceremony.ports import ApprovalRequest, Decision
from quorate.errors import Bug, UsageError
from quorate.identifiers import OperationId


@dataclass(slots=True)
class Waiting:
    request: ApprovalRequest
    answer: asyncio.Future[Decision]
    askers: int = 0


class ManualApprover:
    """Implements ``ports.Approver`` and ``ports.Inbox``. Nothing but ``answer`` ends a wait with a decision."""

    def __init__(self) -> None:
        self._waiting: dict[OperationId, Waiting] = {}

    @property
    def name(self) -> str:
        return "manual"

    async def decide(self, request: ApprovalRequest) -> Decision:
        held = self._waiting.get(request.operation)
        if held is None:
            held = Waiting(request, asyncio.get_running_loop().create_future())
            self._waiting[request.operation] = held
        elif held.request.digest != request.digest:
            raise Bug(f"operation {request.operation} waits already, under another digest")
        held.askers += 1
        try:
            # Cancelling a wait would cancel the future, on which a combination may have others wait.
            return await asyncio.shield(held.answer)
        finally:
            held.askers -= 1
            if not held.askers:
                del self._waiting[request.operation]

    def pending(self) -> Sequence[ApprovalRequest]:
        return tuple(each.request for each in self._waiting.values() if not each.answer.done())

    def answer(self, operation: OperationId, digest: bytes, decision: Decision) -> None:
        waiting = self._waiting.get(operation)
        if waiting is None or waiting.answer.done():
            raise UsageError(
                f"PD-1.2 waiting: operation {operation} waits for no decision here", code="NOT_PENDING"
            )
        if digest != waiting.request.digest:
            raise UsageError(
                f"PD-1.1 digest: what was decided on is not what operation {operation} asks for: look at it again",
                code="WRONG_DIGEST",
            )
        waiting.answer.set_result(replace(decision, approver=self.name))
