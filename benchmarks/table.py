"""Tables of figures, as Markdown: what README.md holds between its markers is made here, never by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.goals import GOALS, Goal, Line

HERE = Path(__file__).parent
README, RESULTS = HERE / "README.md", HERE / "results"
OURS, ECDSA = "Quorate", "ECDSA"


def read(files: Iterable[Path]) -> list[Line]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line]


def write_readme() -> None:
    README.write_text(rendered(README.read_text(), read(sorted(RESULTS.glob("*.jsonl")))))


def rendered(readme: str, lines: Sequence[Line]) -> str:
    """The document with every table between markers made anew."""
    for name, made in TABLES.items():
        marked = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(readme):
            raise LookupError(f"README.md has no place for {name}")
        readme = marked.sub(lambda found, made=made: f"{found[1]}\n{made(lines)}\n{found[2]}", readme)  # type: ignore[misc]
    return readme


def shown(lines: Sequence[Line]) -> str:
    return "\n".join(made(lines) for made in TABLES.values())


def goals(lines: Sequence[Line]) -> str:
    rows = []
    for goal in GOALS:
        line = next((line for line in lines if "median" in line and goal.fits(line)), None)
        rows.append([goal.what, _bound(goal), *(_standing(goal, line) if line else ["not measured", "", ""])])
    return _table(["what", "goal (stretch)", "measured", "min..max, runs", ""], rows) + _where(
        lines, "protocol/", "node/"
    )


def _bound(goal: Goal) -> str:
    sign = ">=" if goal.least else "<="
    stretch = f" ({goal.stretch:g})" if goal.stretch is not None else ""
    return f"{sign} {goal.limit:g}{stretch} {goal.unit}"


def _standing(goal: Goal, line: Line) -> list[str]:
    value = goal.read(line)
    ends = sorted(goal.read({**line, "median": line[end]}) for end in ("min", "max"))
    if goal.stretch is not None and goal.met(value, goal.stretch):
        said = "met, and the stretch"
    else:
        said = "met" if goal.met(value, goal.limit) else "**missed**"
    return [f"{value:.3g}", f"{ends[0]:.3g}..{ends[1]:.3g}, {line['runs']}", said]


def ours(lines: Sequence[Line]) -> str:
    """All figures of whole protocols and of daemons, but for ratios and what the goals alone show."""
    rows = [
        [
            line["name"],
            ", ".join(
                f"{key} {_plain(value)}" for key, value in line["parameters"].items() if value is not False
            ),
            *(f"{line[key]:g}" for key in ("median", "p95", "p99")),
            f"{line['min']:g}..{line['max']:g}",
            *(f"{line[key]:g}" for key in ("cpu", "runs")),
            _sent(line),
        ]
        for line in lines
        if line["name"].startswith(("protocol/", "node/"))
        and "median" in line
        and "unit" not in line["parameters"]
    ]
    heads = [
        "figure",
        "of",
        "median ms",
        "p95",
        "p99",
        "min..max",
        "CPU ms",
        "runs",
        "bytes; messages; rounds",
    ]
    return _table(heads, rows) if rows else ""


def _plain(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else "" if value is True else str(value)


def _sent(line: Line) -> str:
    return f"{line['bytes']}; {line['messages']}; {line['rounds']}" if line["bytes"] else ""


def peers(lines: Sequence[Line]) -> str:
    measured = [line for line in lines if line["name"].startswith("peers/") and "median" in line]
    if not measured and not any("skipped" in line for line in lines):
        return ""
    signing = [line["parameters"] | {"line": line} for line in measured if line["name"] == "peers/sign"]
    parts = [
        "ECDSA on secp256k1, one signature, 2-of-3 unless said:\n\n"
        + _by_signers([each for each in signing if each["scheme"].startswith(ECDSA)]),
        "Schnorr signatures, one, 2-of-3:\n\n"
        + _by_signers([each for each in signing if not each["scheme"].startswith(ECDSA)]),
        "Key generation:\n\n" + _keygens([line for line in measured if line["name"] == "peers/keygen"]),
        "The libraries:\n\n" + _libraries(measured),
    ]
    skipped = [f"- not measured: {line['name']}: {line['skipped']}\n" for line in lines if "skipped" in line]
    return "\n".join(parts) + ("\n" + "".join(skipped) if skipped else "") + _where(lines, "peers/")


def _by_signers(signing: Sequence[Line]) -> str:
    """A row for each way to sign, quickest first, and how many times as long as ours it takes."""
    rows: dict[tuple[str, ...], dict[int, Line]] = {}
    for each in signing:
        way = each["library"], each["protocol"], each["scheme"], str(each["parties"])
        rows.setdefault(way, {})[each["signers"]] = each["line"]
    base = next((found for (library, *_), found in rows.items() if library == OURS), {})
    cells = []
    for (library, protocol, scheme, count), found in sorted(rows.items(), key=_quickness):
        name = f"**{library}**" if library == OURS else library
        how = f"{protocol}, 2-of-2" if count == "2" else protocol
        two, three = ([_times(found.get(n)), _ratio(found.get(n), base.get(n))] for n in (2, 3))
        cells.append([name, how, scheme, *two, *three])
    heads = ["library", "protocol", "scheme", "2 signers, ms", "of ours", "3 signers, ms", "of ours"]
    return _table(heads, cells)


def _quickness(row: tuple[object, dict[int, Line]]) -> float:
    """By its fewest signers."""
    return float(min(row[1].items())[1]["median"])


def _times(line: Line | None) -> str:
    return f"{line['median']:g} ({line['min']:g}..{line['max']:g}, {line['runs']})" if line else "-"


def _ratio(line: Line | None, base: Line | None) -> str:
    return f"x {line['median'] / base['median']:.2g}" if line and base else "-"


def _keygens(lines: Sequence[Line]) -> str:
    rows = [
        [of["library"], of["protocol"], of["scheme"], f"{of['threshold']}-of-{of['parties']}", _times(line)]
        for line in sorted(lines, key=lambda line: float(line["median"]))
        for of in [line["parameters"]]
    ]
    return _table(["library", "protocol", "scheme", "", "ms (min..max, runs)"], rows)


def _libraries(lines: Sequence[Line]) -> str:
    seen = {line["parameters"]["library"]: line["parameters"] for line in lines}
    keys = ("module", "version", "licence", "language", "toolchain")
    return _table(["library", *keys], [[name, *(of[key] for key in keys)] for name, of in seen.items()])


def _where(lines: Sequence[Line], *prefixes: str) -> str:
    """The machines and commits of these figures: one of each, or the table compares what it should not."""
    of = [line for line in lines if "machine" in line and line["name"].startswith(prefixes)]
    machines, commits = (", ".join(sorted({line[key] for line in of})) for key in ("machine", "commit"))
    return f"\nMachine: {machines}. Commit: {commits}.\n" if of else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(_rows([heads, ["---"] * len(heads), *rows]))


def _rows(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


TABLES: dict[str, Callable[[Sequence[Line]], str]] = {"goals": goals, "peers": peers, "ours": ours}
