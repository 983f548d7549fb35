"""What peers ask of this node: one answer per method, each to the peer at the other end of the channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from quorate.ceremony import lineage
from quorate.ceremony.admission import Admission
from quorate.ceremony.background import Background
from quorate.ceremony.catchup import CatchUp, require_member
from quorate.ceremony.context import Context
from quorate.ceremony.coordinator import Coordinator
from quorate.ceremony.greetings import Greetings
from quorate.ceremony.journal import known_operation
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.participant import Participant
from quorate.ceremony.ports import (
    Method,
)
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.statements import (
    Abort,
    Ballot,
    Begin,
    Hello,
    Inquiry,
    JoinCall,
    Outcome,
    PolicyQuery,
    Proposal,
    Query,
    Statement,
    Witness,
    hear,
)
from quorate.ceremony.voting import Moot, Voting
from quorate.ceremony.witnessing import Witnesses
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import DeviceId, OperationId, SessionId, VaultId
from quorate.operations.kinds import Operation

S = TypeVar("S", bound=Statement)

VOTE_IN_ANSWER = 0.25  # seconds a proposal waits for our own vote before it is answered without


class PeerDesk:
    """Answers by method. Every statement is checked to be its sender's before anything is done about it."""

    def __init__(
        self, context: Context, *, admission: Admission, voting: Voting, participant: Participant, catchup: CatchUp,
        coordinator: Coordinator, background: Background, greetings: Greetings, witnesses: Witnesses,
        reconciler: Reconciler,
    ) -> None:  # fmt: skip
        self._context = context
        self._admission = admission
        self._voting = voting
        self._participant = participant
        self._catchup = catchup
        self._coordinator = coordinator
        self._background = background
        self._greetings = greetings
        self._witnesses = witnesses
        self._reconciler = reconciler
        self._owed: set[OperationId] = set()  # operations whose proposer gets our vote as soon as it is made
        self._answers: Mapping[Method, Callable[[DeviceId, bytes], Awaitable[bytes]]] = {
            Method.HELLO: self._hello,
            Method.PROPOSE: self._propose,
            Method.CAST_VOTE: self._cast_vote,
            Method.JOIN: self._join,
            Method.BEGIN: self._begin,
            Method.ABORT: self._abort,
            Method.CONCLUDE: self._conclude,
            Method.GET_OPERATION: self._get_operation,
            Method.GET_CERTIFICATE: self._get_certificate,
            Method.GET_POLICY: self._get_policy,
            Method.WITNESS: self._witness,
            Method.INQUIRE: self._inquire,
        }

    async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        return await self._answers[method](sender, body)

    async def _hello(self, sender: DeviceId, body: bytes) -> bytes:
        hello = self._hear(Hello, sender, body)
        await self._greetings.note(sender, hello)
        return self._greetings.hello(sender, about=hello.asked)

    async def _witness(self, sender: DeviceId, body: bytes) -> bytes:
        return await self._witnesses.answer(sender, self._hear(Witness, sender, body))

    async def _inquire(self, sender: DeviceId, body: bytes) -> bytes:
        return await self._reconciler.answer(sender, self._hear(Inquiry, sender, body), body)

    async def _propose(self, sender: DeviceId, body: bytes) -> bytes:
        proposal = self._hear(Proposal, sender, body)
        operation = proposal.operation
        if operation.proposer != sender:
            raise UsageError(
                f"CE-1.1 speaker: {sender} proposes as {operation.proposer}", code="WRONG_PROPOSER"
            )
        held = await self._admission.take_in(operation, body, proposal.certificate)
        if held.digest != operation.digest:
            raise UsageError(
                "CE-1.3 one id: this id belongs to another operation here", code="OPERATION_CONFLICT"
            )
        if held.state in FINAL:
            return b""
        ballot = self._voting.ballot(operation)
        done, _ = await asyncio.wait({ballot}, timeout=VOTE_IN_ANSWER)
        if done:
            return self._written(operation, ballot.result())
        self._background.keep(self.send_vote(operation))
        return b""

    async def send_vote(self, operation: Operation) -> None:
        """To the proposer once there is one; a proposal that is repeated meanwhile changes nothing."""
        if operation.id in self._owed:
            return
        self._owed.add(operation.id)
        try:
            ballot = await asyncio.shield(self._voting.ballot(operation))
            await self._context.tell(
                DeviceId(operation.proposer), Method.CAST_VOTE, self._written(operation, ballot)
            )
        except Moot:
            return
        finally:
            self._owed.discard(operation.id)

    def _written(self, operation: Operation, ballot: Ballot) -> bytes:
        head = self._witnesses.head_for(DeviceId(operation.proposer))
        return Ballot(vote=ballot.vote, join=ballot.join, head=head).written()

    async def _cast_vote(self, sender: DeviceId, body: bytes) -> bytes:
        context = self._context
        try:
            ballot = Ballot.read(body)
        except EncodingError as error:
            raise UsageError(f"CE-2.1 own vote: {error}", code="MALFORMED") from None
        operation = known_operation(context, self._coordinator.operation_in(ballot))
        if operation.proposer != context.me:
            raise UsageError("CE-2.1 own vote: votes go to the proposer", code="NOT_THE_PROPOSER")
        await self._coordinator.on_ballot(sender, operation, ballot)
        return b""

    async def _join(self, sender: DeviceId, body: bytes) -> bytes:
        context = self._context
        call = self._hear(JoinCall, sender, body)
        context.require_store()
        operation = known_operation(context, OperationId(call.operation))
        row = context.ledger.operation(operation.id)
        if (
            sender != operation.proposer
            or call.digest != operation.digest
            or row is None
            or row.state in FINAL
        ):
            raise UsageError("CE-3.1 operation: this is not an operation to join", code="OPERATION_OVER")
        self._voting.require_own_approval(operation)
        if not row.attempt < call.attempt <= context.limits.attempts:
            raise UsageError(
                f"CE-3.2 attempts rise: {call.attempt} after {row.attempt}", code="ATTEMPT_NOT_RISING"
            )
        return self._voting.join(operation, call.attempt).signed

    async def _begin(self, sender: DeviceId, body: bytes) -> bytes:
        begin = self._hear(Begin, sender, body)
        if begin.stage == "trial":
            await self._catchup.ask_certificate(OperationId(begin.operation), sender)
        await self._participant.start(sender, begin)
        return b""

    async def _abort(self, sender: DeviceId, body: bytes) -> bytes:
        abort = self._hear(Abort, sender, body)
        self._context.sessions.give_up(sender, SessionId(abort.session))
        return b""

    async def _conclude(self, sender: DeviceId, body: bytes) -> bytes:
        await self._catchup.on_outcome(sender, self._hear(Outcome, sender, body))
        return b""

    async def _get_operation(self, sender: DeviceId, body: bytes) -> bytes:
        return self._catchup.tell_operation(self._member_query(sender, body))

    async def _get_certificate(self, sender: DeviceId, body: bytes) -> bytes:
        query = self._member_query(sender, body)
        self._catchup.heed(sender, query)
        return self._catchup.tell_holdings(query)

    async def _get_policy(self, sender: DeviceId, body: bytes) -> bytes:
        query = self._hear(PolicyQuery, sender, body)
        lineage.require_audience(self._context, VaultId(query.vault), sender)
        return await self._catchup.tell_policy(query)

    def _member_query(self, sender: DeviceId, body: bytes) -> Query:
        """A query of somebody the operation concerns (rule CE-5.4)."""
        query = self._hear(Query, sender, body)
        if query.vault:
            lineage.require_audience(self._context, VaultId(query.vault), sender)
            return query
        operation = known_operation(self._context, OperationId(query.operation))
        require_member(self._context, operation, sender)
        return query

    def _hear(self, kind: type[S], sender: DeviceId, body: bytes) -> S:
        """A statement by the peer at the other end of the channel, nobody else (rule CE-1.1)."""
        signer, statement = hear(kind, body, self._context.key_of)
        if signer != sender:
            raise UsageError(f"CE-1.1 speaker: {sender} sent a statement of {signer}", code="WRONG_SENDER")
        return statement
