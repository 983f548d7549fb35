"""The ceremony layer of one node: its parts put together, its start and its stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

import structlog

from quorate.ceremony.admission import Admission
from quorate.ceremony.background import Background
from quorate.ceremony.bell import Board
from quorate.ceremony.catchup import CatchUp
from quorate.ceremony.client_desk import ClientDesk
from quorate.ceremony.context import Boot, Context, Limits
from quorate.ceremony.coordinator import Coordinator
from quorate.ceremony.greetings import Greetings
from quorate.ceremony.identity import Identity
from quorate.ceremony.journal import known_row, operation_of
from quorate.ceremony.pairs import Pairs
from quorate.ceremony.participant import Participant
from quorate.ceremony.peer_desk import PeerDesk
from quorate.ceremony.policies import Policies, Unread
from quorate.ceremony.ports import Approver, Clock, Entropy, EpochState, Inbox, Ledger, Mesh, Method, State
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.quarantine import Quarantine
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.rulebook import Rulebook
from quorate.ceremony.session import Sessions
from quorate.ceremony.steady_time import SteadyTime
from quorate.ceremony.vaults import Vaults
from quorate.ceremony.versions import SPOKEN, Versions
from quorate.ceremony.voting import Voting
from quorate.ceremony.witnessing import Witnesses
from quorate.errors import QuorateError, UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.tokens import Tokens
from quorate.wire.codec import prepare

TIME_KEPT = 10.0  # seconds
SEALING = 5.0  # seconds that sessions have to end in

log = structlog.get_logger()


class Ceremonies:
    """Implements ``ports.PeerHandler``; ``clients`` is the ``node_api.NodeApi``."""

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
        inbox: Inbox | None = None,
        tokens: Tokens | None = None,
        policies: Policies | None = None,
        rulebook: Rulebook | None = None,
        versions: Versions = SPOKEN,
        on_change: Callable[[OperationId], None] | None = None,
        on_cards: Callable[[DeviceId, int], None] = lambda *_: None,
    ) -> None:
        """``on_change`` hears on the event loop of every operation that came in or changed; it must not raise.
        ``on_cards`` hears, there too, of a peer with a new card, or which rev of ours a peer holds by now. ``policies``
        and ``rulebook``: of a node that has a governing vault."""
        prepare()  # before the pool's threads
        vaults = Vaults(ledger, identity.device)
        context = self._context = Context(
            identity=identity, ledger=ledger, mesh=mesh, approver=approver, clock=clock,
            steady=SteadyTime(clock, ledger.kept_time()), entropy=entropy, limits=limits or Limits(), boot=boot,
            pool=pool, vaults=vaults, pairs=Pairs(ledger),
            quarantine=Quarantine(ledger, vaults, identity.device),
            policies=policies or Policies(ledger, identity.device), rulebook=rulebook or Unread(),
            sessions=Sessions(clock), versions=versions,
            board=Board(on_change), organisation=organisation, inbox=inbox, tokens=tokens or Tokens(),
        )  # fmt: skip
        voting = Voting(context)
        self._catchup = CatchUp(context)
        self._background = Background()
        self.greetings = Greetings(context, version, on_cards)
        self.witnesses = Witnesses(context)
        self.reconciler = Reconciler(context, self.greetings, self.witnesses, self._catchup.ask_chain)
        self._participant = Participant(context, voting, self.reconciler)
        self._coordinator = Coordinator(
            context, voting, self._participant, catchup=self._catchup, greetings=self.greetings,
            witnesses=self.witnesses, reconciler=self.reconciler,
        )  # fmt: skip
        admission = Admission(context, self._catchup, self.greetings)
        self._desk = PeerDesk(
            context, admission=admission, voting=voting, participant=self._participant, catchup=self._catchup,
            coordinator=self._coordinator, background=self._background, greetings=self.greetings,
            witnesses=self.witnesses, reconciler=self.reconciler,
        )  # fmt: skip
        self.clients = ClientDesk(
            context,
            admission=admission,
            coordinator=self._coordinator,
            voting=voting,
            catchup=self._catchup,
            reconciler=self.reconciler,
            version=version,
        )  # fmt: skip

    async def start(self) -> None:
        """Take up what the journal holds unfinished: our own operations are driven on, those of others voted on."""
        context = self._context
        await self._keep_time_now()  # who crashes soon, again and again, has been here each time
        await context.aside(self._drop_pending)
        for light in await context.aside(context.ledger.unfinished):
            row = known_row(context, light.id)
            try:
                operation = operation_of(context, row)
            except UsageError as error:
                log.error("unfinished operation left alone", operation=row.id, why=str(error))
                continue
            await context.aside(procedure_of(context, operation).settle)
            if row.proposer == context.me:
                self._coordinator.drive(operation)
            elif row.state is State.VOTING:
                self._background.keep(self._desk.send_vote(operation))
        self._background.keep(self._catchup.keep_level())
        self._background.keep(self.reconciler.keep_asking())
        self._background.keep(self._keep_time())

    async def _keep_time(self) -> None:
        """CE-8.2 steady time: what of it is lost where a node ends without a word."""
        while True:
            await asyncio.sleep(TIME_KEPT)
            await self._keep_time_now()

    async def _keep_time_now(self) -> None:
        context = self._context
        if context.ledger.fault is not None:
            return  # the store's own check says what is wrong with it
        with suppress(QuorateError):
            await context.aside(lambda: context.ledger.keep_time(context.steady.kept()))

    def _drop_pending(self) -> None:
        """What a crash left between being kept and being signed: its session is over, and nobody else has signed it
        with us. Blocking."""
        ledger = self._context.ledger
        for row in ledger.epochs():
            if row.state is EpochState.PENDING:
                ledger.drop_pending(row.vault, row.epoch, row.attempt)

    async def stop(self) -> None:
        """Start nothing new and end what runs; the journal says what to take up again."""
        self.clients.closed = True
        await self._coordinator.stop()
        await self._participant.stop()
        await self._background.stop()
        await self._keep_time_now()

    async def seal(self, seal_ledger: Callable[[], None]) -> None:
        """Rule CE-9.2: let nothing more leave, forget the node key, end what runs, and hold no share."""
        sessions = self._context.sessions
        sessions.close("CE-9.2 memory: this node is sealed")
        await asyncio.to_thread(seal_ledger)
        ends = self._context.clock.monotonic() + SEALING
        while len(sessions) and self._context.clock.monotonic() < ends:  # noqa: ASYNC110 - they are ending
            await asyncio.sleep(0.02)
        self._context.vaults.wipe_shares()

    def unseal(self) -> None:
        """Once the ledger is. What waits goes on by itself."""
        self._context.sessions.open()

    def limit(self, limits: Limits) -> None:
        """From now on; what has begun keeps the times it was given."""
        self._context.limits = limits

    def name_tokens(self, tokens: Tokens) -> None:
        """From now on; what an approver was asked stays as it was asked."""
        self._context.tokens = tokens

    @property
    def vaults(self) -> Vaults:
        return self._context.vaults

    @property
    def versions(self) -> Versions:
        """Of the protocol, that this node speaks."""
        return self._context.versions

    @property
    def clock_tolerance(self) -> float:
        """Seconds that clocks may be apart."""
        return self._context.limits.clock_tolerance_ms / 1000

    @property
    def set_back(self) -> str:
        """Why our audit chain is not the one that we signed; empty if it is, as far as is known."""
        return self._context.set_back

    @property
    def sessions_running(self) -> int:
        return len(self._context.sessions)

    async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        return await self._desk.on_request(sender, method, body)

    def on_envelope(self, sender: DeviceId, frame: bytes) -> None:
        self._context.sessions.on_envelope(sender, frame)
