"""This node's own say: the approver is asked once, its decision is made durable, and only then is the vote signed."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from quorate.ceremony import facts
from quorate.ceremony.agreement import OwnJoin
from quorate.ceremony.context import Context
from quorate.ceremony.journal import known_row
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import ApprovalRequest, Decision, DecisionRow, Verdict
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.statements import MAX_APPROVER, MAX_RULE, Ballot, Vote, hear, printable, state
from quorate.errors import UsageError
from quorate.identifiers import OperationId
from quorate.operations.effect_json import encode_effect
from quorate.operations.kinds import Operation

log = structlog.get_logger()

GLANCE = 30.0  # seconds between looks at an operation that is being decided; its bell rings before that

# What a verdict says to the peers. No usable answer keeps this node out, as an abstention does: its rule says which.
SPOKEN = {
    Verdict.APPROVE: "approve",
    Verdict.REJECT: "reject",
    Verdict.ABSTAIN: "abstain",
    Verdict.REFUSE: "abstain",
}


class Moot(UsageError):
    """The operation ended, or its time passed, before our approver answered: nothing was decided."""


class Voting:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked: dict[OperationId, ApprovalRequest] = {}
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
        context.require_unsealed()
        self._require_free(operation)
        signed, asked, effect = ledger.votes(operation.id).get(context.me), b"", b""
        if signed is None:
            made = ledger.decision(operation.id)
            if made is None or made.digest != operation.digest:
                context.require_store()  # nobody is asked for an answer that cannot be kept
                request = facts.approval_request(context, operation)
                decision = await self._ask(operation, request)
                asked, effect = request.encoded(), encode_effect(request.effect)
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
                approver=printable(made.decision.approver, MAX_APPROVER),
                rule=printable(made.decision.rule, MAX_RULE),
            )
            context.require_unsealed()  # it may have been sealed while the approver thought
            row, spoken = made, state(context.identity, vote)

            def keep() -> bytes:
                if asked:
                    ledger.record_decision(row, request=asked, effect=effect)
                return ledger.record_vote(operation.id, context.me, spoken)

            signed = await context.aside(keep)
            context.board.announce(operation.id)
        _, vote = hear(Vote, signed, context.key_of)
        joined = self.join(operation, 1).signed if vote.verdict == "approve" else b""
        return Ballot(vote=signed, join=joined)

    def asked(self, operation: OperationId) -> ApprovalRequest | None:
        """What our approver is being asked at this moment."""
        return self._asked.get(operation)

    async def _ask(self, operation: Operation, request: ApprovalRequest) -> Decision:
        """The approver's answer, if it comes while it matters."""
        context = self._context
        asking = asyncio.ensure_future(context.approver.decide(request))
        self._asked[operation.id] = request
        try:
            await self._answered(operation, asking)
            decision = asking.result()
        finally:
            asking.cancel()
            await asyncio.wait({asking})
            del self._asked[operation.id]
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

    async def _answered(self, operation: Operation, asking: asyncio.Future[Decision]) -> None:
        context = self._context
        await asyncio.sleep(0)  # which is all that an approver needs that asks nobody
        while True:
            bell = context.board.bell(operation.id)
            self.require_open(operation)
            if asking.done():
                return
            rung = asyncio.ensure_future(bell.wait())
            either: set[asyncio.Future[Any]] = {asking, rung}
            try:
                await asyncio.wait(either, timeout=GLANCE, return_when=asyncio.FIRST_COMPLETED)
            finally:
                rung.cancel()

    def require_open(self, operation: Operation) -> None:
        """PD-1.3 open: a decision on what has ended, or whose time has passed, is none."""
        row = known_row(self._context, operation.id)
        if row.state in FINAL:
            raise Moot(f"PD-1.3 open: operation {row.id} is {row.state}", code="OPERATION_OVER")
        if self._context.steady.expired(row):
            raise Moot(f"PD-1.3 open: the time of operation {row.id} has passed", code="EXPIRED")

    def _require_free(self, operation: Operation) -> None:
        context = self._context
        context.quarantine.admit(operation, procedure_of(context, operation).vault)

    def require_own_approval(self, operation: Operation) -> None:
        """``UsageError`` unless our approver's recorded word on this very operation is yes (rule CE-3.6);
        ``Quarantined`` where it is for a vault that this node takes no part in."""
        self._require_free(operation)
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
                versions=context.versions,
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
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Moot):
            log.info("not decided", operation=identifier, why=str(error))
        elif error is not None:
            log.error("decision failed", operation=identifier, error=repr(error))
