"""An approval API that was written from the product's public documentation alone decides for a cluster, as it is."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.cluster import Cluster
from tests.cluster.conftest import Command, new_vault, sign

pytestmark = pytest.mark.xdist_group("documented")

SERVER = Path(__file__).with_name("documented_approver.py")
PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The process, what it says of each answer, and where it listens."""

    told: Path
    url: str
    public_key: str

    def answers(self) -> list[list[str]]:
        """Kind, path, status and nonce of each."""
        return [line.split() for line in self.told.read_text().splitlines()]


@contextlib.contextmanager
def serving(folder: Path, form: str) -> Iterator[Api]:
    port, key, told = folder / f"{form}.port", folder / f"{form}.pem", folder / f"{form}.told"
    with told.open("w") as out:
        server = subprocess.Popen([sys.executable, str(SERVER), str(port), str(key), form], stdout=out)
    try:
        ends = time.monotonic() + PATIENCE
        while not port.exists() or not port.read_text():
            assert time.monotonic() < ends, "it does not listen"
            time.sleep(0.05)
        yield Api(told=told, url=f"http://127.0.0.1:{port.read_text()}", public_key=key.read_text())
    finally:
        server.terminate()
        server.wait()


def settings(api: Api, name: str, public_key: str) -> str:
    url = f"{api.url}/{name}"
    return (
        f'[approver]\ntype = "webhook"\n[approver.webhook]\ntransaction_url = "{url}"\n'
        f'reshare_url = "{url}"\npublic_key = """{public_key}"""\n'
    )


def votes(view: OperationView) -> dict[str, str]:
    return {vote.name: vote.verdict for vote in view.votes}


def test_it_knows_nothing_of_this_package() -> None:
    tree = ast.parse(SERVER.read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
    assert "quorate" not in SERVER.read_text().lower()


@pytest.mark.asyncio
async def test_it_approves_rejects_and_abstains_for_a_cluster_in_both_forms_of_the_signature(
    tmp_path: Path, quorate: Command
) -> None:
    with serving(tmp_path, "full") as full, serving(tmp_path, "bare") as bare:
        configured = {
            "alice": settings(full, "alice", full.public_key),
            "bob": settings(bare, "bob", bare.public_key),
            "carol": settings(
                full, "carol", full.public_key.encode().hex()
            ),  # as the product's own setting has it
        }
        async with Cluster(tmp_path / "nodes", configured) as cluster:
            await cluster.linked()
            node = cluster["alice"].node
            await new_vault(cluster, "ops")

            approved = await sign(node, "ops", "Order 40 chairs")
            assert approved.state is State.COMPLETED, approved
            assert votes(approved)["alice"] == "approve"

            rejected = await sign(node, "ops", "reject:/alice")
            assert (rejected.state, rejected.signatures) == (State.REJECTED, ())
            assert votes(rejected)["alice"] == "reject"

            without = await sign(node, "ops", "abstain:/carol")
            assert without.state is State.COMPLETED, without
            assert (votes(without)["alice"], votes(without)["bob"]) == ("approve", "approve")
            assert "carol" not in {cluster_name(cluster, device) for device in without.signers}
            helpless = await sign(node, "ops", "abstain:/bob abstain:/carol")
            assert helpless.state is State.REJECTED, helpless
            said = votes(helpless)
            assert (said["bob"], said["carol"]) == ("abstain", "abstain")
            assert said["alice"] in ("approve", "")  # nobody waits for her backend, which could not help

            texts = ("--text", "Order 41 chairs", "--text", "reject:/alice too", "--text", "Order 42 chairs")
            home = ("--home", str(cluster["alice"].home))
            whole = await quorate("batch-sign", "--vault", "ops", *texts, "--wait", "--json", *home)
            assert (whole.code, [each["state"] for each in whole.lines]) == (1, ["REJECTED"])
            apart = await quorate("sign-each", "--vault", "ops", *texts, "--wait", "--json", *home)
            assert apart.code == 1
            assert [each["state"] for each in apart.lines] == ["COMPLETED", "REJECTED", "COMPLETED"]
            assert len({each["operation"] for each in apart.lines}) == 3
        answers = full.answers() + bare.answers()
    assert {status for _, _, status, _ in answers} == {"approved", "rejected", "abstain"}
    assert {kind for kind, *_ in answers} == {
        "OperationCreateVault_v3",
        "OperationSign",
        "OperationBatchSign",
    }
    nonces = [nonce for *_, nonce in answers]
    assert len(set(nonces)) == len(nonces)


def cluster_name(cluster: Cluster, device: str) -> str:
    return next(name for name, member in cluster.members.items() if member.device == device)
