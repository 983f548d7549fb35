"""Everything that can befall one or two nodes at each point of an operation, and what has become of the vault then.

    python -m tests.crash.matrix OPERATION|all [--fate FATE]... [--only TEXT]... [--sample N] [--ideal] [--jobs N]
        [--keep FILE]

The points come from clean runs of the operation (``mortal``), so that whatever is written or said anew is covered by
itself. Prints how many points there were, how many were struck, and what was wrong. With ``--keep`` a run that was cut
off goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic

import structlog

from quorate.ceremony import catchup
from quorate.ceremony.lifecycle import OPEN
from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.errors import QuorateError
from tests.ceremony.world import CALLER, World
from tests.crash.disk import Disk, build, preloaded
from tests.crash.invariants import everything
from tests.crash.mortal import DOWNTIME, HASTY, PATIENT, MortalNode, MortalWorld
from tests.protocols.ideal import dealt_setups

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
THRESHOLD = 3
PROPOSER = "alice"
FAR = {"carol": 0.03}  # seconds: so the quorum is alice and bob each time
PATIENCE = float(
    os.environ.get("QUORATE_CRASH_PATIENCE", "90")
)  # seconds until an operation is over, and known to all
QUIET = 0.4  # seconds for stragglers
JOBS = 2 * (os.cpu_count() or 1)
# What fewer of the clean runs pass is a matter of the clock: a write that another had made needless.
CLEAN_RUNS, OFTEN = 5, 4
TRIES = 24  # at a point that is not passed in the same number each time

Request = Callable[[MortalNode, str], Awaitable[OperationView]]


async def keygen(node: MortalNode, key: str) -> OperationView:
    return await node.ceremonies.clients.create_vault(
        CALLER, name=f"vault {key}", weights=WEIGHTS, threshold=THRESHOLD, allow_sole_signer=False, memo="",
        idempotency_key=key, expires_in_ms=None,
    )  # fmt: skip


async def reshare(node: MortalNode, key: str) -> OperationView:
    """Dave joins with weight 2, carol deals and leaves."""
    return await node.ceremonies.clients.reshare(
        CALLER, vault="all", weights={"dave": 2}, removed=("carol",), threshold=4, allow_sole_signer=False,
        memo="", idempotency_key=key, expires_in_ms=None,
    )  # fmt: skip


async def refresh(node: MortalNode, key: str, vault: str = "base") -> OperationView:
    return await node.ceremonies.clients.reshare(
        CALLER, vault=vault, weights={}, removed=(), threshold=None, allow_sole_signer=False,
        memo="", idempotency_key=key, expires_in_ms=None,
    )  # fmt: skip


async def sign(node: MortalNode, key: str, algorithm: str = "EDDSA", vault: str = "base") -> OperationView:
    return await node.ceremonies.clients.sign(
        CALLER, vault=vault, data=(f"message {key}",), batch=False, content_type="text/plain",
        algorithm=algorithm, derivation_path="", idempotency_key=key, expires_in_ms=None,
    )  # fmt: skip


async def multiply(node: MortalNode, key: str) -> OperationView:
    return await sign(node, key, "ES256K")


OPERATIONS: dict[str, Request] = {
    "keygen": keygen,
    "signing": sign,
    "multiplying": multiply,
    "reshare": reshare,
    "refresh": refresh,
}
MEMBERS = {name: tuple(WEIGHTS) for name in OPERATIONS} | {"reshare": (*WEIGHTS, "dave")}


# --- what befalls a node

FATES = {
    "death": "the power of one node fails: what was not synced is lost",
    "deaths": "the same of two nodes at once, each other one beside it in turn",
    "torn": "the power fails in the sync: some sectors are written",
    "unsynced": "the sync fails: the node writes nothing more until it is started again",
    "full": "the disk takes nothing for a while",
    "lost": "the node is cut off from all others, and then is not",
    "late": "all that the node says and hears is half a second late for a while",
}
WRITES = ("torn", "unsynced", "full")  # of these only points before a write
LINKS = ("lost", "late")  # of these no points of writes
ORDER = (("death",), WRITES, LINKS, ("deaths",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    point: str
    fate: str
    beside: str = ""

    @property
    def victim(self) -> str:
        return self.point.split()[0]

    def __str__(self) -> str:
        return f"{self.fate} at {self.point}" + (f" and of {self.beside}" if self.beside else "")


@dataclass(slots=True, kw_only=True)
class Verdict:
    case: str
    struck: bool = False
    complaints: list[str] = field(default_factory=list)


def cases(operation: str, points: Sequence[str], fates: Sequence[str]) -> Iterator[Case]:
    for point in points:
        for fate in fates:
            if fate in WRITES and not (" write " in point and " before " in point):
                continue
            if fate in LINKS and " write " in point:
                continue
            if fate == "deaths":
                for other in MEMBERS[operation]:
                    if other != point.split()[0]:
                        yield Case(point=point, fate=fate, beside=other)
            else:
                yield Case(point=point, fate=fate)


class Strike:
    """Does to the victim what the case says, at its point; ``over`` brings it back."""

    def __init__(self, world: MortalWorld, case: Case) -> None:
        self.world, self.case = world, case
        self.struck = asyncio.Event()
        self._hit = False

    def __call__(self, node: MortalNode, point: str) -> None:
        if self._hit or point != self.case.point:
            return
        self._hit = True
        world, home = self.world, node.path.parent
        match self.case.fate:
            case "death":
                node.die()
            case "deaths":
                node.die()
                world[self.case.beside].die()
            case "torn":
                node.isolate()
                world.disk.fault(home, "fsync", 1_000_000)
            case "unsynced":
                world.disk.fault(home, "fsync", 1_000_000)
            case "full":
                world.disk.fault(home, "full", 1_000_000)
            case "lost":
                node.isolate()
            case "late":
                world.slow[node.name] = 0.5
        world.loop.call_soon_threadsafe(self.struck.set)

    async def over(self) -> None:
        world, node = self.world, self.world[self.case.victim]
        if self.case.fate == "torn":
            ends = monotonic() + 5
            while not world.disk.failed and monotonic() < ends:  # noqa: ASYNC110 - a thread of the store fails
                await asyncio.sleep(0.005)
            node.die(torn=random.Random(self.case.point))
            world.disk.fault(world.folder, "fsync", 0)
        await asyncio.sleep(DOWNTIME)
        match self.case.fate:
            case "unsynced":
                node.die(powered=True)
                world.disk.fault(world.folder, "fsync", 0)
            case "full":
                world.disk.fault(world.folder, "full", 0)
            case "lost":
                node.connect()
            case "late":
                world.slow[node.name] = FAR.get(node.name, 0.0)
        for each in world.nodes:
            if world[each].dead:
                await world[each].rise()


# --- running it


@asynccontextmanager
async def world_of(template: Path, disk: Disk, root: Path, *, clean: bool) -> AsyncIterator[MortalWorld]:
    folder = Path(tempfile.mkdtemp(dir=root))
    world = MortalWorld(folder, template, disk, PATIENT if clean else HASTY)
    world.slow = dict(FAR)
    catchup.ROUND, catchup.PATIENCE = 0.3, 1.0
    try:
        await world.start()
        await asyncio.sleep(0.1)
        yield world
    finally:
        for name in world.nodes:
            if world[name].dead:
                await world[name].rise()
        await world.stop()
        shutil.rmtree(folder)


async def make_template(folder: Path) -> None:
    """Alice, bob and carol have a vault named base, and one named all that takes them all; dave is there."""
    folder.mkdir(mode=0o700)  # noqa: ASYNC240 - nothing else runs yet
    world = World(folder, (*WEIGHTS, "dave"))
    for node in world.nodes.values():
        node.limits = PATIENT
    await world.start()
    for vault, threshold in (("base", THRESHOLD), ("all", sum(WEIGHTS.values()))):
        made = await world[PROPOSER].create_vault(vault, WEIGHTS, threshold, seconds=PATIENCE)
        assert made.state is State.COMPLETED, made
        for name in WEIGHTS:
            await world[name].ready(vault, seconds=PATIENCE)
    await world.stop()


async def clean_run(template: Path, disk: Disk, root: Path, operation: str) -> tuple[list[str], list[str]]:
    """The points of an operation that nothing happens to, in the order they are passed; and what is wrong after it."""
    points: list[str] = []
    async with world_of(template, disk, root, clean=True) as world:
        world.on_point = lambda _, point: None if repeated(point) else points.append(point)
        view = await OPERATIONS[operation](world[PROPOSER], "clean")
        view = await world[PROPOSER].ceremonies.clients.wait(CALLER, view.id, PATIENCE)
        assert view.state is State.COMPLETED, view
        await asyncio.sleep(QUIET)
        world.on_point = None
        wrong = [*await everything(world, PATIENCE), *world.complaints]
    return points, wrong


def repeated(point: str) -> bool:
    """How often others are asked what they hold is a matter of the clock: the first time is a point."""
    return " Get" in point and not point.endswith(" 1")


async def strike(template: Path, disk: Disk, root: Path, operation: str, case: Case) -> Verdict:
    """One operation with what the case says, and every claim checked after it."""
    verdict, request = Verdict(case=str(case)), OPERATIONS[operation]
    async with world_of(template, disk, root, clean=False) as world:
        world.on_point = blow = Strike(world, case)
        ending = asyncio.create_task(ended(world, request, "struck"))
        struck = asyncio.create_task(blow.struck.wait())
        await asyncio.wait((ending, struck), return_when=asyncio.FIRST_COMPLETED)
        if not blow.struck.is_set():
            await asyncio.wait((struck,), timeout=QUIET)
        struck.cancel()
        verdict.struck = blow.struck.is_set()
        if verdict.struck:
            await blow.over()
        world.on_point = None
        view = await ending
        if view.state is not State.COMPLETED:
            # honest about what it could not do; asked anew it can
            if view.state is not State.FAILED:
                verdict.complaints.append(f"the operation is {view.state}: {view.reason} {view.detail}")
            await ready(world)
            view = await ended(world, await remedy(world, operation), "again")
            if view.state is not State.COMPLETED:
                verdict.complaints.append(f"asked again it is {view.state}: {view.reason} {view.detail}")
        verdict.complaints += await everything(world, PATIENCE)
        for algorithm in ("EDDSA", "ES256K"):
            vault = view.vault or "base"
            asked = partial(sign, algorithm=algorithm, vault=vault)
            signed = await ended(world, asked, f"after {algorithm}")
            if signed.state is not State.COMPLETED:
                why = f"{signed.state} {signed.reason} {signed.detail}"
                verdict.complaints.append(f"afterwards {vault} does not sign by {algorithm}: {why}")
        verdict.complaints += world.complaints
    return verdict


async def remedy(world: MortalWorld, operation: str) -> Request:
    """What to ask for where the operation has failed: the same; after a reshare that made an epoch, a refresh of it."""
    vault = await world[PROPOSER].ceremonies.clients.vault(CALLER, "all")
    return partial(refresh, vault="all") if vault.epoch else OPERATIONS[operation]


async def ready(world: MortalWorld) -> None:
    """No node says of itself that its store takes no changes."""
    ends = monotonic() + PATIENCE
    while any(world[name].ledger.fault is not None for name in world.nodes) and monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def ended(world: MortalWorld, request: Request, key: str) -> OperationView:
    """The operation at its end, asked for again under its key until the node that is asked answers."""
    ends = monotonic() + PATIENCE
    while True:
        node, life = world[PROPOSER], world[PROPOSER].life
        try:
            view = await request(node, key)
            while view.state in OPEN and node.alive(life) and monotonic() < ends:
                view = await node.ceremonies.clients.wait(CALLER, view.id, 0.3)
                if world[PROPOSER].ceremonies.clients.closed:
                    break
            if view.state not in OPEN or monotonic() > ends:
                return view
        except (QuorateError, RuntimeError) as error:  # the latter of a pool of threads that is no more
            if monotonic() > ends or (isinstance(error, RuntimeError) and node.life == life):
                raise
        await asyncio.sleep(0.1)


@contextmanager
def setups(ideal: bool) -> Iterator[None]:
    if ideal:
        with dealt_setups():
            yield
    else:
        yield


# --- the whole of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was done to one operation, and what was wrong. ``missed``: cases that no try came to."""

    operation: str
    points: int
    struck: int
    cases: int
    missed: list[str]
    violations: list[Verdict]
    seconds: int

    @property
    def sound(self) -> bool:
        return self.struck == self.points and not self.missed and not self.violations


