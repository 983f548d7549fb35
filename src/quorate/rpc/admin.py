"""AdminService: the node itself, and whom it trusts and serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from quorate.ceremony.node_api import NodeApi
from quorate.ceremony.views import Cause
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.rpc._pb import admin_pb2
from quorate.rpc.access import Permit, require_to_give
from quorate.rpc.convert import (
    access_to_pb,
    backup_to_pb,
    certificates_to_pb,
    client_to_pb,
    decided_to_pb,
    examination_to_pb,
    finding_to_pb,
    grant_from_pb,
    status_to_pb,
    verdict_to_pb,
)
from quorate.rpc.findings import Examiner
from quorate.rpc.registry import Registry
from quorate.rpc.services import to_the_end
from quorate.rpc.upkeep import Upkeep

LONGEST_KEY = 200  # characters
MOST_DECISIONS = 1000  # in one answer
LAST_RECORD = 2**53  # no record has a higher number
MOST_RECORDS = 200  # of the audit chain, likewise

T = TypeVar("T")


class AdminServant:
    """``changed`` hears of a client that was added, rotated or revoked before that is answered; ``causes`` says why
    the node is not ready."""

    def __init__(
        self,
        api: NodeApi,
        registry: Registry,
        examiner: Examiner,
        changed: Callable[[str], Awaitable[None]],
        causes: Callable[[], Sequence[Cause]],
        upkeep: Upkeep,
        warnings: Callable[[], Sequence[Cause]] = tuple,
    ) -> None:
        self._api = api
        self._registry = registry
        self._examiner = examiner
        self._changed = changed
        self._causes = causes
        self._upkeep = upkeep
        self._warnings = warnings

    async def get_status(self, _: Permit, __: admin_pb2.GetStatusRequest) -> admin_pb2.NodeStatus:
        status = await self._api.status()
        causes, warnings = tuple(self._causes()), tuple(self._warnings())
        return status_to_pb(replace(status, not_ready=causes, warnings=warnings))

    async def list_peers(self, _: Permit, __: admin_pb2.ListPeersRequest) -> admin_pb2.ListPeersResponse:
        peers = await asyncio.to_thread(self._registry.peers)
        return admin_pb2.ListPeersResponse(cards=[peer.card for peer in peers])

    async def add_peer(self, _: Permit, request: admin_pb2.AddPeerRequest) -> admin_pb2.AddPeerResponse:
        peer = await to_the_end(asyncio.to_thread(self._registry.add_peer, request.card))
        return admin_pb2.AddPeerResponse(card=peer.card)

    async def remove_peer(
        self, _: Permit, request: admin_pb2.RemovePeerRequest
    ) -> admin_pb2.RemovePeerResponse:
        peer = await to_the_end(asyncio.to_thread(self._registry.remove_peer, DeviceId(request.device)))
        return admin_pb2.RemovePeerResponse(card=peer.card)

    async def try_approver(
        self, _: Permit, __: admin_pb2.TryApproverRequest
    ) -> admin_pb2.TryApproverResponse:
        findings = await self._examiner.approver()
        return admin_pb2.TryApproverResponse(findings=[finding_to_pb(each) for each in findings])

    async def list_decisions(
        self, _: Permit, request: admin_pb2.ListDecisionsRequest
    ) -> admin_pb2.ListDecisionsResponse:
        if not 1 <= request.limit <= MOST_DECISIONS:
            raise UsageError(f"limit is from 1 to {MOST_DECISIONS}")
        found = await asyncio.to_thread(
            self._registry.decided, request.since_ms, after=request.after, limit=request.limit
        )
        return admin_pb2.ListDecisionsResponse(decisions=map(decided_to_pb, found))

    async def examine(self, _: Permit, __: admin_pb2.ExamineRequest) -> admin_pb2.Examination:
        return examination_to_pb(await self._examiner.node())

    async def list_clients(
        self, _: Permit, __: admin_pb2.ListClientsRequest
    ) -> admin_pb2.ListClientsResponse:
        clients = await asyncio.to_thread(self._registry.clients)
        return admin_pb2.ListClientsResponse(clients=[client_to_pb(each) for each in clients])

    async def add_client(self, permit: Permit, request: admin_pb2.AddClientRequest) -> admin_pb2.ClientAccess:
        grants = tuple(map(grant_from_pb, request.grants))
        require_to_give(permit, frozenset(grant.role for grant in grants))
        _require_key(request.idempotency_key)
        work = partial(
            self._registry.add_client,
            request.id,
            grants,
            certificate_pem=request.certificate_pem,
            idempotency_key=request.idempotency_key,
        )
        return access_to_pb(await to_the_end(self._changing(request.id, work)))

    async def rotate_client(
        self, permit: Permit, request: admin_pb2.RotateClientRequest
    ) -> admin_pb2.ClientAccess:
        held = await asyncio.to_thread(self._registry.clients)
        require_to_give(permit, {role for each in held if each.id == request.id for role in each.roles})
        _require_key(request.idempotency_key)
        work = partial(
            self._registry.rotate_client,
            request.id,
            certificate_pem=request.certificate_pem,
            overlap_ms=request.overlap_ms,
            idempotency_key=request.idempotency_key,
        )
        return access_to_pb(await to_the_end(self._changing(request.id, work)))

    async def revoke_client(
        self, _: Permit, request: admin_pb2.RevokeClientRequest
    ) -> admin_pb2.RevokeClientResponse:
        await to_the_end(self._changing(request.id, partial(self._registry.revoke_client, request.id)))
        return admin_pb2.RevokeClientResponse()

    async def get_certificates(
        self, _: Permit, __: admin_pb2.GetCertificatesRequest
    ) -> admin_pb2.Certificates:
        return certificates_to_pb(await asyncio.to_thread(self._upkeep.certificates))

    async def rotate_certificate(
        self, _: Permit, request: admin_pb2.RotateCertificateRequest
    ) -> admin_pb2.Certificates:
        rotating = asyncio.to_thread(self._upkeep.rotate, rev=request.rev, at_once=request.at_once)
        return certificates_to_pb(await to_the_end(rotating))

    async def set_address(
        self, _: Permit, request: admin_pb2.SetAddressRequest
    ) -> admin_pb2.SetAddressResponse:
        setting = asyncio.to_thread(self._upkeep.set_address, request.device, request.address)
        peer = await to_the_end(setting)
        return admin_pb2.SetAddressResponse(card=peer.card, address=peer.address)

    async def reload(self, _: Permit, __: admin_pb2.ReloadRequest) -> admin_pb2.ReloadResponse:
        done = await to_the_end(asyncio.to_thread(self._upkeep.reload))
        return admin_pb2.ReloadResponse(changed=done.changed, restart_needed=done.restart)

    async def seal(self, _: Permit, __: admin_pb2.SealRequest) -> admin_pb2.SealResponse:
        await to_the_end(self._upkeep.sealing.seal())
        return admin_pb2.SealResponse()

    async def unseal(self, _: Permit, request: admin_pb2.UnsealRequest) -> admin_pb2.UnsealResponse:
        await to_the_end(self._upkeep.sealing.unseal(request.passphrase))
        return admin_pb2.UnsealResponse()

    async def create_backups(
        self, _: Permit, request: admin_pb2.CreateBackupsRequest
    ) -> admin_pb2.CreateBackupsResponse:
        making = asyncio.to_thread(self._upkeep.create_backups, request.vault, anew=request.anew)
        return admin_pb2.CreateBackupsResponse(files=map(backup_to_pb, await to_the_end(making)))

    async def list_backups(
        self, _: Permit, __: admin_pb2.ListBackupsRequest
    ) -> admin_pb2.ListBackupsResponse:
        return admin_pb2.ListBackupsResponse(
            files=map(backup_to_pb, await asyncio.to_thread(self._upkeep.backups))
        )

    async def list_audit(self, _: Permit, request: admin_pb2.ListAuditRequest) -> admin_pb2.ListAuditResponse:
        if request.limit > MOST_RECORDS:
            raise UsageError(f"limit is from 0 to {MOST_RECORDS}")
        after = min(request.after, LAST_RECORD)
        page = await asyncio.to_thread(self._upkeep.audit, after=after, limit=request.limit)
        return admin_pb2.ListAuditResponse(records=page.records, head=page.head, device=page.device)

    async def examine_audit(self, _: Permit, __: admin_pb2.ExamineAuditRequest) -> admin_pb2.AuditVerdict:
        return verdict_to_pb(await asyncio.to_thread(self._upkeep.examine_audit))

    async def _changing(self, client: str, change: Callable[[], T]) -> T:
        try:
            made = await asyncio.to_thread(change)
        except UsageError:
            raise  # nothing was changed
        except Exception:
            await self._changed(client)
            raise
        await self._changed(client)
        return made


def _require_key(key: str) -> None:
    if not 0 < len(key) <= LONGEST_KEY:
        raise UsageError(f"an idempotency key has 1 to {LONGEST_KEY} characters, not {len(key)}")
