"""The approver that decides by rules: what it takes of limits and gives back, whom it asks, when it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from quorate.approval.policy.approver import Fixed, PolicyApprover, Unserved
from quorate.approval.policy.book import Book, Memory
from quorate.approval.policy.rules import Policy
from quorate.ceremony.ports import ApprovalRequest, Approver, Decision, Reservation, Verdict
from quorate.errors import StoreError
from quorate.identifiers import OperationId
from tests.approval.facts import ALICE
from tests.approval.policies import HOUR, NOON, OPAQUE, STRANGER, does, ether, policy, request, rule, usdc
from tests.rules import breaks

APPROVE, REJECT, ABSTAIN, REFUSE = Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN, Verdict.REFUSE
DAILY = rule("daily", limits='[{ asset = "USDC", total = "1000", within = "24h" }]')
ASKS = rule("small", limits='[{ asset = "USDC", each = "100" }]', violation='{ ask = "people" }')


@dataclass
class Clock:
    now: int = NOON
    seconds: float = 1000.0

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.seconds

    def passes(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.seconds += milliseconds / 1000


class Log(Memory):
    """A log in which operations can end without release."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: set[OperationId] = set()
        self.broken = False

    def reserve(self, row: Reservation) -> None:
        if self.broken:
            raise StoreError("the disk is full")
        super().reserve(row)

    def reservations(self, since_ms: int) -> Sequence[Reservation]:
        return [row for row in super().reservations(since_ms) if row.operation not in self.ended]

    def still_counts(self, operation: OperationId) -> bool:
        return super().still_counts(operation) and operation not in self.ended


@dataclass
class Says:
    verdict: Verdict = APPROVE
    name: str = "people"
    asked: list[ApprovalRequest] = field(default_factory=list)
    gate: asyncio.Event | None = None
    error: Exception | None = None
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def hears(self) -> None:
        """Until it was asked."""
        await self._heard.wait()

    async def decide(self, request: ApprovalRequest) -> Decision:
        self.asked.append(request)
        self._heard.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Decision(verdict=self.verdict, approver=self.name, rule="told", explanation="as told")


class Node:
    """One approver, its log and its clock; ``restart`` keeps the log alone."""

    def __init__(
        self, rules: Policy, others: dict[str, Approver] | None = None, draft: Policy | None = None
    ) -> None:
        self.log, self.clock = Log(), Clock()
        self.rules, self.others, self.draft = rules, others or {}, draft
        self.restart()

    def restart(self, rules: Policy | None = None) -> None:
        self.rules = rules or self.rules
        self.book = Book(self.log, here=ALICE)
        self.approver = PolicyApprover(
            Fixed(self.rules), self.book, self.clock, others=self.others, draft=self.draft
        )

    async def asks(self, number: int, *actions: Any) -> Decision:
        return await self.approver.decide(request(does(*actions), number))

    async def verdicts(self, *amounts: int, start: int = 0) -> list[Verdict]:
        return [(await self.asks(start + n, usdc(amount))).verdict for n, amount in enumerate(amounts)]

    def ends(self, number: int, *, signed: bool = False) -> None:
        operation = request(does(), number).operation
        (self.log.ended.discard if signed else self.log.ended.add)(operation)
        self.book.settle(operation)


# --- windows ----------------------------------------------------------------------------------------------------------


async def test_a_window_holds_what_was_approved_and_rolls_on() -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(600, 400, 1) == [APPROVE, APPROVE, REJECT]
    node.clock.passes(24 * HOUR - 1)
    assert (await node.asks(9, usdc(1))).verdict is REJECT
    node.clock.passes(1)
    assert (await node.asks(10, usdc(1000))).verdict is APPROVE


async def test_what_was_rejected_takes_nothing() -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(1001, 1000) == [REJECT, APPROVE]


@breaks("PO-3.1")
async def test_a_window_outlives_a_restart_and_another_name_of_its_rule() -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(600) == [APPROVE]
    node.restart()
    assert (await node.asks(1, usdc(401))).verdict is REJECT
    node.restart(policy(DAILY.replace("daily", "by day").replace("1000", "1100")))
    assert (await node.asks(2, usdc(501))).verdict is REJECT
    assert (await node.asks(3, usdc(500))).verdict is APPROVE


@breaks("PO-3.1")
async def test_a_new_limit_counts_what_was_approved_before_it_was_there() -> None:
    node = Node(policy(rule()))
    assert await node.verdicts(900) == [APPROVE]
    node.restart(policy(DAILY))
    assert (await node.asks(1, usdc(101))).verdict is REJECT


@breaks("PO-3.1")
async def test_what_cannot_be_kept_is_not_approved() -> None:
    node = Node(policy(DAILY))
    node.log.broken = True
    said = await node.asks(0, usdc(1))
    assert (said.verdict, said.rule) == (REFUSE, "PO-3.1 durable")
    node.log.broken = False
    assert await node.verdicts(1000, start=1) == [APPROVE]


