"""The services of node.proto in front of a ``NodeApi``, each client kept to its vaults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from quorate.ceremony.node_api import NodeApi
from quorate.ceremony.ports import State, Verdict
from quorate.ceremony.views import OperationView, VaultView
from quorate.errors import UsageError
from quorate.identifiers import VaultId
from quorate.rpc import failures
from quorate.rpc._pb import node_pb2, types_pb2
from quorate.rpc.access import Permit
from quorate.rpc.convert import PURPOSES, asked_to_pb, operation_to_pb, signature_to_pb, vault_to_pb
from quorate.rpc.services import to_the_end

PURPOSE_NAMES = {number: name for name, number in PURPOSES.items()}
LIST_DEFAULT, LIST_LIMIT = 100, 1000
LONGEST_WAIT_MS = 60_000
LONGEST_REASON = 1000
DECISIONS: Mapping[int, Verdict] = {
    types_pb2.VERDICT_APPROVE: Verdict.APPROVE,
    types_pb2.VERDICT_REJECT: Verdict.REJECT,
    types_pb2.VERDICT_ABSTAIN: Verdict.ABSTAIN,
}


class VaultServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def create_vault(self, permit: Permit, request: node_pb2.CreateVaultRequest) -> types_pb2.Operation:
        work = self._api.create_vault(
            permit.caller(),
            name=request.name,
            weights=_weights(request.seats),
            threshold=request.threshold,
            allow_sole_signer=request.allow_sole_signer,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))

    async def get_vault(self, permit: Permit, request: node_pb2.GetVaultRequest) -> types_pb2.Vault:
        named = await permitted_vault(self._api, permit, request.vault)
        return vault_to_pb(await self._api.vault(permit.caller(), named))

    async def list_vaults(self, permit: Permit, _: node_pb2.ListVaultsRequest) -> node_pb2.ListVaultsResponse:
        views = await self._api.vaults(permit.caller())
        permitted = [vault_to_pb(view) for view in views if permit.covers(view.id, view.name)]
        return node_pb2.ListVaultsResponse(vaults=permitted)

    async def pair_reset(self, permit: Permit, request: node_pb2.PairResetRequest) -> types_pb2.Operation:
        work = self._api.pair_reset(
            permit.caller(),
            vault=await permitted_vault(self._api, permit, request.vault),
            peer=request.peer,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))

    async def reshare(self, permit: Permit, request: node_pb2.ReshareRequest) -> types_pb2.Operation:
        work = self._api.reshare(
            permit.caller(),
            vault=await permitted_vault(self._api, permit, request.vault),
            weights=_weights(request.seats),
            removed=tuple(request.remove),
            threshold=request.threshold if request.HasField("threshold") else None,
            allow_sole_signer=request.allow_sole_signer,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))

    async def get_history(
        self, permit: Permit, request: node_pb2.GetHistoryRequest
    ) -> node_pb2.GetHistoryResponse:
        vault = await permitted_vault(self._api, permit, request.vault)
        history = await self._api.history(permit.caller(), vault)
        return node_pb2.GetHistoryResponse(certificates=history.certificates, forks=history.forks)

    async def erase_earlier(self, permit: Permit, request: node_pb2.EraseEarlierRequest) -> types_pb2.Vault:
        vault = await permitted_vault(self._api, permit, request.vault)
        return vault_to_pb(await to_the_end(self._api.erase_earlier(permit.caller(), vault)))

    async def release_vault(self, permit: Permit, request: node_pb2.ReleaseVaultRequest) -> types_pb2.Vault:
        vault = await permitted_vault(self._api, permit, request.vault)
        work = self._api.release_vault(permit.caller(), vault, tuple(request.without))
        return vault_to_pb(await to_the_end(work))


class SigningServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def sign(self, permit: Permit, request: node_pb2.SignRequest) -> types_pb2.Operation:
        return await self._sign(permit, request, [request.data], batch=False)

    async def batch_sign(self, permit: Permit, request: node_pb2.BatchSignRequest) -> types_pb2.Operation:
        return await self._sign(permit, request, list(request.data), batch=True)

    async def sign_transaction(
        self, permit: Permit, request: node_pb2.SignTransactionRequest
    ) -> types_pb2.Operation:
        vault = await permitted_vault(self._api, permit, request.vault)
        purpose = PURPOSE_NAMES.get(request.purpose)
        if purpose is None:
            raise UsageError(f"purpose {request.purpose} is not what a transaction is for", code="MALFORMED")
        work = self._api.sign_transaction(
            permit.caller(),
            vault=vault,
            purpose=purpose,
            data=request.data,
            content_type=request.content_type,
            derivation_path=request.derivation_path,
            asset=request.claim.asset,
            amount=request.claim.amount,
            address=request.claim.address,
            to_vault=request.claim.vault,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))

    async def get_signature(
        self, permit: Permit, request: node_pb2.GetSignatureRequest
    ) -> node_pb2.GetSignatureResponse:
        view = await operation_for(self._api, permit, request.operation)
        if view.state is not State.COMPLETED:
            raise UsageError(f"operation {view.id} is {view.state}", code=failures.NOT_COMPLETED)
        return node_pb2.GetSignatureResponse(signatures=[signature_to_pb(each) for each in view.signatures])

    async def _sign(
        self,
        permit: Permit,
        request: node_pb2.SignRequest | node_pb2.BatchSignRequest,
        data: list[str],
        *,
        batch: bool,
    ) -> types_pb2.Operation:
        work = self._api.sign(
            permit.caller(),
            vault=await permitted_vault(self._api, permit, request.vault),
            data=data,
            batch=batch,
            content_type=request.content_type,
            algorithm=request.algorithm,
            derivation_path=request.derivation_path,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))


class OperationServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def get_operation(
        self, permit: Permit, request: node_pb2.GetOperationRequest
    ) -> types_pb2.Operation:
        view = await operation_for(self._api, permit, request.operation)
        return await shown(self._api, permit, view)

    async def list_operations(
        self, permit: Permit, request: node_pb2.ListOperationsRequest
    ) -> node_pb2.ListOperationsResponse:
        views, more = await self._api.operations(
            permit.caller(), limit=_page(request.limit), after=request.after
        )
        permitted = await vaults_of(self._api, permit)
        return node_pb2.ListOperationsResponse(
            operations=[
                operation_to_pb(view, signatures=False)
                for view in views
                if permitted is None or view.vault in permitted
            ],
            next=more,
        )

    async def wait_operation(
        self, permit: Permit, request: node_pb2.WaitOperationRequest
    ) -> types_pb2.Operation:
        if request.timeout_ms > LONGEST_WAIT_MS:
            raise UsageError(f"one call waits at most {LONGEST_WAIT_MS} ms, not {request.timeout_ms}")
        await operation_for(self._api, permit, request.operation)
        view = await self._api.wait(permit.caller(), request.operation, request.timeout_ms / 1000)
        return await shown(self._api, permit, view)

    async def watch_operations(
        self, permit: Permit, request: node_pb2.WatchOperationsRequest
    ) -> AsyncIterator[types_pb2.Operation]:
        vault, what = "", request.WhichOneof("what")
        if what == "operation":
            await operation_for(self._api, permit, request.operation)
        elif what == "vault":
            vault = await permitted_vault(self._api, permit, request.vault)
        elif not request.all:
            raise UsageError("watch an operation, a vault or all")
        async for view in self._api.watch(permit.caller(), operation=request.operation, vault=vault):
            if what == "all":
                permitted = await vaults_of(self._api, permit)
                if permitted is not None and view.vault not in permitted:
                    continue
            yield await shown(self._api, permit, view)

    async def cancel_operation(
        self, permit: Permit, request: node_pb2.CancelOperationRequest
    ) -> types_pb2.Operation:
        view = await operation_for(self._api, permit, request.operation)
        on = await names_of(self._api, permit, view)
        view = await to_the_end(self._api.cancel(permit.caller(*on), request.operation))
        return await shown(self._api, permit, view)

    async def get_approval_request(
        self, permit: Permit, request: node_pb2.GetApprovalRequestRequest
    ) -> node_pb2.ApprovalRequest:
        await operation_for(self._api, permit, request.operation)
        return asked_to_pb(await self._api.asked(permit.caller(), request.operation))

    async def get_receipt(
        self, permit: Permit, request: node_pb2.GetReceiptRequest
    ) -> node_pb2.GetReceiptResponse:
        await operation_for(self._api, permit, request.operation)
        receipt = await self._api.receipt(permit.caller(), request.operation)
        return node_pb2.GetReceiptResponse(receipt=receipt)


class ApprovalServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def list_pending(
        self, permit: Permit, request: node_pb2.ListPendingRequest
    ) -> node_pb2.ListPendingResponse:
        views, more = await self._api.pending(
            permit.caller(), limit=_page(request.limit), after=request.after
        )
        permitted = await vaults_of(self._api, permit)
        return node_pb2.ListPendingResponse(
            operations=[
                operation_to_pb(view, signatures=False)
                for view in views
                if permitted is None or view.vault in permitted
            ],
            next=more,
        )

    async def decide(self, permit: Permit, request: node_pb2.DecideRequest) -> types_pb2.Operation:
        await operation_for(self._api, permit, request.operation)
        if request.verdict not in DECISIONS:
            raise UsageError("a decision is to approve, to reject or to abstain")
        if len(request.reason) > LONGEST_REASON:
            raise UsageError(f"a reason has at most {LONGEST_REASON} characters")
        work = self._api.decide(
            permit.caller(),
            operation=request.operation,
            digest=request.digest,
            verdict=DECISIONS[request.verdict],
            reason=request.reason,
        )
        return await shown(self._api, permit, await to_the_end(work))


def _weights(seats: Sequence[node_pb2.Seat]) -> Mapping[str, int]:
    named = [seat.signer for seat in seats]
    if twice := sorted({signer for signer in named if named.count(signer) > 1}):
        raise UsageError(f"named twice: {', '.join(twice)}", code="DUPLICATE_SIGNER")
    return {seat.signer: seat.weight for seat in seats}


def _page(limit: int) -> int:
    return min(limit or LIST_DEFAULT, LIST_LIMIT)


async def vaults_of(api: NodeApi, permit: Permit) -> frozenset[VaultId] | None:
    """The vaults a caller may use; None for every one, those that are not there yet too."""
    if permit.everywhere:
        return None
    return frozenset(view.id for view in await _covered(api, permit))


async def permitted_vault(api: NodeApi, permit: Permit, vault: str) -> str:
    """The vault a caller names, by the id that it was permitted under: what was permitted is what is used. One that is
    not there and one that is not the caller's look the same to it."""
    if permit.everywhere:
        return vault
    found = {view.id for view in await _covered(api, permit) if vault in (view.id, view.name)}
    if len(found) > 1:
        raise UsageError(f"{len(found)} vaults are named {vault}: use an id", code="AMBIGUOUS_VAULT")
    if not found:
        raise UsageError(f"{permit.client} may not use vault {vault}", code=failures.NOT_ALLOWED)
    return found.pop()


