"""python -m benchmarks native | protocol | node | all"""

from __future__ import annotations

import argparse
import importlib
from typing import cast

from benchmarks.harness import Tier
from quorate.native.memory import keep_heap

TIERS = ("native", "protocol", "node")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="One JSON line per figure.")
    parser.add_argument("tier", choices=[*TIERS, "all"])
    asked = parser.parse_args().tier
    keep_heap()  # as a daemon does
    for name in TIERS if asked == "all" else [asked]:
        tier = cast("Tier", importlib.import_module(f"benchmarks.{name}"))
        for figure in tier.figures():
            print(figure.line(), flush=True)


main()
