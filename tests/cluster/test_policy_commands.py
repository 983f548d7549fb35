"""``quorate policy`` against running daemons: proposed, approved, signed, in force on all three, and judged by."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.ports import State
from quorate.cli.cluster import Cluster
from quorate.cli.connection import vault_ready
from tests.cluster.conftest import PATIENCE, Command, sign

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("policy")]

NAMES = ("alice", "bob", "carol")
OPEN = '[[rule]]\nname = "anything"\nscope = "global"\n'
CLOSED = (
    OPEN
    + '[[rule]]\nname = "no hex"\nscope = "global"\nrestricts = true\nwhen.kinds = ["sign"]\n'
    + 'require.content_types = ["text/plain"]\n'
)
SETTINGS = """
[approver]
type = "policy"
[approver.policy]
file = "policy.toml"
bootstrap = true
[limits]
silence = 5
unlinked = 1
repeat = 0.5
drain = 2
"""


async def heard(quorate: Command, home: tuple[object, ...]) -> dict[str, Any]:
    """What a node tells of its policy once another signer has greeted it (PG-3.4)."""
    ends = asyncio.get_running_loop().time() + PATIENCE
    while True:
        shown: dict[str, Any] = (await quorate("policy", "show", "--json", *home)).lines[0]
        if shown["served"][0]["source"] != "none" or asyncio.get_running_loop().time() > ends:
            return shown
        await asyncio.sleep(0.2)


async def test_a_policy_is_signed_by_the_governing_vault_and_judges_on_all_three(
    quorate: Command, tmp_path: Path
) -> None:
    cluster = Cluster(tmp_path / "nodes", dict.fromkeys(NAMES, SETTINGS))
    (tmp_path / "nodes").mkdir()
    cluster.found()
    for name in NAMES:
        (cluster[name].home / "policy.toml").write_text(OPEN)
    draft, signed = tmp_path / "next.toml", tmp_path / "next.signed"
    draft.write_text(CLOSED)
    home = ("--home", cluster["alice"].home)
    try:
        await cluster.start()
        await cluster.linked()
        alice = cluster["alice"].node
        refused = await quorate("policy", "propose", draft, *home)
        assert (refused.code != 0, "NO_GOVERNING_VAULT" in refused.err or "PG-1.1" in refused.err) == (
            True,
            True,
        )
        made = await alice.create_vault(
            name="gov", weights=dict.fromkeys(NAMES, 1), threshold=2, idempotency_key=uuid.uuid4().hex
        )
        made = await alice.wait(made.id, PATIENCE)
        assert made.state is State.COMPLETED, made
        assert made.vault is not None
        for name in NAMES:
            await vault_ready(cluster[name].node, made.vault, patience=PATIENCE)
        await cluster.stop()
        for name in NAMES:
            settings = cluster[name].home / "quorate.toml"
            settings.write_text(settings.read_text() + f'\n[policy]\nvault = "{made.vault}"\n')
        await cluster.start()
        await cluster.linked()
        shown = await heard(quorate, home)
        assert (shown["vault"], shown["signed"], shown["served"][0]["source"]) == (
            made.vault,
            None,
            "bootstrap",
        )

        proposed = await quorate("policy", "propose", draft, "--vault", "gov", "--wait", "--json", *home)
        assert proposed.code == 0, proposed.err
        assert (proposed.lines[0]["kind"], proposed.lines[0]["state"]) == ("policy-change", "COMPLETED")
        for name in NAMES:
            node = cluster[name].node
            refused_there = await sign(node, "gov", "00", content_type="application/octet-stream+hex")
            assert refused_there.state is State.REJECTED, name
            assert (await sign(node, "gov", "some text")).state is State.COMPLETED
            there = (await quorate("policy", "show", "--json", "--home", cluster[name].home)).lines[0]
            assert (there["signed"]["version"], there["latest"], there["served"][0]["source"]) == (
                1,
                1,
                "signed",
            )
            assert there["served"][0]["policy"] == CLOSED
        told = await quorate("policy", "show", *home)
        assert "version 1" in told.out
        assert "no hex" in told.out

        assert (await quorate("policy", "export", signed, *home)).code == 0
        key = shown["public_key"]
        offline = ("--home", tmp_path / "no node")
        verified = await quorate("policy", "verify", signed, "--key", key, "--json", *offline)
        assert (verified.code, verified.lines[0]["version"]) == (0, 1)
        fields = json.loads(signed.read_text())
        edited = tmp_path / "edited.signed"
        for change, why in (
            ({"policy": OPEN}, "PG-2.1"),
            ({"signature": ""}, "PG-2.3"),
            ({"version": 2}, "PG-2.4"),
            ({"vault": "w" * 24}, "PG-2.4"),
        ):
            edited.write_text(json.dumps(fields | change))
            answer = await quorate("policy", "verify", edited, "--key", key, *offline)
            assert (answer.code != 0, why in answer.err) == (True, True), answer.err
            answer = await quorate("policy", "install", edited, *home)
            assert answer.code != 0
        assert (await quorate("policy", "install", signed, *home)).code == 0  # it is in force
        history = await quorate("policy", "history", "--json", *home)
        assert [each["version"] for each in history.lines] == [1]

        await cluster["alice"].stop()
        resting = await quorate("policy", "show", "--json", *home)
        assert (resting.code, resting.lines[0]["version"]) == (0, 1)
        settings = cluster["alice"].home / "quorate.toml"
        settings.write_text(settings.read_text().replace("bootstrap = true", ""))
        checked = await quorate("policy", "show", "--json", *home)
        assert checked.lines[0]["version"] == 1
    finally:
        await cluster.stop()