@breaks("PO-3.1")
async def test_an_operation_asked_about_again_after_a_restart_counts_once() -> None:
    node = Node(policy(DAILY))
    assert (await node.asks(0, usdc(600))).verdict is APPROVE
    node.restart()
    assert (await node.asks(0, usdc(600))).verdict is APPROVE
    assert (await node.asks(1, usdc(400))).verdict is APPROVE
    assert (await node.asks(2, usdc(1))).verdict is REJECT


@breaks("PO-3.2")
async def test_what_ends_without_release_gives_back_what_it_took() -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(1000) == [APPROVE]
    node.ends(0)
    assert (await node.asks(1, usdc(1000))).verdict is APPROVE
    node.ends(0, signed=True)  # it turns out to have been signed after all
    assert (await node.asks(2, usdc(1))).verdict is REJECT
    node.ends(1)
    assert (await node.asks(3, usdc(1))).verdict is REJECT


@breaks("PO-3.2")
async def test_what_ended_without_release_is_not_counted_after_a_restart() -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(1000) == [APPROVE]
    node.log.ended.add(request(does(), 0).operation)
    node.restart()
    assert (await node.asks(1, usdc(1000))).verdict is APPROVE


@breaks("PO-3.3")
async def test_of_many_requests_at_once_only_as_many_pass_as_the_limit_holds() -> None:
    node = Node(policy(DAILY + rule("count", limits='[{ count = 1000, within = "1h" }]')))
    said = await asyncio.gather(*(node.asks(number, usdc(300)) for number in range(20)))
    assert sum(decision.verdict is APPROVE for decision in said) == 3


async def test_another_asset_takes_nothing_of_a_limit() -> None:
    node = Node(policy(DAILY + rule("rest")))
    assert (await node.asks(0, ether(10**30))).verdict is APPROVE
    assert (await node.asks(1, OPAQUE)).verdict is REJECT
    assert await node.verdicts(1000, start=2) == [APPROVE]


# --- asking -----------------------------------------------------------------------------------------------------------


@breaks("PO-2.7")
@pytest.mark.parametrize("verdict", [APPROVE, REJECT, ABSTAIN, REFUSE])
async def test_who_is_asked_has_the_say_where_the_rule_is_violated_and_only_there(verdict: Verdict) -> None:
    people = Says(verdict)
    node = Node(policy(ASKS), {"people": people})
    assert (await node.asks(0, usdc(100))).verdict is APPROVE
    assert people.asked == []
    said = await node.asks(1, usdc(101))
    assert said.verdict is verdict
    assert len(people.asked) == 1
    assert "over the limit of 100 USDC" in said.explanation


@breaks("PO-2.7")
async def test_who_is_asked_cannot_excuse_another_rule() -> None:
    people = Says()
    node = Node(
        policy(ASKS + rule("known", require='{ receivers = ["book:suppliers"] }')), {"people": people}
    )
    assert (await node.asks(0, usdc(101, STRANGER))).verdict is REJECT
    assert people.asked == []


@breaks("PO-2.7", "PO-3.3")
async def test_a_limit_used_up_while_somebody_thought_about_it_is_used_up() -> None:
    people = Says(gate=asyncio.Event())
    assert people.gate is not None
    node = Node(policy(ASKS + DAILY), {"people": people})
    waiting = asyncio.create_task(node.asks(0, usdc(500)))
    await people.hears()
    assert await node.verdicts(*[100] * 6, start=1) == [APPROVE] * 6
    people.gate.set()
    said = await waiting
    assert (said.verdict, said.rule) == (REJECT, "PO-2.1 rules: daily")


@breaks("PO-2.7")
async def test_what_people_let_pass_counts_like_anything_else() -> None:
    node = Node(policy(ASKS + DAILY), {"people": Says()})
    assert await node.verdicts(900, 100, 100) == [APPROVE, APPROVE, REJECT]


@pytest.mark.parametrize("error", [RuntimeError("lost"), StoreError("lost")])
async def test_an_approver_that_fails_when_asked_is_a_refusal(error: Exception) -> None:
    node = Node(policy(ASKS), {"people": Says(error=error)})
    said = await node.asks(0, usdc(101))
    assert (said.verdict, said.rule) == (REFUSE, "AP-4.4 sound")


async def test_a_request_given_up_while_somebody_is_asked_holds_nobody_up() -> None:
    people = Says(gate=asyncio.Event())
    node = Node(policy(ASKS + DAILY), {"people": people})
    waiting = asyncio.create_task(node.asks(0, usdc(500)))
    await people.hears()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await node.verdicts(100, start=1) == [APPROVE]


# --- clocks -----------------------------------------------------------------------------------------------------------


@breaks("PO-3.4")
@pytest.mark.parametrize("jump", [25 * HOUR, -25 * HOUR, 31_000, -31_000])
async def test_by_a_clock_that_was_set_while_the_node_ran_nothing_timed_is_approved(jump: int) -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(1000) == [APPROVE]
    node.clock.now += jump
    said = await node.asks(1, usdc(1))
    assert (said.verdict, said.rule) == (REFUSE, "PO-3.4 clock")
    assert "restart the node" in said.explanation


