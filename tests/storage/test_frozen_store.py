"""Stores that an earlier release left on its users' disks: every later one opens them, whole, and signs with them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from quorate.approval.policy.language import parse_policy
from quorate.ceremony.policies import Governing
from quorate.ceremony.ports import State
from quorate.ceremony.views import VaultView
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ecdsa, verify_ed25519
from quorate.storage import database
from tests.ceremony.governed import OPEN, greet
from tests.ceremony.world import Node, World
from tests.rules import breaks
from tests.storage.frozen import CLIENT, NAMES, STORES, described, keys, thaw
from tests.storage.rawsql import raw_sql

SCHEMAS = sorted(int(each.name.removeprefix("schema-")) for each in STORES.iterdir() if each.is_dir())
BY = {"EDDSA": (Curve.ED25519, verify_ed25519), "ES256K": (Curve.SECP256K1, verify_ecdsa)}
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_frozen_store_has_rows_in_every_table_of_its_schema(schema: int, tmp_path: Path) -> None:
    thaw(schema, tmp_path)
    filled = set()
    for name in NAMES:
        store = tmp_path / name / "store.db"
        assert raw_sql(store, "PRAGMA user_version") == [(schema,)]
        tables = {table for (table,) in raw_sql(store, TABLES)}
        filled |= {table for table in tables if raw_sql(store, f"SELECT count(*) FROM {table}") != [(0,)]}
    assert filled == tables


@breaks("ST-1.6")
@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_store_is_brought_up_to_date_and_holds_what_it_held(
    schema: int, name: str, tmp_path: Path
) -> None:
    frozen = thaw(schema, tmp_path)
    for _ in range(2):  # once brought up to date, it opens again
        with frozen.open(name) as ledger:
            assert ledger._database.version() == len(database._migrations())
            found = json.loads(json.dumps(described(ledger)))
            assert found == frozen.described[name]
            assert (ledger.authenticate(CLIENT, frozen.secret) is not None) == (name == "alice")


async def signs(node: Node, vault: VaultView) -> None:
    """Under the keys that the vault has."""
    for algorithm, message in (("EDDSA", b"hello"), ("ES256K", sha256(b"hello").digest())):
        view = await node.sign("ops", "hello", algorithm=algorithm)
        assert view.state is State.COMPLETED, view
        curve, verify = BY[algorithm]
        assert verify(vault.public_keys[curve], message, view.signatures[0].signature)


async def test_frozen_nodes_sign_on_both_curves_and_share_anew(schema: int, tmp_path: Path) -> None:
    thaw(schema, tmp_path)
    world = World(tmp_path, NAMES, keys(tmp_path))
    for node in world.nodes.values():
        signed = node.ledger.policy()
        assert signed is not None
        node.governing, node.policy = Governing(vault=signed.vault), parse_policy(OPEN, "bootstrap.toml")
    await world.start()
    await greet(world)
    try:
        before = await world["alice"].ready("ops")
        await signs(world["carol"], before)
        view = await world["bob"].reshare("ops", {"alice": 2, "bob": 1})
        assert view.state is State.COMPLETED, view
        for name in NAMES:
            assert (await world[name].ready("ops")).epoch == before.epoch + 1
        await signs(world["alice"], before)
    finally:
        await world.stop()
