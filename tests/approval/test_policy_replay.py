"""A draft over what was decided before: the same code as the live engine, and so the same words."""

from __future__ import annotations

import random

from quorate.approval.policy.replay import replay
from quorate.ceremony.ports import Decided, Decision, DecisionRow, Verdict
from quorate.operations.effect import Effect
from quorate.operations.effect_json import encode_effect
from quorate.operations.kinds import Kind
from tests.approval.facts import ALICE, VAULT
from tests.approval.policies import (
    ACME,
    ELSEWHERE,
    HOUR,
    MAKES_A_VAULT,
    OPAQUE,
    OTHER_VAULT,
    STRANGER,
    ZENITH,
    does,
    ether,
    policy,
    request,
    rule,
    usdc,
)
from tests.approval.test_policy_approver import Clock, Node

LIVE = policy(
    rule(
        "payments",
        limits='[{ asset = "USDC", each = "1000" }, { asset = "USDC", total = "5000", within = "24h" }]',
    )
    + rule("ether", limits='[{ asset = "ETH", total = "3", within = "12h" }, { count = 40, within = "6h" }]')
    + rule("known", restricts="true", require='{ receivers = ["book:suppliers"] }', violation='"abstain"')
    + rule("ours", scope=f'{{ vaults = ["{VAULT}"] }}', when='{ kinds = ["create-vault"] }')
    + rule(
        "guests",
        scope='{ users = ["guest@any"] }',
        restricts="true",
        limits='[{ count = 5, within = "24h" }]',
    )
    + rule(
        "days",
        restricts="true",
        when='{ kinds = ["sign"] }',
        require='{ times = [{ from = "06:00", to = "23:00" }] }',
    )
)


def anything(chance: random.Random) -> Effect:
    actions = [
        chance.choice(
            [
                usdc(chance.randrange(1, 1200), chance.choice([ACME, ZENITH, ZENITH, STRANGER])),
                ether(chance.randrange(10**18), chance.choice([ACME, ZENITH])),
                OPAQUE,
            ]
        )
        for _ in range(chance.choice([1, 1, 1, 2]))
    ]
    if chance.random() < 0.05:
        return MAKES_A_VAULT
    return does(
        *actions,
        kind=chance.choice([Kind.SIGN, Kind.BATCH_SIGN]),
        vault=chance.choice([VAULT, OTHER_VAULT]),
        caller=chance.choice(["app", "app", "guest"]),
        at=chance.choice([ALICE, ELSEWHERE]),
    )


def decided(number: int, effect: Effect, decision: Decision, at_ms: int, *, counts: bool = True) -> Decided:
    asked = request(effect, number)
    row = DecisionRow(operation=asked.operation, digest=asked.digest, decision=decision, at_ms=at_ms)
    return Decided(number=number, row=row, effect=encode_effect(effect), counts=counts)


async def test_a_thousand_operations_come_out_of_the_simulator_as_they_came_out_of_the_node() -> None:
    chance, node, recorded = random.Random(6), Node(LIVE), []
    for number in range(1000):
        node.clock.passes(chance.randrange(HOUR // 2))
        effect = anything(chance)
        decision = await node.approver.decide(request(effect, number))
        if number % 100 == 0:
            node.restart()
        recorded.append(decided(number, effect, decision, node.clock.now))
    replayed = list(replay(LIVE, recorded, ALICE))
    assert [
        (each.judgement.verdict, each.judgement.rule, each.judgement.explanation) for each in replayed
    ] == [
        (each.row.decision.verdict, each.row.decision.rule, each.row.decision.explanation)
        for each in recorded
    ]
    assert not any(each.differs for each in replayed)
    verdicts = [each.row.decision.verdict for each in recorded]
    assert {verdict: verdicts.count(verdict) > 20 for verdict in Verdict} == dict.fromkeys(Verdict, True)


def approved(amount: int, number: int, at_ms: int = Clock().now, *, counts: bool = True) -> Decided:
    decision = Decision(verdict=Verdict.APPROVE, approver="always", rule="AP-1.2 always", explanation="")
    return decided(number, does(usdc(amount)), decision, at_ms, counts=counts)


def test_a_draft_shows_what_it_would_have_decided_otherwise() -> None:
    draft = policy(rule("draft", limits='[{ asset = "USDC", total = "1000", within = "24h" }]'))
    said = list(replay(draft, [approved(600, 1), approved(600, 2), approved(400, 3)], ALICE))
    assert [each.differs for each in said] == [False, True, False]
    assert said[1].judgement.verdict is Verdict.REJECT


def test_what_ended_without_release_takes_nothing_of_a_draft_s_windows() -> None:
    draft = policy(rule("draft", limits='[{ asset = "USDC", total = "1000", within = "24h" }]'))
    said = list(replay(draft, [approved(600, 1, counts=False), approved(600, 2)], ALICE))
    assert [each.differs for each in said] == [False, False]


def test_whom_a_draft_would_ask_is_a_difference_from_an_approval() -> None:
    draft = policy(rule("draft", limits='[{ asset = "USDC", each = "1" }]', violation='{ ask = "people" }'))
    [said] = replay(draft, [approved(600, 1)], ALICE)
    assert said.differs
    assert said.judgement.ask == ("people",)
