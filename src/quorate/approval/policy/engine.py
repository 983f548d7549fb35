"""Whether an operation may be, by a policy: one function, for the live node, the simulator and the replay alike.

docs/spec/approval.md, Policies. Pure: what was spent before comes through ``Usage``, the time as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from quorate.approval.policy.amounts import show_amount
from quorate.approval.policy.rules import FACTS, Clause, Fact, Finding, Limit, Measure, Policy
from quorate.ceremony.ports import Verdict
from quorate.operations.effect import Action, Effect

MOST_TOLD = 20  # rules in an explanation; all are in the findings

Counter = int
"""A window: its place in ``Policy.windows``."""


class Usage(Protocol):
    def used(self, counter: Counter, now_ms: int) -> int:
        """What the window holds already, without the operation that is judged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """``rule`` is the check of the specification and the policy rule that decided; ``ask`` names whom to ask before it
    can be an approval, and the verdict is then REFUSE. ``findings``: every rule that is about the operation."""

    verdict: Verdict
    rule: str
    explanation: str
    findings: tuple[Finding, ...]
    ask: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """An action of the operation; or, where it has none, the operation itself. ``values`` are in the order of
    ``FACTS``."""

    effect: Effect
    action: Action | None
    values: tuple[object | None, ...]
    now_ms: int

    def __str__(self) -> str:
        if self.action is None:
            return str(self.effect.kind)
        return f"message {self.action.message + 1}" if len(self.effect.actions) > 1 else "this message"


def judge(
    policy: Policy,
    effect: Effect,
    usage: Usage,
    *,
    now_ms: int,
    here: str,
    waived: frozenset[str] = frozenset(),
) -> Judgement:
    """The verdict on ``effect`` at the time ``now_ms``. ``waived``: the rules whose violation somebody was asked about
    and approved."""
    case = _Case(policy, effect, now_ms)
    subjects, uncovered = case.subjects, set(range(len(case.parts)))
    findings = []
    for clause in policy.clauses_for(effect, here):
        subject = subjects[clause.subject] or case.subject(clause)
        if subject.parts:
            if uncovered and clause.allows:
                uncovered.difference_update(subject.parts)
            flaws = case.flaws(clause, subject, usage)
            if flaws:
                findings.append(Finding(clause.rule, flaws, clause.rule.name in waived))
            else:
                findings.append(clause.holds)
    return _verdict(policy, tuple(findings), [case.parts[number] for number in sorted(uncovered)])


def charges(policy: Policy, effect: Effect, *, at_ms: int, here: str) -> Mapping[Counter, int]:
    """What an operation approved at ``at_ms`` takes of each window."""
    case = _Case(policy, effect, at_ms)
    taken: dict[Counter, int] = {}
    for clause in policy.clauses_for(effect, here):
        for measure in clause.measures:
            if measure.window >= 0 and measure.window not in taken:
                taken[measure.window] = case.taken(measure, case.subject(clause).parts)
    return {window: amount for window, amount in taken.items() if amount}


def _verdict(policy: Policy, findings: tuple[Finding, ...], uncovered: Sequence[_Part]) -> Judgement:
    """PO-2.4 strictest: of what the violated rules say and the default says: reject, refuse, abstain, ask, approve."""
    broken = [finding for finding in findings if finding.flaws and not finding.waived]
    by_violation: Mapping[Literal["reject", "abstain", "ask"], list[Finding]] = {
        violation: [finding for finding in broken if finding.rule.violation == violation]
        for violation in ("reject", "abstain", "ask")
    }

    def broke(verdict: Verdict, violated: Sequence[Finding], ask: tuple[str, ...] = ()) -> Judgement:
        return Judgement(
            verdict=verdict, rule=f"PO-2.1 rules: {violated[0].rule.name}", findings=findings, ask=ask,
            explanation=_told(violated),
        )  # fmt: skip

    def fell_through(verdict: Verdict) -> Judgement:
        return Judgement(
            verdict=verdict, rule="PO-2.2 default", findings=findings,
            explanation=f"no rule allows {uncovered[0]}: the default is to {policy.default}",
        )  # fmt: skip

    if by_violation["reject"]:
        return broke(Verdict.REJECT, by_violation["reject"])
    if uncovered and policy.default == "reject":
        return fell_through(Verdict.REJECT)
    if uncovered and policy.default == "refuse":
        return fell_through(Verdict.REFUSE)
    if by_violation["abstain"]:
        return broke(Verdict.ABSTAIN, by_violation["abstain"])
    if uncovered and policy.default == "abstain":
        return fell_through(Verdict.ABSTAIN)
    if asked := by_violation["ask"]:
        return broke(Verdict.REFUSE, asked, tuple(dict.fromkeys(finding.rule.ask for finding in asked)))
    if uncovered:
        return fell_through(Verdict.APPROVE)
    return Judgement(
        verdict=Verdict.APPROVE,
        rule="PO-2.1 rules",
        findings=findings,
        explanation=_told(findings),
    )


