"""The metrics port answers while the node does not, and nobody can keep it from answering for long."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from quorate.ceremony.views import Cause
from quorate.errors import StoreStuck, UsageError
from quorate.identifiers import VaultId
from quorate.node import probes
from quorate.node.metrics import Metrics
from quorate.node.monitor import HUNG, SILENT, Monitor
from quorate.node.probes import ProbeServer
from tests.ceremony.world import SteadyClock

PATIENCE = 20.0
OPS = VaultId("o" * 24)


class Looks:
    """A monitor that says what it is told."""

    def __init__(self) -> None:
        self.alive = True
        self.reasons: tuple[Cause, ...] = ()

    def causes(self) -> tuple[Cause, ...]:
        return self.reasons

    def known(self, vault: str) -> VaultId | None:
        return {"ops": OPS, "cold": VaultId("c" * 24)}.get(vault)


class Served:
    def __init__(self) -> None:
        self.monitor = Looks()
        self.server = ProbeServer("127.0.0.1", 0, Metrics().registry, cast("Monitor", self.monitor))
        self.port = self.server.start()

    def ask(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture
def served() -> Iterator[Served]:
    held = Served()
    yield held
    held.server.stop()


def test_not_ready_says_every_reason(served: Served) -> None:
    served.monitor.reasons = (
        Cause(code="NO_APPROVER", detail="none is configured"),
        Cause(code="NOT_ENOUGH_WEIGHT", detail="2 of 3", vault=OPS),
    )
    status, said = served.ask("/readyz")
    assert status == 503
    assert said == {
        "ready": False,
        "not_ready": [
            {"code": "NO_APPROVER", "detail": "none is configured", "vault": None},
            {"code": "NOT_ENOUGH_WEIGHT", "detail": "2 of 3", "vault": OPS},
        ],
    }


def test_readiness_can_be_asked_for_one_vault(served: Served) -> None:
    served.monitor.reasons = (Cause(code="NOT_ENOUGH_WEIGHT", detail="2 of 3", vault=OPS),)
    assert served.ask("/readyz?vault=ops")[0] == 503
    assert served.ask("/readyz?vault=cold") == (200, {"ready": True, "not_ready": []})
    assert served.ask("/readyz?vault=cold&vault=ops")[0] == 503
    assert served.ask("/readyz?vault=unknown")[0] == 404
    served.monitor.reasons = (Cause(code="DRAINING", detail="stopping"),)
    assert served.ask("/readyz?vault=cold")[0] == 503


def test_a_query_of_very_many_vaults_is_refused(served: Served) -> None:
    assert served.ask("/readyz?" + "&".join(["vault=ops"] * (probes.MAX_FIELDS + 1)))[0] == 400


def test_a_caller_that_sends_a_little_at_a_time_is_hung_up_on_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "PATIENCE", 0.5)
    with socket.create_connection(("127.0.0.1", served.port)) as slow:
        began = time.monotonic()
        with suppress(OSError):  # a reset, as likely as not
            while time.monotonic() - began < PATIENCE:
                slow.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - began < PATIENCE
    assert served.ask("/livez")[0] == 200


def test_a_dead_event_loop_is_told(served: Served) -> None:
    assert served.ask("/livez") == (200, {"live": True})
    served.monitor.alive = False
    assert served.ask("/livez") == (503, {"live": False})


class Store:
    """What a monitor asks of a ledger between two looks."""

    fault: StoreStuck | None = None
    commit_takes = 0.0


async def test_a_monitor_whose_loop_does_not_turn_is_neither_alive_nor_ready() -> None:
    clock, store, none = SteadyClock(), Store(), cast("Any", None)
    monitor = Monitor(
        ledger=cast("Any", store),
        ceremonies=none,
        mesh=none,
        approver=none,
        clock=clock,
        metrics=none,
        tell=none,
        services={},
        client_certificate=none,
    )
    assert [cause.code for cause in monitor.causes()] == ["STARTING"]
    monitor._causes, monitor._tasks = (), [asyncio.create_task(asyncio.sleep(0))]
    assert monitor.alive
    assert monitor.causes() == ()
    store.fault, store.commit_takes = StoreStuck("ST-1.8 stuck"), HUNG - 1
    assert monitor.alive  # the disk may come back
    assert [cause.code for cause in monitor.causes()] == ["STORE_STUCK"]
    store.commit_takes = HUNG
    assert not monitor.alive
    store.fault, store.commit_takes = None, 0.0
    clock.ahead_s += SILENT
    assert not monitor.alive
    assert [cause.code for cause in monitor.causes()] == ["UNRESPONSIVE"]


def test_callers_that_say_nothing_are_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.Handler, "timeout", 0.2)
    held = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(probes.CONNECTIONS)]
    for mute in held:
        mute.settimeout(PATIENCE)
        assert mute.recv(1) == b""
        mute.close()
    assert served.ask("/livez")[0] == 200


def test_no_http_is_no_trouble(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    for garbage in (b"\x00" * 2000, b"GET /\xff HTTP/9.9\r\n\r\n", b"GET " + b"a" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", served.port)) as caller:
            caller.settimeout(PATIENCE)
            caller.sendall(garbage)
            caller.shutdown(socket.SHUT_WR)
            while True:
                try:
                    if not caller.recv(4096):
                        break
                except ConnectionResetError:
                    break
    assert served.ask("/livez")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_caller_that_does_not_read_leaves_no_traceback(
    served: Served, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def much(_: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(64 << 20)]

    monkeypatch.setattr(probes.Handler, "timeout", 0.2)
    server = served.server._server
    assert server is not None
    server.set_app(much)
    with socket.create_connection(("127.0.0.1", served.port)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        slow.settimeout(PATIENCE)
        assert slow.recv(1)
        ends = time.monotonic() + PATIENCE
        while server._free._value < probes.CONNECTIONS and time.monotonic() < ends:
            time.sleep(0.01)
    assert server._free._value == probes.CONNECTIONS
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_said_with_what_to_set(served: Served) -> None:
    second = ProbeServer("127.0.0.1", served.port, Metrics().registry, cast("Monitor", served.monitor))
    with pytest.raises(UsageError, match=r"metrics\.port"):
        second.start()


def test_a_name_that_is_no_address_is_said_too(served: Served) -> None:
    server = ProbeServer("no such host", 0, Metrics().registry, cast("Monitor", served.monitor))
    with pytest.raises(UsageError, match="no such host"):
        server.start()
