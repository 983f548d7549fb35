"""Nodes that are changed while they run: certificates, addresses, settings, and sudden ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.cluster import Cluster, Member, free_ports
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError
from tests.cluster.conftest import PATIENCE, SETTINGS, WEIGHTS, Command, Signers, ask, new_vault, sign
from tests.cluster.test_metrics import health_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("running")]

FINAL = {State.COMPLETED, State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Signers]:
    root: Path = tmp_path_factory.mktemp("running")
    async with Cluster(root, dict.fromkeys(WEIGHTS, SETTINGS)) as cluster:
        await cluster.linked()
        yield Signers(cluster, await new_vault(cluster, "ops"))


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await holds():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.05)


async def eventually_awaits(member: Member, *names: str) -> None:
    """Until these peers, and no others, do not know the node's newest card."""

    async def holds() -> bool:
        held = await member.node.certificates()
        peers = {peer.device: peer.name for peer in await member.node.peers()}
        return {peers[each] for each in held.awaited} == set(names) and bool(held.earlier) is bool(names)

    await eventually(holds)


async def revs_at(member: Member) -> dict[str, int]:
    """Of each card that it has."""
    return {peer.name: peer.rev for peer in await member.node.peers()}


def log_of(member: Member) -> str:
    return member.log.read_text()


async def test_a_certificate_rotates_while_signatures_are_made_and_credentials_stay_valid(
    house: Signers, quorate: Command
) -> None:
    alice, over, before_all = house["alice"], False, await revs_at(house["alice"])
    outcomes: list[OperationView] = []

    async def keep_signing() -> None:
        while not over:
            outcomes.append(await sign(alice.node, "ops", f"document {len(outcomes)}"))

    signing = asyncio.create_task(keep_signing())
    pins = []
    for name in ("alice", "bob", "alice"):
        said = await quorate("cert", "rotate", "--home", house[name].home, "--json")
        assert said.code == 0, said.err
        pins.append(said.lines[0]["pin"])
        await eventually_awaits(house[name])
    before = len(outcomes)
    async with asyncio.timeout(PATIENCE):
        while len(outcomes) < before + 2:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
    over = True
    await signing
    assert [view.state for view in outcomes] == [State.COMPLETED] * len(outcomes)
    assert {view.attempt for view in outcomes} == {1}  # no session was lost
    assert len(set(pins)) == 3
    async with NodeClient.remote(alice.credentials) as node:  # a new connection, the credentials from before
        risen = {peer.name: peer.rev - before_all[peer.name] for peer in await node.peers()}
    assert risen == {"alice": 2, "bob": 1, "carol": 0}
    shown = await quorate("cert", "show", "--home", alice.home, "--json")
    now = before_all["alice"] + 2
    assert (shown.lines[0]["rev"], shown.lines[0]["pin"], shown.lines[0]["awaited"]) == (now, pins[2], [])
    card = json.loads((alice.home / "cards" / "alice.json").read_text())
    assert json.loads(card["client_record"])["rev"] == str(now)


async def test_a_peer_that_was_away_learns_the_new_certificate_also_from_a_node_that_restarted(
    house: Signers, quorate: Command
) -> None:
    alice, carol = house["alice"], house["carol"]
    known = (await revs_at(carol))["alice"]
    await carol.stop()
    assert (await quorate("cert", "rotate", "--home", alice.home)).code == 0
    await eventually_awaits(alice, "carol")
    told = await quorate("cert", "show", "--home", alice.home)
    assert "do not know this card yet: carol" in told.out
    await alice.stop()
    at_rest = await quorate(
        "cert", "rotate", "--home", alice.home, "--json"
    )  # of a node that does not run, too
    assert len(at_rest.lines[0]["earlier"]) == 2
    await carol.start()
    await alice.start()
    await house.cluster.linked()
    await eventually_awaits(alice)
    assert (await revs_at(carol))["alice"] == known + 2
    assert (await sign(carol.node, "ops", "after")).state is State.COMPLETED