@breaks("PO-3.4")
async def test_a_clock_that_was_set_back_while_the_node_was_down_is_noticed_by_what_was_approved() -> None:
    node = Node(policy(DAILY))
    assert await node.verdicts(1000) == [APPROVE]
    node.clock.now -= HOUR
    node.restart()
    said = await node.asks(1, usdc(1))
    assert (said.verdict, said.rule) == (REFUSE, "PO-3.4 clock")


async def test_a_clock_that_was_far_ahead_for_a_while_empties_no_window_for_good() -> None:
    """Neither in memory nor on disk: by the right clock, the window holds what it held."""
    node = Node(policy(DAILY))
    assert await node.verdicts(700) == [APPROVE]
    node.clock.now += 500 * 24 * HOUR
    assert (await node.asks(1, usdc(1))).verdict is REFUSE  # set while it ran
    node.clock.now -= 500 * 24 * HOUR
    assert await node.verdicts(301, 300, start=2) == [REJECT, APPROVE]
    node.clock.now += 25 * HOUR
    node.restart()  # started by the wrong clock, and asked for nothing
    node.clock.now -= 25 * HOUR
    assert (await node.asks(5, usdc(1))).verdict is REFUSE
    node.restart()
    assert (await node.asks(6, usdc(1))).verdict is REJECT


@breaks("PO-3.4")
async def test_what_was_approved_by_a_clock_that_was_ahead_keeps_the_right_one_from_opening_the_window() -> (
    None
):
    node = Node(policy(DAILY))
    assert await node.verdicts(1000) == [APPROVE]
    node.clock.now += 25 * HOUR
    node.restart()
    assert (await node.asks(1, usdc(1000))).verdict is APPROVE  # nobody told it that the clock is wrong
    node.clock.now -= 25 * HOUR
    node.restart()
    assert (await node.asks(2, usdc(1))).verdict is REFUSE


async def test_a_policy_without_hours_and_windows_does_not_care_for_clocks() -> None:
    node = Node(policy(rule()))
    node.clock.now += 25 * HOUR
    assert await node.verdicts(1) == [APPROVE]


# --- drafts -----------------------------------------------------------------------------------------------------------


@breaks("PO-4.1")
async def test_a_draft_is_logged_beside_the_verdict_that_counts() -> None:
    node = Node(policy(rule("live")), draft=policy(DAILY))
    with capture_logs() as logs:
        assert await node.verdicts(1000, 1) == [APPROVE, APPROVE]
    shadows = [log for log in logs if log["event"] == "policy.shadow"]
    assert [(log["differs"], log["live"], log["draft"]) for log in shadows] == [
        (False, "approve", "approve"),
        (True, "approve", "reject"),
    ]
    assert shadows[1]["draft_rule"] == "PO-2.1 rules: daily"


@breaks("PO-4.1")
async def test_a_draft_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = policy(rule("draft"))
    node = Node(policy(rule("live")), draft=draft)
    monkeypatch.setattr(draft, "clauses_for", lambda *_: 1 / 0)
    with capture_logs() as logs:
        assert await node.verdicts(1) == [APPROVE]
    assert [log["log_level"] for log in logs if log["event"] == "policy.shadow"] == [
        "error"
    ] * 2  # judging, counting


@dataclass
class Changing:
    """A source whose policy another one takes the place of, or that has none."""

    policy: Policy | None

    async def ready(self) -> None:
        return

    def current(self) -> Policy:
        if self.policy is None:
            raise Unserved("PG-3.3 behind", "a later one is signed")
        return self.policy


async def test_a_yes_to_a_rule_is_none_to_another_policy_s_rule_of_the_same_name() -> None:
    people = Says(gate=asyncio.Event())
    source, clock = Changing(policy(ASKS)), Clock()
    approver = PolicyApprover(source, Book(Log(), here=ALICE), clock, others={"people": people})
    deciding = asyncio.create_task(approver.decide(request(does(usdc(500)))))
    await people.hears()
    source.policy = policy(ASKS.replace('"100"', '"10"'))
    assert people.gate is not None
    people.gate.set()
    assert (await deciding).verdict is APPROVE
    assert len(people.asked) == 2


async def test_nothing_is_approved_while_no_policy_counts() -> None:
    source, clock = Changing(None), Clock()
    approver = PolicyApprover(source, Book(Log(), here=ALICE), clock, others={})
    said = await approver.decide(request(does(usdc(1))))
    assert (said.verdict, said.rule) == (REFUSE, "PG-3.3 behind")
    source.policy = policy(DAILY)
    assert (await approver.decide(request(does(usdc(1))))).verdict is APPROVE
    source.policy = None
    assert (await approver.decide(request(does(usdc(1)), 1))).verdict is REFUSE
