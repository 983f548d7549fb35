"""A policy over what was decided before: what it would have said, by the very code that a node decides with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quorate.approval.policy.book import Tally
from quorate.approval.policy.engine import Judgement, judge
from quorate.approval.policy.rules import Policy
from quorate.ceremony.ports import Decided, Verdict
from quorate.operations.effect import Effect
from quorate.operations.effect_json import decode_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What was said of an operation, and what the policy says of it. Where it asks somebody, what they would have said
    is not known: it ``differs`` unless the operation was not approved either."""

    made: Decided
    effect: Effect
    judgement: Judgement

    @property
    def differs(self) -> bool:
        was = self.made.row.decision.verdict
        if self.judgement.ask:
            return was is Verdict.APPROVE
        return was is not self.judgement.verdict


def replay(policy: Policy, decided: Iterable[Decided], here: str) -> Iterator[Replayed]:
    """In the order of ``decided``. Windows hold what the policy itself would have approved, or would have asked about
    and was approved; what ended without release is not in them."""
    tally = Tally(policy, here)
    for made in decided:
        row, effect = made.row, decode_effect(made.effect)
        judgement = judge(policy, effect, tally.besides(row.operation), now_ms=row.at_ms, here=here)
        approved = judgement.verdict is Verdict.APPROVE
        if made.counts and (approved or (judgement.ask and row.decision.verdict is Verdict.APPROVE)):
            tally.add(row.operation, effect, row.at_ms)
        yield Replayed(made=made, effect=effect, judgement=judgement)
