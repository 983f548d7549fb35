"""Other threshold-signing libraries beside ours: programs in their own languages, timed in turn on one core.

Every program holds one conversation with this runner: at first it says, as a line of JSON, which cases it can time;
then it answers each line "case runs" with a line of JSON, the milliseconds of CPU time, over all threads, of each of
those runs: what all parties computed together. Ours is one of the programs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.harness import Figure, Skipped
from benchmarks.peers.build import built
from benchmarks.peers.conversation import timed_in_turn
from benchmarks.peers.programs import PROGRAMS


def figures() -> Iterator[Figure | Skipped]:
    ready, skipped = {}, []
    for program in PROGRAMS:
        print(f"building {program.name}", file=sys.stderr, flush=True)
        command = built(program)
        if isinstance(command, Skipped):
            print(f"  skipped: {command.reason}", file=sys.stderr, flush=True)
            skipped.append(command)
        else:
            ready[program] = command
    yield from skipped
    yield from timed_in_turn(ready)
