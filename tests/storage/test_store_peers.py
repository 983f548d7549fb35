from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.identity import Identity
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.storage import SqliteLedger
from tests.rules import breaks
from tests.storage.devices import create, device, make_certificate, reopen
from tests.storage.rawsql import raw_sql
from tests.storage.story import BOB

ALICE = device("alice").identity.device


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def test_our_own_card_is_one_of_the_peers(ledger: SqliteLedger) -> None:
    assert ledger.peers() == {ALICE: ledger.me}
    assert ledger.me.card == device("alice").card()


def test_a_peer_is_kept_with_its_card(ledger: SqliteLedger, tmp_path: Path) -> None:
    bob = ledger.add_peer(device("bob").card())
    assert ledger.add_peer(device("bob").card()) == bob
    assert ledger.peers()[BOB] == bob
    assert list(ledger.peers()) == sorted([ALICE, BOB])
    ledger.close()
    with reopen(tmp_path) as again:
        assert again.peers()[BOB] == bob


@breaks("ST-5.2")
def test_a_card_is_replaced_only_by_a_later_one(ledger: SqliteLedger) -> None:
    bob = device("bob")
    ledger.add_peer(bob.card(rev=3))
    for stale in (bob.card(rev=2), bob.card(rev=3, address="elsewhere:7100")):
        with pytest.raises(UsageError, match="is not above rev 3"):
            ledger.add_peer(stale)
    assert ledger.peers()[BOB].rev == 3
    certificate, _ = make_certificate()
    moved = ledger.add_peer(bob.card(rev=10, address="elsewhere:7100", certificate=certificate))
    assert ledger.peers()[BOB] == moved
    assert (moved.address, moved.rev, moved.certificate_pem) == ("elsewhere:7100", 10, certificate)


@breaks("ST-5.2")
def test_a_later_card_with_another_exchange_key_is_refused(ledger: SqliteLedger) -> None:
    bob, mallory = (device(name).identity.secret().reveal() for name in ("bob", "mallory"))
    ledger.add_peer(device("bob").card())
    mixed = Identity.of(SecretBytes.of(bob[:32] + mallory[32:]), "bob")
    card = replace(device("bob"), identity=mixed).card(rev=2)
    with pytest.raises(UsageError, match="other keys than the one held"):
        ledger.add_peer(card)
    assert ledger.peers()[BOB].exchange_key == device("bob").identity.exchange_key


@breaks("ST-5.1")
def test_a_card_somebody_changed_is_not_kept(ledger: SqliteLedger) -> None:
    changed = json.loads(device("bob").card()) | {"address": "mallory.example:7100"}
    with pytest.raises(UsageError, match="changed since its device signed it"):
        ledger.add_peer(json.dumps(changed))
    assert BOB not in ledger.peers()


@breaks("ST-5.3")
def test_a_name_belongs_to_one_device(ledger: SqliteLedger) -> None:
    with pytest.raises(UsageError, match=f"'alice' is {ALICE}'s already"):
        ledger.add_peer(device("bob").card(name="alice"))
    ledger.add_peer(device("bob").card())
    ledger.add_peer(device("carol").card())
    with pytest.raises(UsageError, match="'carol' is"):
        ledger.add_peer(device("bob").card(name="carol", rev=2))
    assert ledger.peers()[BOB].name == "bob"


@breaks("ST-5.3")
def test_a_certificate_belongs_to_one_device(ledger: SqliteLedger) -> None:
    with pytest.raises(UsageError, match="its certificate is alice's"):
        ledger.add_peer(device("bob").card(certificate=device("alice").certificate))
    assert BOB not in ledger.peers()


@breaks("ST-5.4")
def test_a_peer_is_forgotten_and_we_are_not(ledger: SqliteLedger) -> None:
    ledger.add_peer(device("bob").card())
    ledger.remove_peer(BOB)
    assert BOB not in ledger.peers()
    for unknown in (BOB, DeviceId("nobody")):
        with pytest.raises(UsageError, match="no peer"):
            ledger.remove_peer(unknown)
    with pytest.raises(UsageError, match="cannot forget itself"):
        ledger.remove_peer(ALICE)
    assert ALICE in ledger.peers()


def test_moving_house_makes_a_later_card(ledger: SqliteLedger, tmp_path: Path) -> None:
    moved = ledger.renew_card(address="[::1]:7101")
    assert (moved.rev, moved.address) == (2, "[::1]:7101")
    ledger.close()
    home = tmp_path / "bob"
    home.mkdir(mode=0o700)
    with create(home, "bob") as bob:
        bob.add_peer(device("alice").card())
        bob.add_peer(moved.card)
        assert bob.peers()[ALICE] == moved


@breaks("ST-5.1")
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE peers SET card = replace(card, 'bob.example', 'mal.example') WHERE device = ?",
        "UPDATE peers SET card = (SELECT card FROM peers WHERE device <> ?1) WHERE device = ?1",
        "UPDATE peers SET card = '' WHERE device = ?",
        "UPDATE peers SET card = x'ff' WHERE device = ?",
        "UPDATE peers SET rev = 99 WHERE device = ?",
    ],
)
def test_a_card_changed_on_disk_is_named(tmp_path: Path, change: str) -> None:
    with create(tmp_path) as ledger:
        ledger.add_peer(device("bob").card())
    raw_sql(tmp_path / "store.db", change, BOB)
    with pytest.raises(Corrupt, match=f"peers: the card of {BOB}"):
        reopen(tmp_path)


def test_a_store_without_its_own_card_is_corrupt(tmp_path: Path) -> None:
    create(tmp_path).close()
    raw_sql(tmp_path / "store.db", "DELETE FROM peers")
    with pytest.raises(Corrupt, match="own card"):
        reopen(tmp_path)
