"""Several nodes on this machine's loopback, each a process, with their cards exchanged. For the demo and the tests."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.errors import Bug, QuorateError
from quorate.identifiers import DeviceId
from quorate.node import founding
from quorate.rpc.client import NodeClient
from quorate.rpc.credentials import Credentials, credentials_of
from quorate.storage import Grant

START_PATIENCE = 30.0
STOP_PATIENCE = 5.0
PORTS = range(20_000, 32_000)  # below those that systems give to outgoing connections
SHARES = 8  # of the ports: processes whose numbers are close have each its own
_given: set[int] = set()
NODE = (sys.executable, "-m", "quorate", "run", "--json")


class ProcessFailed(QuorateError):
    """A process of the cluster ended, or never said that it was ready. ``log`` is what it wrote."""

    reason = "PROCESS_FAILED"

    def __init__(self, name: str, what: str, log: Path) -> None:
        super().__init__(f"{name} {what}; its log is {log}")
        self.name, self.log = name, log


@dataclass(slots=True)
class Running:
    """A process that prints one line when it is ready and writes its log to a file."""

    name: str
    log: Path
    process: asyncio.subprocess.Process
    ready: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask the process to end; after ``STOP_PATIENCE`` seconds, make it."""
        if self.alive:
            self.process.send_signal(number)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_PATIENCE)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def launch(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Running:
    """Start a process in a session of its own (a Ctrl-C is ours to pass on) and wait for its first line."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    running = Running(name, log, process, "")
    try:
        line = await asyncio.wait_for(first_line(process), START_PATIENCE)
    except TimeoutError:
        await running.stop(signal.SIGKILL)
        raise ProcessFailed(name, f"was not ready after {START_PATIENCE:.0f} s", log) from None
    except BaseException:
        await running.stop(signal.SIGKILL)
        raise
    if not line:
        await process.wait()
        raise ProcessFailed(name, f"ended with exit code {process.returncode} before it was ready", log)
    running.ready = line.decode(errors="replace").strip()
    return running


async def first_line(process: asyncio.subprocess.Process) -> bytes:
    if process.stdout is None:
        raise Bug("the process was started without a pipe")
    return await process.stdout.readline()


@dataclass(slots=True, kw_only=True)
class Member:
    """One node: its home, its ports, and its process while it runs."""

    name: str
    home: Path
    peer_port: int
    client_port: int
    metrics_port: int
    device: DeviceId
    credentials: Credentials
    command: Sequence[str] = NODE
    environment: dict[str, str] = field(default_factory=dict)
    running: Running | None = None
    client: NodeClient | None = None

    @property
    def log(self) -> Path:
        return self.home / "node.log"

    @property
    def node(self) -> NodeClient:
        """A client of this node, over TLS on its client port."""
        if self.client is None:
            self.client = NodeClient.remote(self.credentials)
        return self.client

    async def start(self) -> None:
        modules = os.pathsep.join(path for path in sys.path if path)  # the node is to run this very code
        environment = {"QUORATE_HOME": str(self.home), "PYTHONPATH": modules, **self.environment}
        self.running = await launch(self.name, self.command, self.log, environment)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.client is not None:
            await self.client.close()
            self.client = None
        if self.running is not None:
            await self.running.stop(number)
            self.running = None

    @property
    def readiness(self) -> dict[str, Any]:
        """What the node said when it was ready."""
        return dict(json.loads(self.running.ready)) if self.running else {}


class Cluster:
    """``async with Cluster(directory, ...)``: founded on entry, every process stopped on exit."""

    def __init__(self, root: Path, settings: Mapping[str, str], command: Sequence[str] = NODE) -> None:
        """``settings`` maps each node's name to what its ``quorate.toml`` says beside the ports, and beside the
        key if it has no ``[key]``."""
        self.root = root
        self._settings = settings
        self._command = command
        self.members: dict[str, Member] = {}

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def found(self) -> None:
        """Every node in a home of its own, with the others' cards; none is started."""
        ports = iter(free_ports(3 * len(self._settings)))
        for name, settings in self._settings.items():
            chosen = (next(ports), next(ports), next(ports))
            self.members[name] = found_member(self.root / name, name, chosen, settings)
            self.members[name].command = self._command
        cards = [
            (member.home / "cards" / f"{name}.json").read_text() for name, member in self.members.items()
        ]
        for member in self.members.values():
            with founding.at_rest(member.home) as registry:
                for card in cards:
                    registry.add_peer(card)

    async def __aenter__(self) -> Cluster:
        self.found()
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start every node that is not running, side by side."""
        idle = [member for member in self.members.values() if member.running is None]
        await asyncio.gather(*(member.start() for member in idle))

    async def stop(self) -> None:
        await asyncio.gather(*(member.stop() for member in self.members.values()))

    async def linked(self, patience: float = 15.0) -> None:
        """Until every node that runs is connected to every other."""
        ends = asyncio.get_running_loop().time() + patience
        running = [member for member in self.members.values() if member.running is not None]
        for member in running:
            others = {other.device for other in running} - {member.device}
            while not others <= {peer for peer, up in (await member.node.status()).peers.items() if up}:
                if asyncio.get_running_loop().time() > ends:
                    raise ProcessFailed(member.name, "is not connected to every peer", member.log)
                await asyncio.sleep(0.05)


def found_member(home: Path, name: str, chosen: tuple[int, int, int], settings: str) -> Member:
    """``chosen`` are the ports for peers, clients and metrics."""
    home.mkdir(parents=True, mode=0o700)
    peer_port, client_port, metrics_port = chosen
    ports = (
        f'[peer]\nbind = "127.0.0.1"\nport = {peer_port}\n'
        f'[client]\nbind = "127.0.0.1"\nport = {client_port}\n'
        f"[metrics]\nport = {metrics_port}\n"
    )
    if "[key]" not in settings:
        ports += '[key]\nkey_file = "node.key"\n'
    (home / "quorate.toml").write_text(ports + settings)
    card = founding.found(home, name=name, advertise=f"127.0.0.1:{peer_port}")
    with founding.at_rest(home) as registry:
        access = registry.add_client("cluster", [Grant("admin"), Grant("signer")])
    return Member(
        name=name,
        home=home,
        peer_port=peer_port,
        client_port=client_port,
        metrics_port=metrics_port,
        device=card.device,
        credentials=credentials_of("cluster", access),
    )


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on right now, and that neither an outgoing connection nor, as long as there are others, a
    second caller is given before somebody does: this process has some to itself, and gives each once."""
    held: list[socket.socket] = []
    mine = PORTS[os.getpid() % SHARES :: SHARES]
    if len(_given) + count > len(mine) // 2:
        _given.clear()
    try:
        while len(held) < count:
            held.append(socket.socket())
            try:
                port = secrets.choice(mine)
                if port in _given:
                    raise OSError
                held[-1].bind(("127.0.0.1", port))
                _given.add(port)
            except OSError:
                held.pop().close()
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def last_lines(log: Path, count: int = 8) -> Iterable[str]:
    try:
        return log.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return ()
