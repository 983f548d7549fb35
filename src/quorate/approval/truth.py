"""What several approvers together say: the truth tables of docs/spec/approval.md, Combinations (AP-4).

An error is no abstention: whoever could not be asked might have said no.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from quorate.ceremony.ports import ApprovalRequest, Approver, Decision, Verdict
from quorate.errors import QuorateError

log = structlog.get_logger(__name__)

_STRICTEST = (Verdict.REJECT, Verdict.REFUSE, Verdict.ABSTAIN, Verdict.APPROVE)
_KINDEST = (Verdict.APPROVE, Verdict.REFUSE, Verdict.REJECT, Verdict.ABSTAIN)


def all_of(said: Sequence[Decision]) -> Decision:
    """Any reject: reject; else any error: refuse; else any abstention: abstain; else approve."""
    return _foremost("AP-4.1 all-of", said, _STRICTEST)


def any_of(said: Sequence[Decision]) -> Decision:
    """Any approval: approve; else any error: refuse; else any reject: reject; else abstain."""
    return _foremost("AP-4.2 any-of", said, _KINDEST)


def first_decisive(said: Sequence[Decision]) -> Decision:
    """The last of those asked in turn, before whom all abstained: its approval, its reject, or its error: refuse."""
    return _foremost("AP-4.3 first-decisive", said[-1:], _STRICTEST)


def _foremost(table: str, said: Sequence[Decision], order: Sequence[Verdict]) -> Decision:
    """The first verdict of ``order`` that anybody said, by those who said it, with what the others said."""
    if not said:
        return Decision(verdict=Verdict.REFUSE, approver="", rule=table, explanation="nobody was asked")
    counted = min(said, key=lambda decision: order.index(decision.verdict))
    alike = [decision.approver for decision in said if decision.verdict is counted.verdict]
    everybody = "; ".join(
        f"{each.approver}, {each.verdict.name.lower()}: {each.explanation}" for each in said
    )
    return Decision(
        verdict=counted.verdict,
        approver=", ".join(alike),
        rule=counted.rule,
        explanation=f"{table}: {everybody}",
    )


async def asked(approver: Approver, request: ApprovalRequest) -> Decision:
    """What an approver says, or a refusal where it fails or says what is no decision."""
    try:
        said = await approver.decide(request)
    except Exception as error:
        if not isinstance(error, QuorateError):
            log.exception("approver.failed", approver=approver.name, operation=request.operation)
        return _unsound(approver, f"it failed: {type(error).__name__}")
    if not isinstance(said, Decision) or not isinstance(said.verdict, Verdict):
        return _unsound(approver, f"what it says is no decision but a {type(said).__name__}")
    return said


def _unsound(approver: Approver, why: str) -> Decision:
    return Decision(verdict=Verdict.REFUSE, approver=approver.name, rule="AP-4.4 sound", explanation=why)
