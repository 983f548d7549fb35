"""A policy as the engine reads it: checked, resolved, indexed by scope. ``language`` makes it from a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from typing import Literal
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


Default = Literal["refuse", "reject", "abstain", "approve"]


class Policy:
    """Rules in the order of the file. ``digest`` is the SHA-256 of its bytes, ``tokens`` the assets it names."""

    def __init__(
        self,
        rules: tuple[Rule, ...],
        *,
        default: Default,
        name: str,
        digest: bytes,
        text: str,
        tokens: Mapping[str, Token],
    ) -> None:
        self.rules, self.default, self.name, self.digest, self.text = rules, default, name, digest, text
        self.tokens = tokens
        self.timed = any(rule.timed for rule in rules)
        self.asks = frozenset(rule.ask for rule in rules if rule.ask)
        self._index: dict[tuple[str, object], list[tuple[int, Rule]]] = {}
        for place in enumerate(rules):
            scope: frozenset[object] = place[1].vaults | place[1].users or frozenset({None})
            for kind in place[1].when.allowed.get(Fact.KIND, map(str, Kind)):
                for each in scope:
                    self._index.setdefault((str(kind), each), []).append(place)

    def rules_for(self, effect: Effect, here: str) -> tuple[Rule, ...]:
        """PO-1.2 scope: the rules in whose scope the operation is, and which are for its kind, in order. ``here``
        is this node's device."""
        devices = ("any", effect.proposer) + (("here",) if effect.proposer == here else ())
        users = (User(client=effect.caller, device=device) for device in devices)
        scopes: tuple[object, ...] = (None, effect.vault, *users)
        found = dict(chain.from_iterable(self._index.get((effect.kind.value, each), ()) for each in scopes))
        return tuple(found[number] for number in sorted(found))
