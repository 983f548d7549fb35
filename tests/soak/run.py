"""A soak: many signatures through three daemons that are stopped and killed meanwhile, and what is left of it all."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.cluster import Cluster
from quorate.cli.connection import vault_ready
from quorate.identifiers import Curve
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError
from tests.soak.memory import Memory
from tests.soak.plan import NAMES, Ask, Blow, Plan
from tests.soak.verify import is_signed

SETTINGS = '[approver]\ntype = "always"\n[limits]\nsilence = 5\nunlinked = 1\nrepeat = 0.5\ndrain = 2\n'
AWAY = frozenset({"UNREACHABLE", "TIMEOUT", "DRAINING", "BUSY"})  # what a caller asks again after
PATIENCE = 180.0  # for one request, over all restarts of its node
SAMPLE_EVERY = 25  # signatures
CURVES = {"EDDSA": Curve.ED25519, "ES256K": Curve.SECP256K1}


@dataclass(slots=True, kw_only=True)
class Findings:
    """``lost``: requests that came to no signature, and what became of them; ``wrong``: those whose signature is not
    the vault's over the message; ``open``: operations in no final state at the end, by node."""

    signatures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    restarts: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    asked_again: Counter[str] = field(default_factory=Counter)
    stalls: list[dict[str, Any]] = field(default_factory=list)
    bugs: list[dict[str, Any]] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)


class Soak:
    def __init__(self, cluster: Cluster, plan: Plan) -> None:
        self.cluster, self.plan = cluster, plan
        self.found = Findings()
        self._clients = {name: NodeClient.remote(cluster[name].credentials) for name in NAMES}
        self._keys: dict[Curve, bytes] = {}
        self._done = 0
        self._progress = asyncio.Condition()
        self._operations: set[str] = set()

    async def run(self) -> Findings:
        started = time.monotonic()
        try:
            await self._prepare()
            waiting = iter(self.plan.asks)
            callers = (self._call(waiting) for _ in range(self.plan.in_flight))
            beating = asyncio.create_task(self._strike())
            await asyncio.gather(*callers)
            await beating
            self.found.seconds = time.monotonic() - started
            await self._settle()
        finally:
            for client in self._clients.values():
                await client.close()
        self._read_logs()
        return self.found

    async def _prepare(self) -> None:
        alice = self._clients[NAMES[0]]
        made = await alice.create_vault(
            name="soak", weights=dict.fromkeys(NAMES, 1), threshold=2, idempotency_key=uuid.uuid4().hex
        )
        assert (await alice.wait(made.id, PATIENCE)).state is State.COMPLETED
        for client in self._clients.values():
            vault = await vault_ready(client, "soak", patience=PATIENCE)
            assert vault.state == "ready"
            self._keys = dict(vault.public_keys)

    # --- asking

    async def _call(self, waiting: Iterator[Ask]) -> None:
        for ask in waiting:
            try:
                async with asyncio.timeout(PATIENCE):
                    view = await self._ask(ask)
            except (RemoteError, TimeoutError) as error:
                self.found.lost.append(f"{ask.key} at {ask.node}: {error!r}")
                continue
            self._check(ask, view)
            await self._count(len(ask.messages))

    async def _ask(self, ask: Ask) -> OperationView:
        """The operation in a final state, however often its node goes away meanwhile: the key makes it one."""
        client = self._clients[ask.node]
        while True:
            try:
                view = await client.sign(
                    vault="soak",
                    data=ask.messages,
                    batch=len(ask.messages) > 1,
                    content_type="text/plain",
                    algorithm=ask.algorithm,
                    idempotency_key=ask.key,
                )
                view = await client.wait(view.id, 30)
            except RemoteError as error:
                if error.code not in AWAY:
                    raise
                self.found.asked_again[error.code] += 1
                await asyncio.sleep(0.1)
                continue
            if view.state in FINAL:
                return view

    def _check(self, ask: Ask, view: OperationView) -> None:
        self._operations.add(view.id)
        self.found.attempts[view.attempt] += 1
        if view.state is not State.COMPLETED:
            self.found.lost.append(f"{ask.key} at {ask.node}: {view.state} {view.reason} {view.detail}")
            return
        key = self._keys[CURVES[ask.algorithm]]
        made = {each.message.decode(): each for each in view.signatures}
        for message in ask.messages:
            if message not in made:
                self.found.wrong.append(f"{ask.key}: nothing for {message}")
            elif made[message].public_key != key:
                self.found.wrong.append(f"{ask.key}: {message} by another key")
            elif not is_signed(ask.algorithm, key, message.encode(), made[message].signature):
                self.found.wrong.append(f"{ask.key}: {message} does not verify")
            else:
                self.found.signatures[ask.algorithm] += 1

    async def _count(self, signatures: int) -> None:
        before, self._done = self._done, self._done + signatures
        if before // SAMPLE_EVERY != self._done // SAMPLE_EVERY:
            for name, member in self.cluster.members.items():
                if member.running is not None:
                    self.found.memory.note(name, member.running.pid, self._done)
        async with self._progress:
            self._progress.notify_all()

    # --- disturbing

    async def _strike(self) -> None:
        for blow in self.plan.blows:
            async with self._progress:
                while self._done < blow.after:
                    await self._progress.wait()
            await asyncio.gather(*(self._restart(name, blow) for name in blow.nodes))

    async def _restart(self, name: str, blow: Blow) -> None:
        member = self.cluster[name]
        await member.stop(blow.how)
        self.found.restarts[blow.how.name] += 1
        await member.start()

    # --- what is left

    async def _settle(self) -> None:
        """Every operation ends on every node, and in the same way."""
        await self.cluster.linked(PATIENCE)
        async with asyncio.timeout(PATIENCE):
            for name, client in self._clients.items():
                while (await client.status()).unfinished:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.5)
                for view in await client.operations(limit=1_000_000):
                    if view.state not in FINAL:
                        self.found.open.append(f"{view.id} at {name}: {view.state}")
                    elif view.id in self._operations and view.state is not State.COMPLETED:
                        self.found.different.append(f"{view.id} at {name}: {view.state} {view.reason}")

    def _read_logs(self) -> None:
        for name, member in self.cluster.members.items():
            for event in events(member.log):
                if event.get("event") == "event loop stalled":
                    self.found.stalls.append({"node": name, **event})
                elif event.get("level") in {"error", "critical"}:
                    self.found.bugs.append({"node": name, **event})


def events(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(errors="replace").splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # what a process wrote as it was killed
            yield {"event": line, "level": "error"}
