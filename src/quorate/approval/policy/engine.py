"""Whether an operation may be, by a policy: one function, for the live node, the simulator and the replay alike.

docs/spec/approval.md, Policies. Pure: what was spent before comes through ``Usage``, the time as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from quorate.approval.policy.amounts import show_amount
from quorate.approval.policy.rules import Conditions, Fact, Limit, Policy, Rule
from quorate.ceremony.ports import Verdict
from quorate.operations.effect import Action, Asset, Effect

Counter = tuple[str, int]
"""A limit over a window: the name of its rule, and which of the rule's limits it is."""


class Usage(Protocol):
    def used(self, counter: Counter, now_ms: int) -> int:
        """What the window of this limit holds already, without the operation that is judged."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of the operation. ``flaws`` is empty if it holds. ``waived``: somebody who was asked said yes
    in spite of them."""

    rule: Rule
    flaws: tuple[str, ...] = ()
    waived: bool = False

    @property
    def holds(self) -> bool:
        return self.waived or not self.flaws

    def __str__(self) -> str:
        if not self.flaws:
            return f'rule "{self.rule.name}" holds'
        return f'rule "{self.rule.name}": {"; ".join(self.flaws)}' + (
            f", which {self.rule.ask} approved" if self.waived else ""
        )


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
    """An action of the operation; or, where it has none, the operation itself."""

    effect: Effect
    action: Action | None
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
    parts = _parts(effect, now_ms)
    covered: set[int] = set()
    findings = []
    for rule in policy.rules_for(effect, here):
        about = [(number, part, missing) for number, part in enumerate(parts)
                 if (missing := _missing(rule, part)) is not None]  # fmt: skip
        if about:
            covered.update(number for number, _, _ in about)
            flaws = tuple(_flaws(rule, about, usage, now_ms))
            findings.append(Finding(rule=rule, flaws=flaws, waived=bool(flaws) and rule.name in waived))
    uncovered = [part for number, part in enumerate(parts) if number not in covered]
    return _verdict(policy, tuple(findings), uncovered)


def charges(policy: Policy, effect: Effect, *, at_ms: int, here: str) -> Mapping[Counter, int]:
    """What an operation approved at ``at_ms`` takes of each limit over a window."""
    parts = _parts(effect, at_ms)
    taken = {}
    for rule in policy.rules_for(effect, here):
        if any(limit.window_ms for limit in rule.limits):
            about = [part for part in parts if _missing(rule, part) is not None]
            for number, limit in enumerate(rule.limits):
                if about and limit.window_ms and (amount := _amount(limit, about)):
                    taken[rule.name, number] = amount
    return taken


def _verdict(policy: Policy, findings: tuple[Finding, ...], uncovered: Sequence[_Part]) -> Judgement:
    """PO-2.4 strictest: of what the violated rules say and the default says: reject, refuse, abstain, ask, approve."""
    broken = [finding for finding in findings if not finding.holds]
    by_violation: Mapping[Literal["reject", "abstain", "ask"], list[Finding]] = {
        violation: [finding for finding in broken if finding.rule.violation == violation]
        for violation in ("reject", "abstain", "ask")
    }

    def broke(verdict: Verdict, violated: Sequence[Finding], ask: tuple[str, ...] = ()) -> Judgement:
        return Judgement(
            verdict=verdict, rule=f"PO-2.1 rules: {violated[0].rule.name}", findings=findings, ask=ask,
            explanation="; ".join(map(str, violated)),
        )  # fmt: skip

    def fell_through(verdict: Verdict) -> Judgement:
        return Judgement(
            verdict=verdict, rule="PO-2.2 default", findings=findings,
            explanation=f"no rule is about {uncovered[0]}: the default is to {policy.default}",
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
        explanation="; ".join(map(str, findings)),
    )


def _parts(effect: Effect, now_ms: int) -> tuple[_Part, ...]:
    actions: tuple[Action | None, ...] = effect.actions or (None,)
    return tuple(_Part(effect=effect, action=action, now_ms=now_ms) for action in actions)


# --- whether a rule is about a part -----------------------------------------------------------------------------------


def _missing(rule: Rule, part: _Part) -> tuple[Fact, ...] | None:
    """PO-2.3 unknown: None if the rule is not about this part; else the facts that are missing to be sure. What is not
    known is never taken to be outside."""
    if rule.when.hours and not any(hours.hold(part.now_ms) for hours in rule.when.hours):
        return None
    missing = []
    for fact, wanted in rule.when.allowed.items():
        value = _value(part, fact)
        if value is None:
            missing.append(fact)
        elif value not in wanted:
            return None
    if part.action is None:
        # What moves nothing has no receiver to be right or wrong: a rule that asks for one is not about it.
        return None if rule.limited or not rule.require.allowed.keys() <= _OF_OPERATION else tuple(missing)
    if rule.limited:
        if part.action.asset is None:
            missing.append(Fact.ASSET)
        elif part.action.asset not in rule.limited:
            return None
    return tuple(missing)


