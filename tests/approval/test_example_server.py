"""The example approval server, a process that knows nothing of this package, and the webhook understand each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from quorate.ceremony.ports import ApprovalRequest, Verdict
from quorate.operations.kinds import Kind, Operation
from quorate.operations.request_json import create_vault_json, route, sign_json
from tests.approval.asking import REQUEST, approver
from tests.approval.facts import batch_sign, create_vault, sign, signer, vault

EXAMPLE = Path(__file__).parents[2] / "examples" / "approval_server.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    url: str
    public_key: str


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    key = tmp_path_factory.mktemp("example") / "key.pem"
    start = [sys.executable, str(EXAMPLE), "--key", str(key)]
    pem = subprocess.run([*start, "--print-public-key"], check=True, capture_output=True, text=True).stdout
    rules = ["--reject", "forbidden", "--abstain", "later"]
    server = subprocess.Popen([*start, *rules], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        yield Example(url=server.stdout.readline().split()[-1], public_key=pem)
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def request(operation: Operation) -> ApprovalRequest:
    body = (
        sign_json(operation, vault())
        if operation.kind is not Kind.CREATE_VAULT
        else create_vault_json(operation, [signer()])
    )
    return replace(
        REQUEST, operation=operation.id, digest=operation.digest, route=route(operation.kind), body=body
    )


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (create_vault(), Verdict.APPROVE),
        (sign("Some data to be signed here"), Verdict.APPROVE),
        (sign("something forbidden"), Verdict.REJECT),
        (sign("perhaps later"), Verdict.ABSTAIN),
        (batch_sign(), Verdict.APPROVE),
        (batch_sign("68656C6C6F", b"forbidden".hex()), Verdict.REJECT),
    ],
)
async def test_the_example_servers_answers_are_sound(
    example: Example, operation: Operation, expected: Verdict
) -> None:
    node = approver(example.url, public_key=example.public_key)
    decision = await node.decide(request(operation))
    assert decision.verdict is expected, decision.explanation
