"""python -m benchmarks native | protocol | policy | node | memory | peers | all | table | show FILE..."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import cast

from benchmarks import table
from benchmarks.harness import Tier
from quorate.native.memory import keep_heap

TIERS = ("native", "protocol", "policy", "node")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    asked = parser.add_subparsers(dest="asked", required=True, metavar="WHAT")
    for name in (*TIERS, "memory", "peers", "all"):
        asked.add_parser(name, help="measure: one line of JSON per figure")
    asked.add_parser("table", help="write the tables of README.md here from results/")
    show = asked.add_parser("show", help="the tables of figures measured")
    show.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    match arguments.asked:
        case "table":
            table.write_readme()
        case "show":
            print(table.shown(table.read(arguments.files)))
        case "all":
            measure(*TIERS)
        case tier:
            measure(tier)


def measure(*tiers: str) -> None:
    keep_heap()  # as a daemon does
    for name in tiers:
        tier = cast("Tier", importlib.import_module(f"benchmarks.{name}"))
        for figure in tier.figures():
            print(figure.line(), flush=True)


main()
