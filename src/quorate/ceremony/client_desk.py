"""What clients ask of this node. Who they are and what they may was settled before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

import structlog

from quorate.ceremony import facts, journal, lineage, receipts, resets, succession
from quorate.ceremony.admission import Admission
from quorate.ceremony.bell import rings
from quorate.ceremony.catchup import CatchUp
from quorate.ceremony.chronicle import History
from quorate.ceremony.context import Context
from quorate.ceremony.coordinator import Coordinator
from quorate.ceremony.identity import peer_named
from quorate.ceremony.journal import known_operation, known_row
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.policies import require_whole
from quorate.ceremony.ports import Decision, Verdict
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.rulebook import PolicyRow, PolicyView
from quorate.ceremony.statements import (
    Proposal,
    state,
)
from quorate.ceremony.vaults import Vault
from quorate.ceremony.views import OWNER, AskedView, Caller, NodeStatus, OperationView, VaultView
from quorate.ceremony.voting import GLANCE, Voting
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.operations import payload
from quorate.operations.kinds import (
    Algorithm,
    BatchSign,
    Claim,
    CreateVault,
    Kind,
    Member,
    Operation,
    PairReset,
    Request,
    Sign,
    SigningData,
    SignTransaction,
)
from quorate.protocols.policy import SignedPolicy
from quorate.protocols.quorum import sharing_of
from quorate.wire.codec import decode, encode

log = structlog.get_logger()


class ClientDesk:
    """Implements ``node_api.NodeApi``. ``closed`` from the moment the node stops: nothing new is begun."""

    def __init__(
        self,
        context: Context,
        *,
        admission: Admission,
        coordinator: Coordinator,
        voting: Voting,
        catchup: CatchUp,
        reconciler: Reconciler,
        version: str,
    ) -> None:
        self._context = context
        self._admission = admission
        self._coordinator = coordinator
        self._voting = voting
        self._catchup = catchup
        self._reconciler = reconciler
        self._version = version
        self.closed = False

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

    async def sign_transaction(
        self,
        caller: Caller,
        *,
        vault: str,
        purpose: str,
        data: str,
        content_type: str,
        derivation_path: str,
        asset: str,
        amount: str,
        address: str,
        to_vault: str,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        vaults = self._context.vaults
        held = vaults.find(vault)
        signing = SigningData(
            data=(data,), content_type=content_type, algorithm=Algorithm.ESKEC256,
            derivation_path=derivation_path,
        )  # fmt: skip
        paid = vaults.find(to_vault).id if to_vault else ""
        request = SignTransaction(
            vault=held.id, epoch=held.epoch, certificate=held.certificate_hash, purpose=Kind(purpose), signing=signing,
            claim=Claim(asset=asset, amount=amount, address=address, vault=paid), memo=memo,
        )  # fmt: skip
        return await self._undertake(caller, request, idempotency_key, expires_in_ms)

    async def pair_reset(
        self,
        caller: Caller,
        *,
        vault: str,
        peer: str,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        context, held = self._context, self._context.vaults.find(vault)
        device = self._member(held, peer)
        if not held.active:
            raise UsageError(
                f"vault {held.name} has no certificate yet, so no set-ups", code="VAULT_NOT_READY"
            )
        low, high = sorted((context.me, device))
        before = await context.aside(
            lambda: resets.asked_before(context, held, (low, high), caller.client, idempotency_key)
        )
        if before is not None:
            return await self.operation(caller, before)
        request = PairReset(
            vault=held.id, epoch=held.epoch, certificate=held.certificate_hash, pair=(low, high),
            generation=resets.next_generation(context, held, device), memo=memo,
        )  # fmt: skip
        return await self._undertake(caller, request, idempotency_key, expires_in_ms)

    async def reshare(
        self,
        caller: Caller,
        *,
        vault: str,
        weights: Mapping[str, int],
        removed: Sequence[str],
        threshold: int | None,
        allow_sole_signer: bool,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        context, held = self._context, self._context.vaults.find(vault)
        before = await context.aside(
            lambda: succession.asked_before(context, held, caller.client, idempotency_key)
        )
        if before is not None:
            return await self.operation(caller, before)
        if not held.active:
            raise UsageError(f"vault {held.name} has no certificate yet", code="VAULT_NOT_READY")
        concerned = {*held.sharing.devices, *(self._device(wanted) for wanted in weights)}
        request = succession.request_for(
            context, held, peer_of=lambda wanted: context.peer(self._device(wanted)), weights=weights,
            removed=removed, threshold=threshold, allow_sole_signer=allow_sole_signer,
            after=await self._catchup.attempts(held, concerned), memo=memo,
        )  # fmt: skip
        certificate = held.row.certificate
        return await self._undertake(caller, request, idempotency_key, expires_in_ms, certificate)

    async def change_policy(
        self,
        caller: Caller,
        *,
        policy: bytes,
        vault: str,
        version: int | None,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        context = self._context
        governing = context.policies.require_governing().vault
        held = context.vaults.find(governing)
        if vault and vault not in (held.id, held.name):
            raise UsageError(
                f"PG-1.1 governing: vault {held.name} ({held.id}) governs this node, and {vault} does not",
                code="POLICY_WRONG_VAULT",
            )
        before = await context.aside(
            lambda: journal.asked_before(context, Kind.POLICY_CHANGE, caller.client, idempotency_key)
        )
        if before is not None:
            return await self.operation(caller, before)
        request = context.policies.proposal(
            policy, version=version, epoch=held.epoch, certificate=held.certificate_hash, memo=memo
        )
        return await self._undertake(caller, request, idempotency_key, expires_in_ms)

    async def policy(self, caller: Caller) -> PolicyView:
        context, policies = self._context, self._context.policies
        served = await context.aside(context.rulebook.served)
        if policies.governing is None:
            return PolicyView(served=tuple(served))
        return PolicyView(
            served=tuple(served),
            signed=policies.in_force(),
            latest=policies.head.version if policies.head is not None else 0,
            vault=policies.governing.vault,
            public_key=policies.public_key(),
        )

    async def policies(self, caller: Caller) -> Sequence[PolicyRow]:
        return await self._context.aside(self._context.ledger.policies)

    async def install_policy(self, caller: Caller, *, signed: SignedPolicy, digest: bytes) -> PolicyView:
        context, policies = self._context, self._context.policies
        require_whole(signed, digest)
        policies.check(signed.head)
        await context.aside(lambda: context.rulebook.read(signed.policy))
        now_ms, before = context.clock.now_ms(), policies.in_force()
        if not await context.aside(lambda: policies.take(signed, at_ms=now_ms)):
            held = policies.in_force() or before
            if held is not None and (held.version, held.policy) != (signed.version, signed.policy):
                raise UsageError(
                    f"PG-2.5 later: version {held.version} is in force, and version {signed.version} is not above it",
                    code="POLICY_OLD",
                )
        return await self.policy(caller)

    async def history(self, caller: Caller, vault: str) -> History:
        context = self._context
        held = context.vaults.find(vault, among=context.vaults.known())
        rows = await context.aside(lambda: context.ledger.epochs(held.id))
        forks = await context.aside(lambda: context.ledger.forks(held.id))
        return History(
            certificates=tuple(row.certificate for row in rows if row.certificate), forks=tuple(forks)
        )

    async def erase_earlier(self, caller: Caller, vault: str) -> VaultView:
        context, held = self._context, self._context.vaults.find(vault)
        if held.epoch == 0 or not held.active:
            raise UsageError(
                f"CE-7.10 override: vault {held.name} has no epoch before its present one",
                code="NO_EARLIER_EPOCH",
            )
        await context.aside(lambda: lineage.waive(context, held))
        log.warning("earlier epochs erased by a person", vault=held.id, client=caller.client)
        context.board.announce(held.operation)
        return await self.vault(caller, held.id)

    async def release_vault(self, caller: Caller, vault: str, without: Sequence[str]) -> VaultView:
        context, held = self._context, self._context.vaults.find(vault)
        absent = [self._device(name) for name in without]
        await self._reconciler.release(held, absent, f"{caller.client} says so")
        context.board.announce(held.operation)
        return await self.vault(caller, held.id)

    async def operation(self, caller: Caller, operation: str) -> OperationView:
        return facts.operation_view(self._context, known_row(self._context, OperationId(operation)))

    async def wait(self, caller: Caller, operation: str, timeout: float) -> OperationView:
        clock = self._context.clock
        ends = clock.monotonic() + timeout
        while True:
            bell = self._context.board.bell(OperationId(operation))
            row = known_row(self._context, OperationId(operation))
            left = ends - clock.monotonic()
            if row.state in FINAL or left <= 0:
                return facts.operation_view(self._context, row)
            await rings(bell, min(left, 5.0))

    async def operations(
        self, caller: Caller, *, limit: int, after: str = ""
    ) -> tuple[Sequence[OperationView], str]:
        context = self._context

        def page() -> tuple[Sequence[OperationView], str]:
            found = context.ledger.operation_ids(limit=limit, after=OperationId(after) if after else None)
            return tuple(map(self._brief, found)), found[-1] if len(found) == limit else ""

        return await context.aside(page)

    async def watch(
        self, caller: Caller, *, operation: str = "", vault: str = ""
    ) -> AsyncIterator[OperationView]:
        context, shown = self._context, None
        if not operation:
            within = context.vaults.find(vault).id if vault else None
            with context.board.feed() as feed:
                while True:
                    for identifier in await feed.take():
                        view = self._brief(identifier)
                        if within is None or view.vault == within:
                            yield view
        while True:
            bell = context.board.bell(OperationId(operation))
            view = await self.operation(caller, operation)
            if view != shown:
                yield view
            if view.state in FINAL:
                return
            shown = view
            await rings(bell, GLANCE)

    async def cancel(self, caller: Caller, operation: str) -> OperationView:
        asked = known_operation(self._context, OperationId(operation))
        if caller.role not in ("admin", "owner") and caller.client != asked.client:
            raise UsageError(
                f"{caller.client} did not ask for operation {asked.id} and may not cancel it",
                code="NOT_ALLOWED",
            )
        await self._coordinator.cancel(asked, caller.client)
        return await self.operation(caller, operation)

    async def asked(self, caller: Caller, operation: str) -> AskedView:
        context = self._context
        row = known_row(context, OperationId(operation))
        asking = self._voting.asked(row.id)
        request = (
            asking.encoded()
            if asking is not None
            else await context.aside(lambda: context.ledger.decided_request(row.id))
        )
        if not request:
            raise UsageError(f"operation {row.id} was not put to this node's approver", code="NOT_ASKED")
        waits = context.inbox is not None and any(
            each.operation == row.id for each in context.inbox.pending()
        )
        return AskedView(operation=row.id, digest=row.digest, request=request.decode(), pending=waits)

    async def receipt(self, caller: Caller, operation: str) -> str:
        context, row = self._context, known_row(self._context, OperationId(operation))
        return await context.aside(lambda: receipts.issue(context, row))

    async def pending(
        self, caller: Caller, *, limit: int, after: str = ""
    ) -> tuple[Sequence[OperationView], str]:
        context = self._context
        waiting = [each.operation for each in context.inbox.pending()] if context.inbox is not None else []
        if after:
            if after not in waiting:
                raise UsageError(f"operation {after} waits no more: list again", code="NOT_PENDING")
            waiting = waiting[waiting.index(OperationId(after)) + 1 :]
        page, more = waiting[:limit], len(waiting) > limit
        views = await context.aside(lambda: tuple(map(self._brief, page)))
        return views, page[-1] if more else ""

    async def decide(
        self, caller: Caller, *, operation: str, digest: bytes, verdict: Verdict, reason: str
    ) -> OperationView:
        context, identifier = self._context, OperationId(operation)
        asked = known_operation(context, identifier)
        if context.inbox is None:
            raise UsageError("no person decides at this node: [approver] type is another", code="NOT_MANUAL")
        if asked.proposer == context.me and asked.client == caller.client != OWNER:
            raise UsageError(
                f"PD-1.4 person: {caller.client} asked for operation {identifier}: another approver decides, or the"
                " owner of the node's Unix socket",
                code="NOT_ALLOWED",
            )
        made = context.ledger.decision(identifier)
        if made is None:
            self._voting.require_open(asked)
            said = f"{verdict.name.lower()} by {caller.client}" + (f": {reason}" if reason else "")
            decision = Decision(
                verdict=verdict, approver=context.approver.name, rule="PD-1.4 person", explanation=said
            )
            context.inbox.answer(identifier, digest, decision)
            await asyncio.shield(self._voting.ballot(asked))
        elif (made.digest, made.decision.verdict) != (digest, verdict):
            raise UsageError(
                f"PD-1.2 waiting: operation {identifier} was decided before: {made.decision.explanation}",
                code="ALREADY_DECIDED",
            )
        return await self.operation(caller, operation)

    def _brief(self, identifier: OperationId) -> OperationView:
        """Without its signatures: many of these have a bounded size."""
        view = facts.operation_view(self._context, known_row(self._context, identifier))
        return replace(view, signatures=())

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
        request: Request,
        idempotency_key: str,
        expires_in_ms: int | None,
        certificate: bytes = b"",
    ) -> OperationView:
        """Make the caller's request an operation of ours and see it through. The same request again is the same one."""
        context = self._context
        if self.closed:
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
            proposal = state(context.identity, Proposal(operation=operation, certificate=certificate))
            held = await self._admission.take_in(operation, proposal, certificate, role=caller.role)
            if held.digest == operation.digest:
                self._coordinator.drive(operation)
        return facts.operation_view(context, held)

    def _member(self, vault: Vault, wanted: str) -> DeviceId:
        """Another member of the vault than this node."""
        others = [device for device in vault.sharing.devices if device != self._context.me]
        if not others:
            raise UsageError(
                f"vault {vault.name} has no other member: there is no pair to reset", code="NO_PAIR"
            )
        device, known = self._device(wanted), ", ".join(map(self._context.name_of, others))
        if device == self._context.me:
            raise UsageError(
                f"{wanted} is this node itself; vault {vault.name} has a pair set-up with {known}",
                code="NO_PAIR",
            )
        if device not in others:
            raise UsageError(
                f"{wanted} is not a member of vault {vault.name}; its others are {known}",
                code="NOT_IN_ROSTER",
            )
        return device

    def _device(self, wanted: str) -> DeviceId:
        return peer_named(wanted, self._context.ledger.peers().values()).device


def _check_shape(operation: Operation) -> None:
    """What a caller wrote must fit the types that cross the wire; ``UsageError`` says what does not."""
    try:
        decode(Operation, encode(operation))
    except EncodingError as error:
        raise UsageError(f"the request is malformed: {error}") from None
