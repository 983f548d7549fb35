"""``quorate run``: open the store, serve until told to stop, drain, close."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from quorate.identifiers import DeviceId
from quorate.native.memory import keep_heap
from quorate.node import logs
from quorate.node.config import load
from quorate.node.founding import opened, write_card
from quorate.node.metrics import Metrics
from quorate.node.observers import CommitWatch
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
    metrics = Metrics()
    with opened(home, settings, on_commit=CommitWatch(metrics, on_commit)) as ledger:
        logs.configure(settings.log.level, settings.log.format, ledger.me.name)
        write_card(home, ledger.me)
        node = build(home, settings, ledger, metrics=metrics, observer=observer)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, stop.set)
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
            await node.stop(settings.limits.drain)
            for number in SIGNALS:
                loop.remove_signal_handler(number)
        log.info("stopped")
