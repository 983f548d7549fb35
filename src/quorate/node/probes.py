"""The metrics port: ``/metrics``, ``/livez`` and ``/readyz`` over plain HTTP, for whoever can reach it.

Served by threads, so that it answers also while the event loop does not. It tells names of peers and vaults and how
things stand, nothing else, and takes nothing in.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from http import HTTPStatus
from io import StringIO
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from quorate.errors import UsageError
from quorate.node.monitor import Monitor

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

CONNECTIONS = 32  # at once; more are hung up on
PATIENCE = 5.0  # seconds for a whole connection: the request in, the answer out
MAX_FIELDS = 64  # of a query

log = structlog.get_logger()


class ProbeServer:
    def __init__(self, bind: str, port: int, registry: CollectorRegistry, monitor: Monitor) -> None:
        self._address = (bind, port)
        self._app = application(registry, monitor)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """The port it listens on; 0 asks for any free one. ``UsageError`` if the address cannot be had."""
        bind, port = self._address
        try:
            family = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            self._server = Server(self._address, family)
        except OSError as error:
            raise UsageError(
                f"cannot serve metrics on {bind}:{port}: {error.strerror}; set metrics.port, or metrics.enabled = false"
            ) from error
        self._server.set_app(self._app)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()
        return self._server.server_port

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None


def application(
    registry: CollectorRegistry, monitor: Monitor
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return answer(environ, start_response)
        except Exception:
            log.exception("bug in a probe", path=environ["PATH_INFO"])
            raise

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, body = HTTPStatus.OK, dict[str, Any]()
        if environ["REQUEST_METHOD"] != "GET":
            status, body = HTTPStatus.METHOD_NOT_ALLOWED, {"error": "only GET"}
        else:
            match environ["PATH_INFO"]:
                case "/metrics":
                    exposed: Iterable[bytes] = metrics(environ, start_response)
                    return exposed
                case "/livez":
                    status, body = live(monitor)
                case "/readyz":
                    status, body = asked_ready(monitor, environ.get("QUERY_STRING", ""))
                case _:
                    status, body = HTTPStatus.NOT_FOUND, {"error": "only /metrics, /livez and /readyz"}
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
        return [json.dumps(body).encode() + b"\n"]

    return app


def live(monitor: Monitor) -> tuple[HTTPStatus, dict[str, Any]]:
    """Whether the process does anything at all: if not, restarting it is the remedy."""
    alive = monitor.alive
    return HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE, {"live": alive}


def asked_ready(monitor: Monitor, query: str) -> tuple[HTTPStatus, dict[str, Any]]:
    try:
        fields = parse_qs(query, max_num_fields=MAX_FIELDS)
    except ValueError:
        return HTTPStatus.BAD_REQUEST, {"error": f"at most {MAX_FIELDS} vaults at once"}
    return ready(monitor, fields.get("vault", []))


def ready(monitor: Monitor, vaults: list[str]) -> tuple[HTTPStatus, dict[str, Any]]:
    """Of the node and every vault on it, or, with ``?vault=`` a name or an id, of the node and those."""
    causes = monitor.causes()
    wanted = [monitor.known(vault) for vault in vaults]
    if None in wanted:
        return HTTPStatus.NOT_FOUND, {"error": "there is no such vault on this node"}
    if wanted:
        causes = tuple(cause for cause in causes if cause.vault in (None, *wanted))
    status = HTTPStatus.SERVICE_UNAVAILABLE if causes else HTTPStatus.OK
    return status, {"ready": not causes, "not_ready": [asdict(cause) for cause in causes]}


def hang_up(request: socket.socket) -> None:
    with suppress(OSError):  # it may be closed already
        request.shutdown(socket.SHUT_RDWR)


class Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def get_stderr(self) -> TextIO:
        """Where the library writes a traceback for each caller that hangs up or reads too slowly: nowhere. A bug of
        ours is logged before it comes there."""
        return StringIO()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Scrapes are no news."""


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], family: int) -> None:
        self.address_family = family
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """As inherited, without asking the name service who we are."""
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread to be had, and so none that gives the place back
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """A place is held for ``PATIENCE`` at most, however slowly a caller sends or reads."""
        ends = threading.Timer(PATIENCE, hang_up, (request,))
        ends.daemon = True
        try:
            ends.start()
            super().process_request_thread(request, client_address)
        finally:
            ends.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up or sends no HTTP is not worth a traceback."""
