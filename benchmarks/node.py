"""Whole operations through three daemons on loopback: client call, approval, votes, rounds, fsync, answer."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.harness import Figure, Traffic, figure, measure
from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.cluster import Cluster

NAMES = ("alice", "bob", "carol")
ALGORITHMS = ("EDDSA", "ES256K")
APPROVER = '[approver]\ntype = "always"\n'
PATIENCE = 60.0
TICK = os.sysconf("SC_CLK_TCK")


class Bench:
    """A running cluster and the clock of its processes."""

    def __init__(self, cluster: Cluster, runner: asyncio.Runner) -> None:
        self.cluster, self.run = cluster, runner.run
        self.node = cluster[NAMES[0]].node
        self.signed = 0

    def cpu_seconds(self) -> float:
        """CPU time of the three daemons and of this process, the client."""
        pids = [member.running.pid for member in self.cluster.members.values() if member.running]
        return time.process_time() + sum(cpu_of(pid) for pid in pids)

    async def create(self, weights: Mapping[str, int], threshold: int) -> str:
        key = uuid.uuid4().hex
        view = await self.node.create_vault(
            name=key, weights=weights, threshold=threshold, idempotency_key=key
        )
        vault = (await self.completed(view)).vault
        assert vault is not None
        await self.ready(vault, epoch=0)
        return vault

    async def ready(self, vault: str, *, epoch: int) -> None:
        while True:
            view = await self.node.vault(vault)
            if view.epoch == epoch and view.state == "ready":
                return
            await asyncio.sleep(0.002)

    async def reshare(self, vault: str, *thresholds: int) -> None:
        """To the next epoch, ready here, with the threshold whose turn it is; a refresh if there are none."""
        epoch = (await self.node.vault(vault)).epoch
        threshold = thresholds[epoch % len(thresholds)] if thresholds else None
        key = uuid.uuid4().hex
        view = await self.node.reshare(vault=vault, threshold=threshold, idempotency_key=key)
        await self.completed(view)
        await self.ready(vault, epoch=epoch + 1)

    async def sign(self, vault: str, algorithm: str, messages: int = 1) -> None:
        view = await self.node.sign(
            vault=vault,
            data=[f"message {number}" for number in range(messages)],
            batch=messages > 1,
            content_type="text/plain",
            algorithm=algorithm,
            idempotency_key=uuid.uuid4().hex,
        )
        view = await self.completed(view)
        assert len(view.signatures) == messages
        self.signed += messages

    async def sign_side_by_side(self, vault: str, algorithm: str, in_flight: int, total: int) -> None:
        waiting = iter(range(total))

        async def caller() -> None:
            for _ in waiting:
                await self.sign(vault, algorithm)

        await asyncio.gather(*(caller() for _ in range(in_flight)))

    async def completed(self, view: OperationView) -> OperationView:
        view = await self.node.wait(view.id, PATIENCE)
        if view.state is not State.COMPLETED:
            raise SystemExit(f"{view.kind} ended as {view.state}: {view.reason} {view.detail}")
        return view


def cpu_of(pid: int) -> float:
    """Seconds a process has computed; 0 where the system does not tell."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def figures() -> Iterator[Figure]:
    with running() as bench:
        yield from figures_of(bench)


@contextmanager
def running() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as root, asyncio.Runner() as runner:
        cluster = Cluster(Path(root), dict.fromkeys(NAMES, APPROVER))
        runner.run(cluster.__aenter__())
        try:
            runner.run(cluster.linked())
            yield Bench(cluster, runner)
        finally:
            runner.run(cluster.__aexit__(*sys.exc_info()))


def figures_of(bench: Bench) -> Iterator[Figure]:
    equal = dict.fromkeys(NAMES, 1)

    def timed(
        name: str, runs: int, work: Callable[[], Coroutine[None, None, object]], **parameters: object
    ) -> Figure:
        return measure(
            f"node/{name}", parameters, lambda: bench.run(work()), runs, cpu_seconds=bench.cpu_seconds
        )

    yield memory(bench)
    yield timed("create vault", 10, lambda: bench.create(equal, 2), weights=[1, 1, 1], threshold=2)
    moving = bench.run(bench.create(equal, 2))
    of_three = {"weights": [1, 1, 1], "threshold": 2}
    yield timed("refresh", 10, partial(bench.reshare, moving), **of_three)
    yield timed(
        "reshare, threshold 2 to 3 and back", 10, partial(bench.reshare, moving, 2, 3), weights=[1, 1, 1]
    )
    vault = bench.run(bench.create(equal, 2))
    heavy = bench.run(bench.create(dict(zip(NAMES, (499, 307, 194), strict=True)), 501))
    for name in ALGORITHMS:
        sign, of = partial(bench.sign, algorithm=name), {"algorithm": name}
        yield timed("sign", 100, partial(sign, vault), **of, weights=[1, 1, 1], threshold=2)
        yield timed("sign", 50, partial(sign, heavy), **of, weights=[499, 307, 194], threshold=501)
        yield timed("batch sign", 10, partial(sign, vault, messages=100), **of, messages=100)
        for in_flight, total in ((1, 50), (8, 160), (32, 320)):
            yield throughput(bench, vault, name, in_flight=in_flight, total=total)
    yield memory(bench)


def memory(bench: Bench) -> Figure:
    """MiB, not milliseconds, that each of the three daemons holds after the signatures made so far."""
    pids = [member.running.pid for member in bench.cluster.members.values() if member.running]
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    held = [each * os.sysconf("SC_PAGE_SIZE") / (1 << 20) for each in pages]
    parameters = {"signatures": bench.signed, "unit": "MiB of one daemon"}
    return figure("node/memory", parameters, held, cpu=0, traffic=Traffic())


def throughput(bench: Bench, vault: str, algorithm: str, *, in_flight: int, total: int) -> Figure:
    """Milliseconds for each of ``total`` signatures while ``in_flight`` are asked for at once."""
    times = []
    before = bench.cpu_seconds()
    for _ in range(3):
        started = time.perf_counter()
        bench.run(bench.sign_side_by_side(vault, algorithm, in_flight, total))
        times.append((time.perf_counter() - started) * 1000 / total)
    cpu = (bench.cpu_seconds() - before) * 1000 / (3 * total)
    parameters = {"algorithm": algorithm, "in_flight": in_flight, "total": total}
    return figure("node/sign throughput", parameters, times, cpu=cpu, traffic=Traffic())
