"""Seeing one's own operations through: gather votes, pick signers, start attempts, tell everybody the outcome.

The proposer coordinates and is trusted for nothing: whatever it says is checked by every node (``intake``,
``participant``). If it is gone its operation waits for it; nobody takes over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import combinations

import structlog

from quorate.ceremony import journal, results
from quorate.ceremony.bell import rings
from quorate.ceremony.catchup import CatchUp, Reported
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Cast, Electorate, Standing
from quorate.ceremony.greetings import Greetings
from quorate.ceremony.lifecycle import FINAL, sources
from quorate.ceremony.pairs import remedy
from quorate.ceremony.participant import Participant
from quorate.ceremony.ports import Method, OperationRow, State
from quorate.ceremony.procedures import Procedure, procedure_of
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.statements import (
    Ballot,
    Begin,
    Join,
    JoinCall,
    Vote,
    hear,
    state,
)
from quorate.ceremony.versions import common
from quorate.ceremony.voting import Voting
from quorate.ceremony.witnessing import Witnesses
from quorate.errors import (
    Aborted,
    Bug,
    Contested,
    Denied,
    EncodingError,
    NoSetup,
    PeerError,
    ProtocolAbort,
    QuorateError,
    StaleEpoch,
    Stalled,
    Unwritable,
    UsageError,
    suspected,
)
from quorate.identifiers import DeviceId, OperationId, VaultId
from quorate.operations.kinds import Operation

log = structlog.get_logger()

SELDOM = 16  # so many times longer than at first between repetitions to a peer that is thinking


@dataclass(slots=True)
class Trouble:
    """What became of attempts with others: of one operation, or of all that signed with one vault, so that who spoils
    them does not begin anew with each."""

    alone: Counter[DeviceId] = field(default_factory=Counter)  # attempts that failed with it, or named it
    together: Counter[frozenset[DeviceId]] = field(default_factory=Counter)  # attempts that failed with both


@dataclass(slots=True)
class Record:
    """What the proposer remembers of an operation between attempts. Nothing here is believed after a restart."""

    trouble: Trouble
    refusals: dict[DeviceId, str] = field(default_factory=dict)  # why a peer would not take part, in words
    cheats: set[DeviceId] = field(default_factory=set)
    joins: dict[DeviceId, tuple[float, bytes]] = field(default_factory=dict)  # for attempt 1, came with votes


class Coordinator:
    def __init__(
        self, context: Context, voting: Voting, participant: Participant, *, catchup: CatchUp,
        greetings: Greetings, witnesses: Witnesses, reconciler: Reconciler,
    ) -> None:  # fmt: skip
        self._context = context
        self._voting = voting
        self._participant = participant
        self._catchup = catchup
        self._greetings = greetings
        self._witnesses = witnesses
        self._reconciler = reconciler
        self._drivers: dict[OperationId, asyncio.Task[None]] = {}
        self._records: dict[OperationId, Record] = {}
        self._signing_trouble: dict[VaultId, Trouble] = {}  # by vault

    def drive(self, operation: Operation) -> None:
        """See an operation of ours through, from wherever the journal says it stands."""
        if operation.id not in self._drivers:
            task = asyncio.create_task(self._drive(operation), name=f"drive {operation.id}")
            self._drivers[operation.id] = task
            task.add_done_callback(lambda _: self._drivers.pop(operation.id, None))

    async def cancel(self, operation: Operation, by: str) -> None:
        """CE-2.3 cancel: end an operation of ours that has not ended; members hear of it as of any other end. What has
        been released is remembered, so that it is never said that no signature can exist."""
        context = self._context
        if operation.proposer != context.me:
            proposer = context.name_of(DeviceId(operation.proposer))
            raise UsageError(
                f"CE-2.3 cancel: operation {operation.id} was proposed by {proposer}: cancel it there",
                code="NOT_THE_PROPOSER",
            )
        if self._row(operation).state is not State.CANCELLED:
            await self._end(operation, State.CANCELLED, "WITHDRAWN", f"cancelled by {by}")
        row = self._row(operation)
        if row.state is not State.CANCELLED:
            raise UsageError(f"CE-2.3 cancel: operation {row.id} is {row.state}", code="OPERATION_OVER")
        self._participant.cancel(operation.id, "the operation was cancelled")

    async def stop(self) -> None:
        drivers = list(self._drivers.values())
        for driver in drivers:
            driver.cancel()
        await asyncio.gather(*drivers, return_exceptions=True)

    def operation_in(self, ballot: Ballot) -> OperationId:
        """Which operation a ballot is for, by its signed vote."""
        _, vote = hear(Vote, ballot.vote, self._context.key_of)
        return OperationId(vote.operation)

    async def on_ballot(self, voter: DeviceId, operation: Operation, ballot: Ballot) -> None:
        """Keep a vote that came in, with the join it carries (rules CE-2.1, CE-2.2)."""
        context = self._context
        signer, vote = hear(Vote, ballot.vote, context.key_of)
        if signer != voter or (vote.operation, vote.digest) != (operation.id, operation.digest):
            raise UsageError(
                f"CE-2.1 own vote: {voter} sent a vote that is not its own for this operation",
                code="WRONG_VOTE",
            )
        if voter not in procedure_of(context, operation).electorate().weights:
            raise UsageError(f"CE-2.2 franchise: {voter} has no vote in this operation", code="NOT_IN_ROSTER")
        if self._row(operation).state in FINAL:
            return
        # before its vote, by which it can be chosen: its join would else have to be called for
        if operation.id in self._drivers and self._is_join(ballot.join, operation, 1, voter):
            self._record(operation).joins[voter] = (context.clock.monotonic(), ballot.join)
        heads = None if ballot.head is None else self._witnesses.of_vote(voter, ballot.head)
        await context.aside(lambda: context.ledger.record_vote(operation.id, voter, ballot.vote, heads=heads))
        context.board.announce(operation.id)

    # --- one operation, from votes to outcome -------------------------------------------------------------------

    async def _drive(self, operation: Operation) -> None:
        """To its end whatever happens here: where not even the end can be journalled, all over again."""
        while True:
            try:
                await self._see_through(operation)
                await self._tell_outcome(operation)
            except Unwritable as error:
                log.warning("an operation waits for the store", operation=operation.id, why=str(error))
                await asyncio.sleep(self._context.limits.repeat)
            except Exception:
                log.exception("an operation is stuck; trying again", operation=operation.id)
                await asyncio.sleep(self._context.limits.repeat)
            else:
                return

    async def _see_through(self, operation: Operation) -> None:
        context = self._context
        try:
            electorate = procedure_of(context, operation).electorate()
            async with self._soliciting(operation, electorate):
                if await self._await_decision(operation, electorate):
                    await self._carry_out(operation)
        except Unwritable:
            raise  # no end of the operation: it goes on from the journal once there is one
        except QuorateError as error:
            await self._end(operation, State.FAILED, getattr(error, "code", error.reason), str(error))
        except Exception:
            log.exception("bug", operation=operation.id)
            await self._end(operation, State.FAILED, "INTERNAL", "a bug; see this node's log")

    @asynccontextmanager
    async def _soliciting(self, operation: Operation, electorate: Electorate) -> AsyncIterator[None]:
        """Everybody is asked to the end, not only until enough have approved: some of these may drop out."""
        others = [peer for peer in electorate.weights if peer != self._context.me]
        asking = [asyncio.create_task(self._solicit(operation, peer)) for peer in others]
        try:
            yield
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _await_decision(self, operation: Operation, electorate: Electorate) -> bool:
        """Wait until the votes decide; whether they approved."""
        context, procedure = self._context, procedure_of(self._context, operation)
        while True:
            bell = context.board.bell(operation.id)
            row = self._row(operation)
            if row.state in FINAL:
                return False
            procedure.require_current()
            verdicts = journal.verdicts(self._context, operation)
            if context.me in electorate.weights and context.me not in verdicts:
                self._voting.ballot(operation)  # again, where asking our approver came to nothing
            if row.state in (State.APPROVED, State.RUNNING):
                return True
            match electorate.standing(verdicts):
                case Standing.APPROVED:
                    await self._move(operation, State.APPROVED)
                    return True
                case Standing.REJECTED:
                    await self._end(
                        operation, State.REJECTED, "NOT_APPROVED", self._tally(electorate, verdicts)
                    )
                    return False
            record = self._record(operation)
            if record.refusals and procedure.unanimous:
                told = "; ".join(f"{context.name_of(peer)}: {why}" for peer, why in record.refusals.items())
                await self._end(operation, State.FAILED, "REFUSED", told, tuple(record.refusals))
                return False
            left = context.steady.left(row)
            if left <= 0:
                silent = [
                    context.name_of(peer) + (f" ({why})" if (why := record.refusals.get(peer)) else "")
                    for peer in electorate.weights
                    if peer not in verdicts
                ]
                await self._end(
                    operation, State.EXPIRED, "EXPIRED", f"no vote from {', '.join(silent)} in time"
                )
                return False
            await rings(bell, min(left, 5.0))

    async def _solicit(self, operation: Operation, peer: DeviceId) -> None:
        """Repeat the proposal to one peer until its vote is in; the longer it thinks, the less often: once it has
        taken a proposal in, it sends its vote by itself."""
        context, body = self._context, self._row(operation).proposal
        pause = context.limits.repeat
        while peer not in context.ledger.votes(operation.id):
            bell = context.board.bell(operation.id)
            try:
                self._check_protocol(peer)
                answer = await context.mesh.request(peer, Method.PROPOSE, body, timeout=context.limits.ask)
                self._record(operation).refusals.pop(peer, None)
                if answer:
                    await self.on_ballot(peer, operation, Ballot.read(answer))
                    return
                pause = min(pause * 2, context.limits.repeat * SELDOM)
            except PeerError as error:
                pause = context.limits.repeat
                await self._ask_if_stale(operation, error)
                refusals, told = self._record(operation).refusals, f"refused the proposal: {error.code}"
                if error.code != "UNREACHABLE" and refusals.get(peer) != told:
                    refusals[peer] = told
                    context.board.announce(operation.id)
                    bell = context.board.bell(operation.id)  # not the one just rung, which would ask at once
            except (QuorateError, EncodingError) as error:
                log.warning("unusable vote", operation=operation.id, peer=peer, why=str(error))
            await rings(bell, pause)

    def _check_protocol(self, peer: DeviceId) -> None:
        """A session with a peer that speaks another protocol would wait for it in vain, and name it."""
        if mismatch := self._greetings.mismatch(peer):
            raise PeerError(peer, mismatch, code="PROTOCOL_MISMATCH")

    async def _ask_if_stale(self, operation: Operation, failure: QuorateError) -> None:
        """A peer that refuses an older epoch holds the certificate of the one that lives."""
        vault = procedure_of(self._context, operation).vault
        if vault is not None and isinstance(failure, PeerError) and failure.code == StaleEpoch.reason:
            await self._catchup.ask_chain(vault, failure.peer)

    async def _carry_out(self, operation: Operation) -> None:
        context, procedure = self._context, procedure_of(self._context, operation)
        ends = context.clock.monotonic() + context.limits.carry_out
        last: QuorateError = Stalled((), "the first attempt")
        pause, level = 0.1, False
        while self._row(operation).state not in FINAL:
            if level:  # we have just seen the attempt before through, and what it made is here
                await context.aside(procedure.settle)
            else:
                await self._catchup.ask_about(operation)
            level = False
            row = self._row(operation)
            if row.state in FINAL:
                return
            if context.steady.expired(row):
                await self._end(operation, State.EXPIRED, "EXPIRED", f"its time passed; last: {last}")
                return
            if row.attempt >= context.limits.attempts or context.clock.monotonic() > ends:
                await self._fail(operation, last)
                return
            if not procedure.stage():
                await rings(context.board.bell(operation.id), 0.25)
                continue
            cast = self._choose(procedure)
            if cast is None:
                if not self._others_may_approve(procedure):
                    apart = self._kept_apart(procedure) or self._speaking_apart(procedure)
                    await self._fail(operation, apart or last)
                    return
                await rings(context.board.bell(operation.id), 1.0)
                continue
            away = [peer for peer in cast.parties if peer != context.me and not context.mesh.connected(peer)]
            if away:
                last = Stalled(away, "the link")
                await asyncio.sleep(0.25)
                continue
            try:
                await self._attempt(procedure, row.attempt + 1, cast)
                level = self._context.me in cast.parties
            except (Aborted, Denied, PeerError, UsageError) as failure:
                last = failure
                await self._ask_if_stale(operation, failure)
                self._learn(operation, cast.parties, failure)
                log.warning(
                    "attempt failed", operation=operation.id, attempt=row.attempt + 1, why=str(failure)
                )
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    def _choose(self, procedure: Procedure) -> Cast | None:
        """Who takes part in the next attempt: never a cheat; those who are here before those who are not; of them,
        those that there was the least trouble with, in other company than it was with; and ourselves together with
        nobody whom we cannot multiply with."""
        context, record = self._context, self._record(procedure.operation)
        verdicts = journal.verdicts(context, procedure.operation)
        company = procedure.company(procedure.stage())
        approving = {d for d, verdict in verdicts.items() if verdict == "approve"} & set(company.weights)
        idle = self._reconciler.confined(procedure.vault)
        if procedure.stage() in ("sign", "policy"):
            approving -= idle
        honest, without, trouble = approving - record.cheats, self._never_together(procedure), record.trouble
        here = {d for d in honest if d == context.me or context.mesh.connected(d)}
        for candidates in (here, honest):
            willing = [{d: d in here for d in candidates - left_out} for left_out in without]
            chosen = [
                company.choose(each, context.me, trouble.alone, trouble.together, idle=idle)
                for each in willing
            ]
            if casts := [each for each in chosen if each is not None]:
                return min(casts, key=lambda each: max(trouble.alone[d] for d in each.parties))
        return None

    def _never_together(self, procedure: Procedure) -> tuple[frozenset[DeviceId], ...]:
        """Whom to leave out: those that we have no live pair set-up with, or else ourselves; and beside them those that
        do not speak the newest version of the protocol, or the one before, and so on (CE-10.2)."""
        apart, spoken = self._apart(procedure), self._context.versions
        either = (apart, frozenset({self._context.me})) if apart else (apart,)
        company = procedure.company(procedure.stage()).weights
        silent = [
            frozenset(device for device in company if not self._speaks(device, version))
            for version in range(spoken.newest, spoken.oldest - 1, -1)
        ]
        return tuple(dict.fromkeys(left_out | mute for left_out in either for mute in silent))

    def _speaks(self, device: DeviceId, version: int) -> bool:
        return self._greetings.versions(device).speak(version)

    def _apart(self, procedure: Procedure) -> frozenset[DeviceId]:
        vault = procedure.multiplying(procedure.stage())
        return frozenset() if vault is None else self._context.pairs.apart(vault, self._context.me)

    def _others_may_approve(self, procedure: Procedure) -> bool:
        """Whether votes that are still to come could make up for the cheats, and for whom we cannot multiply with."""
        verdicts = journal.verdicts(self._context, procedure.operation)
        cheats = self._record(procedure.operation).cheats
        company = procedure.company(procedure.stage())
        return any(
            company.standing(verdicts | dict.fromkeys(cheats | left_out, "reject"))
            is not Standing.REJECTED  # the last vote may have come since we chose
            for left_out in self._never_together(procedure)
        )

    def _kept_apart(self, procedure: Procedure) -> NoSetup | None:
        """Why there are no signers to choose, if pair set-ups are why."""
        context, cheats = self._context, self._record(procedure.operation).cheats
        verdicts = journal.verdicts(context, procedure.operation) | dict.fromkeys(cheats, "reject")
        stage = procedure.stage()
        vault, apart = procedure.multiplying(stage), self._apart(procedure)
        if vault is None or not apart or procedure.company(stage).standing(verdicts) is Standing.REJECTED:
            return None
        names = [context.name_of(device) for device in sorted(apart)]
        return NoSetup(
            f"CE-6.4 choice: every quorum that is left has two with no live pair set-up: this node and"
            f" {', '.join(names)}; {remedy(vault, names)}"
        )

    def _speaking_apart(self, procedure: Procedure) -> UsageError | None:
        """Why there are no signers to choose, if the versions of the protocol that they speak are why."""
        context = self._context
        verdicts = journal.verdicts(context, procedure.operation)
        spoken = {
            device: self._greetings.versions(device)
            for device in sorted(procedure.company(procedure.stage()).weights)
            if verdicts.get(device) == "approve"
        }
        if not spoken or common(spoken.values()) is not None:
            return None
        said = ", ".join(f"{context.name_of(device)} {versions}" for device, versions in spoken.items())
        return UsageError(
            f"CE-10.2 common: the signers speak no version of the protocol in common: {said}",
            code="PROTOCOL_MISMATCH",
        )

    def _learn(self, operation: Operation, parties: Collection[DeviceId], failure: QuorateError) -> None:
        """Who was named counts twice: a cheat can have an honest party named, but is itself in every attempt it
        spoils."""
        record, others = self._record(operation), set(parties) - {self._context.me}
        dealt = bool(procedure_of(self._context, operation).electorate().everyone)
        if isinstance(failure, Aborted) and not isinstance(failure, (Stalled, Contested)):
            record.cheats |= failure.culprits & others
        named = failure.suspects if isinstance(failure, Reported) else suspected(failure)
        if isinstance(failure, PeerError) and failure.code == NoSetup.reason:
            named = frozenset()  # it may be the honest one of the two, as may who ends a session
        record.trouble.alone.update(others)
        record.trouble.alone.update(
            named & (set(parties) if dealt else others)
        )  # we deal only where we need to
        record.trouble.together.update(map(frozenset, combinations(others, 2)))

    # --- one attempt ----------------------------------------------------------------------------------------------

    async def _attempt(self, procedure: Procedure, attempt: int, cast: Cast) -> None:
        context, operation, parties = self._context, procedure.operation, cast.parties
        joins = await asyncio.gather(*(self._join_of(operation, attempt, party) for party in parties))
        votes = context.ledger.votes(operation.id)
        begin = Begin(
            operation=operation.id,
            digest=operation.digest,
            attempt=attempt,
            stage=procedure.stage(),
            joins=tuple(joins),
            votes=tuple(votes[party] for party in parties),
            dealers=cast.dealers,
        )
        body = state(context.identity, begin)
        if context.me not in parties:
            agreement = self._participant.agree(operation, context.me, begin)
            await self._participant.hand_over(operation, agreement)
            with self._catchup.awaiting(operation.id, attempt, parties) as reports:
                await self._call_out(parties, body)
                await self._await_report(operation, attempt, parties, reports)
            return
        running = await self._participant.start(context.me, begin)
        try:
            await self._call_out(parties, body)
        except PeerError:
            self._participant.cancel(operation.id, "a party would not begin")
            await asyncio.wait({running})
            raise
        await running

    async def _call_out(self, parties: tuple[DeviceId, ...], body: bytes) -> None:
        context = self._context
        others = [peer for peer in parties if peer != context.me]
        await asyncio.gather(
            *(context.mesh.request(peer, Method.BEGIN, body, timeout=context.limits.ask) for peer in others)
        )

    async def _join_of(self, operation: Operation, attempt: int, party: DeviceId) -> bytes:
        context = self._context
        if party == context.me:
            return self._voting.join(operation, attempt).signed
        self._check_protocol(party)
        made_at, join = self._record(operation).joins.pop(party, (0.0, b""))  # checked when it came
        if attempt == 1 and join and context.clock.monotonic() - made_at < context.limits.join_life / 2:
            return join
        call = JoinCall(operation=operation.id, digest=operation.digest, attempt=attempt)
        join = await context.mesh.request(
            party, Method.JOIN, state(context.identity, call), timeout=context.limits.ask
        )
        if not self._is_join(join, operation, attempt, party):
            raise PeerError(party, "sent what is no join of its own for this attempt", code="WRONG_JOIN")
        return join

    def _is_join(self, join: bytes, operation: Operation, attempt: int, party: DeviceId) -> bool:
        """Looked at before it goes into a begin: a bad one costs its sender its place, not everybody the attempt."""
        try:
            signer, said = hear(Join, join, self._context.key_of)
        except UsageError:
            return False
        return (signer, said.digest, said.attempt) == (party, operation.digest, attempt)

    async def _await_report(
        self,
        operation: Operation,
        attempt: int,
        parties: tuple[DeviceId, ...],
        reports: Sequence[Reported],
    ) -> None:
        """Wait for the parties of an attempt we are not part of: an outcome, or that one of them gave up."""
        context = self._context
        ends = context.clock.monotonic() + procedure_of(context, operation).patience(parties).deadline
        while context.clock.monotonic() < ends:
            bell = context.board.bell(operation.id)
            if self._row(operation).state in FINAL:
                return
            if reports and not reports[0].reason_given:
                return  # the session came to its end there, and other stages follow
            if reports:
                raise reports[0]
            await rings(bell, 1.0)
        raise Stalled((), f"the report of attempt {attempt}")

    # --- ends -----------------------------------------------------------------------------------------------------

    async def _fail(self, operation: Operation, last: QuorateError) -> None:
        context = self._context
        culprits = suspected(last)
        names = ", ".join(context.name_of(peer) for peer in sorted(culprits)) or "nobody to name"
        reason = last.reason if isinstance(last, Aborted) else getattr(last, "code", last.reason)
        rule = last.rule if isinstance(last, ProtocolAbort) else str(last)
        detail = f"{names}: {rule}"
        if reason == NoSetup.reason:  # who says so is not to blame
            culprits = frozenset()
            if isinstance(last, PeerError):
                detail += "; its log says with whom to run quorate vault pair-reset there"
            else:
                detail = rule
        detail += procedure_of(context, operation).aftermath()
        await self._end(operation, State.FAILED, reason, detail, tuple(sorted(culprits)))

    async def _end(
        self, operation: Operation, to: State, reason: str, detail: str, culprits: tuple[DeviceId, ...] = ()
    ) -> None:
        context = self._context
        await context.aside(
            lambda: context.ledger.move_operation(
                operation.id, sources(to), to, reason=reason, detail=detail, culprits=culprits
            )
        )
        log.info("operation ended", operation=operation.id, state=to.value, reason=reason, detail=detail)
        context.board.announce(operation.id)

    async def _move(self, operation: Operation, to: State) -> None:
        context = self._context
        await context.aside(lambda: context.ledger.move_operation(operation.id, sources(to), to))
        context.board.announce(operation.id)

    async def _tell_outcome(self, operation: Operation) -> None:
        """Every member of the roster hears how it ended, for a while; who is away asks when it is back."""
        context = self._context
        row = self._row(operation)
        body = results.outcome(context, operation, row)

        async def tell(peer: DeviceId) -> None:
            for _ in range(3):
                try:
                    await context.mesh.request(peer, Method.CONCLUDE, body, timeout=context.limits.ask)
                except PeerError:
                    await asyncio.sleep(1.0)
                else:
                    return

        self._records.pop(operation.id, None)
        try:
            concerned = procedure_of(context, operation).concerned()
        except QuorateError:
            return
        await asyncio.gather(*(tell(peer) for peer in concerned if peer != context.me))

    def _tally(self, electorate: Electorate, verdicts: dict[DeviceId, str]) -> str:
        said = ", ".join(
            f"{self._context.name_of(device)} (weight {weight}) {verdicts.get(device, 'silent')}"
            for device, weight in sorted(electorate.weights.items())
        )
        return f"approved weight {electorate.approved_weight(verdicts)} of {electorate.needed} needed: {said}"

    def _record(self, operation: Operation) -> Record:
        if operation.id not in self._records:
            vault, trouble = procedure_of(self._context, operation).signs_with, Trouble()
            if vault is not None:
                trouble = self._signing_trouble.setdefault(vault, trouble)
            self._records[operation.id] = Record(trouble)
        return self._records[operation.id]

    def _row(self, operation: Operation) -> OperationRow:
        row = self._context.ledger.operation(operation.id)
        if row is None:
            raise Bug(f"operation {operation.id} is not in the journal")
        return row
