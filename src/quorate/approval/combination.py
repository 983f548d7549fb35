"""Approvers made of approvers. docs/spec/approval.md, Combinations (AP-4)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.approval.truth import all_of, any_of, asked, first_decisive
from quorate.ceremony.ports import ApprovalRequest, Approver, Decision, Verdict


@dataclass(frozen=True, slots=True)
class AllOf:
    """Asks everybody side by side."""

    approvers: Sequence[Approver]

    @property
    def name(self) -> str:
        return "all-of"

    async def decide(self, request: ApprovalRequest) -> Decision:
        return all_of(await _ask_until(self.approvers, request, Verdict.REJECT))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Asks everybody side by side."""

    approvers: Sequence[Approver]

    @property
    def name(self) -> str:
        return "any-of"

    async def decide(self, request: ApprovalRequest) -> Decision:
        return any_of(await _ask_until(self.approvers, request, Verdict.APPROVE))


@dataclass(frozen=True, slots=True)
class FirstDecisive:
    """Asks one after the other until one does not abstain."""

    approvers: Sequence[Approver]

    @property
    def name(self) -> str:
        return "first-decisive"

    async def decide(self, request: ApprovalRequest) -> Decision:
        said: list[Decision] = []
        for approver in self.approvers:
            said.append(await asked(approver, request))
            if said[-1].verdict is not Verdict.ABSTAIN:
                break
        return first_decisive(said)


async def _ask_until(
    approvers: Sequence[Approver], request: ApprovalRequest, decisive: Verdict
) -> Sequence[Decision]:
    """What was said, in the order of ``approvers``, all asked side by side; once one is ``decisive``, nobody else is
    waited for."""
    asking = [asyncio.create_task(asked(approver, request)) for approver in approvers]
    waiting = set(asking)
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result().verdict is decisive for task in done):
                break
        return [task.result() for task in asking if task.done()]
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
