"""A node that counts flights: the whole product, with a logical clock on each statement and envelope between peers.

    QUORATE_HOME=... python -m tests.wan.daemon

The clock is Lamport's. Every message carries one more than its sender has seen, and who gets it has seen that: so the
clock of a node is the length of the longest chain of messages that ended with it, each sent after the one before had
come. A flight takes as long as the line is, whatever the machine does meanwhile; a chain of two is a round trip.
``flights`` in the home gets a line for every change of an operation and for every message, with the clock. What goes
out by the clock, as greetings do, carries none.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from quorate.ceremony.ports import Ledger, Method, PeerHandler
from quorate.identifiers import DeviceId, OperationId
from quorate.node import daemon, observers, wiring
from quorate.node.home import home_of
from quorate.rpc import mesh, options, peer_server
from tests.exchanges import BY_THE_CLOCK

FLIGHTS = "flights"
STAMP = struct.Struct(">Q")


class Flights:
    def __init__(self) -> None:
        self._file: TextIO = sys.stderr
        self._seen = 0

    def write_to(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)

    def stamped(self, what: str, peer: DeviceId, body: bytes) -> bytes:
        self.note(sent=what, to=peer, size=len(body), flight=self._seen + 1)
        return STAMP.pack(self._seen + 1) + body

    def seen(self, body: bytes) -> bytes:
        self._seen = max(self._seen, *STAMP.unpack_from(body))
        return body[STAMP.size :]

    def note(self, **fields: object) -> None:
        print(json.dumps({"seen": self._seen, **fields}), file=self._file)


flights = Flights()


class Mesh(mesh.GrpcMesh):
    async def request(self, peer: DeviceId, method: Method, body: bytes, *, timeout: float) -> bytes:
        if method in BY_THE_CLOCK:
            return await super().request(peer, method, body, timeout=timeout)
        body = flights.stamped(method.value, peer, body)
        return flights.seen(await super().request(peer, method, body, timeout=timeout))

    def post(self, peer: DeviceId, frame: bytes) -> None:
        super().post(peer, flights.stamped("envelope", peer, frame))


class Handler:
    """What the peer server talks to."""

    def __init__(self, inner: PeerHandler) -> None:
        self._inner = inner

    async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
        if method in BY_THE_CLOCK:
            return await self._inner.on_request(sender, method, body)
        answer = await self._inner.on_request(sender, method, flights.seen(body))
        return flights.stamped(f"answer to {method.value}", sender, answer)

    def on_envelope(self, sender: DeviceId, frame: bytes) -> None:
        self._inner.on_envelope(sender, flights.seen(frame))


class PeerServer(peer_server.PeerServer):
    def __init__(self, trust: Any, handler: PeerHandler, address: str, **more: Any) -> None:
        super().__init__(trust, Handler(handler), address, **more)


class OperationWatch(observers.OperationWatch):
    def __init__(self, ledger: Ledger, *more: Any, **others: Any) -> None:
        super().__init__(ledger, *more, **others)
        self._journal = ledger

    def __call__(self, operation: OperationId) -> None:
        super().__call__(operation)
        row = self._journal.operation(operation)
        if row is not None:
            flights.note(operation=operation, state=row.state.value)


def main() -> None:
    flights.write_to(home_of(None) / FLIGHTS)
    vars(wiring).update(GrpcMesh=Mesh, PeerServer=PeerServer, OperationWatch=OperationWatch)
    vars(options)["OVERHEAD"] = options.OVERHEAD + STAMP.size

    def ready(news: daemon.Ready) -> None:
        print(json.dumps(asdict(news)), flush=True)

    asyncio.run(daemon.run(home_of(None), ready=ready))


if __name__ == "__main__":
    main()
