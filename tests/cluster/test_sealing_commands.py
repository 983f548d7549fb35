"""``quorate seal`` and ``unseal`` on real daemons, and one that starts sealed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.ports import State
from quorate.cli.cluster import Cluster, Member
from quorate.cli.connection import vault_ready
from tests.cluster.conftest import PATIENCE, SETTINGS, ask, sign

pytestmark = pytest.mark.xdist_group("cluster")

WORDS = "correct horse battery staple\n"
KEY = '[key]\npassphrase_file = "../bob.words"\nmemory_kib = 64\npasses = 1\n'


def quorate(member: Member, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"QUORATE_HOME": str(member.home), "PYTHONPATH": ":".join(sys.path)}
    command = (sys.executable, "-m", "quorate", *words, "--json")
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def said(member: Member, *words: str, stdin: str = "") -> Any:
    done = quorate(member, *words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fetch(member: Member, path: str) -> str:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{member.metrics_port}/{path}", timeout=PATIENCE
        ) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def test_a_node_is_sealed_and_unsealed_and_one_starts_sealed(tmp_path: Path) -> None:
    words = tmp_path / "nodes" / "bob.words"
    words.parent.mkdir()
    words.write_text(WORDS)
    words.chmod(0o600)
    settings = {"alice": SETTINGS, "bob": SETTINGS + KEY}
    async with Cluster(tmp_path / "nodes", settings) as cluster:
        await cluster.linked()
        alice, bob = cluster["alice"], cluster["bob"]
        made = await alice.node.create_vault(
            name="ops", weights={"alice": 1, "bob": 1}, threshold=2, idempotency_key=uuid.uuid4().hex
        )
        assert (await alice.node.wait(made.id, PATIENCE)).state is State.COMPLETED
        for member in (alice, bob):
            assert (await vault_ready(member.node, "ops", patience=PATIENCE)).state == "ready"
        assert (await sign(alice.node, "ops", "before")).state is State.COMPLETED

        assert await asyncio.to_thread(said, bob, "seal") == {"sealed": True}
        status = await asyncio.to_thread(said, bob, "status")
        assert "SEALED" in {each["code"] for each in status["not_ready"]}
        assert "SEALED" in await asyncio.to_thread(fetch, bob, "readyz")
        assert 'reason="SEALED"' in await asyncio.to_thread(fetch, bob, "metrics")
        asked = await ask(alice.node, "ops", ["while bob is sealed"])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await alice.node.wait(asked.id, PATIENCE)

        wrong = await asyncio.to_thread(
            quorate, bob, "unseal", "--passphrase-file", "-", stdin="wrong horse battery\n"
        )
        assert wrong.returncode == 1
        assert "ST-2.1 key" in wrong.stderr
        assert "SEALED" in await asyncio.to_thread(fetch, bob, "readyz")
        told = await asyncio.to_thread(said, bob, "unseal", "--passphrase-file", "-", stdin=WORDS)
        assert told == {"sealed": False}
        assert (await alice.node.wait(asked.id, PATIENCE)).state is State.COMPLETED

        await bob.stop()
        settled = bob.home / "quorate.toml"
        settled.write_text(settled.read_text().replace("[key]\n", '[key]\nstart = "sealed"\n'))
        asked = await ask(alice.node, "ops", ["while bob is down"])
        await bob.start()
        await cluster.linked()
        assert "SEALED" in await asyncio.to_thread(fetch, bob, "readyz")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await alice.node.wait(asked.id, PATIENCE)
        await asyncio.to_thread(said, bob, "unseal")
        assert (await alice.node.wait(asked.id, PATIENCE)).state is State.COMPLETED
        async with asyncio.timeout(PATIENCE):  # what others say of it comes by greetings
            while "SEALED" in await asyncio.to_thread(fetch, bob, "readyz"):  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(0.2)