def _told(findings: Sequence[Finding]) -> str:
    """What the first few say: an explanation is journalled, and read by people."""
    more = f"; and {len(findings) - MOST_TOLD} more" if len(findings) > MOST_TOLD else ""
    return "; ".join(map(str, findings[:MOST_TOLD])) + more


def _parts(effect: Effect, now_ms: int) -> tuple[_Part, ...]:
    actions: tuple[Action | None, ...] = effect.actions or (None,)
    return tuple(
        _Part(effect=effect, action=action, values=_values(effect, action), now_ms=now_ms)
        for action in actions
    )


_NOTHING = object()  # no action, so no such thing; equal to no value that a condition names


def _values(effect: Effect, action: Action | None) -> tuple[object | None, ...]:
    """What is known of a part, in the order of ``FACTS`` and in the types of ``Conditions``; None is not known."""
    known: dict[Fact, object | None] = {Fact.VAULT: effect.vault, Fact.KIND: effect.kind.value}
    if action is not None:
        asset = action.asset
        known |= {
            Fact.CHAIN: action.chain, Fact.ASSET: None if asset is None else (asset.chain, asset.contract),
            Fact.SOURCE: action.source, Fact.RECEIVER: action.receiver, Fact.METHOD: action.method,
            Fact.CONTENT_TYPE: action.content_type,
        }  # fmt: skip
    return tuple(known.get(fact, _NOTHING) for fact in FACTS)


# --- one operation under one policy -----------------------------------------------------------------------------------

_ASSET = FACTS.index(Fact.ASSET)
_Sum = tuple[int, tuple[_Part, ...]]
"""What parts take of a limit, and those of them of which it is not known."""


class _Subject(NamedTuple):
    """What some rules are about: the numbers of the ``parts``; by number, the facts that are ``missing`` to be sure;
    the parts of which none is missing, and what these take, by place among the sums of the policy."""

    parts: tuple[int, ...]
    missing: Mapping[int, tuple[Fact, ...]]
    whole: tuple[int, ...]
    sums: list[_Sum | None]


class _Case:
    """An operation as all rules look at it: what they have in common is worked out once. ``subjects``: by their place,
    those that were worked out by now."""

    __slots__ = ("_open", "_policy", "_sums", "_used", "now_ms", "parts", "subjects")

    def __init__(self, policy: Policy, effect: Effect, now_ms: int) -> None:
        self._policy, self.now_ms = policy, now_ms
        self.parts = _parts(effect, now_ms)
        self.subjects: list[_Subject | None] = [None] * policy.subjects
        self._open = [any(each.hold(now_ms) for each in hours) for hours in policy.times]
        self._sums: dict[tuple[int, ...], list[_Sum | None]] = {}
        self._used: list[int | None] = [None] * len(policy.windows)

    def subject(self, clause: Clause) -> _Subject:
        """PO-2.3 unknown: the parts that a rule is about. What is not known is never taken to be outside."""
        found: list[int] = []
        missing: dict[int, tuple[Fact, ...]] = {}
        if clause.hours < 0 or self._open[clause.hours]:
            for number, part in enumerate(self.parts):
                unknown = _unknown_of(clause, part)
                if unknown is not None:
                    found.append(number)
                    if unknown:
                        missing[number] = unknown
        parts = tuple(found)
        whole = tuple(number for number in found if number not in missing) if missing else parts
        made = self.subjects[clause.subject] = _Subject(parts, missing, whole, self._sums_of(whole))
        return made

    def flaws(self, clause: Clause, subject: _Subject, usage: Usage) -> tuple[str, ...]:
        """What is amiss by one rule; nothing if it holds."""
        flaws: tuple[str, ...] = ()
        shut = clause.required_hours >= 0 and not self._open[clause.required_hours]
        if subject.missing or shut or clause.required:
            for number in subject.parts:
                part = self.parts[number]
                values = part.values
                if number in subject.missing:
                    flaws += tuple(_unknown(_NOUNS[fact], part) for fact in subject.missing[number])
                for place, wanted in clause.required:
                    if values[place] is None or values[place] not in wanted:
                        flaws += (_unmet(place, wanted, part),)
                if shut:
                    told = " or ".join(hours.text for hours in clause.rule.require.hours)
                    flaws += (f"it is not within {told}",)
        sums = subject.sums
        for limit, place, window in clause.measures:
            amount, unknown = sums[place] or self._sum(sums, place, limit, subject.whole)
            before = 0
            if amount and window >= 0:
                held = self._used[window]
                before = self._before(window, usage) if held is None else held
            if unknown or (amount and before + amount > limit.most):
                flaws += _over(limit, amount, before, unknown)
        return flaws

    def taken(self, measure: Measure, numbers: tuple[int, ...]) -> int:
        """What the parts of these numbers take of a limit, as far as it is known."""
        sums = self._sums_of(numbers)
        return (sums[measure.sum] or self._sum(sums, measure.sum, measure.limit, numbers))[0]

    def _sums_of(self, numbers: tuple[int, ...]) -> list[_Sum | None]:
        """Of the parts of these numbers, by place among the sums of the policy; None: not added up yet."""
        sums = self._sums.get(numbers)
        if sums is None:
            sums = self._sums[numbers] = [None] * len(self._policy.sums)
        return sums

    def _sum(self, sums: list[_Sum | None], place: int, limit: Limit, numbers: tuple[int, ...]) -> _Sum:
        made = sums[place] = _sum(limit, [self.parts[number] for number in numbers])
        return made

    def _before(self, window: Counter, usage: Usage) -> int:
        held = self._used[window] = usage.used(window, self.now_ms)
        return held


