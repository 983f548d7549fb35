"""What a node needs: ``unshare --net sh -c 'ip link set lo up; python -m benchmarks.requirements'``.

Three daemons on a loopback that nobody else uses, two of three sign. Bytes are what crosses that loopback, headers and
the client's part included; processor time is of the three daemons; the disk grows by stores and their logs.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node import ALGORITHMS, NAMES, Bench, cpu_of, memory, running

SIGNATURES = 300
WARM = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    cpu: float  # seconds, of all daemons
    network: int  # bytes
    disk: int  # bytes, of all stores

    def since(self, before: Spent) -> Spent:
        return Spent(
            cpu=self.cpu - before.cpu, network=self.network - before.network, disk=self.disk - before.disk
        )


def spent(bench: Bench) -> Spent:
    members = bench.cluster.members.values()
    disk = sum(file.stat().st_size for member in members for file in member.home.glob("node.db*"))
    daemons = (member.running for member in members)
    return Spent(cpu=sum(cpu_of(each.pid) for each in daemons if each), network=received(), disk=disk)


def received() -> int:
    """Bytes on this namespace's loopback so far."""
    (line,) = (
        line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:")
    )
    return int(line.partition(":")[2].split()[0])


def main() -> None:
    if received() > 1 << 20:
        sys.exit("others use this loopback: run it in a network namespace of its own")
    with running() as bench:
        before = spent(bench)
        vault = bench.run(bench.create(dict.fromkeys(NAMES, 1), 2))
        show("vault create", 1, spent(bench).since(before))
        for algorithm in ALGORITHMS:
            for _ in range(WARM):
                bench.run(bench.sign(vault, algorithm))
            before = spent(bench)
            for _ in range(SIGNATURES):
                bench.run(bench.sign(vault, algorithm))
            show(algorithm, SIGNATURES, spent(bench).since(before))
        print(f"{bench.signed} signatures: {memory(bench).median:.0f} MiB of memory a node")
        idle = spent(bench)
        bench.run(asyncio.sleep(60))
        show("a minute of rest", 1, spent(bench).since(idle))


def show(what: str, count: int, used: Spent) -> None:
    nodes = len(NAMES)
    print(
        f"{what}: {used.cpu / nodes / count * 1000:.1f} ms of processor a node, "
        f"{used.network / count / 1000:.1f} kB on the network, {used.disk / nodes / count / 1000:.2f} kB of disk a node"
    )


if __name__ == "__main__":
    main()
