"""The first hour of three nodes, from nothing, by the commands of deploy/README.md and the compose files' own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.cli.cluster import free_ports, launch
from quorate.cli.demo import APPROVAL_SERVER
from tests.deploy.conftest import ROOT, Machine, machine
from tests.docs.readme_commands import commands

pytestmark = pytest.mark.xdist_group("deploy")

NAMES = ("alice", "bob", "carol")
SIGNATURE = re.compile(r"^[0-9a-f]{128}$", re.MULTILINE)


def equip(root: Path, programs: Path, name: str, approver: str, public_key: Path) -> Machine:
    """What its operator does to .env on one machine; ``approver`` is an address, or empty where a person approves."""
    peer, client, metrics = free_ports(3)
    vm = machine(root / name, programs)
    shutil.copy(public_key, vm.folder / "config" / "approver.pub")
    example = vm.folder / ".env.example"
    changes = {
        "NAME": name,
        "ADVERTISE": f"127.0.0.1:{peer}",
        "PEER_PORT": f"127.0.0.1:{peer}",
        "CLIENT_PORT": f"127.0.0.1:{client}",
        "METRICS_PORT": f"127.0.0.1:{metrics}",
        "ENDPOINT": f"127.0.0.1:{client}",
        "QUORATE_APPROVER__TYPE": "webhook" if approver else "manual",
    }
    text = example.read_text()
    for key, value in changes.items():
        text, count = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        assert count == 1, key
    if approver:
        text = text.replace("#QUORATE_APPROVER__TYPE=webhook\n", "")
        text = text.replace("\n#QUORATE_APPROVER", "\nQUORATE_APPROVER")
    example.write_text(text.replace("https://approver.example", approver))
    return vm


async def test_three_machines_go_from_nothing_to_a_verified_signature(root: Path, programs: Path) -> None:
    """An approval server decides for alice and bob, a person for carol."""
    keys = ("--key", str(root / "approver.pem"), "--public-key", str(root / "approver.pub"))
    server = (sys.executable, str(APPROVAL_SERVER), *keys)
    approver = await launch("the approval server", server, root / "approver.log")
    url = approver.ready.rpartition(" ")[2]
    urls = {"alice": url, "bob": url, "carol": ""}
    vms = {name: equip(root, programs, name, urls[name], root / "approver.pub") for name in NAMES}
    alice, carol = vms["alice"], vms["carol"]
    try:
        for vm in vms.values():
            assert "fingerprint" in vm.does("found")
        bring_cards(vms)
        for vm in vms.values():
            said = vm.does("meet")
            assert said.count("read out the same?") == 2
            assert "this node itself, skipped" in said
        for name, vm in vms.items():
            linked(vm)
            said = vm.does("examine")
            assert ("a person decides" if name == "carol" else "answers as it should") in said
            assert "✗" not in said
        await found_vault(alice, carol)
        application = Machine(root / "application", programs)
        application.folder.mkdir()
        shutil.copytree(ROOT / "examples", application.folder / "examples")
        shutil.copytree(ROOT / "proto", application.folder / "proto")
        shutil.copy(alice.folder / "out" / "treasury.json", application.folder)
        said = application.does("sign")
        assert "COMPLETED" in said
        signed = json.loads(said.splitlines()[-1])
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signed["public_key"]))
        key.verify(bytes.fromhex(signed["signature"]), b"hello")
        assert SIGNATURE.search(said)
        withdraw(alice, carol)
        for vm in vms.values():
            assert "restarted" in vm.does("reboot")
        for vm in vms.values():
            linked(vm)
        assert json.loads(application.run(commands("sign", README).splitlines()[-1]))["verified"]
    finally:
        for vm in vms.values():
            vm.run("docker compose stop")
        await approver.stop()


async def found_vault(alice: Machine, carol: Machine) -> None:
    """Alice's operator waits for the vault, which carol's looks at and approves."""
    made = asyncio.create_task(asyncio.to_thread(alice.does, "vault"))
    asked = await asyncio.to_thread(pending, carol)
    said = await asyncio.to_thread(carol.does, "decide", asked)
    assert '"ops"' in said
    assert "approve for" in said
    said = await made
    assert "nothing is signed without alice" in said
    assert (alice.folder / "out" / "treasury.json").stat().st_mode & 0o777 == 0o600
    said = alice.does("follow", asked)
    assert f'"operation":"{asked}"' in said.replace(" ", "")
    last = said.splitlines()[-1]
    assert asked in last
    assert "COMPLETED" in last


def withdraw(alice: Machine, carol: Machine) -> None:
    """What nobody has decided on yet is taken back, and waits for nobody any more."""
    alice.run(
        "docker compose exec node quorate vault create spare --set alice=2 --set bob=1 --set carol=1 --threshold 3"
    )
    asked = pending(carol)
    assert "CANCELLED" in alice.does("withdraw", asked)
    carol.run(f"docker compose exec node quorate operation watch {asked} | grep CANCELLED")
    assert asked not in carol.run("docker compose exec node quorate approve list")


def pending(vm: Machine) -> str:
    """The one operation that waits for the person at this machine, once it does."""
    listed = "docker compose exec node quorate --json approve list"
    said = vm.run(f"until {listed} | grep VOTING; do sleep 0.2; done")
    [operation] = [json.loads(line)["operation"] for line in said.splitlines()]
    return str(operation)


README = (ROOT / "deploy" / "README.md").read_text()


def bring_cards(vms: dict[str, Machine]) -> None:
    for name, vm in vms.items():
        for other in vms.values():
            if other is not vm:
                shutil.copy(vm.folder / "cards" / f"{name}.json", other.folder / "cards")


def linked(vm: Machine) -> None:
    vm.run("until docker compose exec node quorate status | grep -q 2/2; do sleep 0.2; done")


def test_the_demo_goes_as_the_readme_says(root: Path, programs: Path) -> None:
    vm = machine(root / "demo", programs)
    (client,) = free_ports(1)
    (vm.folder / ".env").write_text(f"CLIENT_PORT=127.0.0.1:{client}\nENDPOINT=127.0.0.1:{client}\n")
    try:
        said = vm.does("demo")
        assert "COMPLETED" in said
        assert "refused, as it should be" in said
        assert SIGNATURE.search(said)
    finally:
        vm.run("docker compose -f docker-compose.demo.yml down")
