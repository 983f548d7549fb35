"""Taking part: a Begin is checked against our own records, journalled, and run.

docs/spec/ceremony.md, section CE-3. Nothing of a session exists before its id is consumed durably; nothing of it is
kept after its end but what the ledger holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

import structlog

from quorate.ceremony import intake, reset_book, resets, results
from quorate.ceremony.agreement import Agreement, OwnJoin, in_order
from quorate.ceremony.book import LedgerBook
from quorate.ceremony.context import Context
from quorate.ceremony.journal import known_operation, known_row
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import Method
from quorate.ceremony.session import Session
from quorate.ceremony.signing import ending_setups, needs_setups, patience, sign
from quorate.ceremony.statements import Abort, Begin, Join, Vote, hear, state
from quorate.ceremony.voting import Voting
from quorate.errors import QuorateError, UsageError, suspected
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.operations.kinds import BatchSign, Operation, PairReset, Sign, vault_id
from quorate.primitives.drbg import Drbg
from quorate.protocols import keygen, trial
from quorate.protocols.trial import Trial
from quorate.wire.courier import SessionCourier
from quorate.wire.machine import Machine
from quorate.wire.net import Net

log = structlog.get_logger()

Protocol = Callable[[Net], Coroutine[Any, None, object]]
NONE: Mapping[DeviceId, bytes] = MappingProxyType({})
A_MOMENT = 2.0  # seconds, well within what a proposer waits for an answer


class Participant:
    def __init__(self, context: Context, voting: Voting) -> None:
        self._context = context
        self._voting = voting
        self._running: dict[OperationId, Session[object]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._keygens: dict[OperationId, asyncio.Task[object]] = {}
        self._resets: dict[tuple[str, tuple[str, str]], tuple[OperationId, asyncio.Task[object]]] = {}
        self._resetting = asyncio.Lock()

    async def start(self, proposer: DeviceId, begin: Begin) -> asyncio.Task[object]:
        """Check and journal one attempt, and set it going. The task ends with the protocol's result, already durable,
        or with what ended the session. ``UsageError`` or ``StaleEpoch`` when this node refuses to take part."""
        context = self._context
        operation = known_operation(context, OperationId(begin.operation))
        if begin.stage == "trial" and (keygen := self._keygens.get(operation.id)) is not None:
            # Who begins it was a message or a write ahead of us.
            await asyncio.wait({keygen}, timeout=A_MOMENT)
        if not isinstance(operation.request, PairReset):
            return await self._start(operation, proposer, begin)
        async with self._resetting:
            await context.aside(lambda: resets.settle(context, operation))
            self.agree(operation, proposer, begin)  # no session gives way to less
            await self._make_way(operation.id, operation.request)
            await context.aside(lambda: resets.settle(context, operation))
            task = await self._start(operation, proposer, begin)
            self._resets[operation.request.vault, operation.request.pair] = operation.id, task
            return task

    async def _start(self, operation: Operation, proposer: DeviceId, begin: Begin) -> asyncio.Task[object]:
        context = self._context
        agreement = self.agree(operation, proposer, begin)
        own = next(
            (signed for signed in begin.joins if hear(Join, signed, context.key_of)[0] == context.me), None
        )
        if own is None:
            raise UsageError("CE-3.4 own join: this node has not joined this attempt", code="NOT_A_PARTY")
        self._voting.require_own_approval(operation)
        setups = self._setups(operation, agreement)
        join = self._voting.take_join(operation, begin.attempt, own)
        await self._journal(operation, agreement, setups=setups)
        self.cancel(operation.id, f"attempt {begin.attempt} has begun")
        session = self._session(operation, agreement, setups, join)
        self._running[operation.id] = session
        task = asyncio.create_task(
            self._run(operation, agreement, setups, session), name=f"{begin.stage} {operation.id}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._over)
        if begin.stage == "keygen":
            self._keygens[operation.id] = task
            task.add_done_callback(lambda done: self._forget(operation.id, done))
        return task

    def _forget(self, operation: OperationId, keygen: asyncio.Task[object]) -> None:
        if self._keygens.get(operation) is keygen:
            del self._keygens[operation]

    async def _make_way(self, operation: OperationId, request: PairReset) -> None:
        """Two sessions at once could leave each side with the set-up of another one. Both sides prefer the same."""
        running, task = self._resets.get((request.vault, request.pair), (operation, None))
        if task is None or task.done():
            return
        if running < operation:
            raise UsageError(
                f"CE-3.9 one reset: {running} resets the same pair: ask again", code="RESET_RUNNING"
            )
        self.cancel(running, f"reset {operation} comes first")
        await asyncio.wait({task})

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
        if operation.expires_ms <= context.clock.now_ms():
            raise UsageError("CE-3.1 operation: the operation has expired", code="EXPIRED")
        if not row.attempt < begin.attempt <= context.limits.attempts:
            raise UsageError(
                f"CE-3.2 attempts rise: {begin.attempt} after {row.attempt}, at most {context.limits.attempts}",
                code="ATTEMPT_NOT_RISING",
            )
        joins = self._joins(operation, begin)
        sharing = intake.sharing(context, operation)
        if strangers := set(joins) - set(intake.electorate(context, operation).weights):
            raise UsageError(
                f"CE-3.5 weight: {', '.join(sorted(strangers))} not in the roster", code="NOT_IN_ROSTER"
            )
        self._check_approval(operation, begin, frozenset(joins))
        vault, previous, epoch = self._basis(operation, begin.stage)
        return Agreement(
            stage=begin.stage, operation=operation.digest, vault=vault, previous=previous, epoch=epoch,
            attempt=begin.attempt, sharing=sharing, joins=joins,
        )  # fmt: skip

    async def hand_over(self, operation: Operation, agreement: Agreement) -> None:
        """CE-4.3 others: journal an attempt that we are no party of. Nobody asks us before a signature is made."""
        await self._journal(operation, agreement, released=agreement.stage == "sign")

    def _setups(self, operation: Operation, agreement: Agreement) -> Mapping[DeviceId, bytes]:
        """The live pair set-up with each other party, by id, where the session works under them."""
        context = self._context
        if not needs_setups(operation, agreement.stage):
            return {}
        vault = context.vaults.get(VaultId(agreement.vault or ""))
        return context.pairs.ids(vault, [peer for peer in agreement.parties if peer != context.me])

    async def _journal(
        self,
        operation: Operation,
        agreement: Agreement,
        *,
        setups: Mapping[DeviceId, bytes] = NONE,
        released: bool = False,
    ) -> None:
        """The session id and the attempt, durably, before a single message of the session exists, while every set-up
        it is to work under is live (rule CE-3.7)."""
        ledger, attempt, session = self._context.ledger, agreement.attempt, agreement.ceremony_id
        begun = await self._context.aside(
            lambda: ledger.begin_attempt(
                operation.id, attempt, session, released=released, setups=tuple(setups.values())
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
        electorate = intake.electorate(context, operation)
        if sum(electorate.weights[device] for device in parties) < electorate.needed:
            raise UsageError(
                f"CE-3.5 weight: the parties' weight is below {electorate.needed}", code="NOT_ENOUGH_WEIGHT"
            )

    def _basis(self, operation: Operation, stage: str) -> tuple[VaultId | None, bytes, int]:
        """Vault, certificate hash and epoch the session builds on; empty where it makes the vault."""
        context, request = self._context, operation.request
        if isinstance(request, Sign | BatchSign):
            if stage != "sign":
                raise UsageError(f"CE-3.8 stage: {stage} is no stage of signing", code="WRONG_STAGE")
            vault = context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate)
            return vault.id, vault.certificate_hash, vault.epoch
        if isinstance(request, PairReset):
            if stage != "pair":
                raise UsageError(f"CE-3.8 stage: {stage} is no stage of a pair reset", code="WRONG_STAGE")
            vault = context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate)
            resets.check_generation(context, vault, request)
            return vault.id, vault.certificate_hash, vault.epoch
        made = [vault for vault in context.vaults.made_by(operation.id) if vault.active]
        if stage == "keygen":
            if made:
                raise UsageError("CE-3.8 stage: this operation has made its vault", code="ALREADY_CERTIFIED")
            return None, b"", 0
        if stage != "trial" or not made:
            raise UsageError(f"CE-3.8 stage: {stage} is not what comes next here", code="WRONG_STAGE")
        if made[-1].ready:
            raise UsageError(
                "CE-3.8 stage: all acknowledgements are in; no more trials", code="ALREADY_READY"
            )
        return made[-1].id, made[-1].certificate_hash, made[-1].epoch

    def _session(
        self, operation: Operation, agreement: Agreement, setups: Mapping[DeviceId, bytes], join: OwnJoin
    ) -> Session[object]:
        context = self._context
        courier = SessionCourier(
            me=context.me,
            session=agreement.ceremony_id,
            sign=context.identity.sign,
            identity_keys={seat.device: seat.identity_key for seat in agreement.seats},
            session_private=join.take(),
            session_publics={device: j.session_key for device, j in agreement.joins.items()},
        )

        def open_machine() -> Machine[object]:
            protocol = self._protocol(operation, agreement, setups)
            return Machine(context.me, agreement.parties, agreement.ceremony_id, courier, protocol)

        return Session(
            agreement.ceremony_id, agreement.parties, open_machine, erase=courier.erase, mesh=context.mesh,
            clock=context.clock, pool=context.pool, patience=patience(context, operation, agreement.parties),
        )  # fmt: skip

    def _protocol(
        self, operation: Operation, agreement: Agreement, setups: Mapping[DeviceId, bytes]
    ) -> Protocol:
        context = self._context
        rng = Drbg(context.entropy.secret(32))
        match agreement.stage:
            case "keygen":
                return lambda net: keygen.create(
                    net,
                    agreement.sharing,
                    context.entropy,  # what is kept for years never passes through Python's memory
                    LedgerBook(context.ledger, operation.id),
                    vault=vault_id(agreement.ceremony_id),
                    attempt=agreement.attempt,
                    sign=context.identity.sign,
                )
            case "trial":
                vault = context.vaults.get(VaultId(agreement.vault or ""))
                quorums = {curve: context.vaults.quorum(vault, curve, agreement.parties) for curve in Curve}
                read = context.pairs.reader(vault, setups)

                def tried(net: Net) -> Coroutine[Any, None, Trial]:
                    trying = trial.trial(net, vault.record, quorums, read, rng, context.identity.sign)
                    return ending_setups(context, setups, trying)

                return tried
            case "pair" if isinstance(operation.request, PairReset):
                return reset_book.protocol(context, operation.request)
            case _:
                return lambda net: sign(context, net, operation, agreement, setups, rng)

    async def _run(
        self,
        operation: Operation,
        agreement: Agreement,
        setups: Mapping[DeviceId, bytes],
        session: Session[object],
    ) -> object:
        context = self._context
        try:
            with context.pairs.working(session.halt, setups.values()):
                result = await context.sessions.run(session)
            await context.aside(lambda: results.keep(context, operation, agreement, result))
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
