"""The approver that decides by rules of its own. docs/spec/approval.md, Policies (PO)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from quorate.approval.policy.book import Book, Tally
from quorate.approval.policy.engine import Judgement, judge
from quorate.approval.policy.rules import Policy
from quorate.approval.truth import all_of, asked
from quorate.ceremony.ports import ApprovalRequest, Approver, Clock, Decision, Verdict
from quorate.errors import QuorateError

NAME = "policy"
CLOCK_TOLERANCE_MS = 30_000

log = structlog.get_logger(__name__)


class Unserved(Exception):
    """Why nothing can be approved by a policy now: the check of the specification, and what is amiss."""

    def __init__(self, rule: str, explanation: str) -> None:
        super().__init__(f"{rule}: {explanation}")
        self.rule, self.explanation = rule, explanation


class PolicySource(Protocol):
    """Where the policy comes from that counts now."""

    async def ready(self) -> None:
        """Returns once ``current`` has a policy, or after a while."""
        ...

    def current(self) -> Policy:
        """The same object until another policy counts. ``Unserved`` where none does."""
        ...


class Fixed:
    """A policy that was read when the node started, and stays."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def ready(self) -> None:
        return

    def current(self) -> Policy:
        return self._policy


class PolicyApprover:
    """``others`` are whom rules may ask, by name. ``draft``'s verdicts are logged beside the live ones, and count for
    nothing."""

    def __init__(
        self,
        source: PolicySource,
        book: Book,
        clock: Clock,
        *,
        others: Mapping[str, Approver],
        draft: Policy | None = None,
    ) -> None:
        self._source, self._book, self._clock, self._others = source, book, clock, others
        now_ms = clock.now_ms()
        self._tally: Tally | None = None
        with suppress(Unserved):
            self._followed()
        self._draft = book.follow(draft, now_ms, draft=True) if draft is not None else None
        self._started = now_ms - clock.monotonic() * 1000

    @property
    def name(self) -> str:
        return NAME

    async def decide(self, request: ApprovalRequest) -> Decision:
        """PO-2.7 ask: after whoever was asked said yes, the whole policy is judged again, as of then."""
        waived: frozenset[str] = frozenset()
        judged: Policy | None = None
        await self._source.ready()
        while True:
            async with self._book.turn:
                try:
                    tally = self._followed()
                except Unserved as error:
                    return _refusal(error.rule, error.explanation)
                if (decision := self._untimely(tally.policy)) is not None:
                    return decision
                if tally.policy is not judged:
                    waived, judged = (
                        frozenset(),
                        tally.policy,
                    )  # a rule of that name may be another one by now
                now_ms = self._clock.now_ms()
                judgement = self._judge(tally, request, now_ms, waived)
                if not waived:
                    self._shadow(request, now_ms, judgement)
                if not judgement.ask:
                    return await self._decided(request, now_ms, judgement)
            said = all_of([await asked(self._others[name], request) for name in judgement.ask])
            if said.verdict is not Verdict.APPROVE:
                return Decision(
                    verdict=said.verdict, approver=f"{NAME}, {said.approver}", rule=said.rule,
                    explanation=f"{judgement.explanation}; asked for it: {said.explanation}",
                )  # fmt: skip
            waived |= {found.rule.name for found in judgement.findings if not found.holds}

    async def _decided(self, request: ApprovalRequest, now_ms: int, judgement: Judgement) -> Decision:
        if judgement.verdict is Verdict.APPROVE:
            try:
                await self._book.reserve(request.operation, request.effect, now_ms)
            except QuorateError as error:
                return _refusal("PO-3.1 durable", f"what it takes of the limits could not be kept: {error}")
        return Decision(
            verdict=judgement.verdict, approver=NAME, rule=judgement.rule, explanation=judgement.explanation
        )

    def _followed(self) -> Tally:
        policy = self._source.current()
        if self._tally is None or policy is not self._tally.policy:
            followed = self._book.follow(policy, self._clock.now_ms())
            if self._tally is not None:
                self._book.leave(self._tally)
            self._tally = followed
        return self._tally

    def _judge(
        self, tally: Tally, request: ApprovalRequest, now_ms: int, waived: frozenset[str] = frozenset()
    ) -> Judgement:
        usage = tally.besides(request.operation)
        return judge(tally.policy, request.effect, usage, now_ms=now_ms, here=self._book.here, waived=waived)

    def _shadow(self, request: ApprovalRequest, now_ms: int, live: Judgement) -> None:
        """PO-4.1 draft: what it would say, in the log. Nothing that goes wrong with it matters to the live decision."""
        if self._draft is None:
            return
        try:
            draft = self._judge(self._draft, request, now_ms)
        except Exception:
            log.exception("policy.shadow", operation=request.operation)
            return
        log.info(
            "policy.shadow", operation=request.operation, differs=outcome(draft) != outcome(live),
            live=outcome(live), live_rule=live.rule, draft=outcome(draft), draft_rule=draft.rule,
            draft_explanation=draft.explanation,
        )  # fmt: skip

    def _untimely(self, policy: Policy) -> Decision | None:
        """PO-3.4 clock: windows and hours mean nothing by a clock that was set while we ran."""
        if not policy.timed:
            return None
        now_ms = self._clock.now_ms()
        jumped = now_ms - self._clock.monotonic() * 1000 - self._started
        if abs(jumped) > CLOCK_TOLERANCE_MS:
            return _refusal(
                "PO-3.4 clock",
                f"the clock was set by {jumped / 1000:.0f} s while the node ran: set it right and restart the node",
            )
        if self._book.newest_ms > now_ms + CLOCK_TOLERANCE_MS:
            ahead = (self._book.newest_ms - now_ms) / 1000
            return _refusal(
                "PO-3.4 clock", f"the clock is {ahead:.0f} s before the last approval: set it right"
            )
        return None


def outcome(judgement: Judgement) -> str:
    """The verdict in a word, or whom it asks."""
    return f"ask {', '.join(judgement.ask)}" if judgement.ask else judgement.verdict.name.lower()


def _refusal(rule: str, explanation: str) -> Decision:
    return Decision(verdict=Verdict.REFUSE, approver=NAME, rule=rule, explanation=explanation)
