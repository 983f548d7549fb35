"""The Python client of a node: what ``NodeApi`` offers, from outside, in the same views.

    async with NodeClient.local(home) as node:          # the Unix socket of a node on this machine
        status = await node.status()
    async with NodeClient.remote(Credentials.load(path)) as node:
        operation = await node.sign(vault="ops", data=["hello"], ...)

Every failure is a ``RemoteError`` with the node's reason code; ``UNREACHABLE`` if no node answered.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc

from quorate.ceremony.audit import AuditVerdict
from quorate.ceremony.chronicle import History
from quorate.ceremony.identity import read_card
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import Decided, Peer
from quorate.ceremony.views import AskedView, NodeStatus, OperationView, SignatureView, VaultView
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.rpc import failures, options
from quorate.rpc._pb import admin_pb2, admin_pb2_grpc, node_pb2, node_pb2_grpc
from quorate.rpc.convert import (
    PURPOSES,
    VERDICTS,
    access_from_pb,
    asked_from_pb,
    backup_from_pb,
    certificates_from_pb,
    client_from_pb,
    decided_from_pb,
    examination_from_pb,
    finding_from_pb,
    grant_to_pb,
    operation_from_pb,
    signature_from_pb,
    status_from_pb,
    vault_from_pb,
    verdict_from_pb,
)
from quorate.rpc.credentials import Credentials, credentials_of
from quorate.rpc.failures import RemoteError
from quorate.rpc.findings import Examination, Finding
from quorate.rpc.policy_client import PolicyCalls, representable
from quorate.rpc.tls import server_name_of
from quorate.rpc.upkeep import AuditPage, BackupFile, Certificates, Reloaded
from quorate.storage.clients import Client, Grant

SOCKET_NAME = "quorate.sock"
CLIENT_KEY = "quorate-client"
SECRET_KEY = "quorate-secret"  # noqa: S105 - the name of the metadata, not a secret
MAX_WAIT = 60.0  # seconds, of one call
CALL_TIMEOUT = 30.0  # seconds
MAKING_BACKUPS = 600.0  # seconds: a passphrase takes one for each vault
EXAMINATION_TIMEOUT = 90.0  # seconds
PAGE = 1000  # operations of one call
AUDIT_PAGE = 200  # records of one call
AUDIT_TIMEOUT = 3600.0  # seconds: a long chain takes a while
GRACE = 10.0  # seconds that an answer may take beyond the wait asked for

A = TypeVar("A")


class NodeClient(PolicyCalls):
    """One connection to one node. Use it as an async context manager, or close it."""

    def __init__(
        self, channel: grpc.aio.Channel, *, where: str, metadata: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._channel = channel
        self._where = where
        self._metadata = metadata
        self._vaults = node_pb2_grpc.VaultServiceStub(channel)
        self._signing = node_pb2_grpc.SigningServiceStub(channel)
        self._operations = node_pb2_grpc.OperationServiceStub(channel)
        self._policies = node_pb2_grpc.PolicyServiceStub(channel)
        self._approvals = node_pb2_grpc.ApprovalServiceStub(channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(channel)

    @classmethod
    def local(cls, home: Path) -> Self:
        """The node whose home this is, over its Unix socket, as its owner, "local"."""
        path = home / SOCKET_NAME
        if not path.exists():
            raise RemoteError(
                failures.UNREACHABLE,
                f"no node is running on {home} ({path} is not there); start it with `quorate run`",
            )
        channel = grpc.aio.insecure_channel(f"unix:{path.absolute()}", options=options.client_channel(None))
        return cls(channel, where=str(path))

    @classmethod
    def remote(cls, credentials: Credentials) -> Self:
        """The node at the credentials' endpoint, which must show a certificate of the authority in them."""
        if credentials.certificate_pem and not credentials.private_key_pem:
            raise UsageError(f"the credentials of {credentials.client_id} have a certificate and not its key")
        tls = grpc.ssl_channel_credentials(
            root_certificates=credentials.ca_pem.encode(),
            private_key=credentials.private_key_pem.encode() or None,
            certificate_chain=credentials.certificate_pem.encode() or None,
        )
        arguments = options.client_channel(server_name_of(credentials.ca_pem))
        named = ((CLIENT_KEY, credentials.client_id), (SECRET_KEY, credentials.secret))
        return cls(
            grpc.aio.secure_channel(options.target(credentials.endpoint), tls, options=arguments),
            where=credentials.endpoint,
            metadata=named if credentials.secret else (),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close(None)

    async def create_vault(
        self,
        *,
        name: str,
        weights: Mapping[str, int] | Sequence[tuple[str, int]],
        threshold: int,
        allow_sole_signer: bool = False,
        memo: str = "",
        idempotency_key: str,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        """``weights``: a peer's name or device id to its weight; the node refuses one that is named twice."""
        pairs = weights.items() if isinstance(weights, Mapping) else weights
        with representable():
            request = node_pb2.CreateVaultRequest(
                name=name,
                seats=[node_pb2.Seat(signer=signer, weight=weight) for signer, weight in pairs],
                threshold=threshold,
                allow_sole_signer=allow_sole_signer,
                memo=memo,
                idempotency_key=idempotency_key,
                expires_in_ms=expires_in_ms,
            )
        return operation_from_pb(await self._call(self._vaults.CreateVault, request))

    async def sign(
        self,
        *,
        vault: str,
        data: Sequence[str],
        batch: bool = False,
        content_type: str,
        algorithm: str,
        derivation_path: str = "",
        idempotency_key: str,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        """``data`` has exactly one item unless ``batch``."""
        if not batch and len(data) != 1:
            raise UsageError(f"sign takes exactly one payload, not {len(data)}; use batch-sign for more")
        common: dict[str, Any] = {
            "vault": vault,
            "content_type": content_type,
            "algorithm": algorithm,
            "derivation_path": derivation_path,
            "idempotency_key": idempotency_key,
            "expires_in_ms": expires_in_ms,
        }
        with representable():
            if batch:
                many = node_pb2.BatchSignRequest(data=data, **common)
            else:
                one = node_pb2.SignRequest(data=data[0], **common)
        if batch:
            return operation_from_pb(await self._call(self._signing.BatchSign, many))
        return operation_from_pb(await self._call(self._signing.Sign, one))

    async def sign_transaction(
        self,
        *,
        vault: str,
        purpose: str,
        data: str,
        content_type: str = "application/octet-stream+hex",
        derivation_path: str = "",
        asset: str = "",
        amount: str = "",
        address: str = "",
        to_vault: str = "",
        memo: str = "",
        idempotency_key: str,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        """``purpose``: such as ``transfer-out`` or ``contract-call``. ``asset``, ``amount`` in base units, ``address``
        and ``to_vault`` are claims: the nodes refuse the transaction if it does something else."""
        if purpose not in PURPOSES:
            raise UsageError(f"{purpose} is not one of {', '.join(PURPOSES)}")
        with representable():
            request = node_pb2.SignTransactionRequest(
                vault=vault,
                purpose=PURPOSES[purpose],
                data=data,
                content_type=content_type,
                derivation_path=derivation_path,
                claim=node_pb2.Claim(asset=asset, amount=amount, address=address, vault=to_vault),
                memo=memo,
                idempotency_key=idempotency_key,
                expires_in_ms=expires_in_ms,
            )
        return operation_from_pb(await self._call(self._signing.SignTransaction, request))

    async def pair_reset(
        self,
        *,
        vault: str,
        peer: str,
        memo: str = "",
        idempotency_key: str,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        """``peer``: name or device id of another signer of the vault than the node."""
        with representable():
            request = node_pb2.PairResetRequest(
                vault=vault,
                peer=peer,
                memo=memo,
                idempotency_key=idempotency_key,
                expires_in_ms=expires_in_ms,
            )
        return operation_from_pb(await self._call(self._vaults.PairReset, request))

    async def reshare(
        self,
        *,
        vault: str,
        weights: Mapping[str, int] | Sequence[tuple[str, int]] = (),
        removed: Sequence[str] = (),
        threshold: int | None = None,
        allow_sole_signer: bool = False,
        memo: str = "",
        idempotency_key: str,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        """The present signers with ``weights`` set and ``removed`` left out; with no change, new shares to the same."""
        pairs = weights.items() if isinstance(weights, Mapping) else weights
        with representable():
            request = node_pb2.ReshareRequest(
                vault=vault,
                seats=[node_pb2.Seat(signer=signer, weight=weight) for signer, weight in pairs],
                remove=removed,
                threshold=threshold,
                allow_sole_signer=allow_sole_signer,
                memo=memo,
                idempotency_key=idempotency_key,
                expires_in_ms=expires_in_ms,
            )
        return operation_from_pb(await self._call(self._vaults.Reshare, request))

    async def history(self, vault: str) -> History:
        """The certificates of a vault's epochs."""
        answer = await self._call(self._vaults.GetHistory, node_pb2.GetHistoryRequest(vault=vault))
        return History(certificates=tuple(answer.certificates), forks=tuple(answer.forks))

    async def erase_earlier(self, vault: str) -> VaultView:
        """Go on without the acknowledgements that are missing, and erase the epochs before the present one."""
        request = node_pb2.EraseEarlierRequest(vault=vault)
        return vault_from_pb(await self._call(self._vaults.EraseEarlier, request))

    async def release_vault(self, vault: str, without: Sequence[str] = ()) -> VaultView:
        """Have the node take part in a vault again without the word of these members."""
        request = node_pb2.ReleaseVaultRequest(vault=vault, without=without)
        return vault_from_pb(await self._call(self._vaults.ReleaseVault, request))

    async def signatures(self, operation: str) -> tuple[SignatureView, ...]:
        """Of a completed operation; ``RemoteError`` NOT_COMPLETED before that."""
        request = node_pb2.GetSignatureRequest(operation=operation)
        answer = await self._call(self._signing.GetSignature, request)
        return tuple(signature_from_pb(each) for each in answer.signatures)

    async def operation(self, operation: str) -> OperationView:
        request = node_pb2.GetOperationRequest(operation=operation)
        return operation_from_pb(await self._call(self._operations.GetOperation, request))

    async def wait(self, operation: str, timeout: float) -> OperationView:
        """The operation once it is in a final state, or as it is after ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        while True:
            left = max(ends - loop.time(), 0.0)
            step = min(left, MAX_WAIT)
            request = node_pb2.WaitOperationRequest(operation=operation, timeout_ms=int(step * 1000))
            view = operation_from_pb(
                await self._call(self._operations.WaitOperation, request, allow=step + GRACE)
            )
            if view.state in FINAL or step == left:
                return view

    async def operations(self, *, limit: int = 100) -> tuple[OperationView, ...]:
        """The newest ``limit``, newest first, without their signatures; fewer where not all are ours to see."""
        return await self._listed(limit, self._operations.ListOperations, node_pb2.ListOperationsRequest)

    async def watch(
        self, *, operation: str = "", vault: str = "", every: bool = False
    ) -> AsyncIterator[OperationView]:
        """One operation after every change until it ends; or those of a vault, or every one, for as long as asked."""
        request = node_pb2.WatchOperationsRequest()
        if operation:
            request.operation = operation
        elif vault:
            request.vault = vault
        else:
            request.all = every
        try:
            async for each in self._operations.WatchOperations(request, metadata=self._metadata):
                yield operation_from_pb(each)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error, 0) from error

    async def cancel(self, operation: str) -> OperationView:
        """End an operation that the node proposed."""
        request = node_pb2.CancelOperationRequest(operation=operation)
        return operation_from_pb(await self._call(self._operations.CancelOperation, request))

    async def asked(self, operation: str) -> AskedView:
        """Exactly what the node's approver was asked; ``RemoteError`` NOT_ASKED if it was not."""
        request = node_pb2.GetApprovalRequestRequest(operation=operation)
        return asked_from_pb(await self._call(self._operations.GetApprovalRequest, request))

    async def receipt(self, operation: str) -> str:
        """The receipt of a signature, as JSON; ``RemoteError`` NO_RECEIPT where the node has none. Believe what
        ``ceremony.receipts.verify`` lets pass."""
        request = node_pb2.GetReceiptRequest(operation=operation)
        answer = await self._call(self._operations.GetReceipt, request)
        receipt: str = answer.receipt
        return receipt

    async def pending(self, *, limit: int = 100) -> tuple[OperationView, ...]:
        """What waits for a person's decision at the node, longest first."""
        return await self._listed(limit, self._approvals.ListPending, node_pb2.ListPendingRequest)

    async def decide(self, operation: str, *, digest: bytes, verdict: str, reason: str = "") -> OperationView:
        """``verdict``: approve, reject or abstain; ``digest``: of the request that was looked at."""
        with representable():
            request = node_pb2.DecideRequest(
                operation=operation, digest=digest, verdict=VERDICTS[verdict], reason=reason
            )
        return operation_from_pb(await self._call(self._approvals.Decide, request))

    async def _listed(
        self, limit: int, method: Callable[..., Awaitable[Any]], page: Callable[..., object]
    ) -> tuple[OperationView, ...]:
        views: list[OperationView] = []
        after, left = "", limit
        while left > 0:
            size = min(left, PAGE)
            answer = await self._call(method, page(limit=size, after=after))
            views += (operation_from_pb(each) for each in answer.operations)
            after, left = answer.next, left - size
            if not after:
                break
        return tuple(views)

    async def vaults(self) -> tuple[VaultView, ...]:
        answer = await self._call(self._vaults.ListVaults, node_pb2.ListVaultsRequest())
        return tuple(vault_from_pb(each) for each in answer.vaults)

    async def vault(self, vault: str) -> VaultView:
        return vault_from_pb(await self._call(self._vaults.GetVault, node_pb2.GetVaultRequest(vault=vault)))

    async def status(self) -> NodeStatus:
        return status_from_pb(await self._call(self._admin.GetStatus, admin_pb2.GetStatusRequest()))

    async def peers(self) -> tuple[Peer, ...]:
        """Every device card the node trusts, its own first."""
        answer = await self._call(self._admin.ListPeers, admin_pb2.ListPeersRequest())
        return tuple(read_card(card) for card in answer.cards)

    async def add_peer(self, card: str) -> Peer:
        """Have the node trust a device card, whose fingerprint somebody has compared."""
        answer = await self._call(self._admin.AddPeer, admin_pb2.AddPeerRequest(card=card))
        return read_card(answer.card)

    async def remove_peer(self, device: str) -> Peer:
        """Have the node trust a peer no more, which is a signer of no vault there."""
        answer = await self._call(self._admin.RemovePeer, admin_pb2.RemovePeerRequest(device=device))
        return read_card(answer.card)

    async def try_approver(self) -> tuple[Finding, ...]:
        """What the node's approver says to a sample of every kind of request."""
        request = admin_pb2.TryApproverRequest()
        answer = await self._call(self._admin.TryApprover, request, allow=EXAMINATION_TIMEOUT)
        return tuple(finding_from_pb(each) for each in answer.findings)

    async def decided(self, *, since_ms: int) -> AsyncIterator[Decided]:
        """What the node's approver decided on which effect from then on, in that order."""
        after = 0
        while True:
            request = admin_pb2.ListDecisionsRequest(since_ms=since_ms, after=after, limit=PAGE)
            answer = await self._call(self._admin.ListDecisions, request)
            for each in answer.decisions:
                yield decided_from_pb(each)
            if len(answer.decisions) < PAGE:
                return
            after = answer.decisions[-1].number

    async def examine(self) -> Examination:
        """The machine, the store, the approver, the peers and the vaults of the node, looked at one by one."""
        request = admin_pb2.ExamineRequest()
        answer = await self._call(self._admin.Examine, request, allow=EXAMINATION_TIMEOUT)
        return examination_from_pb(answer)

    async def clients(self) -> tuple[Client, ...]:
        answer = await self._call(self._admin.ListClients, admin_pb2.ListClientsRequest())
        return tuple(client_from_pb(each) for each in answer.clients)

    async def add_client(
        self,
        client: str,
        grants: Sequence[Grant],
        *,
        certificate_pem: str = "",
        idempotency_key: str | None = None,
    ) -> Credentials:
        """A new caller's credentials: the secret is in them and nowhere else. With its own certificate it has none,
        and its key is for it to add."""
        with representable():
            request = admin_pb2.AddClientRequest(
                id=client,
                grants=map(grant_to_pb, grants),
                certificate_pem=certificate_pem,
                idempotency_key=uuid.uuid4().hex if idempotency_key is None else idempotency_key,
            )
        answer = await self._call(self._admin.AddClient, request)
        return credentials_of(client, access_from_pb(answer), certificate_pem)

    async def rotate_client(
        self,
        client: str,
        *,
        certificate_pem: str = "",
        overlap_ms: int = 0,
        idempotency_key: str | None = None,
    ) -> Credentials:
        """Other credentials for a caller; those it has are good for ``overlap_ms`` more."""
        with representable():
            request = admin_pb2.RotateClientRequest(
                id=client,
                certificate_pem=certificate_pem,
                overlap_ms=overlap_ms,
                idempotency_key=uuid.uuid4().hex if idempotency_key is None else idempotency_key,
            )
        answer = await self._call(self._admin.RotateClient, request)
        return credentials_of(client, access_from_pb(answer), certificate_pem)

    async def revoke_client(self, client: str) -> None:
        await self._call(self._admin.RevokeClient, admin_pb2.RevokeClientRequest(id=client))

    async def certificates(self) -> Certificates:
        """The certificate on the node's card, those before it that it still shows, and who awaits what."""
        request = admin_pb2.GetCertificatesRequest()
        return certificates_from_pb(await self._call(self._admin.GetCertificates, request))

    async def rotate_certificate(self, *, at_once: bool = False) -> Certificates:
        """New certificates; the earlier one is shown for an overlap to peers that do not know it yet, unless
        ``at_once``."""
        rev = (await self.certificates()).me.rev
        request = admin_pb2.RotateCertificateRequest(rev=rev, at_once=at_once)
        return certificates_from_pb(await self._call(self._admin.RotateCertificate, request))

    async def set_address(self, address: str, *, device: str = "") -> Peer:
        """Another address (host:port) of the node, or of where it reaches a peer (name or id)."""
        request = admin_pb2.SetAddressRequest(device=device, address=address)
        answer = await self._call(self._admin.SetAddress, request)
        return replace(read_card(answer.card), address=answer.address)

    async def reload(self) -> Reloaded:
        """Have the node read its quorate.toml again."""
        answer = await self._call(self._admin.Reload, admin_pb2.ReloadRequest())
        return Reloaded(changed=tuple(answer.changed), restart=tuple(answer.restart_needed))

    async def seal(self) -> None:
        """Have the node forget its key and its shares, and take part in nothing."""
        await self._call(self._admin.Seal, admin_pb2.SealRequest())

    async def unseal(self, passphrase: bytes = b"") -> None:
        """Have it go on, by the key it is configured with or by this passphrase."""
        await self._call(self._admin.Unseal, admin_pb2.UnsealRequest(passphrase=passphrase))

    async def create_backups(self, vault: str = "", *, anew: bool = False) -> Sequence[BackupFile]:
        """Have the node put a sealed copy of its shares of this vault (id or name), or of each, into its folder."""
        request = admin_pb2.CreateBackupsRequest(vault=vault, anew=anew)
        answer = await self._call(self._admin.CreateBackups, request, allow=MAKING_BACKUPS)
        return tuple(map(backup_from_pb, answer.files))

    async def backups(self) -> Sequence[BackupFile]:
        answer = await self._call(self._admin.ListBackups, admin_pb2.ListBackupsRequest())
        return tuple(map(backup_from_pb, answer.files))

    async def audit(self, *, after: int = 0, limit: int = AUDIT_PAGE) -> AuditPage:
        """Records above the number ``after``, and the signed head."""
        request = admin_pb2.ListAuditRequest(after=after, limit=limit)
        answer = await self._call(self._admin.ListAudit, request)
        return AuditPage(device=DeviceId(answer.device), records=tuple(answer.records), head=answer.head)

    async def examine_audit(self) -> AuditVerdict:
        request = admin_pb2.ExamineAuditRequest()
        return verdict_from_pb(await self._call(self._admin.ExamineAudit, request, allow=AUDIT_TIMEOUT))

    async def _call(
        self, method: Callable[..., Awaitable[A]], request: object, *, allow: float = CALL_TIMEOUT
    ) -> A:
        try:
            return await method(request, timeout=allow, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self._failure(error, allow) from error

    def _failure(self, error: grpc.aio.AioRpcError, allow: float) -> RemoteError:
        info = failures.info_of(error)
        if info is not None:
            peer = info.metadata.get("peer")
            return RemoteError(
                info.reason,
                error.details() or info.reason,
                DeviceId(peer) if peer else None,
                retry_after=failures.retry_after_of(error),
            )
        details = error.details() or error.code().name
        match error.code():
            case grpc.StatusCode.UNAVAILABLE if failures.is_stranger(details):
                return RemoteError(
                    failures.WRONG_CERTIFICATE,
                    f"what answers at {self._where} does not hold the certificate in the credentials file",
                )
            case grpc.StatusCode.UNAVAILABLE:
                return RemoteError(
                    failures.UNREACHABLE, f"no node answers at {self._where}; is it running? ({details})"
                )
            case grpc.StatusCode.CANCELLED:  # not by us: that raises another error
                return RemoteError(failures.UNREACHABLE, f"{self._where} broke the call off; is it stopping?")
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return RemoteError(failures.TIMEOUT, f"{self._where} did not answer within {allow:g} s")
            case grpc.StatusCode.CANCELLED:  # not by us: that would not come here
                return RemoteError(failures.UNREACHABLE, f"{self._where} ended the call; is it stopping?")
            case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" not in details:
                return RemoteError(failures.BUSY, f"{self._where} has too much to do: {details}")
            case grpc.StatusCode.RESOURCE_EXHAUSTED:
                return RemoteError(failures.TOO_LARGE, f"over a size limit of {self._where}: {details}")
            case code:
                return RemoteError(failures.REFUSED, f"{self._where}: {code.name}: {details}")