async def test_a_node_that_moves_announces_it_and_is_found_there(house: Signers, quorate: Command) -> None:
    bob, alice = house["bob"], house["alice"]
    [port] = free_ports(1)
    said = await quorate("peer", "set-address", f"127.0.0.1:{port}", "--home", bob.home, "--json")
    assert said.lines[0]["address"] == f"127.0.0.1:{port}"
    await eventually_awaits(bob)
    file = bob.home / "quorate.toml"
    file.write_text(file.read_text().replace(f"port = {bob.peer_port}\n", f"port = {port}\n"))
    await bob.stop()
    bob.peer_port = port
    await bob.start()
    await house.cluster.linked()
    listed = await quorate("peer", "list", "--home", alice.home, "--json")
    assert {line["name"]: line["address"] for line in listed.lines}["bob"] == f"127.0.0.1:{port}"
    assert (await sign(bob.node, "ops", "moved")).state is State.COMPLETED
    refused = await quorate("peer", "set-address", "nowhere", "--home", bob.home)
    assert refused.code != 0
    assert "host:port" in refused.err


async def test_a_peer_is_reached_where_its_operator_says(house: Signers, quorate: Command) -> None:
    alice, carol = house["alice"], house["carol"]
    away = ("peer", "set-address", "127.0.0.1:9", "--peer", "carol", "--home", alice.home)
    assert (await quorate(*away, "--json")).lines[0]["address"] == "127.0.0.1:9"

    async def gone() -> bool:
        return not (await alice.node.status()).peers[carol.device]

    await eventually(gone)
    back = ("peer", "set-address", "", "--peer", "carol", "--home", alice.home)
    assert (await quorate(*back, "--json")).lines[0]["address"] == f"127.0.0.1:{carol.peer_port}"
    await house.cluster.linked()
    unknown = await quorate("peer", "set-address", "127.0.0.1:9", "--peer", "dave", "--home", alice.home)
    assert "no peer named dave" in unknown.err


async def test_a_reload_changes_what_can_be_changed_and_names_what_needs_a_restart(
    house: Signers, quorate: Command
) -> None:
    alice = house["alice"]
    file = alice.home / "quorate.toml"
    right = file.read_text()
    try:
        file.write_text(
            right.replace('type = "always"', 'type = "none"')
            .replace("drain = 2", "drain = 3\nlongest_expiry = 4000")
            .replace("[metrics]\n", "[metrics]\nenabled = false\n")
            + '[log]\nlevel = "debug"\n'
        )
        said = await quorate("reload", "--home", alice.home, "--json")
        assert said.lines == [
            {
                "changed": ["approver.type", "limits.drain", "limits.longest_expiry", "log.level"],
                "restart_needed": ["metrics.enabled"],
            }
        ]
        with pytest.raises(RemoteError) as caught:
            await sign(alice.node, "ops", "too long a life", expires_in_ms=5_000_000)
        assert caught.value.code == "EXPIRY_TOO_LONG"
        view = await sign(alice.node, "ops", "no approver", expires_in_ms=60_000)
        assert view.state is State.REJECTED
        file.write_text(right + "[limits2]\nexpiry = 1\n")
        refused = await quorate("reload", "--home", alice.home)
        assert refused.code == 2
        assert "limits2: no such key" in refused.err
        file.write_text(right.replace('type = "always"', 'type = "sometimes"'))
        assert alice.running is not None
        alice.running.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while "settings not read again" not in log_of(alice):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.02)
        assert (await sign(alice.node, "ops", "still none", expires_in_ms=60_000)).state is State.REJECTED
    finally:
        file.write_text(right)
    alice.running.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(PATIENCE):
        while log_of(alice).count("settings read again") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert (await sign(alice.node, "ops", "as before")).state is State.COMPLETED
    assert (await quorate("reload", "--home", alice.home)).out.strip() == "nothing has changed"


async def test_what_the_client_port_takes_changes_with_a_reload_and_its_ports_do_not(
    house: Signers, quorate: Command
) -> None:
    bob = house["bob"]
    file = bob.home / "quorate.toml"
    right = file.read_text()
    assert [await health_of(bob, "") for _ in range(2)]
    try:
        file.write_text(
            right.replace("[client]\n", "[client]\nendpoint = 'bob.example:7200'\n")
            + "[client.limits]\nstrangers_burst = 1\nstrangers_per_second = 0.001\n"
        )
        said = await quorate("reload", "--home", bob.home, "--json")
        assert said.lines == [
            {
                "changed": ["client.limits.strangers_burst", "client.limits.strangers_per_second"],
                "restart_needed": ["client.endpoint"],
            }
        ]
        await health_of(bob, "")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await health_of(bob, "")
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    finally:
        file.write_text(right)
        await quorate("reload", "--home", bob.home)


