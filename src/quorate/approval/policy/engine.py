"""Whether an operation may be, by a policy: one function, for the live node, the simulator and the replay alike.

docs/spec/approval.md, Policies. Pure: what was spent before comes through ``Usage``, the time as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from quorate.approval.policy.amounts import show_amount
from quorate.approval.policy.rules import FACTS, Conditions, Fact, Limit, Policy, Rule
from quorate.ceremony.ports import Verdict
from quorate.operations.effect import Action, Effect

MOST_TOLD = 20  # rules in an explanation; all are in the findings

Counter = tuple[str, int]
"""A limit over a window: the name of its rule, and which of the rule's limits it is."""


class Usage(Protocol):
    def used(self, counter: Counter, now_ms: int) -> int:
        """What the window of this limit holds already, without the operation that is judged."""
        ...


class Finding(NamedTuple):
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
    parts = _parts(effect, now_ms)
    sums = _Sums(parts)
    covered: set[int] = set()
    findings = []
    for rule in policy.rules_for(effect, here):
        about = [(number, part, missing) for number, part in enumerate(parts)
                 if (missing := _missing(rule, part)) is not None]  # fmt: skip
        if about:
            if not rule.restricts:
                covered.update(number for number, _, _ in about)
            flaws = _flaws(rule, about, sums, usage)
            findings.append(Finding(rule=rule, flaws=flaws, waived=bool(flaws) and rule.name in waived))
    uncovered = [part for number, part in enumerate(parts) if number not in covered]
    return _verdict(policy, tuple(findings), uncovered)


def charges(policy: Policy, effect: Effect, *, at_ms: int, here: str) -> Mapping[Counter, int]:
    """What an operation approved at ``at_ms`` takes of each limit over a window."""
    parts = _parts(effect, at_ms)
    sums = _Sums(parts)
    taken = {}
    for rule in policy.rules_for(effect, here):
        if any(limit.window_ms for limit in rule.limits):
            about = tuple(number for number, part in enumerate(parts) if _missing(rule, part) is not None)
            for number, limit in enumerate(rule.limits):
                if limit.window_ms and (amount := sums.of(limit, about)[0]):
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


# --- whether a rule is about a part -----------------------------------------------------------------------------------


def _missing(rule: Rule, part: _Part) -> tuple[Fact, ...] | None:
    """PO-2.3 unknown: None if the rule is not about this part; else the facts that are missing to be sure. What is not
    known is never taken to be outside."""
    if rule.when.hours and not any(hours.hold(part.now_ms) for hours in rule.when.hours):
        return None
    missing: tuple[Fact, ...] = ()
    values = part.values
    for place, wanted in rule.when.checks:
        value = values[place]
        if value is None:
            missing += (FACTS[place],)
        elif value not in wanted:
            return None
    if part.action is None:
        # What moves nothing has no receiver to be right or wrong: a rule that asks for one is not about it.
        return None if rule.asks_of_actions else missing
    if rule.limited:
        asset = values[_ASSET]
        if asset is None:
            missing += (Fact.ASSET,)
        elif asset not in rule.limited:
            return None
    return missing


_ASSET = FACTS.index(Fact.ASSET)


# --- whether it holds -------------------------------------------------------------------------------------------------

_NOUNS: Mapping[Fact, str] = {
    Fact.VAULT: "vault", Fact.KIND: "kind", Fact.CHAIN: "chain", Fact.ASSET: "asset", Fact.SOURCE: "source",
    Fact.RECEIVER: "receiver", Fact.METHOD: "method", Fact.CONTENT_TYPE: "content type",
}  # fmt: skip


def _flaws(
    rule: Rule, about: Sequence[tuple[int, _Part, tuple[Fact, ...]]], sums: _Sums, usage: Usage
) -> tuple[str, ...]:
    flaws: tuple[str, ...] = ()
    for _, part, missing in about:
        for fact in missing:
            flaws += (_unknown(_NOUNS[fact], part),)
        flaws += _unmet(rule.require, part)
    if rule.limits:
        whole = tuple(number for number, _, missing in about if not missing)
        for number, limit in enumerate(rule.limits):
            amount, unknown = sums.of(limit, whole)
            before = usage.used((rule.name, number), sums.now_ms) if limit.window_ms and amount else 0
            if unknown or (amount and before + amount > limit.most):
                flaws += _over(limit, amount, before, unknown)
    return flaws


def _unmet(require: Conditions, part: _Part) -> tuple[str, ...]:
    flaws: tuple[str, ...] = ()
    for place, wanted in require.checks:
        value = part.values[place]
        if value is None:
            flaws += (_unknown(_NOUNS[FACTS[place]], part),)
        elif value not in wanted:
            noun = _NOUNS[FACTS[place]]
            flaws += (f"the {noun} of {part} is {_shown(value)}, none of the {len(wanted)} allowed",)
    if require.hours and not any(hours.hold(part.now_ms) for hours in require.hours):
        flaws += ("it is not within " + " or ".join(hours.text for hours in require.hours),)
    return flaws


def _over(limit: Limit, amount: int, before: int, unknown: Sequence[_Part]) -> tuple[str, ...]:
    """PO-2.5 limit: what the operation takes, with what the window holds, is more than there may be, or not known."""
    flaws = tuple(_unknown("fee" if limit.fee else "amount", part) for part in unknown)
    if before + amount <= limit.most:
        return flaws
    where = f"after {_figure(limit, before)} within {limit.window}" if limit.window_ms else "in one operation"
    return (*flaws, f"{_figure(limit, amount)} {where}, over the limit of {_figure(limit, limit.most)}")


class _Sums:
    """What parts of one operation take of limits, added up once for all rules with limits of the same thing."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts, self.now_ms = parts, parts[0].now_ms
        self._sums: dict[object, tuple[int, tuple[_Part, ...]]] = {}

    def of(self, limit: Limit, numbers: tuple[int, ...]) -> tuple[int, tuple[_Part, ...]]:
        """The sum over the parts of these numbers, and those of them of which it is not known."""
        found = self._sums.get((limit.key, numbers))
        if found is None:
            found = self._sum(limit, [self._parts[number] for number in numbers])
            self._sums[limit.key, numbers] = found
        return found

    def _sum(self, limit: Limit, parts: Sequence[_Part]) -> tuple[int, tuple[_Part, ...]]:
        if limit.asset is None:
            return len({part.action.message if part.action is not None else 0 for part in parts}), ()
        taken = [(part, _takes(limit, part)) for part in parts]
        return sum(amount or 0 for _, amount in taken), tuple(
            part for part, amount in taken if amount is None
        )


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
