"""How this node reaches its peers: a channel, unary calls and one link for each."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import grpc

from quorate.ceremony.ports import Method, Peer
from quorate.errors import Bug, PeerError, UsageError
from quorate.identifiers import DeviceId
from quorate.rpc import failures, options
from quorate.rpc._pb import peer_pb2, peer_pb2_grpc
from quorate.rpc.peer_link import LinkStatus, PeerLink
from quorate.rpc.tls import TlsIdentity
from quorate.rpc.trust import Earlier, Trust

UNDER_WAY = 15.0  # seconds that calls on a connection may take which another has taken the place of
REASON = re.compile(r"[A-Z][A-Z0-9_]{0,39}")

Observer: TypeAlias = Callable[[Literal["send", "receive"], DeviceId, int], None]
"""Told of every statement and envelope, with its size in bytes: before it leaves, after it has come in."""


class GrpcMesh:
    """``ports.Mesh`` over gRPC. Start, stop and use it on the one event loop."""

    def __init__(self, trust: Trust, *, observer: Observer | None = None) -> None:
        self._trust = trust
        self._observer = observer
        self._remotes: dict[DeviceId, _Remote] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    async def start(self) -> None:
        """Open a link to every trusted peer and keep them open; none has to be up."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._match()

    async def stop(self) -> None:
        self._loop = None
        remotes, self._remotes = self._remotes, {}
        await asyncio.gather(*(remote.close() for remote in remotes.values()), *self._closing)

    def update(self, peers: Mapping[DeviceId, Peer]) -> None:
        """Trust and link exactly these from now on; a peer whose card did not change keeps its link, and one with
        another address or certificate is dialled anew, without losing a frame.

        From the event loop, or from another thread, which then waits until the loop has done it.
        """
        self._change(lambda: self._trust.replace(peers))

    def confirm(self, device: DeviceId, rev: int) -> None:
        """A peer says that it holds our card of this rev: dial it as who it knows. On the event loop."""
        self._change(lambda: self._trust.confirm(device, rev))

    def renew(self, identity: TlsIdentity, earlier: Sequence[Earlier]) -> None:
        """Show another certificate of ours. Links move without losing a frame. From any thread."""
        self._change(lambda: self._trust.renew(identity, earlier))

    async def request(self, peer: DeviceId, method: Method, body: bytes, *, timeout: float) -> bytes:
        """Fails at once if the last attempt to connect failed and the next one is not due."""
        if len(body) > options.PEER_BODY_LIMIT:
            raise UsageError(
                f"a {method} of {len(body)} bytes; a peer takes at most {options.PEER_BODY_LIMIT}",
                code=failures.TOO_LARGE,
            )
        remote = self._remotes.get(peer)
        if remote is None:
            raise PeerError(peer, "is not a peer of this node; add its card", code="UNKNOWN_PEER")
        if self._observer is not None:
            self._observer("send", peer, len(body))
        try:
            answer: peer_pb2.Statement = await remote.calls[method](
                peer_pb2.Statement(signed=body), timeout=timeout
            )
        except grpc.aio.AioRpcError as error:
            code, message = explain(error, remote.peer, timeout)
            raise PeerError(peer, f"{method}: {message}", code=code) from error
        if self._observer is not None:
            self._observer("receive", peer, len(answer.signed))
        return answer.signed

    def post(self, peer: DeviceId, frame: bytes) -> None:
        if not 0 < len(frame) <= options.PEER_BODY_LIMIT:
            raise Bug(f"an envelope of {len(frame)} bytes")
        remote = self._remotes.get(peer)
        if remote is not None:
            remote.link.post(frame)

    def connected(self, peer: DeviceId) -> bool:
        remote = self._remotes.get(peer)
        return remote is not None and remote.link.connected

    def status(self) -> Mapping[DeviceId, LinkStatus]:
        """Of each link: whether it is up and why not, its round trip, and what it sent, holds and dropped."""
        return {device: remote.link.status for device, remote in self._remotes.items()}

    def _change(self, change: Callable[[], None]) -> None:
        if self._loop is None:
            change()
        elif threading.get_ident() == self._thread:
            change()
            self._match()
        else:
            asyncio.run_coroutine_threadsafe(self._change_soon(change), self._loop).result()

    async def _change_soon(self, change: Callable[[], None]) -> None:
        change()
        self._match()

    def _match(self) -> None:
        """Make the open channels those of the trusted peers."""
        for device, remote in list(self._remotes.items()):
            peer = self._trust.peers.get(device)
            if peer is None:
                del self._remotes[device]
                self._close(remote.close())
            elif remote.dialled != _dialled(peer, self._trust):
                self._close(remote.redial(peer))
            else:
                remote.peer = peer
        for device, peer in self._trust.peers.items():
            if device not in self._remotes:
                self._remotes[device] = _Remote(peer, self._trust, self._observer)

    def _close(self, closing: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class _Remote:
    """One peer as we dial it."""

    def __init__(self, peer: Peer, trust: Trust, observer: Observer | None) -> None:
        self._trust = trust
        stub = self._dial(peer)
        self.link = PeerLink(
            peer.device,
            stub.Link,
            explain=lambda error: explain(error, self.peer, None)[1],
            before_send=(lambda size: observer("send", peer.device, size)) if observer is not None else None,
        )
        self._running = asyncio.get_running_loop().create_task(self.link.run())

    def _dial(self, peer: Peer) -> Any:
        self.peer, self.dialled = peer, _dialled(peer, self._trust)
        self._channel = grpc.aio.secure_channel(
            options.target(peer.address),
            self._trust.channel_credentials(peer),
            options=options.peer_channel(self._trust.server_name(peer)),
        )
        stub: Any = peer_pb2_grpc.PeerServiceStub(self._channel)
        self.calls = {method: getattr(stub, method.value) for method in Method}
        return stub

    def redial(self, peer: Peer) -> Coroutine[None, None, None]:
        """From now on reach the peer by its new card, or as who it knows now. What is to be awaited ends the old
        connection, after what is under way on it."""
        before = self._channel
        self.link.move(self._dial(peer).Link)
        return before.close(UNDER_WAY)

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._channel.close(None)


def _dialled(peer: Peer, trust: Trust) -> tuple[str, bytes, bytes]:
    """What a connection is made of: where to, to whom, as whom."""
    return peer.address, peer.certificate_pin, trust.identity_for(peer.device).pin


def explain(error: grpc.aio.AioRpcError, peer: Peer, timeout: float | None) -> tuple[str, str]:
    """The reason code and the words for a failed call to ``peer``. A peer's own words are not repeated."""
    info = failures.info_of(error)
    if info is not None:
        reason = info.reason if REASON.fullmatch(info.reason) else failures.REFUSED
        return reason, f"refused with {reason}"
    details = error.details() or ""
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return failures.TIMEOUT, f"no answer from {peer.address} within {timeout or 0:g} s"
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return failures.TOO_LARGE, "a message was over the size limit"
        case grpc.StatusCode.UNAVAILABLE:
            return _explain_unreachable(details, peer)
        case code:
            return failures.REFUSED, f"refused with {code.name}"


def _explain_unreachable(details: str, peer: Peer) -> tuple[str, str]:
    """gRPC tells kinds of broken handshake apart only in the text of its status."""
    if failures.is_stranger(details):
        stranger = f"what answers at {peer.address} does not hold the certificate on the card of {peer.name}"
        return failures.WRONG_CERTIFICATE, f"{stranger}: wrong address, or the card is out of date"
    if "handshake failed" in details:
        return failures.NOT_A_PEER, f"what answers at {peer.address} does not speak TLS: wrong port?"
    # The dialler's half of a TLS 1.3 handshake is done before the other side looks at its certificate.
    if "failed to connect" in details and "Socket closed" in details:
        closed = f"{peer.name} at {peer.address} hung up when it saw our certificate"
        return failures.UNKNOWN_CERTIFICATE, f"{closed}: have this node's current card added there"
    return failures.UNREACHABLE, f"cannot reach {peer.name} at {peer.address}"
