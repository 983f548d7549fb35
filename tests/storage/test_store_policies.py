"""Policies in the store: above all before, none changed, and one share for each version."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.policies import Policies
from quorate.ceremony.ports import State
from quorate.ceremony.rulebook import PolicyRow
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.storage import KeyFile, SqliteLedger, rewrap
from quorate.storage.database import Database
from quorate.storage.locking import Begun, required_lock, sealed_check
from tests.rules import breaks
from tests.storage.devices import NOW, create, key_file, reopen
from tests.storage.rawsql import raw_sql
from tests.storage.story import DIGEST, OPERATION, approved, operation, session

VAULT = VaultId("v" * 24)
FIRST = PolicyRow(
    version=1, vault=VAULT, policy=b"# one\n", certificate=bytes(32), signature=b"s" * 64,
    signers=(DeviceId("a" * 24),), at_ms=NOW,
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def nth(version: int, policy: bytes = b"# another\n") -> PolicyRow:
    return replace(FIRST, version=version, policy=policy)


@breaks("ST-7.1")
def test_a_policy_comes_after_all_before_it_and_stays(ledger: SqliteLedger, tmp_path: Path) -> None:
    assert ledger.policy() is None
    assert ledger.add_policy(FIRST)
    assert ledger.add_policy(nth(4))
    for behind in (FIRST, nth(3), nth(4, b"# a second fourth\n")):
        assert not ledger.add_policy(behind)
    with pytest.raises(UsageError, match=r"ST-7\.1 rising: .* not w{24}"):
        ledger.add_policy(replace(nth(5), vault=VaultId("w" * 24)))
    assert ledger.policies() == [FIRST, nth(4)]
    ledger.close()
    with reopen(tmp_path) as again:
        assert (again.policy(), again.policies()) == (nth(4), [FIRST, nth(4)])


@breaks("ST-7.2")
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM policies",
        "DELETE FROM policies; DELETE FROM policy_in_force",
        "DELETE FROM policies WHERE version = 2",
        "UPDATE policies SET version = 9 WHERE version = 2",
        "UPDATE policies SET policy = x'23' WHERE version = 2",
        "INSERT INTO policies SELECT 3, vault, policy, certificate, signature, signers, at_ms FROM policies LIMIT 1",
        "DELETE FROM policy_in_force",
        "UPDATE policy_in_force SET sealed = zeroblob(200)",
        "UPDATE policies SET policy = 'text' WHERE version = 2",
        "UPDATE policies SET signers = '{' WHERE version = 2",
    ],
)
def test_a_row_that_was_taken_away_or_changed_is_missed(
    ledger: SqliteLedger, tmp_path: Path, change: str
) -> None:
    ledger.add_policy(FIRST)
    ledger.add_policy(nth(2))
    ledger.close()
    for statement in change.split("; "):
        raw_sql(tmp_path / "store.db", statement)
    with reopen(tmp_path) as again, pytest.raises(Corrupt):
        again.policy()


def forget_every_policy(folder: Path) -> None:
    raw_sql(folder / "store.db", "DELETE FROM policies")
    raw_sql(folder / "store.db", "DELETE FROM policy_in_force")


@breaks("PG-3.1", "ST-7.2")
def test_without_its_rows_no_configuration_makes_a_governed_node_one_that_never_was(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    """Not one that names no vault, and so would have a file serve."""
    me = ledger.me.device
    Policies(ledger, me, None)
    ledger.add_policy(FIRST)
    with pytest.raises(UsageError, match=r"PG-3\.1"):
        Policies(ledger, me, None)
    ledger.close()
    forget_every_policy(tmp_path)
    with reopen(tmp_path) as again, pytest.raises(Corrupt, match=r"ST-7\.2"):
        Policies(again, me, None)


@breaks("ST-7.2")
def test_what_was_taken_away_is_missed_under_another_key_too(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.add_policy(FIRST)
    ledger.close()
    (tmp_path / "other.key").write_bytes(hashlib.sha256(b"another key").digest())
    (tmp_path / "other.key").chmod(0o600)
    other = KeyFile(tmp_path / "other.key")
    rewrap(tmp_path / "store.db", key_file(tmp_path), other)
    forget_every_policy(tmp_path)
    with SqliteLedger.open(tmp_path / "store.db", other) as again, pytest.raises(Corrupt, match=r"ST-7\.2"):
        again.policy()


@breaks("ST-7.2")
def test_a_store_of_an_earlier_release_takes_note_of_its_policy_when_it_is_opened(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    ledger.add_policy(FIRST)
    ledger.close()
    with contextlib.closing(Database(tmp_path / "store.db")) as database:
        lock = database.read(required_lock)
        sealer = lock.open(tmp_path, key_file(tmp_path))
        assert lock.begun(sealer) == {Begun.CHAIN, Begun.POLICY}
    unsaid = sealed_check(lock.device, sealer, {Begun.CHAIN})
    raw_sql(tmp_path / "store.db", "UPDATE node SET key_check = ?", unsaid)
    reopen(tmp_path).close()
    forget_every_policy(tmp_path)
    with reopen(tmp_path) as again, pytest.raises(Corrupt, match=r"ST-7\.2"):
        again.policy()


@breaks("ST-7.3")
def test_of_each_version_one_policy_gets_our_share_and_none_that_is_in_force(ledger: SqliteLedger) -> None:
    approved(ledger)
    assert ledger.begin_attempt(OPERATION, 1, session(1))
    assert ledger.release_policy(OPERATION, 1, DIGEST, version=2, policy=b"x" * 32)
    assert ledger.release_policy(OPERATION, 1, DIGEST, version=2, policy=b"x" * 32)
    with pytest.raises(UsageError, match=r"ST-7\.3 one share: .* another policy of version 2"):
        ledger.release_policy(OPERATION, 1, DIGEST, version=2, policy=b"y" * 32)
    ledger.add_policy(nth(5))
    with pytest.raises(UsageError, match=r"ST-7\.3 one share: version 5 or a later one is in force"):
        ledger.release_policy(OPERATION, 1, DIGEST, version=5, policy=b"z" * 32)
    assert ledger.policy_shares() == {2: b"x" * 32}


def test_a_share_that_is_not_released_is_given_for_no_policy(ledger: SqliteLedger) -> None:
    ledger.add_operation(operation())
    assert not ledger.release_policy(OPERATION, 1, DIGEST, version=1, policy=b"x" * 32)
    assert ledger.policy_shares() == {}
    row = ledger.operation(OPERATION)
    assert row is not None
    assert (row.released, row.state) == (False, State.PROPOSED)
