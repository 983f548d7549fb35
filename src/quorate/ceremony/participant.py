"""Taking part: a Begin is checked against our own records, journalled, and run.

docs/spec/ceremony.md, section CE-3. Nothing of a session exists before its id is consumed durably; nothing of it is
kept after its end but what the ledger holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from types import MappingProxyType

import structlog

from quorate.ceremony import results
from quorate.ceremony.agreement import Agreement, OwnJoin, in_order
from quorate.ceremony.context import Context
from quorate.ceremony.journal import known_operation, known_row
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import Method
from quorate.ceremony.procedures import Procedure, procedure_of
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.session import Session
from quorate.ceremony.statements import Abort, Begin, Join, Vote, hear, state
from quorate.ceremony.voting import Voting
from quorate.errors import QuorateError, UsageError, suspected
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.kinds import Operation
from quorate.wire.courier import SessionCourier
from quorate.wire.machine import Machine

log = structlog.get_logger()

NONE: Mapping[DeviceId, bytes] = MappingProxyType({})
A_MOMENT = 2.0  # seconds, well within what a proposer waits for an answer


class Participant:
    def __init__(self, context: Context, voting: Voting, reconciler: Reconciler) -> None:
        self._context = context
        self._reconciler = reconciler
        self._voting = voting
        self._running: dict[OperationId, Session[object]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._founding: dict[OperationId, asyncio.Task[object]] = {}
        self._turns: dict[Hashable, tuple[OperationId, asyncio.Task[object]]] = {}
        self._taking_turns = asyncio.Lock()

    async def start(self, proposer: DeviceId, begin: Begin) -> asyncio.Task[object]:
        """Check and journal one attempt, and set it going. The task ends with the protocol's result, already durable,
        or with what ended the session. ``UsageError`` or ``StaleEpoch`` when this node refuses to take part."""
        context = self._context
        context.require_store()
        operation = known_operation(context, OperationId(begin.operation))
        procedure = procedure_of(context, operation)
        await self._reconciler.recall(procedure.concerned())
        founding = self._founding.get(operation.id)
        if begin.stage == "trial" and founding is not None:
            # Who begins it was a message or a write ahead of us.
            await asyncio.wait({founding}, timeout=A_MOMENT)
        self._refuse_beside(procedure, begin.stage)
        mark = procedure.exclusive(begin.stage)
        if mark is None:
            return await self._start(procedure, proposer, begin)
        async with self._taking_turns:
            await context.aside(procedure.settle)
            self.agree(operation, proposer, begin)  # no session gives way to less
            await self._make_way(operation.id, mark)
            await self._let_finish(procedure, begin.stage)
            await context.aside(procedure.settle)
            task = await self._start(procedure, proposer, begin)
            self._turns[mark] = operation.id, task
            return task

    async def _start(self, procedure: Procedure, proposer: DeviceId, begin: Begin) -> asyncio.Task[object]:
        context, operation = self._context, procedure.operation
        agreement = self.agree(operation, proposer, begin)
        if agreement.stage != "reshare" or context.me in agreement.dealers:
            context.quarantine.require_free(agreement.vault)
        own = next(
            (signed for signed in begin.joins if hear(Join, signed, context.key_of)[0] == context.me), None
        )
        if own is None:
            raise UsageError("CE-3.4 own join: this node has not joined this attempt", code="NOT_A_PARTY")
        self._voting.require_own_approval(operation)
        setups = self._setups(procedure, agreement)
        join = self._voting.take_join(operation, begin.attempt, own)
        await self._journal(operation, agreement, setups=setups, votes=self._votes(agreement, begin))
        self.cancel(operation.id, f"attempt {begin.attempt} has begun")
        session = self._session(procedure, agreement, setups, join)
        self._running[operation.id] = session
        task = asyncio.create_task(
            self._run(procedure, agreement, setups, session), name=f"{begin.stage} {operation.id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._over)
        if procedure.by_certificate and begin.stage != "trial":
            self._founding[operation.id] = task
            task.add_done_callback(lambda done: self._forget(operation.id, done))
        return task

    def _forget(self, operation: OperationId, founding: asyncio.Task[object]) -> None:
        if self._founding.get(operation) is founding:
            del self._founding[operation]

    async def _make_way(self, operation: OperationId, mark: Hashable) -> None:
        """Two sessions at once could leave each side with what another one made. All sides prefer the same."""
        running, task = self._turns.get(mark, (operation, None))
        if task is None or task.done():
            return
        row = self._context.ledger.operation(running)
        if running < operation and row is not None and row.state not in FINAL:
            raise UsageError(
                f"CE-3.9 one reset: {running} is at the same thing: ask again", code="RESET_RUNNING"
            )
        self.cancel(running, f"operation {operation} comes first")
        await asyncio.wait({task})

    def _refuse_beside(self, procedure: Procedure, stage: str) -> None:
        """CE-7.12 closed: while the next epoch is being made here, nothing begins under the present one."""
        running, task = self._turns.get(("reshare", procedure.vault), (procedure.operation.id, None))
        if stage not in ("reshare", "trial") and task is not None and not task.done():
            raise UsageError(f"CE-7.12 closed: {running} is making the next epoch", code="VAULT_RESHARING")

    async def _let_finish(self, procedure: Procedure, stage: str) -> None:
        """CE-7.12 closed: sessions of the present epoch that are under way end first; whatever takes long is ended."""
        if procedure.vault is None or stage != "reshare":
            return
        epoch = procedure.basis(stage).epoch
        ends = self._context.clock.monotonic() + A_MOMENT / 2
        while under_way := self._context.vaults.at_work(procedure.vault, epoch):
            if self._context.clock.monotonic() > ends:
                for halt in under_way:
                    halt("CE-7.12 closed: the next epoch is being made")
                return
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End what runs. Nothing of it is resumed."""
        for session in self._running.values():
            session.cancel("this node is stopping")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _over(self, task: asyncio.Task[object]) -> None:
        """How a session ended was logged and told where it happened, unless it was a bug of ours."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, QuorateError):
            log.critical("bug in a session", task=task.get_name(), exc_info=error)

    def cancel(self, operation: OperationId, why: str) -> None:
        """End this node's running session of an operation, if there is one."""
        session = self._running.get(operation)
        if session is not None:
            session.cancel(why)

    def agree(self, operation: Operation, proposer: DeviceId, begin: Begin) -> Agreement:
        """The agreement a Begin stands for, if it is one that this node can be part of."""
        context = self._context
        row = context.ledger.operation(operation.id)
        if row is None or proposer != operation.proposer or begin.digest != operation.digest:
            raise UsageError(
                "CE-3.1 operation: this is not the operation that was proposed here", code="UNKNOWN_OPERATION"
            )
        if row.state in FINAL:
            raise UsageError(f"CE-3.1 operation: the operation is {row.state}", code="OPERATION_OVER")
        if context.steady.expired(row):
            raise UsageError("CE-3.1 operation: the operation has expired", code="EXPIRED")
        if not row.attempt < begin.attempt <= context.limits.attempts:
            raise UsageError(
                f"CE-3.2 attempts rise: {begin.attempt} after {row.attempt}, at most {context.limits.attempts}",
                code="ATTEMPT_NOT_RISING",
            )
        joins = self._joins(operation, begin)
        procedure, dealers = procedure_of(context, operation), tuple(map(DeviceId, begin.dealers))
        basis = procedure.basis(begin.stage)
        procedure.company(begin.stage).check(frozenset(joins), dealers)
        self._check_approval(operation, begin, frozenset(joins))
        return Agreement(
            stage=begin.stage, operation=operation.digest, vault=basis.vault, previous=basis.previous,
            epoch=basis.epoch, attempt=begin.attempt, sharing=basis.sharing, joins=joins, former=basis.former,
            dealers=dealers,
        )  # fmt: skip

    async def hand_over(self, operation: Operation, agreement: Agreement) -> None:
        """CE-4.3 others: journal an attempt that we are no party of. Nobody asks us before a signature is made."""
        await self._journal(operation, agreement, released=agreement.stage in ("sign", "policy"))

    def _setups(self, procedure: Procedure, agreement: Agreement) -> Mapping[DeviceId, bytes]:
        """The live pair set-up with each other party, by id, where the session works under them."""
        context, vault = self._context, procedure.multiplying(agreement.stage)
        if vault is None:
            return {}
        return context.pairs.ids(vault, [peer for peer in agreement.parties if peer != context.me])

    def _votes(self, agreement: Agreement, begin: Begin) -> Mapping[DeviceId, bytes]:
        """Those of the other parties, kept so that this node can prove what it took part in."""
        heard = ((hear(Vote, signed, self._context.key_of)[0], signed) for signed in begin.votes)
        return {
            voter: vote for voter, vote in heard if voter in agreement.joins and voter != self._context.me
        }

    async def _journal(
        self,
        operation: Operation,
        agreement: Agreement,
        *,
        setups: Mapping[DeviceId, bytes] = NONE,
        votes: Mapping[DeviceId, bytes] = NONE,
        released: bool = False,
    ) -> None:
        """The session id and the attempt, durably, before a single message of the session exists, while every set-up
        it is to work under is live (rule CE-3.7)."""
        ledger, attempt, session = self._context.ledger, agreement.attempt, agreement.ceremony_id
        held = self._context.vaults.newest_vault(agreement.vault) if agreement.vault else None
        joins = agreement.former is not None and self._context.me not in agreement.former.devices
        under = b"" if held is None or joins else agreement.previous
        begun = await self._context.aside(
            lambda: ledger.begin_attempt(
                operation.id,
                attempt,
                session,
                released=released,
                setups=tuple(setups.values()),
                sharing=under,
                votes=votes,
            )
        )
        if not begun:
            raise UsageError(
                "CE-3.7 journal: this attempt or its session id was used before", code="ATTEMPT_NOT_RISING"
            )
        self._context.board.announce(operation.id)

    def _joins(self, operation: Operation, begin: Begin) -> dict[DeviceId, Join]:
        heard = [hear(Join, signed, self._context.key_of) for signed in begin.joins]
        if not in_order([device for device, _ in heard]):
            raise UsageError("CE-3.3 joins: joins are sorted by device, one each", code="MALFORMED")
        for device, join in heard:
            if join.digest != operation.digest or join.attempt != begin.attempt:
                raise UsageError(
                    f"CE-3.3 joins: the join of {device} is for another attempt", code="WRONG_JOIN"
                )
        return dict(heard)

    def _check_approval(self, operation: Operation, begin: Begin, parties: frozenset[DeviceId]) -> None:
        """Every party approved this very operation, with enough weight (rules CE-3.5 and CE-3.6)."""
        context = self._context
        verdicts: dict[DeviceId, str] = {}
        for signed in begin.votes:
            voter, vote = hear(Vote, signed, context.key_of)
            if (vote.operation, vote.digest) != (operation.id, operation.digest):
                raise UsageError(
                    f"CE-3.6 approval: the vote of {voter} is for another operation", code="WRONG_VOTE"
                )
            verdicts[voter] = vote.verdict
        approving = {device for device, verdict in verdicts.items() if verdict == "approve"}
        if not parties <= approving:
            missing = ", ".join(sorted(parties - approving))
            raise UsageError(f"CE-3.6 approval: no approval from {missing}", code="NOT_APPROVED")

    def _session(
        self, procedure: Procedure, agreement: Agreement, setups: Mapping[DeviceId, bytes], join: OwnJoin
    ) -> Session[object]:
        context = self._context
        courier = SessionCourier(
            me=context.me,
            session=agreement.ceremony_id,
            sign=context.identity.sign,
            identity_keys=agreement.identity_keys,
            session_private=join.take(),
            session_publics={device: j.session_key for device, j in agreement.joins.items()},
        )

        def open_machine() -> Machine[object]:
            protocol = procedure.protocol(agreement, setups)
            return Machine(context.me, agreement.parties, agreement.ceremony_id, courier, protocol)

        return Session(
            agreement.ceremony_id, agreement.parties, open_machine, erase=courier.erase, mesh=context.mesh,
            clock=context.clock, pool=context.pool, patience=procedure.patience(agreement.parties),
        )  # fmt: skip

    async def _run(
        self,
        procedure: Procedure,
        agreement: Agreement,
        setups: Mapping[DeviceId, bytes],
        session: Session[object],
    ) -> object:
        context, operation = self._context, procedure.operation
        try:
            with (
                context.pairs.working(session.halt, setups.values()),
                context.vaults.working(session.halt, agreement.vault, agreement.epoch),
            ):
                result = await context.sessions.run(session)
            await context.aside(lambda: procedure.keep(agreement, result))
            context.board.announce(operation.id)
            if operation.proposer not in agreement.parties:
                body = results.outcome(context, operation, known_row(context, operation.id))
                await context.tell(DeviceId(operation.proposer), Method.CONCLUDE, body)
            return result
        except QuorateError as failure:
            log.warning(
                "session ended",
                operation=operation.id,
                stage=agreement.stage,
                attempt=agreement.attempt,
                why=str(failure),
            )
            if await context.aside(context.pairs.recorded):
                await self._tell_over(operation, agreement, failure)
            raise
        finally:
            if self._running.get(operation.id) is session:
                del self._running[operation.id]
            context.board.announce(operation.id)

    async def _tell_over(self, operation: Operation, agreement: Agreement, failure: QuorateError) -> None:
        """The other parties hear that our part is over, and no more. A proposer that is no party hears who failed."""
        context = self._context
        body = state(context.identity, Abort(session=agreement.ceremony_id))
        telling = [context.tell(peer, Method.ABORT, body) for peer in agreement.parties if peer != context.me]
        if operation.proposer not in agreement.parties:
            suspects = suspected(failure)
            report = results.report(context, operation, agreement.attempt, failure.reason, suspects)
            telling.append(context.tell(DeviceId(operation.proposer), Method.CONCLUDE, report))
        await asyncio.gather(*telling)
