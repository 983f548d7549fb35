"""One peer's outgoing link: a stream that is opened once, kept, and opened again when it breaks.

Frames leave in order and at most once. What was written to a stream that broke is gone; what still waits in
the queue goes out on the next one. The peer acknowledges every few frames and every probe: that gives the round
trip, shows that the peer is alive above its TCP stack, and bounds what is under way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import structlog

from quorate.identifiers import DeviceId
from quorate.rpc._pb import peer_pb2

QUEUE_FRAMES = 4096
QUEUE_BYTES = 32 << 20
WINDOW = 256  # frames under way without an acknowledgement
ACK_EVERY = 32  # frames
PROBE_SECONDS = 1.0
SILENT_SECONDS = 4.0  # without an acknowledgement: not connected
RETRY_SECONDS = 0.2
BROKEN = (grpc.aio.AioRpcError, asyncio.InvalidStateError)  # how a write fails when the stream has ended

log = structlog.get_logger()

Call = grpc.aio.StreamStreamCall[peer_pb2.Frame, peer_pb2.LinkAck]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """``rtt`` is in seconds, None before the first acknowledgement; ``failure`` why it is not connected."""

    connected: bool
    rtt: float | None
    queued: int
    sent: int
    dropped: int
    failure: str


class PeerLink:
    """``before_send`` is told the size of each frame before it leaves. Use from the event loop only."""

    def __init__(
        self,
        peer: DeviceId,
        open_stream: Callable[[], Call],
        *,
        explain: Callable[[grpc.aio.AioRpcError], str],
        before_send: Callable[[int], None] | None = None,
    ) -> None:
        self._peer = peer
        self._open = open_stream
        self._explain = explain
        self._before_send = before_send
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._probe_due = False
        self._number = self._acknowledged = 0
        self._asked: deque[tuple[int, float]] = deque()
        self._heard: float | None = None
        self._rtt: float | None = None
        self._dropped = 0
        self._dropping = False
        self._failure = "not tried yet"
        self._moving: Callable[[], Call] | None = None

    def post(self, frame: bytes) -> bool:
        """Queue one frame; False if the queue is full and it was dropped. Never blocks."""
        if len(self._queue) >= QUEUE_FRAMES or self._queued_bytes + len(frame) > QUEUE_BYTES:
            self._dropped += 1
            if not self._dropping:
                self._dropping = True
                log.warning("link queue full, dropping", peer=self._peer, queued=len(self._queue))
            return False
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._wake.set()
        return True

    def move(self, open_stream: Callable[[], Call]) -> None:
        """Go on over another stream once the peer has acknowledged what is under way on this one: its newest link is
        the one that counts there, and what came later on an older one would be lost."""
        self._moving = open_stream
        self._wake.set()

    @property
    def connected(self) -> bool:
        """The peer acknowledged something within the last seconds, on the stream that is open."""
        return self._heard is not None and asyncio.get_running_loop().time() - self._heard < SILENT_SECONDS

    @property
    def status(self) -> LinkStatus:
        connected = self.connected
        return LinkStatus(
            connected=connected,
            rtt=self._rtt,
            queued=len(self._queue),
            sent=self._number,
            dropped=self._dropped,
            failure="" if connected else self._failure,
        )

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        while True:
            if self._moving is not None:
                self._open, self._moving = self._moving, None
            try:
                await self._stream()
                if self._moving is not None:
                    continue
                self._failed("the peer ended the link")
            except grpc.aio.AioRpcError as error:
                self._failed(self._explain(error))
            except Exception:
                log.exception("bug in a link", peer=self._peer)
                self._failed("a bug of ours")
            await asyncio.sleep(RETRY_SECONDS)

    async def _stream(self) -> None:
        call = self._open()
        self._number = self._acknowledged = 0
        self._asked.clear()
        reader = asyncio.create_task(self._read(call))
        writer = asyncio.create_task(self._write(call))
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if writer.done() and writer.exception() is None:  # the link moves
                await asyncio.wait({reader}, timeout=PROBE_SECONDS)
                if not reader.done():
                    call.cancel()
                return
            if not reader.done() and not isinstance(writer.exception(), BROKEN):
                call.cancel()
                await writer
            # When a stream breaks, it is the reader that is told why.
            await reader
        finally:
            self._heard = None
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _read(self, call: Call) -> None:
        while isinstance(ack := await call.read(), peer_pb2.LinkAck):
            self._on_ack(ack.acknowledged)

    async def _write(self, call: Call) -> None:
        """The one writer: gRPC refuses concurrent writes on a stream."""
        self._probe_due = False
        await self._send(call, b"", acknowledge=True)
        # Until the peer has answered there may be no stream, and what is written to none is lost.
        while self._heard is None:
            if self._moving is not None:
                return
            self._wake.clear()
            await self._wake.wait()
        timer = asyncio.create_task(self._probe())
        try:
            while self._moving is None:
                self._wake.clear()
                while self._moving is None and self._queue and self._number - self._acknowledged < WINDOW:
                    await self._write_next(call)
                if self._probe_due:
                    self._probe_due = False
                    await self._send(call, b"", acknowledge=True)
                await self._wake.wait()
            await self._settle(call)
        finally:
            timer.cancel()

    async def _settle(self, call: Call) -> None:
        """End the stream when everything written to it has arrived, or the peer is silent."""
        await self._send(call, b"", acknowledge=True)
        while self._acknowledged < self._number and self.connected:
            self._wake.clear()
            await self._wake.wait()
        await call.done_writing()

    async def _write_next(self, call: Call) -> None:
        envelope = self._queue.popleft()
        self._queued_bytes -= len(envelope)
        self._dropping = self._dropping and bool(self._queue)
        if self._before_send is not None:
            self._before_send(len(envelope))
        await self._send(call, envelope, acknowledge=(self._number + 1) % ACK_EVERY == 0)

    async def _send(self, call: Call, envelope: bytes, *, acknowledge: bool) -> None:
        self._number += 1
        if acknowledge:
            self._asked.append((self._number, asyncio.get_running_loop().time()))
        await call.write(peer_pb2.Frame(envelope=envelope, ack_wanted=self._number if acknowledge else 0))

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            self._probe_due = True
            self._wake.set()

    def _on_ack(self, number: int) -> None:
        """Numbers that we did not ask for count for nothing."""
        now = asyncio.get_running_loop().time()
        while self._asked and self._asked[0][0] <= number:
            self._acknowledged, asked_at = self._asked.popleft()
            self._rtt = now - asked_at
            self._heard = now
        self._wake.set()

    def _failed(self, failure: str) -> None:
        if failure != self._failure:
            log.warning("link down", peer=self._peer, failure=failure)
        self._failure = failure
