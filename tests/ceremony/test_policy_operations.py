"""Policies on whole nodes: a limit, what it holds after a restart, and what it gets back."""

from __future__ import annotations

from quorate.approval.policy.approver import Fixed, PolicyApprover
from quorate.approval.policy.book import Book
from quorate.approval.policy.language import parse_policy
from quorate.ceremony.ports import State, Verdict
from quorate.operations.effect_json import decode_effect
from quorate.operations.kinds import Kind
from tests.ceremony.resets import until
from tests.ceremony.world import Node, Says, World
from tests.rules import breaks

WEIGHTS = {"alice": 1, "bob": 1, "carol": 1}
TWO = """
[[rule]]
name = "few"
scope = "global"
limits = [{ count = 2, within = "24h" }]
"""


def decides_by(node: Node, text: str) -> Book:
    """Have the node decide by this policy from its next start on."""
    book = Book(node.ledger, here=node.device)
    policy = Fixed(parse_policy(text, "policy.toml"))
    node.approver = PolicyApprover(policy, book, node.clock, others={})  # type: ignore[assignment]
    return book


async def with_a_policy(world: World) -> Node:
    """A vault that takes all three, and a policy at carol's."""
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert made.state is State.COMPLETED, made
    for node in world.nodes.values():
        await node.ready("ops")
    await restarted(world["carol"])
    return world["carol"]


async def restarted(node: Node) -> None:
    """Everything in memory goes; what the limit holds is on the disk."""
    await node.stop()
    node.ledger.close()
    node.open()
    decides_by(node, TWO)
    await node.start()


@breaks("PO-2.5", "PO-3.1")
async def test_a_limit_is_kept_over_a_restart_and_its_words_are_journalled(world: World) -> None:
    carol = await with_a_policy(world)
    assert (await world["alice"].sign("ops", "one")).state is State.COMPLETED
    await restarted(carol)
    assert (await world["bob"].sign("ops", "two")).state is State.COMPLETED
    third = await world["alice"].sign("ops", "three")
    assert third.state is State.REJECTED
    row = carol.ledger.decision(third.id)
    assert row is not None
    assert (row.decision.verdict, row.decision.rule) == (Verdict.REJECT, "PO-2.1 rules: few")
    assert "1 message after 2 messages within 24h" in row.decision.explanation
    kept = carol.ledger.decided(0)[-1]
    assert (kept.row.operation, decode_effect(kept.effect).kind) == (third.id, Kind.SIGN)


@breaks("PO-3.2")
async def test_what_nobody_signed_is_given_back(world: World) -> None:
    carol = await with_a_policy(world)
    world["bob"].approver = Says(Verdict.REJECT)
    await world["bob"].restart()
    for number in range(3):
        assert (await world["alice"].sign("ops", f"no {number}")).state is State.REJECTED
    await until(lambda: carol.ledger.reservations(0) == [])
    world["bob"].approver = Says()
    await world["bob"].restart()
    await restarted(carol)
    assert (await world["alice"].sign("ops", "one")).state is State.COMPLETED
    assert len(carol.ledger.reservations(0)) == 1
