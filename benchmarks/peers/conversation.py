"""Has all programs time their cases in turn, a few runs each and round after round, so that what else the machine does
meets all of them alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from benchmarks.harness import ROOT, Figure, Skipped, Traffic, figure
from benchmarks.peers.build import Command
from benchmarks.peers.programs import Language, Program

ROUNDS = 5
MOST = 20  # runs of a case in a round, and
SHARE = 400.0  # milliseconds of one; a slow case has a single run,
SLOW = 2000.0  # and one slower than this, in every other round
PATIENCE = 1800  # seconds: the slowest prepares a key with safe primes first
ONE_THREAD = {"GOMAXPROCS": "1", "RAYON_NUM_THREADS": "1"}


class Broken(Exception):
    """A program ended, or stopped answering."""


@dataclass(slots=True)
class Timed:
    """One case of one program."""

    number: int
    parameters: Mapping[str, object]
    runs: int = 1
    slow: bool = False
    milliseconds: list[float] = field(default_factory=list)


class Talk(AbstractContextManager["Talk"]):
    """The conversation with one program."""

    def __init__(self, program: Program, command: Command) -> None:
        self.program = program
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.cases: list[Timed] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def listen(self) -> Any:
        assert self.process.stdout is not None
        impatient = threading.Timer(PATIENCE, self.process.kill)
        impatient.start()
        line = self.process.stdout.readline()
        impatient.cancel()
        if not line:
            raise Broken(f"{self.program.name} ended, with {self.process.wait()}")
        return json.loads(line)

    def prepare(self) -> None:
        """Hear what it offers, and run each case once to warm up."""
        offered = self.listen()["cases"]
        self.cases = [Timed(number, {**about(self.program), **case}) for number, case in enumerate(offered)]
        for case in self.cases:
            [once] = self.ask(case)
            case.runs, case.slow = max(1, min(MOST, int(SHARE / max(once, 1.0)))), once > SLOW

    def ask(self, case: Timed) -> list[float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{case.number} {case.runs}\n")
        answered: list[float] = self.listen()["milliseconds"]
        return answered


def timed_in_turn(commands: Mapping[Program, Command]) -> Iterator[Figure | Skipped]:
    with ExitStack() as stack:
        stack.enter_context(on_one_core())
        talks = [stack.enter_context(Talk(*each)) for each in commands.items()]
        well = []
        for talk in talks:
            print(f"preparing {talk.program.name}", file=sys.stderr, flush=True)
            try:
                talk.prepare()
            except (Broken, BrokenPipeError) as error:
                yield Skipped(name=talk.program.name, reason=str(error))
            else:
                well.append(talk)
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
            for talk in well:
                for case in talk.cases:
                    if case.slow and number % 2:
                        continue
                    case.milliseconds += talk.ask(case)
        yield from map(figure_of, cases_of(well))


def cases_of(talks: Iterable[Talk]) -> Iterator[Timed]:
    for talk in talks:
        yield from talk.cases


def figure_of(case: Timed) -> Figure:
    name, times = f"peers/{case.parameters['operation']}", case.milliseconds
    return figure(name, case.parameters, times, cpu=statistics.fmean(times), traffic=Traffic())


def about(program: Program) -> dict[str, object]:
    return {
        "library": program.name,
        "module": program.module,
        "version": program.version,
        "licence": program.licence,
        "language": program.language.value,
        "toolchain": toolchain(program.language),
    }


def toolchain(language: Language) -> str:
    ask = {
        Language.PYTHON: (sys.executable, "--version"),
        Language.GO: ("go", "version"),
        Language.RUST: ("rustc", "--version"),
    }
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    said = subprocess.run(ask[language], capture_output=True, text=True, check=False, env=environment)
    return said.stdout.strip()


@contextmanager
def on_one_core() -> Iterator[None]:
    """This process and what it starts share one core: nobody gains by running in parallel, or pays for it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
