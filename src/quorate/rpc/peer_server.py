"""The peer port: mutual TLS by pinned certificates, and PeerService in front of a ``PeerHandler``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import structlog

from quorate.ceremony.ports import Method, PeerHandler
from quorate.errors import EncodingError, QuorateError, UsageError
from quorate.identifiers import DeviceId
from quorate.rpc import failures, options
from quorate.rpc._pb import peer_pb2
from quorate.rpc.mesh import Observer
from quorate.rpc.trust import Trust

SERVICE = peer_pb2.DESCRIPTOR.services_by_name["PeerService"].full_name
REQUESTS_PER_PEER = 64
LINKS_PER_PEER = 8  # one that is live, and those of it that died unnoticed

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]


class PeerServer:
    """Serves peers on ``address`` (host:port; port 0 for any free one)."""

    def __init__(
        self, trust: Trust, handler: PeerHandler, address: str, *, observer: Observer | None = None
    ) -> None:
        self._trust = trust
        self._handler = handler
        self._address = address
        self._observer = observer
        self._requests: Counter[DeviceId] = Counter()
        self._links: Counter[DeviceId] = Counter()
        self._running: set[asyncio.Task[bytes]] = set()
        self._live: dict[DeviceId, object] = {}
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """The port it listens on. ``UsageError`` if the address cannot be had."""
        self._server = grpc.aio.server(options=options.peer_server())
        self._server.add_generic_rpc_handlers((self._handlers(),))
        try:
            port = self._server.add_secure_port(self._address, self._trust.server_credentials())
        except RuntimeError as error:
            raise UsageError(f"cannot listen for peers on {self._address}: is it taken?") from error
        await self._server.start()
        return port

    async def stop(self, grace: float = 0.0) -> None:
        """Take nothing new, give requests ``grace`` seconds, then break the links, which never end."""
        if self._server is not None:
            await self._server.stop(grace)

    def _handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        methods: dict[str, Any] = {
            method.value: grpc.unary_unary_rpc_method_handler(
                self._unary(method), peer_pb2.Statement.FromString, peer_pb2.Statement.SerializeToString
            )
            for method in Method
        }
        methods["Link"] = grpc.stream_stream_rpc_method_handler(
            self._link, peer_pb2.Frame.FromString, peer_pb2.LinkAck.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _unary(
        self, method: Method
    ) -> Callable[[peer_pb2.Statement, Context], Awaitable[peer_pb2.Statement]]:
        async def call(statement: peer_pb2.Statement, context: Context) -> peer_pb2.Statement:
            sender = await self._sender(context)
            if self._requests[sender] >= REQUESTS_PER_PEER:
                await _refuse(context, failures.BUSY, grpc.StatusCode.RESOURCE_EXHAUSTED)
            if self._observer is not None:
                self._observer("receive", sender, len(statement.signed))
            try:
                # A peer that hangs up must not stop the handler between two of its steps.
                answer = await asyncio.shield(self._begin(sender, method, statement.signed))
            except (QuorateError, EncodingError) as error:
                reason = failures.reason_of(error)
                log.info("peer refused", peer=sender, method=method.value, reason=reason, why=str(error))
                await _refuse(context, failures.reason_of(error), failures.status_of(error))
            except Exception:
                log.exception("bug in a peer request", peer=sender, method=method.value)
                await _refuse(context, failures.INTERNAL, grpc.StatusCode.INTERNAL)
            if self._observer is not None:
                self._observer("send", sender, len(answer))
            return peer_pb2.Statement(signed=answer)

        return call

    def _begin(self, sender: DeviceId, method: Method, body: bytes) -> asyncio.Task[bytes]:
        """The handler's answer as a task of its own, counted against the sender until it is done."""
        task = asyncio.get_running_loop().create_task(self._answer(sender, method, body))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Where the peer has hung up, nobody asks how it ended.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _answer(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        self._requests[sender] += 1
        try:
            return await self._handler.on_request(sender, method, body)
        finally:
            self._requests[sender] -= 1

    async def _link(self, _requests: object, context: Context) -> None:
        sender = await self._sender(context)
        if self._links[sender] >= LINKS_PER_PEER:
            await _refuse(context, failures.BUSY, grpc.StatusCode.RESOURCE_EXHAUSTED)
        # The newest link is the one: frames of an older one must not come after its.
        live = self._live[sender] = object()
        self._links[sender] += 1
        version = self._trust.version
        try:
            while isinstance(frame := await context.read(), peer_pb2.Frame):
                if self._live.get(sender) is not live:
                    return
                if version != self._trust.version:
                    await self._sender(context)
                    version = self._trust.version
                if frame.envelope:
                    self._on_envelope(sender, frame.envelope)
                if frame.ack_wanted:
                    await context.write(peer_pb2.LinkAck(acknowledged=frame.ack_wanted))
        finally:
            self._links[sender] -= 1
            if self._live.get(sender) is live:
                del self._live[sender]

    def _on_envelope(self, sender: DeviceId, envelope: bytes) -> None:
        """Whatever is wrong with one envelope, the link and the other sessions on it go on."""
        if self._observer is not None:
            self._observer("receive", sender, len(envelope))
        try:
            self._handler.on_envelope(sender, envelope)
        except (QuorateError, EncodingError) as error:
            log.warning("envelope refused", peer=sender, reason=failures.reason_of(error))
        except Exception:
            log.exception("bug in an envelope's handling", peer=sender)

    async def _sender(self, context: Context) -> DeviceId:
        """The peer at the other end, by the certificate it presented. Refuses the call if there is none."""
        presented = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
        device = self._trust.device_of(presented) if presented else None
        if device is None:
            log.warning("unknown certificate refused", address=context.peer())
            await _refuse(context, failures.UNKNOWN_CERTIFICATE, grpc.StatusCode.PERMISSION_DENIED)
        return device


async def _refuse(context: Context, reason: str, status: grpc.StatusCode) -> NoReturn:
    """A peer hears the reason code and nothing else."""
    await context.abort(status, reason, failures.metadata_of(status, reason, reason))
    raise AssertionError("abort returned")
