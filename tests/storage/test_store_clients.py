"""The callers of a node: their grants, and what they prove themselves by."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from quorate.errors import Corrupt, UsageError
from quorate.storage import Client, Grant, SqliteLedger
from quorate.storage.clients import ROLES, Certificate, Credential
from tests.rules import breaks
from tests.storage.devices import NOW, create, reopen, restore
from tests.storage.rawsql import raw_sql

SIGNER = [Grant("signer")]
KEY, OTHER = Certificate(b"k" * 32, "PEM k"), Certificate(b"o" * 32, "PEM o")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock(ledger: SqliteLedger) -> Clock:
    made = Clock()
    ledger._now_ms = made
    return made


def known(ledger: SqliteLedger, client: str, secret: str) -> bool:
    return ledger.authenticate(client, secret) is not None


def test_a_client_is_known_by_its_secret(ledger: SqliteLedger, tmp_path: Path) -> None:
    grants = (Grant("signer", ("ops",)), Grant("viewer"))
    secret = ledger.add_client("treasury", grants)
    client = Client(
        id="treasury", grants=grants, created_ms=NOW, credentials=(Credential(pin=None, created_ms=NOW),)
    )
    found = ledger.authenticate("treasury", secret)
    assert found is not None
    assert (found.client, found.until_ms) == (client, None)
    for name, given in (
        ("treasury", secret + "x"),
        ("treasury", ""),
        ("treasury", "\ud800"),
        ("nobody", secret),
    ):
        assert not known(ledger, name, given)
    ledger.close()
    with reopen(tmp_path) as again:
        assert known(again, "treasury", secret)
        assert list(again.clients()) == [client]


@breaks("ST-5.5")
def test_a_secret_is_of_its_client_only(ledger: SqliteLedger) -> None:
    one, two = ledger.add_client("one", SIGNER), ledger.add_client("two", [Grant("admin")])
    assert known(ledger, "one", one)
    assert known(ledger, "two", two)
    assert not known(ledger, "two", one)
    assert not known(ledger, "one", two)


@breaks("ST-5.5")
def test_a_revoked_client_is_nobody_until_it_gets_a_new_secret(ledger: SqliteLedger) -> None:
    old = ledger.add_client("treasury", SIGNER)
    assert known(ledger, "treasury", old)
    with pytest.raises(UsageError, match="client rotate") as refused:
        ledger.add_client("treasury", [Grant("admin")])
    assert refused.value.code == "CLIENT_EXISTS"
    for _ in range(2):  # again changes nothing
        ledger.revoke_client("treasury")
        assert not known(ledger, "treasury", old)
        assert [(client.revoked_ms, client.credentials) for client in ledger.clients()] == [(NOW, ())]
    for act in (ledger.rotate_client, ledger.revoke_client):
        with pytest.raises(UsageError) as refused:
            act("nobody")
        assert refused.value.code == "UNKNOWN_CLIENT"
    with pytest.raises(UsageError, match="was revoked"):
        ledger.rotate_client("treasury")
    new = ledger.add_client("treasury", [Grant("admin")])
    assert not known(ledger, "treasury", old)
    found = ledger.authenticate("treasury", new)
    assert found is not None
    assert found.client.roles == {"admin"}


@breaks("ST-5.5")
def test_a_rotated_secret_is_good_for_the_overlap_and_no_longer(ledger: SqliteLedger, clock: Clock) -> None:
    first = ledger.add_client("treasury", SIGNER)
    second = ledger.rotate_client("treasury", overlap_ms=1000)
    found = ledger.authenticate("treasury", first)
    assert found is not None
    assert found.until_ms == NOW + 1000
    assert known(ledger, "treasury", second)
    third = ledger.rotate_client("treasury", overlap_ms=1000)
    assert [known(ledger, "treasury", each) for each in (first, second, third)] == [False, True, True]
    clock.ms += 1000
    assert [known(ledger, "treasury", each) for each in (second, third)] == [False, True]
    fourth = ledger.rotate_client("treasury")
    assert [known(ledger, "treasury", each) for each in (third, fourth)] == [False, True]
    assert [len(client.credentials) for client in ledger.clients()] == [1]
    with pytest.raises(UsageError, match="overlap"):
        ledger.rotate_client("treasury", overlap_ms=-1)


def test_adding_or_rotating_again_under_one_key_leaves_one_client_with_the_last_answers_secret(
    ledger: SqliteLedger,
) -> None:
    lost = ledger.add_client("treasury", SIGNER, key="add")
    first = ledger.add_client("treasury", SIGNER, key="add")
    assert [known(ledger, "treasury", each) for each in (lost, first)] == [False, True]
    for grants, key in (([Grant("admin")], "add"), (SIGNER, "other"), (SIGNER, "")):
        with pytest.raises(UsageError, match="exists"):
            ledger.add_client("treasury", grants, key=key)
    lost = ledger.rotate_client("treasury", overlap_ms=1000, key="rotate")
    second = ledger.rotate_client("treasury", overlap_ms=1000, key="rotate")
    assert [known(ledger, "treasury", each) for each in (first, lost, second)] == [True, False, True]
    with pytest.raises(UsageError, match="exists"):
        ledger.add_client("treasury", SIGNER, key="add")  # it was rotated since


@breaks("ST-5.7")
def test_a_certificate_is_one_clients_and_no_secret_comes_with_it(ledger: SqliteLedger, clock: Clock) -> None:
    assert ledger.add_client("app", SIGNER, certificate=KEY) == ""
    [login] = ledger.certified()
    assert (login.client.id, login.certificate, login.until_ms) == ("app", KEY, None)
    assert not known(ledger, "app", "")
    secret = ledger.add_client("other", SIGNER)
    for act in (partial(ledger.add_client, "third", SIGNER), partial(ledger.rotate_client, "other")):
        with pytest.raises(UsageError, match="client app") as refused:
            act(certificate=KEY)
        assert refused.value.code == "CERTIFICATE_TAKEN"
    assert known(ledger, "other", secret)
    ledger.rotate_client("app", certificate=OTHER, overlap_ms=1000)
    assert [(each.certificate, each.until_ms) for each in ledger.certified()] == [
        (KEY, NOW + 1000),
        (OTHER, None),
    ]
    clock.ms += 1000
    assert [each.certificate for each in ledger.certified()] == [OTHER]
    ledger.revoke_client("app")
    assert list(ledger.certified()) == []
    ledger.add_client("third", SIGNER, certificate=OTHER)


@pytest.mark.parametrize("name", ["", " ", "a b", "-x", "ü", "x" * 65, "a/b", "a\n"])
def test_a_client_name_is_plain(ledger: SqliteLedger, name: str) -> None:
    with pytest.raises(UsageError, match="client name"):
        ledger.add_client(name, SIGNER)


def test_no_client_has_the_name_of_the_nodes_owner(ledger: SqliteLedger) -> None:
    with pytest.raises(UsageError, match="Unix socket"):
        ledger.add_client("local", SIGNER)


@pytest.mark.parametrize("role", ["root", "", "owner"])
def test_a_role_nobody_knows_is_refused(ledger: SqliteLedger, role: str) -> None:
    with pytest.raises(UsageError, match=", ".join(ROLES)):
        ledger.add_client("treasury", [Grant(role)])


def test_a_client_without_a_role_and_a_role_without_a_vault_are_refused(ledger: SqliteLedger) -> None:
    for grants in ([], [Grant("signer", ())], [Grant("signer", ("",))]):
        with pytest.raises(UsageError, match="role"):
            ledger.add_client("treasury", grants)


@pytest.mark.parametrize("role", ["signer", "admin"])
def test_who_approves_does_nothing_else(ledger: SqliteLedger, role: str) -> None:
    with pytest.raises(UsageError, match="who approves"):
        ledger.add_client("two-faced", [Grant("approver", ("ops",)), Grant(role, ("cold",))])
    ledger.add_client("olga", [Grant("approver"), Grant("viewer")])


def test_a_grant_is_for_its_vaults() -> None:
    assert [Grant("signer", vaults).covers("v" * 24, "ops") for vaults in (("*",), (), ("ops",), ("v" * 24,))] == [
        True, False, True, True,
    ]  # fmt: skip
    assert not Grant("signer", ("ops",)).covers("v" * 24, "hr")


@breaks("ST-5.5")
@pytest.mark.parametrize(
    "change",
    [
        """UPDATE callers SET grants = '[{"role":"root","vaults":["*"]}]'""",
        """UPDATE callers SET grants = '[{"role":"signer","vaults":"*"}]'""",
        "UPDATE callers SET grants = '['",
        "UPDATE callers SET grants = '[]'",
        "UPDATE callers SET grants = '7'",
        "UPDATE callers SET revoked_ms = 'later'",
        "UPDATE credentials SET until_ms = 'later'",
        "UPDATE credentials SET secret_hash = 'none'",
    ],
)
def test_a_client_that_makes_no_sense_is_named_and_let_in_nowhere(tmp_path: Path, change: str) -> None:
    with create(tmp_path) as ledger:
        secret = ledger.add_client("treasury", SIGNER)
    raw_sql(tmp_path / "store.db", change)
    with reopen(tmp_path) as ledger, pytest.raises(Corrupt, match=r"(callers|credentials): "):
        ledger.authenticate("treasury", secret)


def test_the_clients_of_a_store_from_before_grants_are_as_they_were(tmp_path: Path) -> None:
    restore(tmp_path, 3)
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("old secret")
    rows = (
        ("treasury", "signer", '["ops"]', None),
        ("boss", "admin", '["*"]', None),
        ("gone", "signer", '["*"]', NOW),
    )
    for name, role, vaults, revoked_ms in rows:
        raw_sql(
            tmp_path / "store.db", "INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?)",
            name, hashed, role, vaults, NOW - 1, revoked_ms,
        )  # fmt: skip
    with reopen(tmp_path) as ledger:
        assert {each.id: (each.grants, each.revoked_ms) for each in ledger.clients()} == {
            "boss": ((Grant("admin"),), None),
            "gone": ((Grant("signer"),), NOW),
            "treasury": ((Grant("signer", ("ops",)),), None),
        }
        logged_in = [each for each, *_ in rows if known(ledger, each, "old secret")]
        assert logged_in == ["treasury", "boss"]
        ledger.rotate_client("treasury")
        assert not known(ledger, "treasury", "old secret")
