"""The first hour of three nodes, from nothing, by the commands of deploy/README.md and the compose files' own."""

from __future__ import annotations

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
    """What its operator does to .env on one machine."""
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
        "QUORATE_APPROVER__TYPE": "webhook",
    }
    text = example.read_text()
    for key, value in changes.items():
        text, count = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        assert count == 1, key
    text = text.replace("#QUORATE_APPROVER__TYPE=webhook\n", "").replace("\n#QUORATE_", "\nQUORATE_")
    example.write_text(text.replace("https://approver.example", approver))
    return vm


async def test_three_machines_go_from_nothing_to_a_verified_signature(root: Path, programs: Path) -> None:
    keys = ("--key", str(root / "approver.pem"), "--public-key", str(root / "approver.pub"))
    server = (sys.executable, str(APPROVAL_SERVER), *keys)
    approver = await launch("the approval server", server, root / "approver.log")
    url = approver.ready.rpartition(" ")[2]
    vms = {name: equip(root, programs, name, url, root / "approver.pub") for name in NAMES}
    alice = vms["alice"]
    try:
        for vm in vms.values():
            assert "fingerprint" in vm.does("found")
        bring_cards(vms)
        for vm in vms.values():
            said = vm.does("meet")
            assert said.count("read out the same?") == 2
            assert "this node itself, skipped" in said
        for vm in vms.values():
            linked(vm)
            said = vm.does("examine")
            assert "answers as it should" in said
            assert "✗" not in said
        assert "nothing is signed without alice" in alice.does("vault")
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
        said = alice.does("reboot")
        assert "restarted" in said
        linked(alice)
        assert json.loads(application.run(commands("sign", README).splitlines()[-1]))["verified"]
    finally:
        for vm in vms.values():
            vm.run("docker compose stop")
        await approver.stop()


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
