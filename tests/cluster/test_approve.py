"""A person decides, at the command line, for a real daemon: alice's. Bob's approves everything."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from quorate.ceremony.ports import State
from quorate.cli.cluster import Cluster, Member, ProcessFailed
from quorate.cli.connection import vault_ready
from quorate.errors import QuorateError
from quorate.rpc.client import NodeClient
from quorate.storage import Grant
from tests.cluster.conftest import PATIENCE, Command, ask

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("approve")]

PAYEE = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
CONTRACT = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
LIMITS = "[limits]\nsilence = 5\nunlinked = 1\nrepeat = 0.5\ndrain = 2\n"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Both sign with the vault "ops", which a person at alice's approved."""
    settings = {
        name: f'[approver]\ntype = "{kind}"\n{LIMITS}'
        for name, kind in (("alice", "manual"), ("bob", "always"))
    }
    async with Cluster(tmp_path_factory.mktemp("approve"), settings) as cluster:
        await cluster.linked()
        alice = cluster["alice"].node
        asked = await alice.create_vault(
            name="ops", weights={"alice": 1, "bob": 1}, threshold=2, idempotency_key=uuid.uuid4().hex
        )
        await waits(cluster["alice"], asked.id)
        shown = await alice.asked(asked.id)
        with pytest.raises(QuorateError, match="may not call"):  # an admin's and a signer's
            await alice.decide(asked.id, digest=shown.digest, verdict="approve")
        owner = NodeClient.local(cluster["alice"].home)
        await owner.decide(asked.id, digest=shown.digest, verdict="approve")
        await owner.close()
        assert (await alice.wait(asked.id, PATIENCE)).state is State.COMPLETED
        for member in cluster.members.values():
            assert (await vault_ready(member.node, "ops", patience=PATIENCE)).state == "ready"
        yield cluster


async def waits(member: Member, operation: str) -> None:
    """Until it is put to the person at this node."""
    async with asyncio.timeout(PATIENCE):
        while operation not in await pending(member):  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.05)


async def pending(member: Member) -> list[str]:
    """What waits for the person who owns the node."""
    async with NodeClient.local(member.home) as owner:
        return [view.id for view in await owner.pending()]


async def test_what_waits_is_listed_shown_approved_and_signed(pair: Cluster, quorate: Command) -> None:
    alice, bob = pair["alice"], pair["bob"]
    asked = await ask(bob.node, "ops", ["40 chairs"])
    await waits(alice, asked.id)
    home = ("--home", alice.home)
    assert asked.id in (await quorate("approve", "list", *home)).out
    [listed] = (await quorate("approve", "list", *home, "--json")).lines
    assert (listed["operation"], listed["state"]) == (asked.id, "VOTING")
    [shown] = (await quorate("approve", "show", asked.id, *home, "--json")).lines
    assert shown["pending"]
    told = await quorate("approve", "show", asked.id, *home)
    assert shown["digest"] in told.out
    assert "40 chairs" in told.out
    other = await quorate("approve", "yes", asked.id, "--digest", "00" * 32, *home)
    assert other.code == 1
    assert "PD-1.1" in other.err
    said = await quorate(
        "approve", "yes", asked.id, "--digest", shown["digest"], "--reason", "order 7", *home
    )
    assert said.code == 0, said.err
    assert (await bob.node.wait(asked.id, PATIENCE)).state is State.COMPLETED
    assert (await alice.node.wait(asked.id, PATIENCE)).state is State.COMPLETED
    [after] = (await quorate("operation", "show", asked.id, *home, "--json")).lines
    assert after["asked"] == shown | {"pending": False}
    late = await quorate("approve", "no", asked.id, *home)
    assert late.code == 1
    assert "approve by local: order 7" in late.err


async def test_a_person_reads_what_a_transaction_does_with_the_names_of_the_node_s_lists(
    pair: Cluster, quorate: Command
) -> None:
    alice, bob = pair["alice"], pair["bob"]
    file, tokens = alice.home / "quorate.toml", alice.home / "tokens.json"
    right = file.read_text()
    listed = {"chainId": 11155111, "address": CONTRACT, "symbol": "USDC", "decimals": 6}
    tokens.write_text(json.dumps({"tokens": [listed]}))
    file.write_text(right + '\n[tokens]\nfiles = ["tokens.json"]\n')
    try:
        said = await quorate("reload", "--home", alice.home, "--json")
        assert said.lines == [{"changed": ["tokens.files"], "restart_needed": []}], said.err
        made = await quorate(
            "transfer", "--vault", "ops", "--chain", 11155111, "--token", CONTRACT, "--base-units", 12_500_000,
            "--to", PAYEE, "--nonce", 1, "--gas-limit", 90000, "--max-fee", 30, "--priority-fee", 1,
            "--memo", "forty [red]chairs", "--home", bob.home, "--json",
        )  # fmt: skip
        assert made.code == 0, made.err
        operation = made.lines[0]["operation"]
        await waits(alice, operation)
        shown = (await quorate("approve", "show", operation, "--home", alice.home)).out
        assert f"transfer(address,uint256): 12.5 USDC [eip155:11155111/erc20:{CONTRACT}] to {PAYEE}" in shown
        assert "at most 0.0027 of the chain's coin" in shown
        assert "memo" in shown
        assert "forty [red]chairs" in shown
        said = await quorate("approve", "yes", operation, "--home", alice.home)
        assert said.code == 0, said.err
        view = await bob.node.wait(operation, PATIENCE)
        assert view.state is State.COMPLETED
        assert view.signatures[0].transaction

        tokens.write_text("{}")
        refused = await quorate("reload", "--home", alice.home)
        assert refused.code == 2
        assert str(tokens) in refused.err
        await alice.stop()
        with pytest.raises(ProcessFailed):
            await alice.start()
        assert f"token list {tokens}" in alice.log.read_text()
    finally:
        file.write_text(right)
        if alice.running is None:
            await alice.start()
        await pair.linked()


