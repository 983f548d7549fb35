"""Three real daemons, shared by the tests of one worker: alice weighs 2, bob and carol 1; it takes 3 to sign."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView, VaultView
from quorate.cli.cluster import Cluster, Member
from quorate.cli.connection import vault_ready
from quorate.cli.main import run
from quorate.rpc.client import NodeClient

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
THRESHOLD = 3
TEXT = "text/plain"
HEX = "application/octet-stream+hex"
PATIENCE = 60.0
SETTINGS = """
[approver]
type = "always"
[limits]
silence = 5
unlinked = 1
repeat = 0.5
drain = 2
"""


@dataclass(frozen=True, slots=True)
class Signers:
    """The cluster, and a vault its nodes hold."""

    cluster: Cluster
    vault: VaultView

    def __getitem__(self, name: str) -> Member:
        return self.cluster[name]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def signers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Signers]:
    root: Path = tmp_path_factory.mktemp("cluster")
    async with Cluster(root, dict.fromkeys(WEIGHTS, SETTINGS)) as cluster:
        await cluster.linked()
        yield Signers(cluster, await new_vault(cluster, "ops"))


async def new_vault(cluster: Cluster, name: str, threshold: int = THRESHOLD) -> VaultView:
    """A vault made at alice's, once it is ready on every node."""
    node = cluster["alice"].node
    view = await node.create_vault(
        name=name, weights=WEIGHTS, threshold=threshold, idempotency_key=uuid.uuid4().hex
    )
    view = await node.wait(view.id, PATIENCE)
    assert view.state is State.COMPLETED, view
    assert view.vault is not None
    for member in cluster.members.values():
        vault = await vault_ready(member.node, view.vault, patience=PATIENCE)
        assert vault.state == "ready", member.name
    return vault


async def sign(
    node: NodeClient,
    vault: str,
    *data: str,
    content_type: str = TEXT,
    algorithm: str = "EDDSA",
    path: str = "",
    expires_in_ms: int | None = None,
) -> OperationView:
    """One operation over all of ``data``, in its final state."""
    view = await ask(
        node,
        vault,
        data,
        content_type=content_type,
        algorithm=algorithm,
        path=path,
        expires_in_ms=expires_in_ms,
    )
    return await node.wait(view.id, PATIENCE)


async def ask(
    node: NodeClient,
    vault: str,
    data: Sequence[str],
    *,
    content_type: str = TEXT,
    algorithm: str = "EDDSA",
    path: str = "",
    key: str = "",
    expires_in_ms: int | None = None,
) -> OperationView:
    return await node.sign(
        vault=vault,
        data=data,
        batch=len(data) > 1,
        content_type=content_type,
        algorithm=algorithm,
        derivation_path=path,
        idempotency_key=key or uuid.uuid4().hex,
        expires_in_ms=expires_in_ms,
    )


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Awaitable[Said]]


@pytest.fixture
def quorate(capsys: pytest.CaptureFixture[str]) -> Command:
    async def command(*arguments: object) -> Said:
        code = await asyncio.to_thread(run, [str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return command
