"""Freezes the stores of three nodes that ran: ``python -m tests.storage.freeze FOLDER``, once for a schema.

The folder is then committed as ``tests/storage/stores/schema-N``. It is what a release leaves on its users' disks, so
it is not made again when the code changes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from quorate.approval.policy.language import parse_policy
from quorate.ceremony.policies import Governing
from quorate.ceremony.ports import State, Verdict
from quorate.ceremony.views import OperationView
from quorate.identifiers import VaultId
from quorate.native.memory import SecretBytes
from quorate.rpc.client_certificates import create_client_identity, read_certificate
from quorate.rpc.tls import create_authority, create_identity
from quorate.storage import Argon2, Grant, PassphraseFile
from tests.ceremony.governed import OPEN, few, greet, propose, until_version
from tests.ceremony.setups import reset
from tests.ceremony.world import Node, World
from tests.storage.frozen import CLIENT, NAMES, TOLD, described
from tests.storage.rawsql import raw_sql


async def live(folder: Path) -> tuple[World, str]:
    """A short life of everything that a store can hold; alice's client secret."""
    (folder / "bob").mkdir(mode=0o700)
    (folder / "bob" / "key").write_text("correct horse battery staple\n")
    (folder / "bob" / "key").chmod(0o600)
    cheap = PassphraseFile(folder / "bob" / "key", Argon2(memory_kib=64, passes=1))
    world = World(folder, NAMES, {"bob": cheap})
    await world.start()
    alice, bob, carol = (world[name] for name in NAMES)
    vault = done(await alice.create_vault("ops", {"alice": 2, "bob": 1, "carol": 1}, 3, seconds=60)).vault
    done(await alice.create_vault("pair", {"alice": 1, "bob": 1}, 2, seconds=60))
    assert vault is not None
    await ready(world, "ops")
    bob.approver.verdict = Verdict.REJECT
    carol.approver.verdict = Verdict.REJECT
    assert (await alice.sign("ops", "refused")).state is State.REJECTED
    await govern(world, vault)
    for count in (50, 40):
        done(await propose(alice, few(count)))
        await until_version(world, {50: 1, 40: 2}[count], *NAMES)
    await sign(alice)
    done(await alice.reshare("ops", {"alice": 1, "bob": 2}, threshold=3, seconds=60))
    await ready(world, "ops")
    done(await reset(alice, "bob"))
    await sign(bob)
    done(await carol.sign("ops", "one", "two", batch=True))
    secret = callers(alice)
    await certificates(world)
    await stays_unfinished(world)
    return world, secret


async def govern(world: World, vault: VaultId) -> None:
    for node in world.nodes.values():
        node.governing, node.policy = Governing(vault=vault), parse_policy(OPEN, "bootstrap.toml")
        await node.restart()
    await greet(world)


async def sign(node: Node) -> None:
    for algorithm in ("EDDSA", "ES256K"):
        done(await node.sign("ops", "hello", algorithm=algorithm, path="m/1"))


def callers(node: Node) -> str:
    """Clients of each kind: with two secrets, with a certificate, and gone."""
    node.ledger.add_client(CLIENT, [Grant("signer", ("ops",)), Grant("viewer")])
    secret = node.ledger.rotate_client(CLIENT, overlap_ms=24 * 3600 * 1000)
    certificate = read_certificate(create_client_identity("robot").certificate_pem)
    node.ledger.add_client("robot", [Grant("admin")], certificate=certificate)
    node.ledger.add_client("gone", [Grant("viewer")])
    node.ledger.revoke_client("gone")
    return secret


async def certificates(world: World) -> None:
    """Bob's second, which the others learn; where alice reaches him; and what proves a cheat."""
    alice, bob, carol = (world[name] for name in NAMES)
    tls = create_identity(bob.device)
    key = SecretBytes.of(tls.private_key_pem)
    bob.ledger.renew_card(certificate_pem=tls.certificate_pem, tls_key=key, overlap_ms=24 * 3600 * 1000)
    for node in (alice, carol):
        node.ledger.learn_card(bob.device, bob.ledger.me.card)
    alice.ledger.set_dial(bob.device, "bob.internal:7100")
    authority = create_authority(alice.device)
    alice.ledger.keep_client_authority(authority.certificate_pem, SecretBytes.of(authority.private_key_pem))
    for row in carol.ledger.epochs()[:1]:
        carol.ledger.record_fork(row.vault, bytes(32), row.certificate)


async def stays_unfinished(world: World) -> None:
    alice, bob, carol = (world[name] for name in NAMES)
    await bob.stop()
    await carol.stop()
    assert (await alice.sign("ops", "nobody hears", seconds=1)).state is State.VOTING


async def ready(world: World, vault: str) -> None:
    for node in world.nodes.values():
        await node.ready(vault, seconds=60)


def done(view: OperationView) -> OperationView:
    assert view.state is State.COMPLETED, view
    return view


async def freeze(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as there:
        world, secret = await live(Path(there))
        await world["alice"].stop()
        for node in world.nodes.values():
            node.pool.shutdown()
            node.ledger.close()
        at_ms = time.time_ns() // 1_000_000
        held = {}
        for name, node in world.nodes.items():
            node.open()
            held[name] = described(node.ledger)
            node.ledger.close()
            raw_sql(node.path, "VACUUM")
            (folder / name).mkdir(parents=True)
            for file in ("store.db", "key"):
                shutil.copyfile(Path(there) / name / file, folder / name / file)
    told = {"at_ms": at_ms, "secret": secret, "described": held}
    (folder / TOLD).write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    asyncio.run(freeze(Path(sys.argv[1])))
