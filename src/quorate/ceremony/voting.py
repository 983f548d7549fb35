"""This node's own say: the approver is asked once, its decision is made durable, and only then is the vote signed."""

from __future__ import annotations

import asyncio

import structlog

from quorate.ceremony import facts
from quorate.ceremony.agreement import OwnJoin
from quorate.ceremony.context import Context
from quorate.ceremony.ports import Decision, DecisionRow, Verdict
from quorate.ceremony.statements import Ballot, Vote, hear, state
from quorate.errors import UsageError
from quorate.identifiers import OperationId
from quorate.operations.kinds import Operation

log = structlog.get_logger()

# What a verdict says to the peers. No usable answer keeps this node out, as an abstention does; why stays here.
SPOKEN = {
    Verdict.APPROVE: "approve",
    Verdict.REJECT: "reject",
    Verdict.ABSTAIN: "abstain",
    Verdict.REFUSE: "abstain",
}


class Voting:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._deciding: dict[OperationId, asyncio.Task[Ballot]] = {}
        self._joins: dict[tuple[OperationId, int], OwnJoin] = {}

    def ballot(self, operation: Operation) -> asyncio.Task[Ballot]:
        """This node's ballot, being made or made. One decision is under way per operation at most."""
        identifier = operation.id
        task = self._deciding.get(identifier)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._decide(operation), name=f"decide {identifier}")
            self._deciding[identifier] = task
            task.add_done_callback(lambda done: self._forget(identifier, done))
        return task

    async def _decide(self, operation: Operation) -> Ballot:
        context, ledger = self._context, self._context.ledger
        signed = ledger.votes(operation.id).get(context.me)
        if signed is None:
            made = ledger.decision(operation.id)
            if made is None or made.digest != operation.digest:
                decision = await self._ask(operation)
                made = DecisionRow(
                    operation=operation.id,
                    digest=operation.digest,
                    decision=decision,
                    at_ms=context.clock.now_ms(),
                )
            verdict = SPOKEN[made.decision.verdict]
            vote = Vote(
                operation=operation.id,
                digest=operation.digest,
                verdict=verdict,
                boot=context.boot.id,
                at_ms=context.clock.now_ms(),
            )
            row, spoken = made, state(context.identity, vote)

            def keep() -> bytes:
                ledger.record_decision(row)
                return ledger.record_vote(operation.id, context.me, spoken)

            signed = await context.aside(keep)
            context.board.announce(operation.id)
        _, vote = hear(Vote, signed, context.key_of)
        joined = self.join(operation, 1).signed if vote.verdict == "approve" else b""
        return Ballot(vote=signed, join=joined)

    async def _ask(self, operation: Operation) -> Decision:
        context = self._context
        decision = await context.approver.decide(facts.approval_request(context, operation))
        log.info(
            "decided",
            operation=operation.id,
            kind=operation.kind.value,
            verdict=decision.verdict.name,
            approver=decision.approver,
            rule=decision.rule,
            explanation=decision.explanation,
        )
        return decision

    def require_own_approval(self, operation: Operation) -> None:
        """``UsageError`` unless our approver's recorded word on this very operation is yes (rule CE-3.6)."""
        made = self._context.ledger.decision(operation.id)
        if made is None or made.digest != operation.digest or made.decision.verdict is not Verdict.APPROVE:
            raise UsageError("CE-3.6 approval: this node's approver has not approved", code="NOT_APPROVED")

    def join(self, operation: Operation, attempt: int) -> OwnJoin:
        """Our join for one attempt: the one given before in the first half of its life, so that the other half is left
        to use it in; else a new one."""
        context, now = self._context, self._context.clock.monotonic()
        self._joins = {
            key: join for key, join in self._joins.items() if now - join.made_at < context.limits.join_life
        }
        key = (operation.id, attempt)
        held = self._joins.get(key)
        if held is None or now - held.made_at >= context.limits.join_life / 2:
            self._joins[key] = OwnJoin(
                digest=operation.digest,
                attempt=attempt,
                boot=context.boot.id,
                signer=context.identity,
                entropy=context.entropy,
                now=now,
            )
        return self._joins[key]

    def take_join(self, operation: Operation, attempt: int, signed: bytes) -> OwnJoin:
        """The join behind what a Begin shows as ours, once. ``UsageError`` if it is not the live one (rule CE-3.4)."""
        held = self._joins.get((operation.id, attempt))
        if held is None or held.signed != signed:
            raise UsageError(
                "CE-3.4 own join: the join shown as ours is not one this node stands by", code="JOIN_EXPIRED"
            )
        if self._context.clock.monotonic() - held.made_at >= self._context.limits.join_life:
            raise UsageError("CE-3.4 own join: our join is too old", code="JOIN_EXPIRED")
        del self._joins[operation.id, attempt]
        return held

    def _forget(self, identifier: OperationId, task: asyncio.Task[Ballot]) -> None:
        self._deciding.pop(identifier, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("decision failed", operation=identifier, error=repr(task.exception()))
