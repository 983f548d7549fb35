"""``quorate doctor`` on nodes that something is wrong with: each fault is made, found, and explained."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from quorate.cli.cluster import Cluster, Member, Running, found_member, free_ports, launch
from quorate.cli.connection import vault_ready
from quorate.cli.demo import APPROVAL_SERVER, approver_settings, public_key_of
from quorate.cli.main import run
from quorate.node import founding
from tests.cluster import altered
from tests.cluster.conftest import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("doctor")]

NAMES = ("alice", "bob", "carol")
Lines = list[dict[str, Any]]


@dataclass(slots=True)
class Clinic:
    """Three healthy nodes, and the approver that alice asks."""

    cluster: Cluster
    approver: Running

    def __getitem__(self, name: str) -> Member:
        return self.cluster[name]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clinic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Clinic]:
    root: Path = tmp_path_factory.mktemp("clinic")
    approver = await serve_approvals(root, "0")
    url = approver.ready.rpartition(" ")[2]
    asks = approver_settings(url, public_key_of(root / "approver.pem"))
    clinic = Clinic(Cluster(root, {"alice": asks, "bob": ALWAYS, "carol": ALWAYS}), approver)
    try:
        async with clinic.cluster:
            await clinic.cluster.linked()
            yield clinic
    finally:
        await clinic.approver.stop()  # a test may have put another in its place


ALWAYS = '[approver]\ntype = "always"\n'


async def serve_approvals(root: Path, port: str) -> Running:
    command = (sys.executable, str(APPROVAL_SERVER), "--key", str(root / "approver.pem"), "--port", port)
    return await launch("the approval server", command, root / "approver.log")


class Doctor:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.code = 0
        self.findings: dict[str, dict[str, Any]] = {}
        self.pairs: dict[tuple[str, str], dict[str, Any]] = {}

    async def examines(self, home: Path) -> dict[str, dict[str, Any]]:
        """The findings by check."""
        self._capsys.readouterr()
        self.code = await asyncio.to_thread(run, ["doctor", "--home", str(home), "--json"])
        said = self._capsys.readouterr()
        lines = [json.loads(line) for line in said.out.splitlines()]
        assert lines, said.err
        self.findings = {line["check"]: line for line in lines if "check" in line}
        self.pairs = {
            (pair["observer"], pair["peer"]): pair for line in lines if (pair := line.get("pair")) is not None
        }
        assert all(bool(line["remedy"]) is (line["level"] != "ok") for line in self.findings.values())
        return self.findings

    async def finds(self, home: Path, check: str, code: str, *, level: str = "problem") -> str:
        """What is said of the one finding, which must be there."""
        finding = (await self.examines(home))[check]
        assert (finding["level"], finding["code"]) == (level, code), finding
        assert (self.code != 0) is any(each["level"] == "problem" for each in self.findings.values())
        return str(finding["said"])


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    return Doctor(capsys)


@asynccontextmanager
async def stopped(clinic: Clinic, name: str) -> AsyncIterator[Member]:
    """A node at rest, which runs as before afterwards."""
    member = clinic[name]
    await member.stop()
    try:
        yield member
    finally:
        await member.stop()
        member.environment.clear()
        member.command = clinic.cluster["alice" if name != "alice" else "bob"].command
        await member.start()
        await clinic.cluster.linked()


@asynccontextmanager
async def running_altered(clinic: Clinic, name: str, **changes: Any) -> AsyncIterator[Member]:
    async with stopped(clinic, name) as member:
        member.command = altered.COMMAND
        member.environment["ALTERED"] = json.dumps(changes)
        await member.start()
        await clinic.cluster.linked()
        yield member


async def test_nothing_is_found_with_healthy_nodes_and_every_pair_is_shown(
    clinic: Clinic, doctor: Doctor
) -> None:
    for name in reversed(NAMES):  # whoever is examined greets the others
        await doctor.examines(clinic[name].home)
    assert {check for check, finding in doctor.findings.items() if finding["level"] != "ok"} <= {"disk"}
    assert doctor.code == 0
    assert set(doctor.pairs) == {(one, other) for one in NAMES for other in NAMES[1:] if one != other}
    for pair in doctor.pairs.values():
        assert pair["connected"]
        assert abs(pair["clock_offset"]) < 5 > pair["rtt"] > 0
    told = await asyncio.to_thread(run, ["doctor", "--home", str(clinic["bob"].home)])
    assert told == 0


async def test_a_peer_that_is_down_is_named_and_so_is_who_else_misses_it(
    clinic: Clinic, doctor: Doctor
) -> None:
    async with stopped(clinic, "carol"):
        said = await doctor.finds(clinic["alice"].home, "peer carol", "UNREACHABLE")
        assert f"127.0.0.1:{clinic['carol'].peer_port}" in said
        assert not doctor.pairs["alice", "carol"]["connected"]
        assert doctor.code == 1


async def test_another_device_at_a_peer_s_address_shows_the_wrong_certificate(
    clinic: Clinic, doctor: Doctor, tmp_path: Path
) -> None:
    async with stopped(clinic, "bob") as bob:
        ports = (bob.peer_port, bob.client_port, bob.metrics_port)
        mallory = found_member(tmp_path / "mallory", "mallory", ports, ALWAYS)
        await mallory.start()
        try:
            said = await doctor.finds(clinic["alice"].home, "peer bob", "WRONG_CERTIFICATE")
            assert "certificate on the card of bob" in said
        finally:
            await mallory.stop()


async def test_a_peer_that_does_not_know_us_and_one_it_does_not_know_are_both_found(
    clinic: Clinic, doctor: Doctor
) -> None:
    async with stopped(clinic, "bob") as bob:
        alice = clinic["alice"]
        with founding.opened(bob.home) as ledger:
            card = ledger.peers()[alice.device].card
            ledger.remove_peer(alice.device)
        await bob.start()
        try:
            said = await doctor.finds(alice.home, "peer bob", "UNKNOWN_CERTIFICATE")
            assert "hung up when it saw our certificate" in said
            found = await doctor.examines(clinic["carol"].home)
            assert found["pair bob-alice"]["code"] == "UNKNOWN_PEER"
            assert "bob does not know alice" in found["pair bob-alice"]["said"]
        finally:
            await bob.stop()
            with founding.at_rest(bob.home) as registry:
                registry.add_peer(card)


async def test_a_clock_a_minute_off_another_release_and_a_full_disk_are_found(
    clinic: Clinic, doctor: Doctor
) -> None:
    async with running_altered(
        clinic, "bob", clock_ahead_ms=60_000, version="0.0.7", free_bytes=10 << 20
    ) as bob:
        said = await doctor.finds(clinic["alice"].home, "clock bob", "CLOCK_OFF")
        assert re.match(r"bob's clock is (60|59)\.\d+ s ahead of this machine's", said)
        assert doctor.findings["clock carol"]["level"] == "ok"
        said = await doctor.finds(clinic["alice"].home, "version bob", "VERSION_MISMATCH", level="warning")
        assert "0.0.7" in said
        said = await doctor.finds(bob.home, "clock", "CLOCK_OFF")
        assert re.match(r"this machine's clock is \d+\.\d+ s ahead of every peer's", said)
        assert "10 MiB free" in await doctor.finds(bob.home, "disk", "DISK_LOW")


async def test_a_home_that_became_read_only_is_found_while_the_node_runs(
    clinic: Clinic, doctor: Doctor
) -> None:
    async with running_altered(clinic, "carol", loses_home=True) as carol:
        try:
            said = await doctor.finds(carol.home, "store", "READ_ONLY")
            assert str(carol.home) in said
        finally:
            carol.home.chmod(0o700)


async def test_an_approver_that_is_down_or_signs_with_another_key_is_found(
    clinic: Clinic, doctor: Doctor
) -> None:
    alice, root = clinic["alice"], clinic.cluster.root
    port = clinic.approver.ready.rpartition(":")[2]
    await clinic.approver.stop()
    try:
        for kind in ("sign", "create-vault"):
            assert f"127.0.0.1:{port}" in await doctor.finds(alice.home, f"approver {kind}", "AP-2.1")
        shutil.move(root / "approver.pem", root / "kept.pem")
        clinic.approver = await serve_approvals(root, port)
        await doctor.finds(alice.home, "approver sign", "AP-3.6")
        assert "public_key" in doctor.findings["approver sign"]["remedy"]
        await clinic.approver.stop()
    finally:
        shutil.move(root / "kept.pem", root / "approver.pem")
        clinic.approver = await serve_approvals(root, port)
    assert (await doctor.examines(alice.home))["approver sign"]["level"] == "ok"


async def test_a_key_that_would_not_open_the_store_again_is_found_before_and_after_the_stop(
    clinic: Clinic, doctor: Doctor
) -> None:
    carol = clinic["carol"]
    key = carol.home / "node.key"
    right = key.read_bytes()
    key.unlink()
    founding.write_key(key)
    try:
        assert "does not open" in await doctor.finds(carol.home, "key", "STORE_LOCKED")
        await carol.stop()
        assert "does not open" in await doctor.finds(carol.home, "key", "STORE_LOCKED")
    finally:
        key.write_bytes(right)
        async with stopped(clinic, "carol"):
            pass


async def test_a_wrong_passphrase_is_found_before_and_after_the_stop(doctor: Doctor, tmp_path: Path) -> None:
    home, passphrase = tmp_path / "dave", tmp_path / "passphrase"
    passphrase.write_text("a passphrase that is right\n")
    passphrase.chmod(0o600)
    one, two, three = free_ports(3)
    key = f'[key]\npassphrase_file = "{passphrase}"\n'
    dave = found_member(home, "dave", (one, two, three), key + ALWAYS)
    await dave.start()
    try:
        assert (await doctor.examines(home))["key"]["level"] == "ok"
        passphrase.write_text("a passphrase that is wrong\n")
        assert "does not open" in await doctor.finds(home, "key", "STORE_LOCKED")
        passphrase.write_text("short\n")
        assert "under 12 characters" in await doctor.finds(home, "key", "STORE_LOCKED")
    finally:
        await dave.stop()
    passphrase.write_text("a passphrase that is wrong\n")
    assert "does not open" in await doctor.finds(home, "key", "STORE_LOCKED")


async def test_a_card_that_a_peer_or_this_node_missed_the_change_of_is_found(
    clinic: Clinic, doctor: Doctor
) -> None:
    alice, carol = clinic["alice"], clinic["carol"]
    await doctor.examines(carol.home)  # greets bob, so that carol has heard which card bob holds
    async with stopped(clinic, "bob") as bob:
        await carol.node.rotate_certificate()
        said = await doctor.finds(carol.home, "card carol at bob", "OLD_CARD", level="warning")
        assert said == "bob holds card 1 of carol, which is at 2"
        found = await doctor.examines(alice.home)
        assert not [check for check in found if check.startswith("card")]
        await carol.stop()
        await bob.start()
        said = await doctor.finds(bob.home, "card carol", "OLD_CARD", level="warning")
        assert said == "this node holds card 1 of carol, alice holds 2"
        await carol.start()
        await clinic.cluster.linked()
        found = await doctor.examines(bob.home)
        assert not [check for check in found if check.startswith("card")]


async def test_a_port_that_is_taken_and_a_mistake_in_the_settings_are_found_at_rest(
    clinic: Clinic, doctor: Doctor
) -> None:
    async with stopped(clinic, "bob") as bob:
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", bob.peer_port))
            squatter.listen()
            said = await doctor.finds(bob.home, "port peer", "PORT_IN_USE")
            assert str(bob.peer_port) in said
        found = await doctor.examines(bob.home)
        assert found["port peer"]["level"] == "ok"
        assert (found["node"]["level"], found["node"]["code"]) == ("warning", "NOT_RUNNING")
        assert {found[f"peer {name}"]["level"] for name in ("alice", "carol")} == {"ok"}
        assert doctor.code == 0
        file = bob.home / "quorate.toml"
        right = file.read_text()
        file.write_text(right + "[limits]\nexpirey = 3\n")
        try:
            said = await doctor.finds(bob.home, "settings", "INVALID_REQUEST")
            assert "limits.expirey: no such key" in said
        finally:
            file.write_text(right)


async def test_a_store_restored_from_before_an_epoch_is_found_from_both_sides(
    clinic: Clinic, doctor: Doctor, tmp_path: Path
) -> None:
    async with stopped(clinic, "bob") as bob:
        shutil.copy(bob.home / founding.STORE, tmp_path / "before.db")
    alice = clinic["alice"]
    view = await alice.node.create_vault(
        name="ops", weights={"alice": 1, "bob": 1}, threshold=2, idempotency_key=uuid.uuid4().hex
    )
    view = await alice.node.wait(view.id, PATIENCE)
    assert view.vault is not None
    for member in (alice, bob):
        assert (await vault_ready(member.node, view.vault, patience=PATIENCE)).state == "ready"
    assert "weight 2 is online" in (await doctor.examines(alice.home))["vault ops"]["said"]
    async with running_altered(clinic, "bob", epochs_ahead=1, protocols=(99, 99)):
        assert "protocol 99" in await doctor.finds(alice.home, "version bob", "PROTOCOL_MISMATCH")
        said = await doctor.finds(alice.home, "vault ops", "STALE_EPOCH")
        assert "this node is at epoch 0, bob at 1" in said
    async with running_altered(clinic, "bob", epochs_ahead=0):
        await doctor.finds(alice.home, "vault ops", "EPOCH_CONFLICT")
    async with stopped(clinic, "bob"):
        await doctor.finds(alice.home, "vault ops", "NOT_ENOUGH_WEIGHT")
        swap_store(bob.home, tmp_path / "before.db", tmp_path / "after.db")
    assert "bob is a signer of it and does not hold it" in await doctor.finds(
        alice.home, "vault ops", "STALE_EPOCH"
    )
    assert "not here" in await doctor.finds(bob.home, f"vault {view.vault}", "STALE_EPOCH")
    async with stopped(clinic, "bob"):
        swap_store(bob.home, tmp_path / "after.db", tmp_path / "before.db")
    assert (await doctor.examines(alice.home))["vault ops"]["level"] == "ok"


def swap_store(home: Path, other: Path, kept: Path) -> None:
    """Put another store in the place of a node's at rest, whose own goes to ``kept``."""
    shutil.move(home / founding.STORE, kept)
    for part in home.glob(f"{founding.STORE}-*"):
        part.unlink()
    shutil.copy(other, home / founding.STORE)
