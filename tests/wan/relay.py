"""A long, sometimes lossy line in user space: TCP from ports of this machine to others, late and now and then later.

    python -m tests.wan.relay --delay-ms 40 --stall-ms 250 --stall-every 60 --seed 1 20001:20002 ...

Whatever arrives at the first port of a pair leaves for the second ``delay-ms`` after it came, and the same way back.
About once in ``stall-every`` pieces a direction stops for ``stall-ms`` more and everything behind it waits, as when TCP
sends a lost segment again. A process of its own: its lateness is not its users'. Prints one line when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count

PIECE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Seconds, and pieces from one stall to the next on average."""

    delay: float
    stall: float
    every: int
    seed: int

    def delays(self, direction: int) -> Iterator[float]:
        """How long each piece is under way, for the direction opened as the so-manieth."""
        rng = random.Random(f"{self.seed} {direction}")
        while True:
            yield self.delay + (self.stall if rng.randrange(self.every) == 0 else 0.0)


Pieces = asyncio.Queue[tuple[float, bytes]]


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delays: Iterator[float]) -> None:
    """One direction, to its end: pieces leave in order, none before its time."""
    pieces: Pieces = asyncio.Queue()
    delivering = asyncio.create_task(deliver(pieces, writer))
    now = asyncio.get_running_loop().time
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            pieces.put_nowait((now() + next(delays), piece))
    pieces.put_nowait((now() + next(delays), b""))
    await delivering


async def deliver(pieces: Pieces, writer: asyncio.StreamWriter) -> None:
    now = asyncio.get_running_loop().time
    with contextlib.suppress(OSError):
        while True:
            at, piece = await pieces.get()
            await asyncio.sleep(at - now())
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
    writer.close()


async def connect(
    line: Line, directions: Iterator[int], target: int, near: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    try:
        far, forth = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        back.close()
        return
    there, here = line.delays(next(directions)), line.delays(next(directions))
    await asyncio.gather(carry(near, forth, there), carry(far, back, here))


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.wan.relay")
    for name in ("delay-ms", "stall-ms", "stall-every", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("ports", nargs="+", metavar="LISTEN:TARGET")
    options = parser.parse_args()
    line = Line(
        delay=options.delay_ms / 1000, stall=options.stall_ms / 1000, every=options.stall_every, seed=options.seed
    )  # fmt: skip
    directions = count()
    for pair in options.ports:
        listen, target = map(int, pair.split(":"))
        await asyncio.start_server(partial(connect, line, directions, target), "127.0.0.1", listen)
    print("listening", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
