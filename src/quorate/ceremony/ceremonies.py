"""The ceremony layer of one node: what peers say to it, what clients ask of it, and its start and stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TypeVar

import structlog

from quorate.ceremony import facts, intake
from quorate.ceremony.agreement import PROTOCOL_VERSION
from quorate.ceremony.bell import Board
from quorate.ceremony.catchup import CatchUp, require_member
from quorate.ceremony.context import Boot, Context, Limits
from quorate.ceremony.coordinator import Coordinator
from quorate.ceremony.identity import Identity
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.participant import Participant, known_operation, operation_of
from quorate.ceremony.ports import (
    Approver,
    Caller,
    Clock,
    Entropy,
    Ledger,
    Mesh,
    Method,
    NodeStatus,
    OperationRow,
    OperationView,
    State,
    VaultView,
)
from quorate.ceremony.session import Sessions
from quorate.ceremony.statements import (
    Abort,
    Ballot,
    Begin,
    Hello,
    JoinCall,
    Outcome,
    Proposal,
    Query,
    Statement,
    VaultHead,
    hear,
    state,
)
from quorate.ceremony.vaults import Vaults
from quorate.ceremony.voting import Voting
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import DeviceId, OperationId, SessionId, VaultId
from quorate.operations import payload
from quorate.operations.kinds import BatchSign, CreateVault, Member, Operation, Sign, SigningData
from quorate.protocols.quorum import sharing_of
from quorate.wire.codec import decode, encode, prepare

log = structlog.get_logger()

S = TypeVar("S", bound=Statement)

VOTE_IN_ANSWER = 0.25  # seconds a proposal waits for our own vote before it is answered without


class Ceremonies:
    """Implements ``ports.PeerHandler`` and ``ports.NodeApi``."""

    def __init__(
        self,
        *,
        identity: Identity,
        ledger: Ledger,
        mesh: Mesh,
        approver: Approver,
        clock: Clock,
        entropy: Entropy,
        boot: Boot,
        pool: Executor,
        version: str,
        limits: Limits | None = None,
        organisation: str = "",
    ) -> None:
        prepare()  # before the pool's threads
        self._version = version
        self._context = Context(
            identity=identity, ledger=ledger, mesh=mesh, approver=approver, clock=clock, entropy=entropy,
            limits=limits or Limits(), boot=boot, pool=pool, vaults=Vaults(ledger, identity.device),
            sessions=Sessions(clock), board=Board(), organisation=organisation,
        )  # fmt: skip
        self._voting = Voting(self._context)
        self._participant = Participant(self._context, self._voting)
        self._catchup = CatchUp(self._context)
        self._coordinator = Coordinator(self._context, self._voting, self._participant, self._catchup)
        self._background: set[asyncio.Task[object]] = set()
        self._owed: set[OperationId] = set()  # operations whose proposer gets our vote as soon as it is made
        self._stopping = False
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
        }

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what the journal holds unfinished: our own operations are driven on, those of others voted on."""
        context = self._context
        for light in await context.aside(context.ledger.unfinished):
            row = self._row(light.id)
            try:
                operation = operation_of(context, row)
            except UsageError as error:
                log.error("unfinished operation left alone", operation=row.id, why=str(error))
                continue
            if row.proposer == context.me:
                self._coordinator.drive(operation)
            elif row.state is State.VOTING:
                self._keep(self._send_vote(operation))
        self._keep(self._catchup.keep_level())

    async def stop(self) -> None:
        """Start nothing new and end what runs; the journal says what to take up again."""
        self._stopping = True
        await self._coordinator.stop()
        await self._participant.stop()
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    @property
    def sessions_running(self) -> int:
        return len(self._context.sessions)

    def _keep(self, work: Awaitable[object]) -> None:
        """Run in the background, with a log line if it fails."""
        task = asyncio.ensure_future(work)
        self._background.add(task)

        def over(done: asyncio.Future[object]) -> None:
            self._background.discard(task)
            if not done.cancelled() and done.exception() is not None:
                log.error("background work failed", error=repr(done.exception()))

        task.add_done_callback(over)

    # --- peers ----------------------------------------------------------------------------------------------------

    async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        return await self._answers[method](sender, body)

    def on_envelope(self, sender: DeviceId, frame: bytes) -> None:
        self._context.sessions.on_envelope(sender, frame)

    async def _hello(self, sender: DeviceId, body: bytes) -> bytes:
        context = self._context
        self._hear(Hello, sender, body)
        heads = tuple(
            VaultHead(vault=v.id, epoch=v.epoch, certificate=v.certificate_hash, ready=v.ready)
            for v in context.vaults.all()
            if sender in v.sharing.devices
        )
        hello = Hello(
            version=self._version, protocol=PROTOCOL_VERSION, clock_ms=context.clock.now_ms(),
            boot_counter=context.boot.counter, boot=context.boot.id, vaults=heads,
        )  # fmt: skip
        return state(context.identity, hello)

    async def _propose(self, sender: DeviceId, body: bytes) -> bytes:
        context = self._context
        operation = self._hear(Proposal, sender, body).operation
        if operation.proposer != sender:
            raise UsageError(
                f"CE-1.1 speaker: {sender} proposes as {operation.proposer}", code="WRONG_PROPOSER"
            )
        held = context.ledger.operation(operation.id)
        if held is None:
            self._check_room(sender, len(body))
            await self._admit(operation)
            held = await context.aside(lambda: context.ledger.add_operation(_row(operation, body)))
        if held.digest != operation.digest:
            raise UsageError(
                "CE-1.3 one id: this id belongs to another operation here", code="OPERATION_CONFLICT"
            )
        if held.state in FINAL:
            return b""
        ballot = self._voting.ballot(operation)
        done, _ = await asyncio.wait({ballot}, timeout=VOTE_IN_ANSWER)
        if done:
            return encode(ballot.result())
        self._keep(self._send_vote(operation))
        return b""

    async def _send_vote(self, operation: Operation) -> None:
        """To the proposer once there is one; a proposal that is repeated meanwhile changes nothing."""
        if operation.id in self._owed:
            return
        self._owed.add(operation.id)
        try:
            ballot = await asyncio.shield(self._voting.ballot(operation))
            await self._context.tell(DeviceId(operation.proposer), Method.CAST_VOTE, encode(ballot))
        finally:
            self._owed.discard(operation.id)

    async def _cast_vote(self, sender: DeviceId, body: bytes) -> bytes:
        context = self._context
        try:
            ballot = decode(Ballot, body)
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
        return self._catchup.tell_holdings(self._member_query(sender, body))

    def _member_query(self, sender: DeviceId, body: bytes) -> Query:
        """A query of somebody the operation concerns (rule CE-5.4)."""
        query = self._hear(Query, sender, body)
        operation = known_operation(self._context, OperationId(query.operation))
        require_member(self._context, operation, sender)
        return query

    def _hear(self, kind: type[S], sender: DeviceId, body: bytes) -> S:
        """A statement by the peer at the other end of the channel, nobody else (rule CE-1.1)."""
        signer, statement = hear(kind, body, self._context.key_of)
        if signer != sender:
            raise UsageError(f"CE-1.1 speaker: {sender} sent a statement of {signer}", code="WRONG_SENDER")
        return statement

    # --- clients --------------------------------------------------------------------------------------------------

    async def create_vault(
        self,
        caller: Caller,
        *,
        name: str,
        weights: Mapping[str, int],
        threshold: int,
        allow_sole_signer: bool,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        members = []
        for wanted, weight in weights.items():
            peer = self._context.ledger.peers()[self._device(wanted)]
            if weight < 1:
                raise UsageError(f"{wanted} has weight {weight}: a weight is at least 1")
            members.append(Member(device=peer.device, identity_key=peer.identity_key, weight=weight))
        sharing = sharing_of(members, threshold, allow_sole_signer=allow_sole_signer)
        by_device = {member.device: member for member in members}
        request = CreateVault(
            name=name, members=tuple(by_device[device] for device in sharing.devices), threshold=threshold,
            allow_sole_signer=allow_sole_signer, memo=memo,
        )  # fmt: skip
        return await self._undertake(caller, request, idempotency_key, expires_in_ms)

    async def sign(
        self,
        caller: Caller,
        *,
        vault: str,
        data: Sequence[str],
        batch: bool,
        content_type: str,
        algorithm: str,
        derivation_path: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        held = self._context.vaults.find(vault)
        signing = SigningData(
            data=tuple(data), content_type=content_type, algorithm=payload.algorithm(algorithm),
            derivation_path=derivation_path,
        )  # fmt: skip
        kind = BatchSign if batch else Sign
        request = kind(vault=held.id, epoch=held.epoch, certificate=held.certificate_hash, signing=signing)
        return await self._undertake(caller, request, idempotency_key, expires_in_ms)

    async def operation(self, caller: Caller, operation: str) -> OperationView:
        return facts.operation_view(self._context, self._row(operation))

    async def wait(self, caller: Caller, operation: str, timeout: float) -> OperationView:
        clock = self._context.clock
        ends = clock.monotonic() + timeout
        while True:
            bell = self._context.board.bell(OperationId(operation))
            row = self._row(operation)
            left = ends - clock.monotonic()
            if row.state in FINAL or left <= 0:
                return facts.operation_view(self._context, row)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, 5.0)):
                    await bell.wait()

    async def operations(self, caller: Caller, *, limit: int) -> Sequence[OperationView]:
        context = self._context
        return await context.aside(
            lambda: tuple(
                facts.operation_view(context, row) for row in context.ledger.operations(limit=limit)
            )
        )

    async def vaults(self, caller: Caller) -> Sequence[VaultView]:
        return tuple(facts.vault_view(self._context, vault) for vault in self._context.vaults.all())

    async def vault(self, caller: Caller, vault: str) -> VaultView:
        return facts.vault_view(self._context, self._context.vaults.find(vault))

    async def status(self) -> NodeStatus:
        context = self._context
        return NodeStatus(
            device=context.me,
            name=context.name_of(context.me),
            version=self._version,
            started_ms=context.boot.at_ms,
            boot=context.boot.counter,
            peers={d: context.mesh.connected(d) for d in context.ledger.peers() if d != context.me},
            vaults=tuple(facts.vault_view(context, vault) for vault in context.vaults.all()),
            unfinished=len(context.ledger.unfinished()),
        )

    async def _undertake(
        self,
        caller: Caller,
        request: CreateVault | Sign | BatchSign,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """Make the caller's request an operation of ours and see it through. The same request again is the same one."""
        context = self._context
        if self._stopping:
            raise UsageError("this node is shutting down; ask another", code="DRAINING")
        now = context.clock.now_ms()
        life = context.limits.expiry_ms if expires_in_ms is None else expires_in_ms
        operation = Operation(
            request=request, proposer=context.me, client=caller.client, idempotency_key=idempotency_key,
            organisation=context.organisation, created_ms=now, expires_ms=now + life,
        )  # fmt: skip
        _check_shape(operation)
        held = context.ledger.operation(operation.id)
        if held is None:
            body = state(context.identity, Proposal(operation=operation))
            self._check_room(context.me, len(body))
            await self._admit(operation)
            held = await context.aside(lambda: context.ledger.add_operation(_row(operation, body)))
            if held.digest == operation.digest:
                self._coordinator.drive(operation)
        return facts.operation_view(context, held)

    async def _admit(self, operation: Operation) -> None:
        """``intake.admit``; where only acknowledgements are missing here, the others are asked for them first."""
        try:
            intake.admit(self._context, operation)
        except UsageError as error:
            if error.code != "VAULT_NOT_READY" or isinstance(operation.request, CreateVault):
                raise
            await self._catchup.complete(self._context.vaults.get(VaultId(operation.request.vault)))
            intake.admit(self._context, operation)

    def _check_room(self, proposer: DeviceId, size: int) -> None:
        """Of each proposer apart: none can take the room of the others."""
        context, limits = self._context, self._context.limits
        sizes = [row.size for row in context.ledger.unfinished() if row.proposer == proposer]
        if len(sizes) >= limits.unfinished or sum(sizes) + size > limits.unfinished_bytes:
            raise UsageError(
                f"CE-1.8 room: {len(sizes)} operations of {context.name_of(proposer)} are unfinished here, "
                f"{sum(sizes)} bytes together; no more until some end",
                code="BUSY",
            )

    def _device(self, wanted: str) -> DeviceId:
        peers = self._context.ledger.peers()
        if wanted in peers:
            return DeviceId(wanted)
        named = [peer.device for peer in peers.values() if peer.name == wanted]
        if len(named) != 1:
            known = ", ".join(sorted(peer.name for peer in peers.values()))
            what = "no peer" if not named else f"{len(named)} peers, use a device id:"
            raise UsageError(f"{what} named {wanted}; known here: {known}", code="UNKNOWN_PEER")
        return named[0]

    def _row(self, operation: str) -> OperationRow:
        row = self._context.ledger.operation(OperationId(operation))
        if row is None:
            raise UsageError(f"there is no operation {operation} on this node", code="UNKNOWN_OPERATION")
        return row


def _row(operation: Operation, proposal: bytes) -> OperationRow:
    request = operation.request
    return OperationRow(
        id=operation.id,
        digest=operation.digest,
        kind=operation.kind.value,
        vault=None if isinstance(request, CreateVault) else VaultId(request.vault),
        proposer=DeviceId(operation.proposer),
        proposal=proposal,
        state=State.VOTING,
        created_ms=operation.created_ms,
        expires_ms=operation.expires_ms,
    )


def _check_shape(operation: Operation) -> None:
    """What a caller wrote must fit the types that cross the wire; ``UsageError`` says what does not."""
    try:
        decode(Operation, encode(operation))
    except EncodingError as error:
        raise UsageError(f"the request is malformed: {error}") from None