async def test_no_ends_it_and_a_restart_in_the_middle_asks_again(pair: Cluster, quorate: Command) -> None:
    alice, bob = pair["alice"], pair["bob"]
    asked = await ask(bob.node, "ops", ["across a restart"])
    await waits(alice, asked.id)
    await alice.stop()
    await alice.start()
    await pair.linked()
    await waits(alice, asked.id)
    assert (await bob.node.operation(asked.id)).state is State.VOTING
    said = await quorate("approve", "no", asked.id, "--reason", "not ours", "--home", alice.home)
    assert said.code == 0, said.err
    assert (await bob.node.wait(asked.id, PATIENCE)).state is State.REJECTED


async def test_a_cancelled_operation_is_watched_to_its_end(pair: Cluster, quorate: Command) -> None:
    alice, bob = pair["alice"], pair["bob"]
    asked = await ask(bob.node, "ops", ["never mind"])
    await waits(alice, asked.id)

    async def watch() -> list[str]:
        return [str(view.state) async for view in alice.node.watch(operation=asked.id)]

    watching = asyncio.create_task(watch())
    elsewhere = await quorate("operation", "cancel", asked.id, "--home", alice.home)
    assert elsewhere.code == 1
    assert "bob" in elsewhere.err
    [cancelled] = (await quorate("operation", "cancel", asked.id, "--home", bob.home, "--json")).lines
    assert (cancelled["state"], cancelled["signature_may_exist"]) == ("CANCELLED", False)
    async with asyncio.timeout(PATIENCE):
        assert (await watching)[-1] == "CANCELLED"
    watched = await quorate("operation", "watch", asked.id, "--home", alice.home, "--json")
    assert [line["state"] for line in watched.lines] == ["CANCELLED"]
    assert asked.id not in await pending(alice)


async def test_who_asks_and_who_administers_decides_nothing_and_an_approver_does(
    pair: Cluster, quorate: Command, tmp_path: Path
) -> None:
    alice = pair["alice"]
    (await alice.node.add_client("application", [Grant("signer")])).save(tmp_path / "application.json")
    alice.credentials.save(tmp_path / "boss.json")
    asked = await ask(alice.node, "ops", ["my own"])
    await waits(alice, asked.id)
    for credentials in ("application.json", "boss.json"):
        for words in (("list",), ("yes", asked.id)):
            refused = await quorate("--credentials", tmp_path / credentials, "--json", "approve", *words)
            assert refused.code == 1
            assert json.loads(refused.err)["error"] == "NOT_ALLOWED"
    add = ("client", "add", "olga", "--role", "approver", "--vault", "ops", "--out", tmp_path / "olga.json")
    refused = await quorate("--credentials", tmp_path / "boss.json", "--json", *add)
    assert json.loads(refused.err)["error"] == "NOT_ALLOWED"
    assert (await alice.node.operation(asked.id)).state is State.VOTING
    assert (await quorate(*add, "--home", alice.home)).code == 0
    said = await quorate("--credentials", tmp_path / "olga.json", "approve", "yes", asked.id, "--json")
    assert said.code == 0, said.err
    assert not said.lines[0].get("signatures")
    assert (await alice.node.wait(asked.id, PATIENCE)).state is State.COMPLETED
    late = await quorate("approve", "no", asked.id, "--home", alice.home)
    assert "approve by olga" in late.err


async def test_a_client_is_rotated_and_revoked_while_the_node_runs(
    pair: Cluster, quorate: Command, tmp_path: Path
) -> None:
    alice = pair["alice"]
    file, home = tmp_path / "app.json", ("--home", alice.home)

    async def works() -> bool:
        return (await quorate("--credentials", file, "vault", "list")).code == 0

    assert (await quorate("client", "add", "app", "--role", "viewer:ops", "--out", file, *home)).code == 0
    assert await works()
    old = file.read_text()
    assert (await quorate("client", "rotate", "app", "--overlap", "1h", "--out", file, *home)).code == 0
    assert file.read_text() != old
    assert await works()
    new = file.read_text()
    file.write_text(old)
    assert await works()
    [listed] = [
        line for line in (await quorate("client", "list", "--json", *home)).lines if line["client"] == "app"
    ]
    assert [credential["until"] is None for credential in listed["credentials"]] == [False, True]
    assert listed["grants"] == [{"role": "viewer", "vaults": ["ops"]}]
    file.write_text(new)
    assert (await quorate("client", "revoke", "app", *home)).code == 0
    assert not await works()
    for length in ("soon", "-1h"):
        refused = await quorate("client", "rotate", "app", f"--overlap={length}", "--out", file, *home)
        assert "no length of time" in refused.err
