"""No approver configured: every operation is refused."""

from __future__ import annotations

from quorate.ceremony.ports import ApprovalRequest, Decision, Verdict


class NoApprover:
    @property
    def name(self) -> str:
        return "none"

    async def decide(self, request: ApprovalRequest) -> Decision:
        return Decision(
            verdict=Verdict.REFUSE,
            approver=self.name,
            rule="AP-1.1 no approver",
            explanation=f"operation {request.operation}: this node has no approver; configure one",
        )
