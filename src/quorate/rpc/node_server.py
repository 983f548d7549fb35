"""The client port and the Unix socket: the same services, with a different gate in front."""

from __future__ import annotations

import contextlib
import os
import socket as sockets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from quorate.ceremony.node_api import NodeApi
from quorate.ceremony.views import Cause
from quorate.errors import UsageError
from quorate.rpc import client_certificates, options
from quorate.rpc._pb import admin_pb2, node_pb2
from quorate.rpc.admin import AdminServant
from quorate.rpc.auth import ClientGate, Gate, LocalGate, Logins
from quorate.rpc.findings import Examiner
from quorate.rpc.limits import Limits, RateLimited
from quorate.rpc.node_services import ApprovalServant, OperationServant, SigningServant, VaultServant
from quorate.rpc.policy_service import PolicyServant
from quorate.rpc.reception import Attendance, Reception
from quorate.rpc.registry import Registry
from quorate.rpc.services import handlers, refuse
from quorate.rpc.tls import TlsIdentity
from quorate.rpc.upkeep import Upkeep

LONGEST_SOCKET_PATH = 103  # bytes: sun_path of the strictest common system, less its NUL
CALLS_AT_ONCE = 2000

SERVICES: dict[str, ServiceDescriptor] = {
    **node_pb2.DESCRIPTOR.services_by_name,
    **admin_pb2.DESCRIPTOR.services_by_name,
}


class NodeServer:
    """Serves clients on ``address`` (host:port; port 0 for any free one) with TLS, and the owner on ``socket``."""

    def __init__(
        self,
        api: NodeApi,
        tls: TlsIdentity,
        address: str,
        *,
        socket: Path,
        logins: Logins,
        registry: Registry,
        examiner: Examiner,
        causes: Callable[[], Sequence[Cause]],
        upkeep: Upkeep,
        certificate_address: str = "",
        limits: Limits | None = None,
        refused: Callable[[str], None] = lambda _: None,
        warnings: Callable[[], Sequence[Cause]] = tuple,
    ) -> None:
        """``certificate_address``: where clients that have a certificate come, if there is to be such a port; from
        ``start`` on ``certificate_port`` is its port. ``causes``: why the node or a vault is not ready at this moment;
        ``warnings``: what else somebody should look at.
        ``refused`` hears the reason of every call on the client port that got no further than the door. What health
        says is set from outside."""
        self._tls = self._shown = tls
        self._address, self._certificate_address = address, certificate_address
        self.certificate_port = 0
        self._socket = socket
        self._gate = ClientGate(logins, limits)
        self._attendance = Attendance()
        self._refused = refused
        self._servants = {
            "VaultService": VaultServant(api),
            "SigningService": SigningServant(api),
            "OperationService": OperationServant(api),
            "ApprovalService": ApprovalServant(api),
            "PolicyService": PolicyServant(api),
            "AdminService": AdminServant(
                api, registry, examiner, self._client_changed, causes, upkeep, warnings
            ),
        }
        self._health: Any = health.aio.HealthServicer()  # type: ignore[attr-defined]  # not in its stubs
        self._servers: list[grpc.aio.Server] = []

    async def start(self) -> int:
        """The client port it listens on. ``UsageError`` if the address or the socket cannot be had."""
        await self._gate.refresh()
        remote, local = self._server(self._gate, self._refused), self._server(LocalGate(), lambda _: None)
        # Without credentials one may ask for health once, not keep streams open for it.
        remote.add_generic_rpc_handlers((self._health_check(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, local)
        names = [service.full_name for service in SERVICES.values()]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], local)
        credentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._reconfigured),  # None: unchanged
        )
        port = _listen(remote, self._address, credentials)
        if self._certificate_address:
            mutual = client_certificates.credentials(lambda: self._tls, lambda: self._gate.certificates_pem)
            self.certificate_port = _listen(remote, self._certificate_address, mutual)
        self._listen_locally(local)
        for server in (remote, local):
            self._servers.append(server)
            await server.start()
        return port

    async def stop(self, grace: float = 0.0) -> None:
        """Say so, take nothing new, give calls ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        for server in self._servers:
            await server.stop(grace)
        self._servers.clear()
        self._socket.unlink(missing_ok=True)

    @property
    def certificate_pem(self) -> str:
        """What the client port shows."""
        return self._tls.certificate_pem

    def limit(self, limits: Limits) -> None:
        """What the client port takes from now on. From any thread."""
        self._gate.limit(limits)

    def renew(self, tls: TlsIdentity) -> None:
        """Show another certificate from the next connection on. From any thread."""
        self._tls = tls

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        shown = self._shown = self._tls
        return grpc.ssl_server_certificate_configuration(
            [(shown.private_key_pem, shown.certificate_pem.encode())]
        )

    def _reconfigured(self) -> grpc.ServerCertificateConfiguration | None:
        return self._configuration() if self._shown is not self._tls else None

    async def set_serving(self, service: str, serving: bool) -> None:
        """What the gRPC health service says of ``service`` ("" is the whole node)."""
        response = health_pb2.HealthCheckResponse
        await self._health.set(service, response.SERVING if serving else response.NOT_SERVING)

    async def _client_changed(self, client: str) -> None:
        self._gate.forget(client)
        await self._gate.refresh()
        self._attendance.dismiss(client)

    def _server(self, gate: Gate, refused: Callable[[str], None]) -> grpc.aio.Server:
        reception = Reception(gate, self._attendance)
        server = grpc.aio.server(options=options.node_server(), maximum_concurrent_rpcs=CALLS_AT_ONCE)
        server.add_generic_rpc_handlers(
            tuple(
                handlers(SERVICES[name], servant, reception, refused)
                for name, servant in self._servants.items()
            )
        )
        return server

    def _health_check(self) -> grpc.GenericRpcHandler[Any, Any]:
        async def answer(
            request: health_pb2.HealthCheckRequest, context: Any
        ) -> health_pb2.HealthCheckResponse:
            try:
                self._gate.admit_stranger(context.peer())
            except RateLimited as error:
                self._refused(error.code)
                await refuse(context, error)
            checked: health_pb2.HealthCheckResponse = await self._health.Check(request, context)
            return checked

        check = grpc.unary_unary_rpc_method_handler(
            answer,
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(health.SERVICE_NAME, {"Check": check})

    def _listen_locally(self, server: grpc.aio.Server) -> None:
        path = self._socket.absolute()
        if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
            raise UsageError(f"{path} is too long for a Unix socket: choose a shorter home")
        if _answers(path):
            raise UsageError(f"another node answers on {path}: is this home in use?")
        path.unlink(missing_ok=True)
        try:
            with _private_files():
                server.add_insecure_port(f"unix:{path}")
            path.chmod(0o600)
        except (RuntimeError, OSError) as error:
            raise UsageError(f"cannot listen on {path}: {error}") from error


def _listen(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    try:
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise UsageError(f"cannot listen for clients on {address}: is it taken?") from error


def _answers(path: Path) -> bool:
    with sockets.socket(sockets.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    """What is made in here is its owner's only, from its first moment."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
