"""An approval backend on loopback: real HTTP, real signatures, and any lie a test wants told."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

APPROVER_KEY = Ed25519PrivateKey.from_private_bytes(b"approver".ljust(32, b"."))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"someone else".ljust(32, b"."))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def nonce(self) -> int:
        return int(self.headers["vs-nonce"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    body: bytes
    headers: tuple[tuple[str, str], ...]
    status: int = 200

    def having(self, **headers: str | tuple[str, ...] | None) -> Reply:
        """With these headers in place of those of their names; None leaves one out, a tuple repeats it."""
        kept = [(name, value) for name, value in self.headers if name not in headers]
        for name, values in headers.items():
            kept += [(name, v) for v in ((values,) if isinstance(values, str) else values or ())]
        return replace(self, headers=tuple(kept))


Wire: TypeAlias = Callable[[socket.socket, threading.Event], None]
"""Writes to the connection itself, until the event says that the test is over."""

Script: TypeAlias = Callable[[Question], Reply | Wire]


def digest_of(body: bytes) -> str:
    return "SHA-512=" + base64.b64encode(hashlib.sha512(body).digest()).decode()


def signed(
    body: bytes, *, key: Ed25519PrivateKey = APPROVER_KEY, key_id: str = "eddsa-key", bare: bool = False
) -> Reply:
    """An answer with this body whose headers prove it, by the documented scheme."""
    digest = digest_of(body)
    signature = base64.b64encode(
        key.sign(f"content-type: application/json\ndigest: {digest}".encode())
    ).decode()
    long = f'keyId="{key_id}",algorithm="hs2019",headers="content-type digest",signature="{signature}"'
    headers = (
        ("content_type", "application/json"), ("digest", digest), ("signature", signature if bare else long)
    )  # fmt: skip
    return Reply(body=body, headers=headers)


def answer(question: Question, **changes: Any) -> bytes:
    """The body of an honest approval with some keys changed; an Ellipsis leaves a key out."""
    honest = {"status": "approved", "nonce": question.nonce}
    return json.dumps({k: v for k, v in {**honest, **changes}.items() if v is not ...}).encode()


def honest(question: Question) -> Reply:
    return signed(answer(question))


@dataclass(slots=True)
class Backend:
    url: str
    questions: list[Question] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def says(self, *scripts: Script) -> None:
        """One script for each question in turn; the last stays."""
        self.scripts[:] = scripts


@contextmanager
def serving(*, tls: ssl.SSLContext | None = None) -> Iterator[Backend]:
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            question = Question(path=self.path, headers=headers, body=body)
            script = backend.scripts[min(len(backend.questions), len(backend.scripts) - 1)]
            backend.questions.append(question)
            backend.asked.set()
            self.close_connection = True
            reply = script(question)
            if not isinstance(reply, Reply):
                reply(self.connection, over)
                return
            self.send_response_only(reply.status)
            for name, value in reply.headers:
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            if tls is not None:
                request = tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A connection that the other side gave up, or never agreed on, is what a test is about."""

    server = Server(("127.0.0.1", 0), Handler)
    scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
    backend = Backend(url=f"{scheme}://{host}:{server.server_port}", scripts=[honest])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield backend
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


# --- what goes wrong on the way -----------------------------------------------------------------------------------


def hangs(_: Question) -> Wire:
    def wait(_connection: socket.socket, over: threading.Event) -> None:
        over.wait()

    return wait


def drips(_: Question) -> Wire:
    """A byte at a time, for ever: each read succeeds, the answer never ends."""

    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n"
        )
        while not over.wait(0.01):
            connection.sendall(b" ")

    return drip


def writes(data: bytes) -> Script:
    """These bytes, then the end of the connection."""

    def script(_: Question) -> Wire:
        return lambda connection, _over: connection.sendall(data)

    return script


def floods(_: Question) -> Wire:
    """A chunked body without end."""

    def flood(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while not over.is_set():
            connection.sendall(b"1000\r\n" + b" " * 0x1000 + b"\r\n")

    return flood