async def strike_until_hit(template: Path, disk: Disk, root: Path, operation: str, case: Case) -> Verdict:
    verdict = Verdict(case=str(case))
    for _ in range(TRIES):
        try:
            verdict = await strike(template, disk, root, operation, case)
        except Exception as error:  # whatever broke, the case is not sound
            verdict.complaints.append(f"{type(error).__name__}: {error}")
        if verdict.struck or verdict.complaints:
            break
    return verdict


async def prepare(options: argparse.Namespace, root: Path) -> None:
    disk = Disk(root)
    await make_template(root / "template")
    runs = [await clean_run(root / "template", disk, root, options.operation) for _ in range(CLEAN_RUNS)]
    passed = Counter(point for points, _ in runs for point in points)
    (root / "points").write_text(json.dumps([point for point, times in passed.items() if times >= OFTEN]))
    wrong = [complaint for _, complaints in runs for complaint in complaints]
    (root / "clean").write_text(
        json.dumps(asdict(Verdict(case="nothing at all", struck=True, complaints=wrong)))
    )


async def work(options: argparse.Namespace, root: Path, part: int) -> None:
    """Every ``options.jobs``-th case, a line of JSON each."""
    disk = Disk(root)
    with kept(options, root).open("a") as out:
        for fields in json.loads((root / "todo").read_text())[part :: options.jobs]:
            case = Case(**fields)
            verdict = await strike_until_hit(root / "template", disk, root, options.operation, case)
            out.write(json.dumps(asdict(verdict) | mark(options)) + "\n")
            out.flush()
            if options.verbose:
                print(
                    f"{case}: {verdict.complaints or ('sound' if verdict.struck else 'missed')}", flush=True
                )


