"""The example approver over gRPC, a process that knows nothing of this package, decides for a node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.ports import Verdict
from tests.approval.asking import REQUEST, built

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "grpc_approver.py"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    start = [sys.executable, str(EXAMPLE), "127.0.0.1:0", str(ROOT / "proto"), "forbidden"]
    server = subprocess.Popen(start, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"127.0.0.1:{server.stdout.readline().split()[-1]}"
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


@pytest.mark.parametrize(("memo", "expected"), [("chairs", Verdict.APPROVE), ("forbidden", Verdict.REJECT)])
async def test_the_example_decides_by_its_word(address: str, memo: str, expected: Verdict) -> None:
    approver = built({"type": "grpc", "grpc": {"address": address, "plaintext": True, "timeout": 60}})
    said = await approver.decide(replace(REQUEST, body={**REQUEST.body, "memo": memo}))
    assert (said.verdict, said.rule) == (expected, "AG-1.6 answer")
    assert "looked for forbidden" in said.explanation


def test_the_example_imports_nothing_of_this_package() -> None:
    assert "import quorate" not in EXAMPLE.read_text()
    assert "from quorate" not in EXAMPLE.read_text()
