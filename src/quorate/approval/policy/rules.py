"""A policy as the engine reads it: checked, resolved, indexed by scope. ``language`` makes it from a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from quorate.operations.effect import Asset, Effect
from quorate.operations.kinds import Kind


class Fact(StrEnum):
    """What a condition can ask, by the name it has in a policy file."""

    VAULT = "vaults"
    KIND = "kinds"
    CHAIN = "chains"
    ASSET = "assets"
    SOURCE = "sources"
    RECEIVER = "receivers"
    METHOD = "methods"
    CONTENT_TYPE = "content_types"


FACTS = tuple(Fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Some hours of some days of the week (0 is Monday), by the clocks on the walls of ``zone``. Where ``end`` is not
    after ``start`` they go on into the next day; ``end`` itself is outside."""

    days: frozenset[int]
    start: dt.time
    end: dt.time | None  # None: midnight
    zone: ZoneInfo
    text: str

    def hold(self, now_ms: int) -> bool:
        """PO-2.6 hours: by the clock on the wall of the zone, whatever summer time does to it."""
        local = datetime.fromtimestamp(now_ms // 1000, tz=UTC).astimezone(self.zone)
        clock, today = local.timetz().replace(tzinfo=None), local.weekday()
        if self.end is None or self.start < self.end:
            return today in self.days and self.start <= clock and (self.end is None or clock < self.end)
        if clock >= self.start:
            return today in self.days
        return clock < self.end and (today - 1) % 7 in self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """``allowed``: by fact, the values that will do, in plain types, which hash fast: a kind is its text, an asset its
    chain and contract. ``hours``: empty is any time."""

    allowed: Mapping[Fact, frozenset[object]] = field(default_factory=dict)
    hours: tuple[Hours, ...] = ()
    checks: tuple[tuple[int, frozenset[object]], ...] = field(init=False)
    """``allowed``, by the place of the fact in ``FACTS``."""

    def __post_init__(self) -> None:
        checks = tuple((FACTS.index(fact), wanted) for fact, wanted in self.allowed.items())
        object.__setattr__(self, "checks", checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most ``most``: base units of ``asset`` (with a ``name`` and ``decimals`` for people), or, without an asset,
    messages. In one operation where ``window_ms`` is 0, else over the last so many milliseconds, with this one.
    ``fee``: of what the chain takes in its coin, which is the asset, and not of what is moved."""

    most: int
    asset: Asset | None = None
    name: str = ""
    decimals: int = 0
    window_ms: int = 0
    window: str = ""
    fee: bool = False
    key: tuple[str | bool, ...] = field(init=False)
    """What it limits, the same for all limits of the same thing."""

    def __post_init__(self) -> None:
        key = () if self.asset is None else (self.asset.chain, self.asset.contract, self.fee)
        object.__setattr__(self, "key", key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An asset as the policy file defines it: the node's token list has no say in what a limit means."""

    asset: Asset
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A client id at a device. ``device`` is its id, ``here`` for this node or ``any``."""

    client: str
    device: str

    def __str__(self) -> str:
        return f"{self.client}@{self.device}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Empty ``vaults`` and ``users``: global. ``restricts``: it only restricts, so that it is about an operation is not
    enough for the operation to pass. ``violation`` is what happens if it does not hold; ``ask`` names whom to
    ask then."""

    name: str
    line: int
    vaults: frozenset[str] = frozenset()
    users: frozenset[User] = frozenset()
    when: Conditions = field(default_factory=Conditions)
    require: Conditions = field(default_factory=Conditions)
    limits: tuple[Limit, ...] = ()
    violation: Literal["reject", "abstain", "ask"] = "reject"
    ask: str = ""
    restricts: bool = False

    limited: frozenset[tuple[str, str]] = field(init=False)
    """Chain and contract of the assets its limits are about; a rule with any is about nothing else."""
    asks_of_actions: bool = field(init=False)
    """Whether it says nothing of an operation that does nothing on a chain."""

    def __post_init__(self) -> None:
        assets = [(limit.asset, limit.fee) for limit in self.limits if limit.asset is not None]
        limited = frozenset((asset.chain, asset.contract) for asset, fee in assets if not fee)
        asks = bool(assets) or not self.require.allowed.keys() <= {Fact.VAULT, Fact.KIND}
        object.__setattr__(self, "limited", limited)
        object.__setattr__(self, "asks_of_actions", asks)

    @property
    def timed(self) -> bool:
        return bool(self.when.hours or self.require.hours or any(limit.window_ms for limit in self.limits))


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


Default = Literal["refuse", "reject", "abstain", "approve"]


class Window(NamedTuple):
    """What limits of several rules add up alike over the same time: of the same operations, the same thing. ``rule`` is
    the first of ``rules``, whose conditions say of which."""

    length_ms: int
    limit: Limit
    rule: Rule
    rules: tuple[str, ...]


class Measure(NamedTuple):
    """A limit as it is looked at: ``sum`` is the place of what it adds up among the distinct ones of the policy,
    ``window`` that of its window, -1 for one operation."""

    limit: Limit
    sum: int
    window: int


class Clause(NamedTuple):
    """A rule as it is judged: what it asks, in plain tuples. ``hours`` and ``required_hours`` are places among the
    distinct times of the policy, -1 for any time; ``subject`` is the place of what it is about among all that its rules
    are about; ``holds`` is what it says where nothing is amiss."""

    rule: Rule
    hours: int
    checks: tuple[tuple[int, frozenset[object]], ...]
    of_actions: bool
    limited: frozenset[tuple[str, str]]
    required: tuple[tuple[int, frozenset[object]], ...]
    required_hours: int
    measures: tuple[Measure, ...]
    allows: bool
    subject: int
    holds: Finding


class Policy:
    """Rules in the order of the file. ``digest`` is the SHA-256 of its bytes, ``tokens`` the assets it names;
    ``stated`` is all that it says, as TOML has it. ``windows``, ``sums``, ``times`` and ``subjects`` (how many) are
    what its rules share."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        *,
        default: Default,
        name: str,
        digest: bytes,
        text: str,
        tokens: Mapping[str, Token],
        stated: Mapping[str, Any],
    ) -> None:
        self.rules, self.default, self.name, self.digest, self.text = rules, default, name, digest, text
        self.tokens, self.stated = tokens, stated
        self.timed = any(rule.timed for rule in rules)
        self.asks = frozenset(rule.ask for rule in rules if rule.ask)
        self.sums: dict[tuple[str | bool, ...], int] = {}
        self.times: dict[tuple[Hours, ...], int] = {}
        self._places: dict[object, int] = {}
        self._subjects: dict[object, int] = {}
        self._windows: list[Window] = []
        clauses = [(number, self._clause(rule)) for number, rule in enumerate(rules)]
        self.windows, self.subjects = tuple(self._windows), len(self._subjects)
        self._index: dict[tuple[str, object], list[tuple[int, Clause]]] = {}
        for place in clauses:
            rule = place[1].rule
            scope: frozenset[object] = rule.vaults | rule.users or frozenset({None})
            for kind in rule.when.allowed.get(Fact.KIND, map(str, Kind)):
                for each in scope:
                    self._index.setdefault((str(kind), each), []).append(place)

    def clauses_for(self, effect: Effect, here: str) -> Sequence[Clause]:
        """PO-1.2 scope: the rules in whose scope the operation is, and which are for its kind, in order. ``here``
        is this node's device."""
        devices = ("any", effect.proposer) + (("here",) if effect.proposer == here else ())
        users = (User(client=effect.caller, device=device) for device in devices)
        scopes: tuple[object, ...] = (None, effect.vault, *users)
        found = [held for each in scopes if (held := self._index.get((effect.kind.value, each)))]
        if len(found) == 1:
            return [clause for _, clause in found[0]]
        by_number = dict(chain.from_iterable(found))
        return [by_number[number] for number in sorted(by_number)]

    def _clause(self, rule: Rule) -> Clause:
        checks = tuple(
            check for check in rule.when.checks if check[0] != _KIND
        )  # the index has looked at that
        about = (frozenset(checks), rule.when.hours, rule.asks_of_actions, rule.limited)
        return Clause(
            rule=rule, hours=self._time(rule.when), checks=checks, of_actions=rule.asks_of_actions,
            limited=rule.limited, required=rule.require.checks, required_hours=self._time(rule.require),
            measures=tuple(self._measure(rule, limit) for limit in rule.limits), allows=not rule.restricts,
            subject=self._subjects.setdefault(about, len(self._subjects)), holds=Finding(rule),
        )  # fmt: skip

    def _time(self, conditions: Conditions) -> int:
        return self.times.setdefault(conditions.hours, len(self.times)) if conditions.hours else -1

    def _measure(self, rule: Rule, limit: Limit) -> Measure:
        added = self.sums.setdefault(limit.key, len(self.sums))
        if not limit.window_ms:
            return Measure(limit, added, -1)
        about = (rule.vaults, rule.users, frozenset(rule.when.allowed.items()), rule.when.hours, rule.limited,
                 rule.asks_of_actions)  # fmt: skip
        place = self._places.setdefault((about, limit.key, limit.window_ms), len(self._windows))
        if place == len(self._windows):
            self._windows.append(Window(limit.window_ms, limit, rule, (rule.name,)))
        elif rule.name not in (known := self._windows[place]).rules[-1:]:
            self._windows[place] = known._replace(rules=(*known.rules, rule.name))
        return Measure(limit, added, place)


_KIND = FACTS.index(Fact.KIND)
