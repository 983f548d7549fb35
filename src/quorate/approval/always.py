"""The approver that approves everything, for trials and tests. It must be asked for by name."""

from __future__ import annotations

import structlog

from quorate.ceremony.ports import ApprovalRequest, Decision, Verdict


class AlwaysApprover:
    """Warns whenever one is made, so at every start of a node that uses it."""

    def __init__(self) -> None:
        structlog.get_logger(__name__).warning(
            "approver.always", meaning="this node approves everything; whoever may ask can use its shares"
        )

    @property
    def name(self) -> str:
        return "always"

    async def decide(self, request: ApprovalRequest) -> Decision:
        return Decision(
            verdict=Verdict.APPROVE,
            approver=self.name,
            rule="AP-1.2 always",
            explanation=f"operation {request.operation}: this node approves everything",
        )
