"""Break, one at a time, what keeps shares through a crash, and see the crash matrix miss it.

    python scripts/mutate_durability.py [part of a name]...

Each mutation is made in a copy of the source; then the cases of ``tests.crash.matrix`` that it should spoil run
against the copy. What they do not miss is printed as SURVIVED, and the exit code is 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """``edits``: the file, below the package, the text that must be in it once, and what takes its place."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    cases: tuple[str, ...]


RESUMING = """
KEPT: dict[object, list[object]] = {}


async def resume(participant: "Participant") -> None:
    context = participant._context
    for operation, proposer, begin, join in KEPT.pop(context.me, [])[-1:]:
        row = context.ledger.operation(operation.id)
        if row is None or row.state in FINAL:
            continue
        take_join, participant._voting.take_join = participant._voting.take_join, lambda *_: join
        try:
            await participant._start(procedure_of(context, operation), proposer, begin)
        finally:
            participant._voting.take_join = take_join


class Participant:
"""

MUTATIONS = (
    Mutation(
        name="no commit is synced",
        edits=(("storage/database.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),),
        cases=("reshare", "--fate", "death", "--only", "write mark_signed after"),
    ),
    Mutation(
        name="only checkpoints are synced",
        edits=(("storage/database.py", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"),),
        cases=("reshare", "--fate", "death", "--only", "write mark_signed after"),
    ),
    Mutation(
        name="a record is signed before that is on disk",
        edits=(
            ("protocols/certificate.py", "    book.signed(record)\n", ""),
            (
                "protocols/certificate.py",
                "endorsements = await net.broadcast(mine)",
                "endorsements = await net.broadcast(mine)\n    book.signed(record)",
            ),
        ),
        cases=("reshare", "--fate", "death", "--only", "Endorsement"),
    ),
    Mutation(
        name="earlier epochs are erased before all have acknowledged",
        edits=(
            (
                "ceremony/lineage.py",
                "    if vault is None or not vault.ready:\n        return\n    if vault.epoch:",
                (
                    "    if vault is not None and vault.active and vault.epoch:\n"
                    "        context.ledger.erase_before(vault.id, vault.epoch, vault.row.attempt)\n"
                    "    if vault is None or not vault.ready:\n        return\n    if vault.epoch:"
                ),
            ),
        ),
        cases=("reshare", "--fate", "death", "--only", "write activate after"),
    ),
    Mutation(
        name="a share is dropped though its record was signed",
        edits=(
            (
                "ceremony/ceremonies.py",
                "if row.state is EpochState.PENDING:",
                "if row.state in (EpochState.PENDING, EpochState.SIGNED):",
            ),
            (
                "storage/epochs.py",
                "DELETE FROM epochs {HERE} AND state = 'PENDING'",
                "DELETE FROM epochs {HERE} AND state IN ('PENDING', 'SIGNED')",
            ),
        ),
        cases=("reshare", "--fate", "death", "--only", "Endorsement", "--only", "write activate before"),
    ),
    Mutation(
        name="a session is resumed",
        edits=(
            ("ceremony/participant.py", "\nclass Participant:\n", RESUMING),
            (
                "ceremony/participant.py",
                "await self._journal(operation, agreement, setups=setups, votes=self._votes(agreement, begin))",
                (
                    "from types import SimpleNamespace\n"
                    "        from quorate.native.memory import SecretBytes\n"
                    "        key = join.take()\n"
                    "        join = SimpleNamespace(take=lambda: SecretBytes.of(key.reveal()))\n"
                    "        votes = self._votes(agreement, begin)\n"
                    "        await self._journal(operation, agreement, setups=setups, votes=votes)\n"
                    "        KEPT.setdefault(self._context.me, []).append((operation, proposer, begin, join))"
                ),
            ),
            (
                "ceremony/ceremonies.py",
                "self._background.keep(self._catchup.keep_level())",
                (
                    "self._background.keep(self._catchup.keep_level())\n"
                    "        from quorate.ceremony.participant import resume\n"
                    "        self._background.keep(resume(self._participant))"
                ),
            ),
            ("ceremony/participant.py", "if not row.attempt < begin.attempt <=", "if not begin.attempt <="),
            ("storage/operations.py", "or attempt <= row.attempt", "or attempt < row.attempt"),
            ("storage/operations.py", "if used is not None:", "if False:"),
            (
                "storage/operations.py",
                "INSERT INTO consumed_sessions",
                "INSERT OR REPLACE INTO consumed_sessions",
            ),
        ),
        cases=("signing", "--fate", "death", "--only", "Commitments"),
    ),
)


def mutate(mutation: Mutation, package: Path) -> None:
    for name, old, new in mutation.edits:
        path = package / name
        source = path.read_text()
        if source.count(old) != 1:
            raise SystemExit(f"{mutation.name}: {name} has {old!r} {source.count(old)} times, not once")
        path.write_text(source.replace(old, new))


def missed(mutation: Mutation | None, cases: tuple[str, ...]) -> str:
    """What the matrix says of a mutated copy; empty if it found nothing wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch)
        shutil.copytree(ROOT / "src/quorate", copy / "quorate", ignore=shutil.ignore_patterns("__pycache__"))
        if mutation is not None:
            mutate(mutation, copy / "quorate")
        environment = {
            **os.environ, "PYTHONPATH": f"{copy}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1",
            "QUORATE_CRASH_PATIENCE": "30",
        }  # fmt: skip
        command = [sys.executable, "-m", "tests.crash.matrix", *cases, "--ideal", "--sample", "8"]
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    if result.returncode not in (0, 1):
        raise SystemExit(f"the matrix itself failed:\n{result.stdout}{result.stderr}")
    if "Traceback" in result.stderr:
        raise SystemExit(f"the matrix itself failed:\n{result.stdout}{result.stderr}")
    return "" if result.returncode == 0 else result.stdout


def main(wanted: list[str]) -> int:
    chosen = [each for each in MUTATIONS if not wanted or any(text in each.name for text in wanted)]
    for cases in {each.cases: None for each in chosen}:
        if said := missed(None, cases):
            raise SystemExit(f"the matrix fails with nothing broken: nothing can be learnt from it\n{said}")
    survivors = 0
    for mutation in chosen:
        said = missed(mutation, mutation.cases)
        survivors += not said
        print(f"{'SURVIVED' if not said else 'killed  '} {mutation.name}", flush=True)
        for line in [line for line in said.splitlines() if line.startswith("VIOLATION")][:2]:
            print(f"    {line[:200]}", flush=True)
    print(f"{len(chosen)} mutations, {survivors} not missed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
