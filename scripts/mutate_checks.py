"""Delete each check of the protocols in turn, and see a test fail.

    python scripts/mutate_checks.py [part of a path, or a rule id]...

A check is a statement that names a rule, or a ``raise`` of one of our errors. Each is replaced by ``pass`` in a
copy of the source; then the tests that are marked as breaking its rule run, and if they still pass, those of its layer.
What no test misses is printed as SURVIVED, and the exit code is 1.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/quorate"
LAYERS = {
    "protocols": ["adversary/*", "protocols/*", "vectors/*", "properties/*", "unit/test_primitives*"],
    "wire": ["unit/test_wire*", "adversary/*", "protocols/*"],
    "operations": ["unit/test_operations*", "approval/test_request_json*"],
    "primitives": ["unit/test_primitives*", "unit/test_wire*", "protocols/*", "adversary/*"],
}
ERRORS = {
    "ProtocolAbort",
    "UsageError",
    "EncodingError",
    "Corrupt",
    "ConsumedError",
    "TypeError",
    "ValueError",
}
RULE = re.compile(r"[A-Z]{1,3}-\d+\.\d+")
JOBS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One statement to delete: the file, below the package, and its first and last line, from 1."""

    path: Path
    first: int
    last: int
    text: str

    @property
    def layer(self) -> str:
        return self.path.parts[0]

    @property
    def rules(self) -> list[str]:
        return RULE.findall(self.text)

    def __str__(self) -> str:
        return f"{self.path}:{self.first}: {self.text.splitlines()[0].strip()}"


def checks() -> Iterator[Check]:
    for layer in LAYERS:
        for path in sorted((SOURCE / layer).rglob("*.py")):
            source = path.read_text()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.stmt) and is_check(node):
                    yield Check(
                        path=path.relative_to(SOURCE),
                        first=node.lineno,
                        last=node.end_lineno or node.lineno,
                        text=ast.get_source_segment(source, node) or "",
                    )


def is_check(node: ast.stmt) -> bool:
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id=name))) if name in ERRORS:
            return True
        case ast.Expr() | ast.Raise() | ast.Return():
            constants = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
            return any(isinstance(value, str) and RULE.match(value) for value in constants)
    return False


def without(source: str, check: Check) -> str:
    lines = source.splitlines(keepends=True)
    indent = lines[check.first - 1][: -len(lines[check.first - 1].lstrip())]
    lines[check.first - 1 : check.last] = [f"{indent}pass\n"]
    return "".join(lines)


def marked_tests() -> dict[str, list[str]]:
    """The tests that break each rule, as pytest names them."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                marks = [
                    m
                    for m in node.decorator_list
                    if isinstance(m, ast.Call) and ast.unparse(m.func) == "breaks"
                ]
                for rule in (ast.literal_eval(arg) for mark in marks for arg in mark.args):
                    found.setdefault(rule, []).append(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def tests_of(check: Check) -> list[str]:
    """The test files of its layer, those named like its module first: they fail soonest."""
    files = {
        path
        for tests in LAYERS[check.layer]
        for path in (ROOT / "tests").glob(tests)
        if path.stem.startswith("test_")
    }
    return [str(path) for path in sorted(files, key=lambda path: (check.path.stem not in path.stem, path))]


def passes(copy: Path, tests: list[str]) -> bool:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n0",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
    ]
    command += ["-o", f"pythonpath={copy} {ROOT}", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 1, 2):  # 2: a test file that cannot be imported any more
        raise RuntimeError(f"pytest itself failed:\n{result.stdout}{result.stderr}")
    return result.returncode == 0


def survives(check: Check, copy: Path, marked: dict[str, list[str]]) -> bool:
    mutant = copy / "quorate" / check.path
    source = mutant.read_text()
    mutant.write_text(without(source, check))
    try:
        named = sorted({test for rule in check.rules for test in marked.get(rule, [])})
        return (not named or passes(copy, named)) and passes(copy, tests_of(check))
    finally:
        mutant.write_text(source)


def main(wanted: list[str]) -> int:
    chosen = [c for c in checks() if not wanted or any(w in str(c.path) or w in c.rules for w in wanted)]
    marked = marked_tests()
    survivors = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(JOBS) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for job in range(JOBS):
            shutil.copytree(
                ROOT / "src", Path(scratch, str(job)), ignore=shutil.ignore_patterns("__pycache__")
            )
            copies.put(Path(scratch, str(job)))

        whole = sorted({test for check in chosen for test in tests_of(check)})
        if not passes(Path(scratch, "0"), whole):
            raise SystemExit("the tests fail with every check in place: nothing can be learnt from them")

        def judge(check: Check) -> bool:
            copy = copies.get()
            try:
                return survives(check, copy, marked)
            finally:
                copies.put(copy)

        for check, survived in zip(chosen, pool.map(judge, chosen), strict=True):
            print(f"{'SURVIVED' if survived else 'killed  '} {check}", flush=True)
            survivors += [check] if survived else []
    print(f"{len(chosen)} checks deleted, {len(survivors)} not missed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
