"""A home out of backups: checked before anything is written, whole or not there, and never over another."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from quorate.ceremony.confinement import Why
from quorate.ceremony.identity import check_address
from quorate.ceremony.ports import State
from quorate.errors import QuorateError, UsageError
from quorate.node import restoring
from quorate.node.founding import opened
from quorate.node.restoring import newest_of
from tests.ceremony.disks import OPENER, PRIVATE, Safe
from tests.ceremony.world import World
from tests.protocols.vaults import handed_over, roster_of, vault_of
from tests.recovery.files import held_by
from tests.rules import breaks

WEIGHTS = {"alice": 1, "bob": 1}


@dataclass(frozen=True)
class Kept:
    """Backups of alice and bob, of epochs 0 and 1: of shares, and of the device."""

    alice: tuple[Path, Path, Path]
    bob: tuple[Path, Path, Path]
    vault: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    async def make() -> Kept:
        world = World(tmp_path_factory.mktemp("world"), WEIGHTS)
        await world.start()
        safes = [Safe(world[name]) for name in WEIGHTS]
        view = await world["alice"].create_vault("ops", WEIGHTS, 2, seconds=40)
        assert view.state is State.COMPLETED, view
        first = [safe.take() for safe in safes]
        view = await world["alice"].reshare("ops")
        assert view.state is State.COMPLETED, view
        second = [safe.take() for safe in safes]
        await world.stop()
        alice, bob = ((one[0], two[0], two[1]) for one, two in zip(first, second, strict=True))
        return Kept(alice, bob, view.vault or "")

    return asyncio.run(make())


def restored(home: Path, *files: Path, advertise: str = "") -> restoring.Copies:
    copies = restoring.gather(files, [OPENER])
    restoring.restore(home, copies, advertise=advertise)
    return copies


def nothing_in(home: Path) -> bool:
    """No store, nor a part of one."""
    return not home.exists() or not [each for each in home.rglob("*") if "node.db" in each.name]


def test_a_node_comes_back_with_its_newest_epoch_its_card_and_its_peers(kept: Kept, tmp_path: Path) -> None:
    home = tmp_path / "home"
    copies = restored(home, *kept.alice, advertise="elsewhere.example:7300")
    assert copies.left_out == (str(kept.alice[0]),)
    with opened(home) as ledger:
        assert (ledger.me.name, ledger.me.rev, ledger.me.address) == ("alice", 2, "elsewhere.example:7300")
        assert [peer.name for peer in ledger.peers().values() if peer.device != ledger.me.device] == ["bob"]
        assert [(row.epoch, row.state.value) for row in ledger.epochs()] == [(0, "ERASED"), (1, "ACTIVE")]
        assert [each.cause for each in ledger.quarantine().values()] == [Why.RESTORED]
        assert ledger.vault_name(next(iter(ledger.quarantine()))) == "ops"
        assert ledger.boot().counter > 1_700_000_000
        check_address(ledger.me.address)
    assert (home / "cards" / "alice.json").exists()


@breaks("BK-5.1")
def test_without_one_device_nothing_is_restored(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"BK-5\.1 device") as refused:
        restored(tmp_path / "home", *kept.alice[:2])
    assert refused.value.code == "NO_DEVICE_BACKUP"
    with pytest.raises(UsageError, match=r"BK-5\.1 device") as refused:
        restored(tmp_path / "home", kept.alice[2], kept.bob[2])
    assert refused.value.code == "WRONG_DEVICE"
    assert nothing_in(tmp_path / "home")


@breaks("BK-5.2")
def test_a_backup_of_another_node_is_named(kept: Kept, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"BK-5\.2 one device: {kept.bob[1]}"):
        restored(tmp_path / "home", kept.alice[2], kept.alice[1], kept.bob[1])
    assert nothing_in(tmp_path / "home")


def test_a_file_that_was_changed_or_renamed_is_named_and_nothing_is_written(
    kept: Kept, tmp_path: Path
) -> None:
    fields = json.loads(kept.alice[1].read_bytes())
    cut = tmp_path / "cut.backup"
    cut.write_bytes(kept.alice[1].read_bytes()[:1000])
    label = fields["quorate_backup"]
    relabelled = tmp_path / "relabelled.backup"
    relabelled.write_text(json.dumps(fields | {"quorate_backup": label | {"vault": "a" * 24, "epoch": 7}}))
    torn = tmp_path / "torn.backup"
    torn.write_text(json.dumps(fields | {"sealed": "AAAA" + fields["sealed"][4:]}))
    for bad in (cut, relabelled, torn):
        with pytest.raises(QuorateError, match=str(bad)):
            restored(tmp_path / "home", kept.alice[2], bad)
        assert nothing_in(tmp_path / "home")
    renamed = tmp_path / "another-vault.backup"  # a name says nothing
    renamed.write_bytes(kept.alice[1].read_bytes())
    assert [held.record.vault for held in restored(tmp_path / "home", kept.alice[2], renamed).vaults] == [
        kept.vault
    ]


@breaks("BK-5.3")
def test_of_two_certificates_of_one_epoch_none_is_chosen() -> None:
    one, other = vault_of([1, 1], 2), vault_of([1, 1], 2, seed=1)
    weights = {device: one.record.sharing.seat(device).weight for device in one.devices}
    later = handed_over(one, roster_of(weights, 2))
    [first], [second], [third] = (held_by(line, one.devices[:1]) for line in ([one], [other], [one, later]))
    for held in ([first, second], [second, third]):
        with pytest.raises(UsageError, match=r"BK-5\.3 newest") as refused:
            newest_of(held)
        assert refused.value.code == "AMBIGUOUS_EPOCH"
    assert newest_of([first, third]) == ((third,), (first.source,))


@breaks("BK-5.4")
def test_a_home_with_a_store_is_left_as_it_is(kept: Kept, tmp_path: Path) -> None:
    home = tmp_path / "home"
    restored(home, *kept.bob)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"BK-5\.4 empty"):
        restored(home, *kept.alice)
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    left = tmp_path / "left"
    left.mkdir()
    (left / "node.db-wal").write_bytes(b"of a store that was moved away")
    with pytest.raises(UsageError, match=r"BK-5\.4 empty"):
        restored(left, *kept.alice)


@breaks("BK-5.5")
def test_a_restore_killed_at_any_point_leaves_no_store_and_can_be_done_again(
    kept: Kept, tmp_path: Path
) -> None:
    key, homes, root = tmp_path / "recovery.key", tmp_path / "homes", Path(__file__).parents[2]
    key.write_bytes(PRIVATE)
    homes.mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.node.killed_restores", homes, key, *kept.alice],
        cwd=root, env={"PYTHONPATH": f"{root / 'src'}:{root}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    points = ran.stdout.split()
    assert len(points) > 6
    for point in points:
        assert not (homes / point / "node.db").exists()
    last = homes / points[-1]
    restored(last, *kept.alice)
    assert not (last / restoring.PART).exists()
    with opened(last) as ledger:
        assert ledger.quarantine()
