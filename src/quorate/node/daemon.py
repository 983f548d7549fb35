"""``quorate run``: open the store, serve until told to stop, drain, close."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from quorate.errors import QuorateError, StoreError
from quorate.identifiers import DeviceId
from quorate.native.memory import keep_heap
from quorate.node import logs
from quorate.node.config import load
from quorate.node.founding import opened, write_card
from quorate.node.metrics import Metrics
from quorate.node.observers import CommitWatch
from quorate.node.reload import Configuration
from quorate.node.wiring import build
from quorate.rpc.mesh import Observer

log = structlog.get_logger()

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a node says once it serves. ``boot`` counts its starts."""

    name: str
    device: DeviceId
    peer_address: str
    client_address: str
    boot: int
    approver: str
    peers: int


def settle_heap() -> None:
    """Set what imports have made, which stays to the end, apart from what the collector of cycles goes through: that
    holds every thread up, and with all of it takes longer than the event loop may stand still."""
    gc.collect()
    gc.freeze()


async def run(
    home: Path,
    *,
    ready: Callable[[Ready], None],
    on_commit: Callable[[str], None] | None = None,
    observer: Observer | None = None,
) -> None:
    """Run the node in ``home`` until SIGTERM or SIGINT. ``ready`` hears once that it serves."""
    keep_heap()
    settings = load(home)
    configuration = Configuration(home, settings)
    metrics = Metrics()
    with opened(home, settings, on_commit=CommitWatch(metrics, on_commit)) as ledger:
        change_log = logs.configure(settings.log.level, settings.log.format, ledger.me.name)
        configuration.prepare.append(lambda wanted: partial(change_log, wanted.log.level, wanted.log.format))
        write_card(home, ledger.me)
        node = build(home, settings, ledger, metrics=metrics, observer=observer, configuration=configuration)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, end, number, stop)
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(
            signal.SIGHUP, lambda: reloads.add(loop.create_task(reload_quietly(configuration)))
        )
        try:
            settle_heap()
            await node.start()
            if settings.approver.type == "none":
                log.warning("no approver is configured: this node refuses every operation")
            ready(
                Ready(
                    name=ledger.me.name,
                    device=ledger.me.device,
                    peer_address=node.peer_address,
                    client_address=node.client_address,
                    boot=node.boot.counter,
                    approver=settings.approver.type,
                    peers=len(ledger.peers()) - 1,
                )
            )
            log.info("serving", peers=node.peer_address, clients=node.client_address, boot=node.boot.counter)
            await stop.wait()
            log.info("stopping", running=node.ceremonies.sessions_running)
        finally:
            await node.stop(configuration().limits.drain)
            with suppress(StoreError):  # of a disk that is full the log has told
                ledger.stopped()
            for number in (*SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)
        log.info("stopped")


def end(number: signal.Signals, stop: asyncio.Event) -> None:
    """Stop in good order at the first signal, and at once at the second: the journal says what to take up again."""
    if stop.is_set():
        log.warning("stopped at once, by a second signal")
        os._exit(128 + number)
    stop.set()


async def reload_quietly(configuration: Configuration) -> None:
    """On SIGHUP nobody waits for an answer: it stands in the log."""
    try:
        await asyncio.to_thread(configuration.reload)
    except QuorateError as error:
        log.error("settings not read again: nothing changed", why=str(error))
    except Exception:
        log.exception("bug in a reload")
