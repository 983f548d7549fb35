"""A whole node whose disk fills up, becomes read-only or hangs while it runs, and comes back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import pytest_asyncio

from quorate.ceremony.ports import State
from quorate.cli.cluster import Cluster, Member
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError
from tests.cluster.conftest import PATIENCE, SETTINGS, Signers, ask, sign
from tests.rules import breaks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("faults")]

SHIM = Path(__file__).with_name("disk.c")


class Disk:
    """What the node of ``home`` finds its store on."""

    def __init__(self, home: Path, library: Path) -> None:
        self._state = home.parent / f"{home.name}.disk"
        self._state.write_text("")
        self.environment = {"LD_PRELOAD": str(library), "QUORATE_TEST_DISK": str(self._state)}

    def becomes(self, state: str) -> None:
        self._state.write_text(state)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("disk") / "disk.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, SHIM, "-ldl"], check=True)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, library: Path
) -> AsyncIterator[tuple[Signers, Disk]]:
    """alice and bob, who sign together; alice's disk is the one that fails."""
    cluster = Cluster(tmp_path_factory.mktemp("faults"), dict.fromkeys(("alice", "bob"), SETTINGS))
    cluster.found()
    disk = Disk(cluster["alice"].home, library)
    cluster["alice"].environment.update(disk.environment)
    try:
        await cluster.start()
        await cluster.linked()
        node = cluster["alice"].node
        made = await node.create_vault(
            name="ops", weights={"alice": 1, "bob": 1}, threshold=2, idempotency_key="ops"
        )
        made = await node.wait(made.id, PATIENCE)
        assert made.state is State.COMPLETED, made
        await eventually_says(cluster["alice"], set())
        yield Signers(cluster, await node.vault("ops")), disk
    finally:
        await cluster.stop()


async def probe(member: Member, path: str) -> tuple[int, str]:
    def ask_it() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{member.metrics_port}{path}", timeout=10
            ) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(ask_it)


async def eventually_says(member: Member, codes: set[str]) -> None:
    """Until these are the reasons why the node, and so each of its vaults, is not ready."""
    said: Any = None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                status, body = await probe(member, "/readyz?vault=ops")
                said = body
                causes = json.loads(body).get("not_ready", [{"code": "no vault"}])
                if {cause["code"] for cause in causes} == codes:
                    assert status == (503 if codes else 200)
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not {codes}: {said}") from None


def threads_of(process: int) -> int:
    return len(list(Path(f"/proc/{process}/task").iterdir()))


async def refused(member: Member, code: str, text: str) -> None:
    with pytest.raises(RemoteError) as caught:
        await ask(member.node, "ops", [text])
    assert caught.value.code == code


@breaks("CE-1.11", "ST-1.4")
@pytest.mark.parametrize(("state", "code"), [("full", "DISK_FULL"), ("read-only", "READ_ONLY")])
async def test_a_disk_that_takes_no_writes_stops_new_work_with_its_own_code_and_no_restart(
    house: tuple[Signers, Disk], state: str, code: str
) -> None:
    signers, disk = house
    alice, bob = signers["alice"], signers["bob"]
    assert alice.running is not None
    before, starts = await sign(alice.node, "ops", f"before {state}"), (await alice.node.status()).boot
    disk.becomes(state)
    await refused(alice, code, f"while {state}")
    await eventually_says(alice, {code})
    assert (await probe(alice, "/livez"))[0] == 200
    await refused(alice, code, f"while {state}, again")
    assert (await alice.node.operation(before.id)).state is State.COMPLETED  # what is there can be read
    waiting = await ask(bob.node, "ops", [f"asked elsewhere while {state}"])
    waiting = await bob.node.wait(waiting.id, 1.0)
    assert waiting.state is State.VOTING  # alice's voice is missing, and nothing else is wrong
    disk.becomes("")
    await eventually_says(alice, set())
    assert (await bob.node.wait(waiting.id, PATIENCE)).state is State.COMPLETED
    assert (await sign(alice.node, "ops", f"after {state}")).state is State.COMPLETED
    assert (await alice.node.status()).boot == starts
    assert "Traceback" not in alice.log.read_text()


@breaks("AU-1.1")
async def test_with_no_room_for_a_record_nothing_is_signed_and_everything_goes_on_after(
    house: tuple[Signers, Disk],
) -> None:
    signers, disk = house
    alice, bob = signers["alice"], signers["bob"]
    await sign(alice.node, "ops", "with room")
    disk.becomes("full")
    await eventually_says(alice, {"DISK_FULL"})
    before = (await alice.node.audit(limit=0)).head
    waiting = [await ask(bob.node, "ops", [f"without room {count}"]) for count in range(3)]
    for each in waiting:
        assert (await bob.node.wait(each.id, 1.0)).state is State.VOTING
    await refused(alice, "DISK_FULL", "without room here")
    assert (await alice.node.audit(limit=0)).head == before
    disk.becomes("")
    await eventually_says(alice, set())
    for each in waiting:
        done = await bob.node.wait(each.id, PATIENCE)
        assert done.state is State.COMPLETED
        released = [text for text in await records(alice.node) if each.id in text and '"released"' in text]
        assert len(released) >= 1
    for member in (alice, bob):
        assert (await member.node.examine_audit()).sound


async def records(node: NodeClient) -> list[str]:
    found: list[str] = []
    while page := (await node.audit(after=len(found))).records:
        found += page
    return found


@breaks("ST-1.8")
async def test_a_disk_that_hangs_is_noticed_and_what_waited_goes_on_when_it_is_back(
    house: tuple[Signers, Disk],
) -> None:
    signers, disk = house
    alice = signers["alice"]
    disk.becomes("hung")
    held = asyncio.create_task(ask(alice.node, "ops", ["begun as it hung"]))
    await eventually_says(alice, {"STORE_STUCK"})
    for count in range(64):
        await refused(alice, "STORE_STUCK", f"document {count}")
    assert alice.running is not None
    threads = threads_of(alice.running.pid)
    for count in range(64, 128):
        await refused(alice, "STORE_STUCK", f"document {count}")
    assert threads_of(alice.running.pid) <= threads + 2
    disk.becomes("")
    begun = await held
    assert (await alice.node.wait(begun.id, PATIENCE)).state is State.COMPLETED
    await eventually_says(alice, set())
    assert (await sign(alice.node, "ops", "after it hung")).state is State.COMPLETED
