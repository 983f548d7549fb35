"""Running daemons hold each other to their audit chains, and an auditor needs the files alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.ports import State
from tests.cluster.conftest import PATIENCE, Command, Signers, sign
from tests.cluster.test_metrics import eventually, samples

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]


async def test_exports_of_running_nodes_are_verified_offline_and_witness_each_other(
    signers: Signers, quorate: Command, tmp_path: Path
) -> None:
    alice, bob = signers["alice"], signers["bob"]
    await eventually(bob, "/metrics", lambda _, text: 'quorate_peer_audit_records{peer="alice"}' in text)
    assert (await samples(bob, peer="alice"))["quorate_peer_audit_doubt"] == 0
    async with asyncio.timeout(PATIENCE):  # heads go with votes once the two have spoken of them
        for count in range(1000):
            done = await sign(bob.node, "ops", f"for the auditor, {count}")
            assert done.state is State.COMPLETED
            seen = await exported(quorate, bob.home, tmp_path / f"bob {count}.jsonl")
            votes = [line["facts"] for line in seen if line.get("event") == "vote"]
            if any("head" in vote and vote["voter"] == alice.device for vote in votes):
                break
    mine = tmp_path / "alice.jsonl"
    await exported(quorate, alice.home, mine)
    card = alice.home / "cards" / "alice.json"
    arguments = ("audit", "verify", mine, "--card", card, "--witness", tmp_path / f"bob {count}.jsonl")
    said = await quorate(*arguments, "--json")
    assert (said.code, json.loads(said.out)["sound"]) == (0, True)
    for member in (alice, bob):
        assert (await quorate("audit", "verify", "--home", member.home)).code == 0
    tail = await quorate("audit", "tail", "-n", 2, "--home", alice.home, "--json")
    assert len(tail.out.splitlines()) >= 2


async def exported(quorate: Command, home: Path, file: Path) -> list[dict[str, Any]]:
    assert (await quorate("audit", "export", "--out", file, "--home", home)).code == 0
    return [json.loads(line) for line in (await asyncio.to_thread(file.read_text)).splitlines()]
