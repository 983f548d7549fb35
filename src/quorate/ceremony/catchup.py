"""Coming level again: after a restart, a missed message or a lost link a node asks, and believes what proves itself.

docs/spec/ceremony.md, section CE-5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from quorate.ceremony import lineage, resets, results
from quorate.ceremony.context import Context
from quorate.ceremony.journal import known_operation, known_row, recorded_request
from quorate.ceremony.lifecycle import FINAL, OPEN, sources
from quorate.ceremony.policies import signed_policy
from quorate.ceremony.ports import Method, SetupRow, State, Unfinished
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.statements import (
    Holding,
    Holdings,
    Outcome,
    PolicyQuery,
    PolicyShown,
    Query,
    hear,
    state,
)
from quorate.ceremony.vaults import Vault
from quorate.errors import Cancelled, EncodingError, QuorateError, UsageError
from quorate.identifiers import DeviceId, OperationId, VaultId
from quorate.operations.kinds import Kind, Operation, PolicyChange
from quorate.protocols.certificate import EpochRecord
from quorate.protocols.policy import SignedPolicy, policy_digest
from quorate.wire.codec import decode

log = structlog.get_logger()

ROUND = 2.0  # seconds between rounds of asking
PATIENCE = 10.0  # seconds before a proposer is asked again about one operation
A_ROUND = 50  # operations asked about in one round
CLAIMED = 64  # attempts more than we know of that a peer's word, which proves nothing, is good for


class Reported(Cancelled):
    """What a party told a proposer that is not one of the parties. A hint, not evidence."""

    def __init__(self, by: DeviceId, reason: str, suspects: frozenset[DeviceId]) -> None:
        super().__init__(f"{by} reports {reason}")
        self.reason_given = reason
        self.suspects = suspects


class CatchUp:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._awaited: dict[OperationId, tuple[int, frozenset[DeviceId], list[Reported]]] = {}
        self._asked: dict[OperationId, float] = {}
        self._here: set[DeviceId] = set()
        self._to_ask: list[tuple[VaultId, DeviceId]] = []
        self._left: tuple[frozenset[SetupRow], Sequence[tuple[OperationId, DeviceId]]] = frozenset(), ()

    # --- answering ------------------------------------------------------------------------------------------------

    def tell_operation(self, query: Query) -> bytes:
        context = self._context
        operation = known_operation(context, OperationId(query.operation))
        return results.outcome(context, operation, known_row(context, operation.id))

    def tell_holdings(self, query: Query) -> bytes:
        if query.vault:
            return lineage.chain(self._context, VaultId(query.vault), query.epoch)
        return lineage.holdings(self._context, OperationId(query.operation))

    async def tell_policy(self, query: PolicyQuery) -> bytes:
        context = self._context
        held = await context.aside(context.policies.in_force)
        shows = held is not None and held.vault == query.vault and held.version > query.above
        signed = signed_policy(held) if held is not None and shows else None
        return state(context.identity, PolicyShown(signed=signed))

    def heed(self, sender: DeviceId, query: Query) -> None:
        """Who asks for a vault from an epoch on that did not come to live here knows what we do not."""
        newest = self._context.vaults.newest(VaultId(query.vault))
        asking = VaultId(query.vault), sender
        if newest is not None and newest.epoch < query.epoch and asking not in self._to_ask:
            self._to_ask.append(asking)

    async def on_outcome(self, sender: DeviceId, outcome: Outcome) -> None:
        """What a member says of an operation's end: proved ends from any, others from the proposer (rule CE-5.3)."""
        context = self._context
        row = known_row(context, OperationId(outcome.operation))
        operation = known_operation(context, row.id)
        require_member(context, operation, sender)
        if outcome.digest != operation.digest:
            raise UsageError(
                "CE-5.3 other ends: another operation under the same id", code="OPERATION_CONFLICT"
            )
        try:
            told = State(outcome.state)
        except ValueError:
            raise UsageError(f"CE-5.3 other ends: {outcome.state} is no state", code="MALFORMED") from None
        if row.state is State.COMPLETED:
            return
        if told is State.COMPLETED:
            procedure = procedure_of(context, operation)
            if procedure.by_certificate:
                await self._ask_holdings(operation.id, sender)
            else:
                await context.aside(lambda: procedure.believe(sender, outcome.result))
        elif sender == operation.proposer and told in FINAL:
            culprits = tuple(map(DeviceId, outcome.culprits))
            await context.aside(
                lambda: context.ledger.move_operation(
                    operation.id,
                    sources(told),
                    told,
                    reason=outcome.reason,
                    detail="as the proposer says",
                    culprits=culprits,
                    released=outcome.released,
                )
            )
        elif told is State.RUNNING and (awaited := self._awaited.get(operation.id)) is not None:
            attempt, parties, reports = awaited
            if outcome.attempt == attempt and sender in parties and not reports:
                reports.append(Reported(sender, outcome.reason, frozenset(map(DeviceId, outcome.culprits))))
        context.board.announce(operation.id)

    @contextmanager
    def awaiting(
        self, operation: OperationId, attempt: int, parties: Collection[DeviceId]
    ) -> Iterator[Sequence[Reported]]:
        """The report of an attempt that we are no party of, once one of its parties sends one. No others are kept."""
        reports: list[Reported] = []
        self._awaited[operation] = (attempt, frozenset(parties), reports)
        try:
            yield reports
        finally:
            del self._awaited[operation]

    # --- asking ---------------------------------------------------------------------------------------------------

    async def ask_about(self, operation: Operation) -> None:
        """Before another attempt: has an earlier one come to its end somewhere?"""
        context, procedure = self._context, procedure_of(self._context, operation)
        await context.aside(procedure.settle)
        row = context.ledger.operation(operation.id)
        if row is None or row.attempt == 0 or row.state in FINAL:
            return
        ask = self._ask_holdings if procedure.by_certificate else self._ask_outcome
        await asyncio.gather(*(ask(row.id, peer) for peer in self._reachable(procedure.concerned())))

    async def keep_level(self) -> None:
        """Until cancelled: expire, ask proposers about their operations, complete half-known epochs."""
        while True:
            try:
                await self._round()
            except QuorateError as error:
                log.warning("catching up failed", error=str(error))
            except Exception:  # whatever one operation has come to, the others go on
                log.exception("bug in catching up")
            await asyncio.sleep(ROUND)

    async def _round(self) -> None:
        context = self._context
        now = context.clock.monotonic()
        rows = await context.aside(context.ledger.unfinished)
        awaited = await self._resets_left()
        open_now = {row.id for row in rows} | {operation for operation, _ in awaited}
        self._asked = {operation: at for operation, at in self._asked.items() if operation in open_now}
        due = []
        for row in rows:
            if row.proposer != context.me and context.steady.expired(row):
                await self._expire(row)
            elif row.proposer != context.me:
                due.append((row.id, row.proposer))
        due = [asked for asked in (*awaited, *due) if now - self._asked.get(asked[0], 0.0) >= PATIENCE]
        self._asked |= {operation: now for operation, _ in due[:A_ROUND]}
        await asyncio.gather(*(self._ask_outcome(*asked) for asked in due[:A_ROUND]))
        await self._meet()
        for vault in await context.aside(context.vaults.known):
            if not vault.ready:
                await self.complete(vault)
                self._context.board.announce(vault.operation)
        if context.policies.behind is not None:
            await self.level_policy(*context.policies.signers)

    async def level_policy(self, *peers: DeviceId) -> None:
        """Put the latest policy in force that proves itself: from what was proposed here, or else as a peer shows
        it."""
        context, policies = self._context, self._context.policies
        if policies.governing is None:
            return
        try:
            await context.aside(self._find_policy)
        except QuorateError as error:
            log.warning("no policy", peer=context.me, why=str(error))
        for peer in self._reachable(peers):
            query = PolicyQuery(vault=policies.governing.vault, above=policies.base()[0])
            try:
                answer = await context.mesh.request(
                    peer, Method.GET_POLICY, state(context.identity, query), timeout=context.limits.ask
                )
                signer, shown = hear(PolicyShown, answer, context.key_of)
                if signer != peer:
                    raise UsageError(
                        f"CE-1.1 speaker: {peer} shows the policy of {signer}", code="WRONG_SENDER"
                    )
                if shown.signed is not None:
                    await context.aside(partial(self._take_policy, shown.signed))
            except (QuorateError, EncodingError) as error:
                log.info("no policy", peer=peer, why=str(error))

    def _find_policy(self) -> None:
        """Who signed it may keep it back, but not from those it was proposed to: the head that was shown is enough."""
        context, head = self._context, self._context.policies.behind
        if head is None:
            return
        for each in context.ledger.operations_of(Kind.POLICY_CHANGE.value):
            request = recorded_request(context, each)
            if isinstance(request, PolicyChange) and policy_digest(request.policy) == head.digest:
                self._take_policy(
                    SignedPolicy(
                        vault=head.vault, version=head.version, policy=request.policy, certificate=head.certificate,
                        signature=head.signature,
                    )
                )  # fmt: skip
                return

    def _take_policy(self, signed: SignedPolicy) -> None:
        context = self._context
        context.rulebook.read(signed.policy)
        context.policies.take(signed, at_ms=context.clock.now_ms())

    async def _resets_left(self) -> Sequence[tuple[OperationId, DeviceId]]:
        """Looked up once for the same set-ups: a peer may let one wait for ever."""
        context = self._context
        left = await context.aside(lambda: resets.left_pending(context))
        if left != self._left[0]:
            self._left = left, await context.aside(lambda: resets.behind(context, left))
        return self._left[1]

    async def complete(self, vault: Vault) -> None:
        """Ask the signers for the certificate or the acknowledgements that this node lacks."""
        others = self._reachable(vault.record.signers)
        if vault.epoch or not vault.operation:
            await asyncio.gather(*(self.ask_chain(vault.id, peer) for peer in others))
        else:
            await asyncio.gather(*(self._ask_holdings(vault.operation, peer) for peer in others))

    async def ask_certificate(self, operation: OperationId, peer: DeviceId) -> None:
        """Of an epoch that we signed, and that a peer is about to try: it came to live while we were away."""
        context = self._context
        made = await context.aside(lambda: context.vaults.made_by(operation))
        if made and not any(vault.active for vault in made):
            await self._ask_holdings(operation, peer)

    async def ask_chain(self, vault: VaultId, peer: DeviceId) -> None:
        """Ask a peer which epochs there are of a vault, from ours on; as often as its answer brings us further."""
        context = self._context
        while True:
            newest = await context.aside(lambda: context.vaults.newest(vault))
            epoch = 0 if newest is None else newest.epoch
            await self._ask_shown(Query(vault=vault, epoch=epoch), peer, None)
            after = await context.aside(lambda: context.vaults.newest(vault))
            if after is None or after.epoch <= epoch:
                return

    async def attempts(self, vault: Vault, peers: Collection[DeviceId]) -> int:
        """The highest attempt at the epoch after this one that we or a reachable peer signed."""
        context = self._context
        known = await context.aside(lambda: context.vaults.attempts(vault.id, vault.epoch + 1))
        query = Query(vault=vault.id, epoch=vault.epoch)
        answers = await asyncio.gather(
            *(self._ask_shown(query, peer, None) for peer in self._reachable(peers))
        )
        records = (decode(EpochRecord, item.record) for shown in answers for item in shown)
        tried = (r.attempt for r in records if (r.vault, r.epoch) == (vault.id, vault.epoch + 1))
        return max((known, *(attempt for attempt in tried if attempt <= known + CLAIMED)))

    async def _meet(self) -> None:
        """Whoever is connected anew may know of epochs that came while one of us was away (rule CE-7.6)."""
        context = self._context
        here = {
            peer for peer in context.ledger.peers() if peer != context.me and context.mesh.connected(peer)
        }
        came, self._here = here - self._here, here
        if came:
            known = await context.aside(context.vaults.known)
            audiences = {vault.id: lineage.audience(context, vault.id) for vault in known if vault.active}
            self._to_ask += [(vault, peer) for vault, who in audiences.items() for peer in sorted(came & who)]
        due, self._to_ask = self._to_ask[:A_ROUND], self._to_ask[A_ROUND:]
        await asyncio.gather(*(self.ask_chain(vault, peer) for vault, peer in due if peer in here))

    async def _expire(self, row: Unfinished) -> None:
        context = self._context
        open_states = tuple(state for state in sources(State.EXPIRED) if state in OPEN)
        await context.aside(
            lambda: context.ledger.move_operation(
                row.id, open_states, State.EXPIRED, reason="EXPIRED", detail="its time passed"
            )
        )
        context.board.announce(row.id)

    def _reachable(self, devices: Collection[DeviceId]) -> list[DeviceId]:
        context = self._context
        return [peer for peer in devices if peer != context.me and context.mesh.connected(peer)]

    async def _ask_outcome(self, operation: OperationId, peer: DeviceId) -> None:
        context = self._context
        if peer == context.me or not context.mesh.connected(peer):
            return
        body = state(context.identity, Query(operation=operation))
        try:
            answer = await context.mesh.request(peer, Method.GET_OPERATION, body, timeout=context.limits.ask)
            sender, outcome = hear(Outcome, answer, context.key_of)
            if sender == peer and outcome.operation == operation and outcome.state != State.RUNNING.value:
                await self.on_outcome(peer, outcome)
        except (QuorateError, EncodingError) as error:
            log.info("no outcome", operation=operation, peer=peer, why=str(error))

    async def _ask_holdings(self, operation: OperationId, peer: DeviceId) -> None:
        await self._ask_shown(Query(operation=operation), peer, operation)
        self._context.board.announce(operation)

    async def _ask_shown(
        self, query: Query, peer: DeviceId, operation: OperationId | None
    ) -> Sequence[Holding]:
        """What a peer holds of it, after we took over what proves itself; nothing where it did not answer soundly."""
        context = self._context
        body = state(context.identity, query)
        try:
            answer = await context.mesh.request(
                peer, Method.GET_CERTIFICATE, body, timeout=context.limits.ask
            )
            sender, shown = hear(Holdings, answer, context.key_of)
            if sender != peer:
                raise UsageError(
                    f"CE-1.1 speaker: {peer} shows the holdings of {sender}", code="WRONG_SENDER"
                )
            await context.aside(lambda: lineage.absorb(context, shown, operation))
            return shown.items
        except (QuorateError, EncodingError) as error:
            log.info("no certificate", operation=operation, vault=query.vault, peer=peer, why=str(error))
            return ()


def require_member(context: Context, operation: Operation, sender: DeviceId) -> None:
    """An operation is the business of those it concerns (rule CE-5.4)."""
    if sender not in procedure_of(context, operation).concerned():
        raise UsageError(f"CE-5.4 discretion: {sender} has no part in this operation", code="NOT_IN_ROSTER")
