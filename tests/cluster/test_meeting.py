"""Nodes that run already are made known to each other, and meet."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from quorate.cli.cluster import Cluster, found_member, free_ports
from quorate.cli.main import run

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("doctor")]


async def test_cards_added_to_running_nodes_link_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster(tmp_path, {})
    for name in ("alice", "bob"):
        one, two, three = free_ports(3)
        cluster.members[name] = found_member(tmp_path / name, name, (one, two, three), "")
    try:
        await cluster.start()
        for name, member in cluster.members.items():
            capsys.readouterr()
            cards = str(tmp_path / "*" / "cards" / "*.json")
            code = await asyncio.to_thread(
                run, ["peer", "add", "--yes", "--json", "--home", str(member.home), *expanded(cards)]
            )
            lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            assert code == 0
            assert {line["name"]: line["added"] for line in lines} == {
                other: other != name for other in cluster.members
            }
        await cluster.linked()
    finally:
        await cluster.stop()


def expanded(pattern: str) -> list[str]:
    """As a shell does it."""
    return sorted(str(path) for path in Path("/").glob(pattern.removeprefix("/")))
