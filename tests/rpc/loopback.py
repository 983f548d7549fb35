"""Nodes on loopback with real certificates and handlers that only remember."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

from quorate.ceremony.ports import Method, Peer
from quorate.identifiers import DeviceId
from quorate.rpc.mesh import GrpcMesh, Observer
from quorate.rpc.peer_server import PeerServer
from quorate.rpc.tls import TlsIdentity, create_identity
from quorate.rpc.trust import Trust

PATIENCE = 10.0  # seconds until a test gives up; nothing asserts how long a thing takes


@dataclass
class Remembering:
    """A ``PeerHandler`` that keeps what it is told and answers with the sender's name and the body."""

    requests: list[tuple[DeviceId, Method, bytes]] = field(default_factory=list)
    envelopes: list[tuple[DeviceId, bytes]] = field(default_factory=list)
    refuse_with: Exception | None = None
    gate: asyncio.Event | None = None

    async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        self.requests.append((sender, method, body))
        if self.gate is not None:
            await self.gate.wait()
        if self.refuse_with is not None:
            raise self.refuse_with
        return sender.encode() + b":" + body

    def on_envelope(self, sender: DeviceId, frame: bytes) -> None:
        self.envelopes.append((sender, frame))
        if self.refuse_with is not None:
            raise self.refuse_with


def card(device: DeviceId, identity: TlsIdentity, address: str) -> Peer:
    return Peer(
        device=device,
        name=f"node-{device[0]}",
        identity_key=bytes(32),
        exchange_key=bytes(32),
        hardware_id="",
        address=address,
        certificate_pem=identity.certificate_pem,
        certificate_pin=identity.pin,
        rev=1,
        client_record="",
        uuid="",
        card="",
    )


class LoopbackNode:
    """The peer side of one node: identity, trust, server and mesh."""

    def __init__(self, letter: str, *, observer: Observer | None = None) -> None:
        self.device = DeviceId(letter * 24)
        self.identity = create_identity(self.device)
        self.handler = Remembering()
        self.trust = Trust(self.device, self.identity, {})
        self.mesh = GrpcMesh(self.trust, observer=observer)
        self.observer = observer
        self.server: PeerServer | None = None
        self.port = 0

    async def start(self) -> None:
        await self.serve()
        await self.mesh.start()

    async def serve(self) -> None:
        """Listen, at the port it had before if it had one."""
        address = f"127.0.0.1:{self.port}"
        self.server = PeerServer(self.trust, self.handler, address, observer=self.observer)
        self.port = await self.server.start()

    async def silence(self) -> None:
        assert self.server is not None
        await self.server.stop()

    async def stop(self) -> None:
        await self.mesh.stop()
        await self.silence()

    @property
    def card(self) -> Peer:
        return card(self.device, self.identity, f"127.0.0.1:{self.port}")

    def know(self, *others: LoopbackNode | Peer) -> None:
        cards = (each.card if isinstance(each, LoopbackNode) else each for each in others)
        self.mesh.update({each.device: each for each in cards})


def moved(peer: Peer, address: str) -> Peer:
    return replace(peer, address=address)


async def introduce(nodes: Iterable[LoopbackNode]) -> None:
    """Everybody knows everybody, and every link is up."""
    everybody = list(nodes)
    for node in everybody:
        node.know(*everybody)
    for node in everybody:
        for other in everybody:
            if other is not node:
                await eventually(partial(node.mesh.connected, other.device))


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - what is waited for happens on a wire
            await asyncio.sleep(0.005)


async def talk_garbage(port: int) -> None:
    """Things that are no TLS and no gRPC, each until the server hangs up."""
    plain = b"GET / HTTP/1.1\r\n\r\n" * 50
    for garbage in (plain, bytes(range(256)) * 40, b"\x16\x03\x01\xff\xff" * 99, b"\x00"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(OSError):
            writer.write(garbage)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.close()


class Wire:
    """A TCP line to ``port`` that can be cut: then nothing passes and nothing is closed."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._whole = asyncio.Event()
        self._whole.set()
        self._lines: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink in ((reader, back), (there, writer)):
            self._lines.add(asyncio.create_task(self._carry(source, sink)))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                await self._whole.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
