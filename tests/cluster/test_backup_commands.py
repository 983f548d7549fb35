"""Backups of running nodes, and the day the nodes are gone: keys from the files alone, by an offline program."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import coincurve
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_account import Account
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from quorate.cli.cluster import Cluster
from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address
from tests.cluster.conftest import PATIENCE, SETTINGS, WEIGHTS, Command, new_vault, sign

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("cluster")]

PASSPHRASE = '[backup]\nfolder = "backups"\npassphrase_file = "backup.words"\n'
RECOVERY_KEY = '[backup]\nfolder = "backups"\nrecovery_key_file = "recovery.pub"\n'
BY_HAND = PASSPHRASE + "automatic = false\n"
WORDS = "correct horse battery staple\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    root = tmp_path_factory.mktemp("backed up")
    key = root / "recovery.key"
    openssl("genpkey", "-algorithm", "X25519", "-out", key)
    settings = {"alice": PASSPHRASE, "bob": RECOVERY_KEY, "carol": BY_HAND}
    made = Cluster(root / "nodes", {name: SETTINGS + settings[name] for name in WEIGHTS})
    made.found()
    for member in made.members.values():
        (member.home / "backup.words").write_text(WORDS)
        openssl("pkey", "-in", key, "-pubout", "-out", member.home / "recovery.pub")
    try:
        await made.start()
        await made.linked()
        yield made
    finally:
        await made.stop()


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True)


async def backed_up(cluster: Cluster, name: str, vault: str, epoch: int) -> Path:
    """The file of this epoch, once it is there."""
    ends = asyncio.get_running_loop().time() + PATIENCE
    while True:
        for each in await cluster[name].node.backups():
            if (each.vault, each.epoch) == (vault, epoch):
                return Path(each.path)
        assert asyncio.get_running_loop().time() < ends, f"{name} made no backup of epoch {epoch}"
        await asyncio.sleep(0.2)


def recover(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "quorate.recovery.main", *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)


async def test_after_a_refresh_the_files_of_the_lost_nodes_are_the_vaults_keys(
    cluster: Cluster, quorate: Command, tmp_path: Path
) -> None:
    vault = await new_vault(cluster, "lost one day")
    first = [await backed_up(cluster, name, vault.id, 0) for name in ("alice", "bob")]
    home = ("--home", cluster["alice"].home)
    refreshed = await quorate("vault", "refresh", vault.id, "--yes", "--wait", "--json", *home)
    assert refreshed.code == 0, refreshed.err
    files = [await backed_up(cluster, name, vault.id, 1) for name in ("alice", "bob")]
    signed = (await sign(cluster["alice"].node, vault.id, "signed while they lived")).signatures[0]

    # An empty folder, the files, what opens them; no node, no store.
    drill = tmp_path / "drill"
    drill.mkdir()
    for file in (*first, *files):
        shutil.copy(file, drill)
    shutil.copy(cluster.root.parent / "recovery.key", drill)
    (drill / "words").write_text(WORDS)
    opening = ("--passphrase-file", "words", "--recovery-key", "recovery.key")
    newest = [file.name for file in files]

    checked = recover(drill, "check", *newest, *opening)
    assert checked.returncode == 0, checked.stderr
    assert "together a weight of 3, which is enough" in checked.stdout
    made = recover(drill, "key", *newest, *opening, "--export", "hex", "--out", "key")
    assert made.returncode == 0, made.stderr
    secret = bytes.fromhex((drill / "key").read_text())
    assert coincurve.PrivateKey(secret).public_key.format() == vault.public_keys[Curve.SECP256K1]
    expected = address(Chain.ETHEREUM, vault.public_keys[Curve.SECP256K1])
    assert Account.from_key(secret).address == expected

    scalar = recover(drill, "key", *newest, *opening, "--export", "scalar", "--print")
    public = crypto_scalarmult_ed25519_base_noclamp(bytes.fromhex(scalar.stdout))
    assert public == vault.public_keys[Curve.ED25519]
    Ed25519PublicKey.from_public_bytes(public).verify(signed.signature, b"signed while they lived")

    mixed = recover(drill, "key", first[0].name, files[1].name, *opening, "--export", "hex", "--print")
    assert mixed.returncode == 1
    assert "different epochs" in mixed.stderr
    short = recover(drill, "key", files[1].name, *opening, "--export", "hex", "--print")
    assert short.returncode == 1
    assert "weight of 1, and the vault's threshold is 3" in short.stderr


async def test_a_backup_is_asked_for_listed_and_verified_from_the_command_line(
    cluster: Cluster, quorate: Command, tmp_path: Path
) -> None:
    vault = await new_vault(cluster, "by hand")
    carol = ("--home", cluster["carol"].home)
    assert not [each for each in await cluster["carol"].node.backups() if each.vault == vault.id]
    made = await quorate("backup", "create", "by hand", "--json", *carol)
    assert made.code == 0, made.err
    again = await quorate("backup", "create", "by hand", "--json", *carol)
    assert again.lines == made.lines
    assert made.lines[0]["live"] is True
    listed = await quorate("backup", "list", "--json", *carol)
    assert made.lines[0] in listed.lines
    assert "by hand" in (await quorate("backup", "list", *carol)).out

    words = tmp_path / "words"
    words.write_text(WORDS)
    verified = await quorate(
        "backup", "verify", made.lines[0]["path"], "--passphrase-file", words, "--json", "--home", tmp_path
    )
    assert verified.code == 0, verified.err
    assert (verified.lines[0]["sound"], verified.lines[0]["weight"]) == (True, 1)
    words.write_text("another passphrase entirely\n")
    refused = await quorate("backup", "verify", made.lines[0]["path"], "--passphrase-file", words)
    assert refused.code != 0
    assert "does not open" in refused.err
    unknown = await quorate("backup", "create", "nowhere", *carol)
    assert unknown.code != 0
    assert "nowhere" in unknown.err


async def test_a_backup_is_its_owners_alone_and_shows_no_share(cluster: Cluster) -> None:
    vault = await new_vault(cluster, "hidden")
    file = await backed_up(cluster, "bob", vault.id, 0)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert not list(file.parent.glob(".*.part"))


async def test_the_metrics_tell_the_epoch_that_is_safe_and_since_when(cluster: Cluster) -> None:
    vault = await new_vault(cluster, "measured")
    await backed_up(cluster, "alice", vault.id, 0)

    def lines() -> list[str]:
        with urlopen(f"http://127.0.0.1:{cluster['alice'].metrics_port}/metrics") as answer:
            return [line for line in answer.read().decode().splitlines() if vault.id in line]

    ends = asyncio.get_running_loop().time() + PATIENCE
    while not (
        found := [each for each in await asyncio.to_thread(lines) if each.startswith("quorate_backup")]
    ):
        assert asyncio.get_running_loop().time() < ends
        await asyncio.sleep(0.5)
    names = {each.partition("{")[0]: float(each.rpartition(" ")[2]) for each in found}
    assert names["quorate_backup_epoch"] == 0
    assert names["quorate_backup_made_timestamp_seconds"] > 1.7e9


async def test_a_node_that_is_not_set_up_for_backups_says_so(signers: Any, quorate: Command) -> None:
    refused = await quorate("backup", "create", "--home", signers["alice"].home)
    assert refused.code != 0
    assert "[backup]" in refused.err
