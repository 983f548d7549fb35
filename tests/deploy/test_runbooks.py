"""The runbooks, each command of each, in their order, on a fresh cluster of machines as deploy/ sets them up.

A block says where: ``at=NAME`` on that machine, ``at=each`` on all of the vault's, ``at=others`` on all but bob, and
``at=desk`` in a folder of an operator's that no node is on. What people carry is carried before each block: cards
between the machines, backups to the desk, and NAME.pub from there to NAME's ``config/recovery.pub``.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from quorate.cli.cluster import free_ports
from quorate.operations.addresses import Chain
from tests.deploy.conftest import Machine, machine, programs_in
from tests.docs.readme_commands import blocks

pytestmark = pytest.mark.xdist_group("runbooks")

RUNBOOKS = Path(__file__).parents[2] / "docs" / "operations"
NAMES = ("alice", "bob", "carol")
WITHOUT_COMMANDS = {"README", "requirements"}
SHARING = "--set alice=2 --set bob=1 --set carol=1 --threshold 3"


class Site:
    """Three machines whose nodes have a vault, a fourth with nothing, and a desk."""

    def __init__(self, root: Path) -> None:
        programs = root / "bin"
        self.machines = {name: Machine(root / name, programs) for name in (*NAMES, "dave")}
        self.nodes = [self.machines[name] for name in NAMES]
        self.desk = Machine(root / "desk", programs)

    def set_up(self) -> None:
        for vm in self.nodes:
            vm.run("openssl rand -base64 32 > secrets/passphrase; docker compose run --rm node init")
        self.carry()
        for vm in self.nodes:
            vm.run('docker compose run --rm node peer add --yes "/cards/*.json"')
        with self.running("2/2"):
            self.nodes[0].run(f"docker compose exec node quorate vault create ops {SHARING} --wait")

    @contextmanager
    def running(self, wanted: str) -> Iterator[Site]:
        """All at once, and each until this stands in its status."""
        try:
            with ThreadPoolExecutor() as pool:
                for _ in pool.map(lambda vm: vm.run("docker compose up -d --wait"), self.nodes):
                    pass
            for vm in self.nodes:
                vm.run(
                    f"until docker compose exec node quorate status | grep -q '{wanted}'; do sleep 0.2; done"
                )
            yield self
        finally:
            self.end()

    def end(self) -> None:
        for vm in self.machines.values():
            vm.run("docker compose stop")

    def carry(self) -> None:
        folders = {name: vm.folder for name, vm in self.machines.items()}
        for folder in folders.values():
            for card in folder.glob("cards/*.json"):
                for other in folders.values():
                    if not (other / "cards" / card.name).exists():
                        shutil.copy(card, other / "cards")
            for backup in folder.glob("backups/*.backup"):
                shutil.copy(backup, self.desk.folder)
        for public in self.desk.folder.glob("*.pub"):
            shutil.copy(public, folders[public.stem] / "config" / "recovery.pub")

    def follow(self, runbook: str) -> str:
        """What every command of it said, one after the other."""
        said = []
        for place, script in steps(runbook):
            self.carry()
            said += [vm.run(script) for vm in self.at(place)]
        return "".join(said)

    def at(self, place: str) -> list[Machine]:
        if place == "desk":
            return [self.desk]
        if place == "each":
            return [self.machines[name] for name in NAMES]
        if place == "others":
            return [self.machines[name] for name in NAMES if name != "bob"]
        return [self.machines[place]]


def equip(root: Path, programs: Path, name: str) -> None:
    """What its operator does to .env; every approver says yes."""
    peer, client, metrics = free_ports(3)
    vm = machine(root / name, programs)
    (vm.folder / ".env").write_text(
        f"NAME={name}\nADVERTISE=127.0.0.1:{peer}\nPEER_PORT=127.0.0.1:{peer}\n"
        f"CLIENT_PORT=127.0.0.1:{client}\nMETRICS_PORT=127.0.0.1:{metrics}\nENDPOINT=127.0.0.1:{client}\n"
        "QUORATE_APPROVER__TYPE=always\n"
    )


def steps(runbook: str) -> list[tuple[str, str]]:
    """(place, script) of each block of commands."""
    found = []
    for language, info, body in blocks((RUNBOOKS / f"{runbook}.md").read_text()):
        assert language == "sh", f"{runbook}: a block in {language}"
        assert info.startswith("at="), f"{runbook}: a block at no place:\n{body}"
        found.append((info.removeprefix("at="), body))
    return found


@pytest.fixture(scope="module")
def fresh() -> Iterator[Path]:
    """A site that was set up and stands still, to be copied: setting one up takes longer than following a runbook."""
    with tempfile.TemporaryDirectory(prefix="q") as folder:
        root = Path(folder)
        programs = programs_in(root)
        for name in (*NAMES, "dave"):
            equip(root, programs, name)
        (root / "desk").mkdir()
        Site(root).set_up()
        yield root


@dataclass(frozen=True, slots=True)
class Deployed:
    """A site on which the first runbook has been followed, standing still, and what its commands said."""

    root: Path
    said: str


@pytest.fixture(scope="module")
def deployed(fresh: Path) -> Iterator[Deployed]:
    with tempfile.TemporaryDirectory(prefix="q") as folder, copied(fresh, Path(folder)) as site:
        said = site.follow("deploy")
        site.end()
        yield Deployed(Path(folder), said)


@pytest.fixture
def site(fresh: Path, root: Path) -> Iterator[Site]:
    with copied(fresh, root) as site:
        yield site


@pytest.fixture
def safe_site(deployed: Deployed, root: Path) -> Iterator[Site]:
    """One that has backups, and whose desk can open them."""
    with copied(deployed.root, root) as site:
        yield site


@contextmanager
def copied(source: Path, root: Path) -> Iterator[Site]:
    shutil.copytree(source, root, dirs_exist_ok=True)
    with Site(root).running("vault ops ready") as site:
        yield site


def test_each_runbook_is_followed_by_a_test() -> None:
    tested = set(re.findall(r'\bfollow\("([\w-]+)"\)', Path(__file__).read_text()))
    assert tested == {file.stem for file in RUNBOOKS.glob("*.md")} - WITHOUT_COMMANDS


def test_a_new_deployment_has_backups_that_open(deployed: Deployed) -> None:
    assert "weight" in deployed.said
    assert "✗" not in deployed.said
    assert len(list((deployed.root / "desk").glob("*.backup"))) == 3


def test_a_signer_is_added(site: Site) -> None:
    said = site.follow("add-a-signer")
    assert said.count("read out the same?") == 6
    assert said.count("COMPLETED") >= 3


def test_a_lost_node_is_taken_out(site: Site) -> None:
    said = site.follow("lose-a-node")
    assert "bob" in said
    assert said.count("COMPLETED") >= 3


def test_shares_certificates_and_secrets_are_rotated(site: Site) -> None:
    said = site.follow("rotate")
    assert "epoch" in said


def test_nodes_are_upgraded_one_after_the_other(site: Site) -> None:
    said = site.follow("upgrade")
    assert said.count("restarted") >= 3
    assert said.count("COMPLETED") >= 2


def test_a_node_is_restored_out_of_its_backups(safe_site: Site) -> None:
    shutil.copy(safe_site.desk.folder / "bob.key", safe_site.machines["bob"].folder / "backups")
    said = safe_site.follow("restore")
    assert "in quarantine" in said
    assert said.count("COMPLETED") >= 4


def test_the_keys_are_recovered_without_any_node(safe_site: Site) -> None:
    safe_site.end()
    safe_site.follow("recover")
    desk = safe_site.desk.folder
    xprv = desk / "ops.xprv"
    assert xprv.read_text().startswith("xprv")
    assert xprv.stat().st_mode & 0o777 == 0o600
    rows = (desk / "addresses.csv").read_text().splitlines()
    assert len(rows) == 1 + 5 * len(Chain)  # a line of titles, and each index on each chain
