"""Nodes that are far from each other: behind a relay, or, where the kernel has netem, in a namespace of theirs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate.ceremony.views import OperationView
from quorate.cli.cluster import Cluster, ProcessFailed, Running, free_ports, launch
from quorate.rpc.client import NodeClient
from tests.wan.daemon import FLIGHTS

DELAY_MS = 40  # each way
STALL_MS = 250  # what a segment that is lost costs
STALL_EVERY = 60  # pieces of a connection's direction
LOSS = "0.5%"
NODE = (sys.executable, "-m", "tests.wan.daemon")
SETTINGS = '[approver]\ntype = "always"\n'
NAMESPACE = (
    f"ip link set lo up && tc qdisc add dev lo root netem delay {DELAY_MS}ms loss {LOSS}"
    " && echo shaped && exec sleep infinity"
)


@dataclass(frozen=True, slots=True)
class Far:
    """Three nodes, and over what they speak."""

    cluster: Cluster
    line: str

    def read(self, node: str) -> Iterator[dict[str, Any]]:
        yield from map(json.loads, (self.cluster[node].home / FLIGHTS).read_text().splitlines())

    def flights(self, view: OperationView, node: str, until: str = "COMPLETED") -> int:
        """How many flights one after the other there were from when the operation came to this node to this state."""
        seen = [each for each in self.read(node) if each.get("operation") == view.id]
        return next(int(each["seen"]) for each in seen if each["state"] == until) - int(seen[0]["seen"])

    def sent(self, node: str) -> list[str]:
        """What the node has sent to its peers so far, by name, but for questions that everybody asks now and then."""
        names = [each["sent"] for each in self.read(node) if "sent" in each]
        return [name for name in names if not name.endswith(("GetOperation", "GetCertificate"))]


@asynccontextmanager
async def far(root: Path, names: Sequence[str], seed: int, *, netem: bool = False) -> AsyncIterator[Far]:
    """``netem`` where it can be had; its losses are the kernel's to draw."""
    async with AsyncExitStack() as stack:
        space = await namespace(root) if netem else None
        command: Sequence[str] = NODE
        if space is not None:
            stack.push_async_callback(space.stop, signal.SIGKILL)
            command = (*entering(space), *NODE)
        cluster = Cluster(root, dict.fromkeys(names, SETTINGS), command)
        cluster.found()
        if space is None:
            relay = await relayed(cluster, root, seed)
            stack.push_async_callback(relay.stop)
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        for member in cluster.members.values():
            member.client = NodeClient.local(member.home)  # a namespace keeps networks apart, not files
        await cluster.linked()
        yield Far(cluster, f"{DELAY_MS} ms each way, by {'netem' if space is not None else 'a relay'}")


async def relayed(cluster: Cluster, root: Path, seed: int) -> Running:
    """A relay at each node's published peer port; the node listens at another."""
    ports = free_ports(len(cluster.members))
    pairs = []
    for member, port in zip(cluster.members.values(), ports, strict=True):
        member.environment["QUORATE_PEER__PORT"] = str(port)
        pairs.append(f"{member.peer_port}:{port}")
    figures = {"delay-ms": DELAY_MS, "stall-ms": STALL_MS, "stall-every": STALL_EVERY, "seed": seed}
    options = [f"--{name}={value}" for name, value in figures.items()]
    command = (sys.executable, "-m", "tests.wan.relay", *options, *pairs)
    modules = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return await launch("the relay", command, root / "relay.log", modules)


async def namespace(root: Path) -> Running | None:
    """A process in a network namespace whose loopback is long and lossy; None where the system has no such thing."""
    if any(shutil.which(program) is None for program in ("unshare", "nsenter", "ip", "tc")):
        return None
    command = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", NAMESPACE)
    try:
        return await launch("the namespace", command, root / "namespace.log")
    except ProcessFailed:
        return None


def entering(space: Running) -> tuple[str, ...]:
    return ("nsenter", "--preserve-credentials", f"--target={space.pid}", "--user", "--net")