def kept(options: argparse.Namespace, root: Path) -> Path:
    return Path(options.keep) if options.keep else root / "verdicts"


def mark(options: argparse.Namespace) -> dict[str, object]:
    """What a verdict is of, beside its case."""
    return {"operation": options.operation, "ideal": options.ideal}


def verdicts_of(options: argparse.Namespace, root: Path) -> dict[str, Verdict]:
    """The last verdict on each case that stands in the file, by the case."""
    if not kept(options, root).exists():
        return {}
    lines = [json.loads(line) for line in kept(options, root).read_text().splitlines()]
    ours = [line for line in lines if mark(options).items() <= line.items()]
    return {line["case"]: Verdict(**{name: line[name] for name in Verdict.__slots__}) for line in ours}


def chosen(options: argparse.Namespace, points: Sequence[str]) -> list[Case]:
    every = cases(options.operation, points, options.fate or list(FATES))
    wanted = [case for case in every if any(text in str(case) for text in options.only or [""])]
    if options.sample:
        wanted = random.Random(options.seed).sample(wanted, min(options.sample, len(wanted)))
    return wanted


def examine(arguments: Sequence[str], options: argparse.Namespace) -> Found:
    """The points, in a process of its own; then all the cases, in ``options.jobs`` of them."""
    started = monotonic()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        root = Path(scratch)
        environment = preloaded(build(root))

        def child(*more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "tests.crash.matrix", *arguments, "--root", str(root), *more]
            return subprocess.Popen(command, env=environment)

        if child().wait() != 0:
            raise SystemExit(f"{options.operation}: the run that nothing happened in failed")
        clean = Verdict(**json.loads((root / "clean").read_text()))
        points = json.loads((root / "points").read_text())
        wanted, known = chosen(options, points), verdicts_of(options, root)
        sound = {case for case, verdict in known.items() if verdict.struck and not verdict.complaints}
        todo = [case for case in wanted if str(case) not in sound]
        (root / "todo").write_text(json.dumps([asdict(case) for case in todo]))
        before = f", {len(wanted) - len(todo)} of them sound before" if len(todo) < len(wanted) else ""
        print(
            f"{options.operation}: {len(points)} points of the instrumented run; {len(wanted)} cases of"
            f" {', '.join(options.fate or FATES)}{before}",
            flush=True,
        )
        codes = [each.wait() for each in [child("--worker", str(part)) for part in range(options.jobs)]]
        if any(codes):
            raise SystemExit(f"the workers ended with {codes}")
        judged = verdicts_of(options, root)
    return Found(
        operation=options.operation,
        points=len({case.point for case in wanted}),
        struck=len({case.point for case in wanted if judged[str(case)].struck}),
        cases=len(wanted),
        missed=[str(case) for case in wanted if not judged[str(case)].struck],
        violations=[each for each in (clean, *(judged[str(case)] for case in wanted)) if each.complaints],
        seconds=round(monotonic() - started),
    )


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.matrix")
    parser.add_argument("operation", choices=[*OPERATIONS, "all"])
    parser.add_argument("--fate", action="append", choices=FATES, help="all of them, unless some are named")
    parser.add_argument("--only", action="append", help="cases with one of these texts in their names")
    parser.add_argument("--sample", type=int, default=0, help="so many of them, drawn by the seed")
    parser.add_argument("--seed", default="quorate")
    parser.add_argument("--ideal", action="store_true", help="pair set-ups by an ideal functionality")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes; nodes mostly wait")
    parser.add_argument(
        "--keep", metavar="FILE", help="where verdicts are kept; those that are sound in it stand"
    )
    parser.add_argument("--folder", help="where the stores are made")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--root", help=argparse.SUPPRESS)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.operation == "all" and options.fate:
        parser.error("all is all of the fates, in their order: name an operation with --fate")
    return options