async def test_a_person_s_inbox_is_not_taken_away_by_a_reload(house: Signers, quorate: Command) -> None:
    carol = house["carol"]
    file = carol.home / "quorate.toml"
    right = file.read_text()
    file.write_text(right.replace('type = "always"', 'type = "manual"').replace("drain = 2", "drain = 4"))
    try:
        said = await quorate("reload", "--home", carol.home)
        assert "restart needed for approver.type" in said.out
        assert "limits.drain in effect" in said.out
        assert (await sign(carol.node, "ops", "not asked")).state is State.COMPLETED
    finally:
        file.write_text(right)
        await quorate("reload", "--home", carol.home)


async def test_status_says_in_one_line_how_the_node_is(house: Signers, quorate: Command) -> None:
    alice = house["alice"]
    await alice.stop()
    await alice.start()
    await house.cluster.linked()

    async def is_ready() -> bool:
        return not (await alice.node.status()).not_ready

    await eventually(is_ready)
    said = await quorate("status", "--home", alice.home)
    assert re.search(r"restarted \d\d:\d\d; vault ops ready; peers 2/2", said.out), said.out


async def test_a_first_sigterm_drains_and_a_second_one_ends_the_node_at_once(
    house: Signers,
) -> None:
    carol, alice = house["carol"], house["alice"]
    assert carol.running is not None
    process = carol.running.process
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    await carol.stop()
    # alice's session waits for bob, who stands still: so alice drains
    bob = house["bob"]
    assert bob.running is not None
    assert alice.running is not None
    bob.running.process.send_signal(signal.SIGSTOP)
    try:
        view = await ask(alice.node, "ops", ["pending"], key="pending at the stop")
        process = alice.running.process
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while "stopping" not in log_of(alice).rsplit("serving", 1)[1]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) in (0, 128 + signal.SIGTERM)
    finally:
        bob.running.process.send_signal(signal.SIGCONT)
    await alice.stop()
    await house.cluster.start()
    await house.cluster.linked()
    ended = await alice.node.wait(view.id, PATIENCE)
    assert ended.state is State.COMPLETED


@pytest.mark.slow
async def test_all_nodes_reboot_at_once_in_the_middle_of_signing_and_every_operation_ends(
    house: Signers, quorate: Command
) -> None:
    carol, alice = house["carol"], house["alice"]
    await new_vault(house.cluster, "everybody", threshold=4)
    await carol.stop()
    file = carol.home / "quorate.toml"
    right = file.read_text()
    file.write_text(right.replace('type = "always"', 'type = "manual"'))
    await carol.start()
    await house.cluster.linked()
    bob = house["bob"]
    try:
        pending = await ask(carol.node, "everybody", ["waits for a person"])
        signed = [await ask(alice.node, "ops", [f"one of many {number}"]) for number in range(12)]
        first = await alice.node.wait(signed[0].id, PATIENCE)
        assert first.state is State.COMPLETED  # the others are on their way
        await asyncio.gather(*(member.stop(signal.SIGKILL) for member in (alice, bob, carol)))
        await house.cluster.start()
        await house.cluster.linked()
        for view in signed:
            assert (await alice.node.wait(view.id, PATIENCE)).state is State.COMPLETED
        assert (await carol.node.operation(pending.id)).state not in FINAL

        async def asked_again() -> bool:
            return pending.id in (await quorate("approve", "list", "--home", carol.home)).out

        await eventually(asked_again)
        decided = await quorate("approve", "yes", pending.id, "--home", carol.home)
        assert decided.code == 0, decided.err
        assert (await carol.node.wait(pending.id, PATIENCE)).state is State.COMPLETED
    finally:
        await carol.stop()
        file.write_text(right)
        await carol.start()
        await house.cluster.linked()
