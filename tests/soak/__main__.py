"""python -m tests.soak: the whole of it, with figures as one JSON object at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from quorate.cli.cluster import Cluster
from tests.soak.plan import NAMES, plan
from tests.soak.report import complaints, figures
from tests.soak.run import SETTINGS, Findings, Soak


async def soak(root: Path, options: argparse.Namespace) -> Findings:
    planned = plan(
        signatures=options.signatures, restarts=options.restarts, in_flight=options.in_flight, seed=options.seed,
        calm=options.calm,
    )  # fmt: skip
    async with Cluster(root, dict.fromkeys(NAMES, SETTINGS)) as cluster:
        await cluster.linked()
        return await Soak(cluster, planned).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--signatures", type=int, default=10_000)
    parser.add_argument("--restarts", type=int, default=40)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--calm", type=float, default=0.6, help="part of the run, its last, without restarts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a directory for the nodes' homes and logs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quorate-soak-") as scratch:
        found = asyncio.run(soak(options.keep or Path(scratch), options))
    print(json.dumps(figures(found), indent=2))
    wrong = complaints(found, lengthy=True)
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
