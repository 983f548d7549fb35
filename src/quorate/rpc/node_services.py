"""The services of node.proto in front of a ``NodeApi``, each client kept to its vaults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from quorate.ceremony.node_api import NodeApi
from quorate.ceremony.ports import Caller, OperationView, State, Verdict
from quorate.errors import UsageError
from quorate.identifiers import VaultId
from quorate.rpc import failures
from quorate.rpc._pb import node_pb2, types_pb2
from quorate.rpc.convert import asked_to_pb, operation_to_pb, signature_to_pb, vault_to_pb
from quorate.rpc.services import to_the_end
from quorate.storage.clients import EVERY, Client

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

    async def create_vault(self, client: Client, request: node_pb2.CreateVaultRequest) -> types_pb2.Operation:
        weights = {seat.signer: seat.weight for seat in request.seats}
        if len(weights) != len(request.seats):
            named = [seat.signer for seat in request.seats]
            twice = sorted({signer for signer in named if named.count(signer) > 1})
            raise UsageError(f"named twice: {', '.join(twice)}", code="DUPLICATE_SIGNER")
        work = self._api.create_vault(
            caller_of(client),
            name=request.name,
            weights=weights,
            threshold=request.threshold,
            allow_sole_signer=request.allow_sole_signer,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))

    async def get_vault(self, client: Client, request: node_pb2.GetVaultRequest) -> types_pb2.Vault:
        view = await self._api.vault(caller_of(client), request.vault)
        if not client.may_use(view.id, view.name):
            raise _not_its_vault(client, request.vault)
        return vault_to_pb(view)

    async def list_vaults(self, client: Client, _: node_pb2.ListVaultsRequest) -> node_pb2.ListVaultsResponse:
        views = await self._api.vaults(caller_of(client))
        permitted = [vault_to_pb(view) for view in views if client.may_use(view.id, view.name)]
        return node_pb2.ListVaultsResponse(vaults=permitted)

    async def pair_reset(self, client: Client, request: node_pb2.PairResetRequest) -> types_pb2.Operation:
        work = self._api.pair_reset(
            caller_of(client),
            vault=await permitted_vault(self._api, client, request.vault),
            peer=request.peer,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))


class SigningServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def sign(self, client: Client, request: node_pb2.SignRequest) -> types_pb2.Operation:
        return await self._sign(client, request, [request.data], batch=False)

    async def batch_sign(self, client: Client, request: node_pb2.BatchSignRequest) -> types_pb2.Operation:
        return await self._sign(client, request, list(request.data), batch=True)

    async def get_signature(
        self, client: Client, request: node_pb2.GetSignatureRequest
    ) -> node_pb2.GetSignatureResponse:
        view = await operation_for(self._api, client, request.operation)
        if view.state is not State.COMPLETED:
            raise UsageError(f"operation {view.id} is {view.state}", code=failures.NOT_COMPLETED)
        return node_pb2.GetSignatureResponse(signatures=[signature_to_pb(each) for each in view.signatures])

    async def _sign(
        self,
        client: Client,
        request: node_pb2.SignRequest | node_pb2.BatchSignRequest,
        data: list[str],
        *,
        batch: bool,
    ) -> types_pb2.Operation:
        work = self._api.sign(
            caller_of(client),
            vault=await permitted_vault(self._api, client, request.vault),
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
        self, client: Client, request: node_pb2.GetOperationRequest
    ) -> types_pb2.Operation:
        return operation_to_pb(await operation_for(self._api, client, request.operation))

    async def list_operations(
        self, client: Client, request: node_pb2.ListOperationsRequest
    ) -> node_pb2.ListOperationsResponse:
        views, more = await self._api.operations(
            caller_of(client), limit=_page(request.limit), after=request.after
        )
        permitted = await vaults_of(self._api, client)
        return node_pb2.ListOperationsResponse(
            operations=[
                operation_to_pb(view, signatures=False)
                for view in views
                if permitted is None or view.vault in permitted
            ],
            next=more,
        )

    async def wait_operation(
        self, client: Client, request: node_pb2.WaitOperationRequest
    ) -> types_pb2.Operation:
        if request.timeout_ms > LONGEST_WAIT_MS:
            raise UsageError(f"one call waits at most {LONGEST_WAIT_MS} ms, not {request.timeout_ms}")
        await operation_for(self._api, client, request.operation)
        view = await self._api.wait(caller_of(client), request.operation, request.timeout_ms / 1000)
        return operation_to_pb(view)

    async def watch_operations(
        self, client: Client, request: node_pb2.WatchOperationsRequest
    ) -> AsyncIterator[types_pb2.Operation]:
        caller, vault, what = caller_of(client), "", request.WhichOneof("what")
        if what == "operation":
            await operation_for(self._api, client, request.operation)
        elif what == "vault":
            vault = await permitted_vault(self._api, client, request.vault)
        elif not request.all:
            raise UsageError("watch an operation, a vault or all")
        async for view in self._api.watch(caller, operation=request.operation, vault=vault):
            if what == "all":
                permitted = await vaults_of(self._api, client)
                if permitted is not None and view.vault not in permitted:
                    continue
            yield operation_to_pb(view)

    async def cancel_operation(
        self, client: Client, request: node_pb2.CancelOperationRequest
    ) -> types_pb2.Operation:
        await operation_for(self._api, client, request.operation)
        return operation_to_pb(await to_the_end(self._api.cancel(caller_of(client), request.operation)))

    async def get_approval_request(
        self, client: Client, request: node_pb2.GetApprovalRequestRequest
    ) -> node_pb2.ApprovalRequest:
        await operation_for(self._api, client, request.operation)
        return asked_to_pb(await self._api.asked(caller_of(client), request.operation))


class ApprovalServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def list_pending(
        self, client: Client, request: node_pb2.ListPendingRequest
    ) -> node_pb2.ListPendingResponse:
        views, more = await self._api.pending(
            caller_of(client), limit=_page(request.limit), after=request.after
        )
        permitted = await vaults_of(self._api, client)
        return node_pb2.ListPendingResponse(
            operations=[
                operation_to_pb(view, signatures=False)
                for view in views
                if permitted is None or view.vault in permitted
            ],
            next=more,
        )

    async def decide(self, client: Client, request: node_pb2.DecideRequest) -> types_pb2.Operation:
        await operation_for(self._api, client, request.operation)
        if request.verdict not in DECISIONS:
            raise UsageError("a decision is to approve, to reject or to abstain")
        if len(request.reason) > LONGEST_REASON:
            raise UsageError(f"a reason has at most {LONGEST_REASON} characters")
        work = self._api.decide(
            caller_of(client),
            operation=request.operation,
            digest=request.digest,
            verdict=DECISIONS[request.verdict],
            reason=request.reason,
        )
        return operation_to_pb(await to_the_end(work))


def _page(limit: int) -> int:
    return min(limit or LIST_DEFAULT, LIST_LIMIT)


def caller_of(client: Client) -> Caller:
    return Caller(client=client.id, role=client.role)


async def vaults_of(api: NodeApi, client: Client) -> frozenset[VaultId] | None:
    """The vaults a client may use; None for every one, those that are not there yet too."""
    if EVERY in client.vaults:
        return None
    views = await api.vaults(caller_of(client))
    return frozenset(view.id for view in views if client.may_use(view.id, view.name))


async def permitted_vault(api: NodeApi, client: Client, vault: str) -> str:
    """The vault a client names, by the id that it was permitted under: what was permitted is what is used."""
    if EVERY in client.vaults:
        return vault
    view = await api.vault(caller_of(client), vault)
    if not client.may_use(view.id, view.name):
        raise _not_its_vault(client, vault)
    return view.id


async def operation_for(api: NodeApi, client: Client, operation: str) -> OperationView:
    """The operation, if it is on a vault of the client's."""
    view = await api.operation(caller_of(client), operation)
    permitted = await vaults_of(api, client)
    if permitted is not None and view.vault not in permitted:
        raise UsageError(f"{client.id} may not see operation {operation}", code=failures.NOT_ALLOWED)
    return view


def _not_its_vault(client: Client, vault: str) -> UsageError:
    return UsageError(f"{client.id} may not use vault {vault}", code=failures.NOT_ALLOWED)
