"""A real node whose disk is lost, out of its own backups: refused until the others agree, and then at work; and one
whose share is of an epoch that ended, which never signs with it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from quorate.ceremony.ports import State
from quorate.ceremony.views import VaultView
from quorate.cli.cluster import Cluster, Member
from quorate.node import founding
from quorate.rpc.credentials import credentials_of
from quorate.rpc.failures import RemoteError
from quorate.storage import Grant
from tests.cluster.conftest import PATIENCE, SETTINGS, WEIGHTS, Command, new_vault, sign

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("cluster")]

BACKUPS = '[backup]\nfolder = "backups"\nrecovery_key_file = "recovery.pub"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    root = tmp_path_factory.mktemp("restored")
    openssl("genpkey", "-algorithm", "X25519", "-out", root / "recovery.key")
    made = Cluster(root / "nodes", dict.fromkeys(WEIGHTS, SETTINGS + BACKUPS))
    made.found()
    for member in made.members.values():
        openssl("pkey", "-in", root / "recovery.key", "-pubout", "-out", member.home / "recovery.pub")
    try:
        await made.start()
        await made.linked()
        yield made
    finally:
        await made.stop()


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True)


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    ends = asyncio.get_running_loop().time() + PATIENCE
    while not await holds():
        assert asyncio.get_running_loop().time() < ends
        await asyncio.sleep(0.2)


async def copied(member: Member, vault: VaultView, safe: Path) -> list[Path]:
    """Copies elsewhere of what this node has made by itself by now: of the vault's epoch, and of the device."""

    async def files() -> bool:
        made = await member.node.backups()
        return {(vault.id, vault.epoch), ("", 1)} <= {(each.vault, each.epoch) for each in made}

    await until(files)
    made = [each.path for each in await member.node.backups() if each.vault in ("", vault.id)]
    return [Path(shutil.copy(each, safe)) for each in made]


async def lost(member: Member) -> None:
    """Its disk, but for the settings that its operator has elsewhere."""
    settings = (member.home / "quorate.toml").read_bytes(), (member.home / "recovery.pub").read_bytes()
    await member.stop()
    shutil.rmtree(member.home)
    member.home.mkdir(mode=0o700)
    (member.home / "quorate.toml").write_bytes(settings[0])
    (member.home / "recovery.pub").write_bytes(settings[1])


async def restored(member: Member, files: list[Path], root: Path, quorate: Command) -> None:
    said = await quorate(
        "--json", "--home", member.home, "restore", *files, "--recovery-key", root / "recovery.key"
    )
    assert said.code == 0, said
    assert [vault["state"] for vault in said.lines[0]["vaults"]] == ["quarantined"]
    with founding.at_rest(member.home) as registry:
        access = registry.add_client("cluster", [Grant("admin"), Grant("signer")])
    member.credentials = credentials_of("cluster", access)
    await member.start()


async def reasons(member: Member, vault: VaultView) -> set[str]:
    return {cause.code for cause in (await member.node.status()).not_ready if cause.vault == vault.id}


async def reset(member: Member, vault: VaultView, peer: str) -> None:
    view = await member.node.pair_reset(vault=vault.id, peer=peer, idempotency_key=uuid.uuid4().hex)
    view = await member.node.wait(view.id, PATIENCE)
    assert view.state is State.COMPLETED, view


async def signs_on_both_curves(member: Member, vault: VaultView) -> None:
    for algorithm in ("EDDSA", "ES256K"):
        view = await sign(member.node, vault.id, f"after all, {algorithm}", algorithm=algorithm)
        assert view.state is State.COMPLETED, view
        assert member.device in view.signers


async def test_a_lost_node_comes_back_and_signs_once_all_others_agree(
    cluster: Cluster, tmp_path: Path, quorate: Command
) -> None:
    bob, carol = cluster["bob"], cluster["carol"]
    await cluster.linked()
    vault = await new_vault(cluster, "restored")
    files = await copied(bob, vault, tmp_path)
    await lost(bob)
    await carol.stop()
    await restored(bob, files, cluster.root.parent, quorate)
    assert (await bob.node.vault(vault.id)).state == "quarantined"
    await until(lambda: reasons(bob, vault))
    assert "QUARANTINED" in await reasons(bob, vault)
    with pytest.raises(RemoteError) as refused:
        await sign(bob.node, vault.id, "not yet")
    assert refused.value.code == "QUARANTINED"
    with pytest.raises(RemoteError) as refused:
        await bob.node.release_vault(vault.id, ["carol"])
    assert refused.value.code in ("NOT_RECONCILED", "NOT_ENOUGH_WEIGHT")
    said = await quorate("--home", bob.home, "doctor")
    assert "QUARANTINED" in said.out
    await carol.start()

    async def ready() -> bool:
        return (await bob.node.vault(vault.id)).state == "ready"

    await until(ready)
    await carol.stop()
    await reset(bob, vault, "alice")
    await signs_on_both_curves(bob, vault)
    await carol.start()


async def test_a_share_of_an_epoch_that_ended_never_signs_and_a_refresh_brings_another(
    cluster: Cluster, tmp_path: Path, quorate: Command
) -> None:
    alice, bob, carol = (cluster[name] for name in WEIGHTS)
    await cluster.linked()
    vault = await new_vault(cluster, "refreshed")
    files = await copied(bob, vault, tmp_path)

    async def refreshed() -> None:
        view = await alice.node.reshare(vault=vault.id, idempotency_key=uuid.uuid4().hex)
        view = await alice.node.wait(view.id, PATIENCE)
        assert view.state is State.COMPLETED, view

    await refreshed()
    await lost(bob)
    await restored(bob, files, cluster.root.parent, quorate)

    async def share_lost() -> bool:
        return "SHARE_LOST" in await reasons(bob, vault)

    await until(share_lost)
    with pytest.raises(RemoteError) as refused:
        await sign(bob.node, vault.id, "with an old share")
    assert refused.value.code == "QUARANTINED"
    await refreshed()

    async def ready() -> bool:
        view = await bob.node.vault(vault.id)
        return (view.state, view.epoch) == ("ready", 2)

    await until(ready)
    await carol.stop()
    await signs_on_both_curves(bob, vault)
    await carol.start()
