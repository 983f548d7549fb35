"""A chain's JSON-RPC endpoint, as far as `quorate` asks one: for tests, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_utils.crypto import keccak


class Refused(Exception):
    """The endpoint's own words."""


@dataclass(slots=True)
class FakeChain:
    """``answers`` override what it says: a value, or a function of the parameters."""

    chain_id: int = 11155111
    answers: dict[str, Any] = field(default_factory=dict)
    sent: list[bytes] = field(default_factory=list)
    calls: list[tuple[str, list[Any]]] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, parameters: list[Any]) -> Any:
        self.calls.append((method, parameters))
        if method in self.answers:
            told = self.answers[method]
            return told(parameters) if isinstance(told, Callable) else told  # type: ignore[arg-type]
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getTransactionCount":
                return "0x7"
            case "eth_gasPrice":
                return hex(12 * 10**9)
            case "eth_estimateGas":
                return hex(64_000)
            case "eth_feeHistory":
                return {
                    "baseFeePerGas": ["0x1", hex(10 * 10**9)],
                    "reward": [["0x1"], [hex(2 * 10**9)], ["0xb2d05e00"]],
                }
            case "eth_sendRawTransaction":
                raw = bytes.fromhex(parameters[0][2:])
                if raw in self.sent:
                    raise Refused("nonce too low")
                self.sent.append(raw)
                return "0x" + keccak(raw).hex()
            case "eth_getTransactionByHash":
                known = ["0x" + keccak(raw).hex() for raw in self.sent]
                return {"hash": parameters[0]} if parameters[0] in known else None
            case _:
                raise Refused(f"the method {method} does not exist")


@contextmanager
def serving(chain: FakeChain) -> Iterator[FakeChain]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                said: dict[str, Any] = {"result": chain.answer(asked["method"], asked["params"])}
            except Refused as error:
                said = {"error": {"code": -32000, "message": str(error)}}
            body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    chain.url = f"http://127.0.0.1:{server.server_port}/secret-key"
    try:
        yield chain
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