def runs_of(arguments: Sequence[str], options: argparse.Namespace) -> list[list[str]]:
    """Of ``all``: every point with the set-ups of the product, which take four times as long, and then whatever else
    there is, what one node meets before what two do."""
    if options.operation != "all":
        return [list(arguments)]
    more = [each for each in arguments if each != "all"]
    groups = [[part for fate in group for part in ("--fate", fate)] for group in ORDER]
    for group in groups[1:]:
        group.append("--ideal")
    return [[operation, *group, *more] for group in groups for operation in OPERATIONS]


def main(arguments: Sequence[str]) -> int:
    options = parsed(arguments)
    if options.root is not None:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # heard by nobody
        with setups(options.ideal):
            root = Path(options.root)
            asyncio.run(
                prepare(options, root) if options.worker is None else work(options, root, options.worker)
            )
        return 0
    every = []
    for these in runs_of(arguments, options):
        operation = these[0]
        every.append(found := examine(these, parsed(these)))
        for verdict in found.violations:
            print(f"VIOLATION {operation}: {verdict.case}: {'; '.join(verdict.complaints)}", flush=True)
        for case in found.missed:
            print(f"MISSED {operation}: {case}", flush=True)
        print(told(found), flush=True)
    print(
        f"in all: {sum(found.cases for found in every)} cases, {sum(len(f.violations) for f in every)} violations"
    )
    return 0 if all(found.sound for found in every) else 1


def told(found: Found) -> str:
    return (
        f"{found.operation}: {found.struck} of the {found.points} points struck, {found.cases} cases,"
        f" {len(found.violations)} violations, {found.seconds} s"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