def _unknown_of(clause: Clause, part: _Part) -> tuple[Fact, ...] | None:
    """None if a rule is not about this part; else the facts that are missing to be sure."""
    unknown: tuple[Fact, ...] = ()
    values = part.values
    for place, wanted in clause.checks:
        value = values[place]
        if value is None:
            unknown += (FACTS[place],)
        elif value not in wanted:
            return None
    if part.action is None:
        # What moves nothing has no receiver to be right or wrong: a rule that asks for one is not about it.
        return None if clause.of_actions else unknown
    if clause.limited:
        asset = values[_ASSET]
        if asset is None:
            unknown += (Fact.ASSET,)
        elif asset not in clause.limited:
            return None
    return unknown


def _sum(limit: Limit, parts: Sequence[_Part]) -> _Sum:
    if limit.asset is None:
        return len({part.action.message if part.action is not None else 0 for part in parts}), ()
    taken = [(part, _takes(limit, part)) for part in parts]
    return sum(amount or 0 for _, amount in taken), tuple(part for part, amount in taken if amount is None)


# --- what is amiss, in words ------------------------------------------------------------------------------------------

_NOUNS: Mapping[Fact, str] = {
    Fact.VAULT: "vault", Fact.KIND: "kind", Fact.CHAIN: "chain", Fact.ASSET: "asset", Fact.SOURCE: "source",
    Fact.RECEIVER: "receiver", Fact.METHOD: "method", Fact.CONTENT_TYPE: "content type",
}  # fmt: skip


def _unmet(place: int, wanted: frozenset[object], part: _Part) -> str:
    noun, value = _NOUNS[FACTS[place]], part.values[place]
    if value is None:
        return _unknown(noun, part)
    return f"the {noun} of {part} is {_shown(value)}, none of the {len(wanted)} allowed"


def _over(limit: Limit, amount: int, before: int, unknown: Sequence[_Part]) -> tuple[str, ...]:
    """PO-2.5 limit: what the operation takes, with what the window holds, is more than there may be, or not known."""
    flaws = tuple(_unknown("fee" if limit.fee else "amount", part) for part in unknown)
    if before + amount <= limit.most:
        return flaws
    where = f"after {_figure(limit, before)} within {limit.window}" if limit.window_ms else "in one operation"
    return (*flaws, f"{_figure(limit, amount)} {where}, over the limit of {_figure(limit, limit.most)}")


def _takes(limit: Limit, part: _Part) -> int | None:
    """What one part takes of a limit of an asset; None: not known."""
    action, asset = part.action, limit.asset
    if action is None or asset is None:
        return 0
    if limit.fee:
        return action.fee if action.chain in (asset.chain, None) else 0
    return action.amount if action.asset == asset else 0


def _unknown(noun: str, part: _Part) -> str:
    return f"the {noun} of {part} is not known, and the rule asks for it"


def _figure(limit: Limit, amount: int) -> str:
    if limit.asset is None:
        return f"{amount} message{'' if amount == 1 else 's'}"
    return f"{show_amount(amount, limit.decimals)} {limit.name}" + (" in fees" if limit.fee else "")


def _shown(value: object) -> str:
    """A fact for people. Its words may be a stranger's: escaped and cut."""
    if isinstance(value, tuple):
        chain, contract = value
        value = f"{contract or 'the coin'} on {chain}"
    text = ascii(str(value))[1:-1]
    return (text if len(text) <= 100 else text[:100] + "...") or "none"