_OF_OPERATION = frozenset({Fact.VAULT, Fact.KIND})
_NOTHING = object()  # no action, so no such thing; equal to no value that a condition names
_OF_ACTION: Mapping[Fact, Callable[[Action], object | None]] = {
    Fact.CHAIN: lambda action: action.chain,
    Fact.ASSET: lambda action: action.asset,
    Fact.SOURCE: lambda action: action.source,
    Fact.RECEIVER: lambda action: action.receiver,
    Fact.METHOD: lambda action: action.method,
    Fact.CONTENT_TYPE: lambda action: action.content_type,
}


def _value(part: _Part, fact: Fact) -> object | None:
    """None: not known."""
    if fact is Fact.VAULT:
        return part.effect.vault
    if fact is Fact.KIND:
        return part.effect.kind
    return _NOTHING if part.action is None else _OF_ACTION[fact](part.action)


# --- whether it holds -------------------------------------------------------------------------------------------------

_NOUNS: Mapping[Fact, str] = {
    Fact.VAULT: "vault", Fact.KIND: "kind", Fact.CHAIN: "chain", Fact.ASSET: "asset", Fact.SOURCE: "source",
    Fact.RECEIVER: "receiver", Fact.METHOD: "method", Fact.CONTENT_TYPE: "content type",
}  # fmt: skip


def _flaws(
    rule: Rule, about: Sequence[tuple[int, _Part, tuple[Fact, ...]]], usage: Usage, now_ms: int
) -> Iterator[str]:
    for _, part, missing in about:
        for fact in missing:
            yield f"the {_NOUNS[fact]} of {part} is not known, and the rule asks for it"
        yield from _unmet(rule.require, part)
    parts = [part for _, part, missing in about if not missing]
    for number, limit in enumerate(rule.limits):
        yield from _over(limit, parts, (rule.name, number), usage, now_ms)


def _unmet(require: Conditions, part: _Part) -> Iterator[str]:
    for fact, wanted in require.allowed.items():
        value = _value(part, fact)
        if value is None:
            yield f"the {_NOUNS[fact]} of {part} is not known, and the rule asks for it"
        elif value not in wanted:
            yield f"the {_NOUNS[fact]} of {part} is {_shown(value)}, none of the {len(wanted)} allowed"
    if require.hours and not any(hours.hold(part.now_ms) for hours in require.hours):
        yield "it is not within " + " or ".join(hours.text for hours in require.hours)


def _over(limit: Limit, parts: Sequence[_Part], counter: Counter, usage: Usage, now_ms: int) -> Iterator[str]:
    """PO-2.5 limit: what the operation takes, with what the window holds, against the most there may be."""
    for part in parts:
        if part.action is not None and _of(limit, part) and part.action.amount is None:
            yield f"the amount of {part} is not known, and the rule asks for it"
    amount = _amount(limit, parts)
    if not amount:
        return
    before = usage.used(counter, now_ms) if limit.window_ms else 0
    if before + amount <= limit.most:
        return
    if not limit.window_ms:
        yield f"{_figure(limit, amount)} in one operation, over the limit of {_figure(limit, limit.most)}"
    else:
        yield (
            f"{_figure(limit, amount)} after {_figure(limit, before)} within {limit.window}, "
            f"over the limit of {_figure(limit, limit.most)}"
        )


def _amount(limit: Limit, parts: Sequence[_Part]) -> int:
    """What these parts of one operation take of a limit; what is not known of them does not count, and is a flaw."""
    if limit.asset is None:
        return len({part.action.message if part.action is not None else 0 for part in parts})
    return sum(part.action.amount or 0 for part in parts if part.action is not None and _of(limit, part))


def _of(limit: Limit, part: _Part) -> bool:
    return limit.asset is not None and part.action is not None and part.action.asset == limit.asset


def _figure(limit: Limit, amount: int) -> str:
    if limit.asset is None:
        return f"{amount} message{'' if amount == 1 else 's'}"
    return f"{show_amount(amount, limit.decimals)} {limit.name}"


def _shown(value: object) -> str:
    """A fact for people. Its words may be a stranger's: escaped and cut."""
    if isinstance(value, Asset):
        value = f"{value.contract or 'the coin'} on {value.chain}"
    text = ascii(str(value))[1:-1]
    return (text if len(text) <= 100 else text[:100] + "...") or "none"
