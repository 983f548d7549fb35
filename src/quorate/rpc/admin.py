"""AdminService: the node itself, and whom it trusts and serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from quorate.ceremony.node_api import NodeApi
from quorate.ceremony.ports import Cause
from quorate.rpc._pb import admin_pb2
from quorate.rpc.convert import client_to_pb, examination_to_pb, finding_to_pb, status_to_pb
from quorate.rpc.findings import Examiner
from quorate.rpc.registry import Registry
from quorate.rpc.services import to_the_end
from quorate.storage.clients import EVERY, Client

T = TypeVar("T")


class AdminServant:
    """``forget`` is called after every change of the clients, before it is answered; ``causes`` says why the node is
    not ready."""

    def __init__(
        self,
        api: NodeApi,
        registry: Registry,
        examiner: Examiner,
        forget: Callable[[], None],
        causes: Callable[[], Sequence[Cause]],
    ) -> None:
        self._api = api
        self._registry = registry
        self._examiner = examiner
        self._forget = forget
        self._causes = causes

    async def get_status(self, _: Client, __: admin_pb2.GetStatusRequest) -> admin_pb2.NodeStatus:
        return status_to_pb(replace(await self._api.status(), not_ready=tuple(self._causes())))

    async def list_peers(self, _: Client, __: admin_pb2.ListPeersRequest) -> admin_pb2.ListPeersResponse:
        peers = await asyncio.to_thread(self._registry.peers)
        return admin_pb2.ListPeersResponse(cards=[peer.card for peer in peers])

    async def add_peer(self, _: Client, request: admin_pb2.AddPeerRequest) -> admin_pb2.AddPeerResponse:
        peer = await to_the_end(asyncio.to_thread(self._registry.add_peer, request.card))
        return admin_pb2.AddPeerResponse(card=peer.card)

    async def try_approver(
        self, _: Client, __: admin_pb2.TryApproverRequest
    ) -> admin_pb2.TryApproverResponse:
        findings = await self._examiner.approver()
        return admin_pb2.TryApproverResponse(findings=[finding_to_pb(each) for each in findings])

    async def examine(self, _: Client, __: admin_pb2.ExamineRequest) -> admin_pb2.Examination:
        return examination_to_pb(await self._examiner.node())

    async def list_clients(
        self, _: Client, __: admin_pb2.ListClientsRequest
    ) -> admin_pb2.ListClientsResponse:
        clients = await asyncio.to_thread(self._registry.clients)
        return admin_pb2.ListClientsResponse(clients=[client_to_pb(each) for each in clients])

    async def add_client(self, _: Client, request: admin_pb2.AddClientRequest) -> admin_pb2.AddClientResponse:
        vaults = tuple(request.vaults) or (EVERY,)
        credentials = await to_the_end(
            self._changing_clients(lambda: self._registry.add_client(request.id, request.role, vaults))
        )
        return admin_pb2.AddClientResponse(
            endpoint=credentials.endpoint, secret=credentials.secret, certificate_pem=credentials.ca_pem
        )

    async def revoke_client(
        self, _: Client, request: admin_pb2.RevokeClientRequest
    ) -> admin_pb2.RevokeClientResponse:
        await to_the_end(self._changing_clients(lambda: self._registry.revoke_client(request.id)))
        return admin_pb2.RevokeClientResponse()

    async def _changing_clients(self, change: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(change)
        finally:
            self._forget()