async def operation_for(api: NodeApi, permit: Permit, operation: str) -> OperationView:
    """The operation, if it is on a vault of the caller's. To one that is for some vaults only, an operation on another
    vault and none at all look the same."""
    permitted, view = await vaults_of(api, permit), None
    try:
        view = await api.operation(permit.caller(), operation)
    except UsageError:
        if permitted is None:
            raise
    if view is None or (permitted is not None and view.vault not in permitted):
        raise UsageError(f"{permit.client} may not see operation {operation}", code=failures.NOT_ALLOWED)
    return view


async def names_of(api: NodeApi, permit: Permit, view: OperationView) -> tuple[str, ...]:
    """What the grants may call the vault of an operation: its id and its name; only what is for every vault covers an
    operation without one."""
    if view.vault is None:
        return ("",)
    named = (each.name for each in await api.vaults(permit.caller()) if each.id == view.vault)
    return (view.vault, *named)


async def shown(api: NodeApi, permit: Permit, view: OperationView) -> types_pb2.Operation:
    """An operation as this caller may see it: who may not sign with its vault gets no signature of it."""
    signed = any(grant.everywhere for grant in permit.signing)
    if not signed and view.signatures and permit.signing:
        signed = permit.shows_signatures(*await names_of(api, permit, view))
    return operation_to_pb(view, signatures=signed)


async def _covered(api: NodeApi, permit: Permit) -> Sequence[VaultView]:
    views = await api.vaults(permit.caller())
    return [view for view in views if permit.covers(view.id, view.name)]
