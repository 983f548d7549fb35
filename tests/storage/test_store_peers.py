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
from tests.storage.devices import NOW, create, device, make_certificate, reopen
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
    certificate, _ = make_certificate(of=BOB)
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
    certificate, _ = make_certificate(of=BOB, key_pem=device("alice").tls_key)
    with pytest.raises(UsageError, match="its certificate is alice's"):
        ledger.add_peer(device("bob").card(certificate=certificate))
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


@breaks("ST-5.8")
def test_a_card_that_a_peer_shows_changes_its_address_and_certificate_and_nothing_else(
    ledger: SqliteLedger,
) -> None:
    bob, carol = device("bob"), device("carol")
    ledger.add_peer(bob.card())
    certificate, _ = make_certificate(of=BOB)
    later = bob.card(rev=2, address="elsewhere:7100", certificate=certificate)
    assert ledger.learn_card(BOB, later)
    assert not ledger.learn_card(BOB, ledger.peers()[BOB].card)
    assert (ledger.peers()[BOB].address, ledger.peers()[BOB].certificate_pem) == (
        "elsewhere:7100",
        certificate,
    )
    held = ledger.peers()
    for shown, why in (
        (carol.card(), "another's to show"),
        (ledger.me.card, "another's to show"),
        (bob.card(rev=3, name="alice2"), "another name"),
        (bob.card(rev=3, hardware_id="other"), "hardware id"),
        (bob.card(rev=2, address="third:7100"), "is not above rev 2"),
        (bob.card(), "is not above rev 2"),
        (bob.card(rev=3).replace("7100", "7101"), "changed since its device signed it"),
        ("{}", "not a device card"),
    ):
        with pytest.raises(UsageError, match=why):
            ledger.learn_card(BOB, shown)
    with pytest.raises(UsageError, match="another's to show"):
        ledger.learn_card(carol.identity.device, carol.card())  # nobody has compared its fingerprint
    with pytest.raises(UsageError, match="another's to show"):
        ledger.learn_card(ALICE, device("alice").card(rev=9))
    assert ledger.peers() == held


@breaks("ST-5.1")
@pytest.mark.parametrize(
    ("of", "names", "why"),
    [
        (BOB, [], "exactly one DNS name"),
        (BOB, [f"{BOB}.quorate", f"r2.{BOB}.quorate"], "exactly one DNS name"),
        (BOB, [f"{ALICE}.quorate"], f"in the name of {BOB} alone"),
        (ALICE, [f"{BOB}.quorate"], f"in the name of {BOB} alone"),
        (ALICE, [f"{ALICE}.quorate"], f"in the name of {BOB} alone"),
        (f"r2.{ALICE}", [f"r2.{BOB}.quorate"], f"in the name of {BOB} alone"),
        ("bob", ["bob.quorate"], f"in the name of {BOB} alone"),
    ],
)
def test_a_card_whose_certificate_is_in_another_name_is_taken_neither_by_hand_nor_by_itself(
    ledger: SqliteLedger, of: str, names: list[str], why: str
) -> None:
    bob = device("bob")
    ledger.add_peer(bob.card())
    shown = bob.card(rev=2, certificate=make_certificate(of=of, names=names)[0])
    for take in (ledger.add_peer, lambda card: ledger.learn_card(BOB, card)):
        with pytest.raises(UsageError, match=rf"^ST-5\.1 card refused: .*{why}"):
            take(shown)
    assert ledger.peers()[BOB].card == bob.card()
    ledger.learn_card(BOB, bob.card(rev=2, certificate=make_certificate(of=f"r2.{BOB}")[0]))


@breaks("ST-5.9")
def test_a_certificate_that_was_replaced_is_kept_for_the_overlap_and_no_longer(tmp_path: Path) -> None:
    now = [NOW]
    with create(tmp_path, now_ms=lambda: now[0]) as ledger:
        first, first_key = ledger.tls()
        certificate, key = make_certificate()
        renewed = ledger.renew_card(
            certificate_pem=certificate, tls_key=SecretBytes.of(key), above=6, overlap_ms=1000
        )
        assert renewed.rev == 7
        [kept] = ledger.retiring()
        assert (kept.rev, kept.certificate_pem, kept.until_ms) == (1, first, NOW + 1000)
        assert kept.tls_key == first_key.reveal()
        ledger.renew_card(address="elsewhere:7100")
        assert len(ledger.retiring()) == 1
        now[0] += 1001
        assert ledger.retiring() == []
        for _ in range(4):
            certificate, key = make_certificate()
            ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(key), overlap_ms=1000)
        assert [each.rev for each in ledger.retiring()] == [8, 9, 10, 11]
        certificate, key = make_certificate()
        with pytest.raises(UsageError, match="still awaited by peers"):
            ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(key), overlap_ms=1000)
        assert (ledger.me.rev, len(ledger.retiring())) == (12, 4)
        ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(key))
        assert ledger.retiring() == []
        certificate, key = make_certificate()
        ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(key), overlap_ms=1000)
        ledger.retire()
        assert ledger.retiring() == []


def test_an_address_set_for_a_peer_stands_until_the_peer_announces_another(ledger: SqliteLedger) -> None:
    bob = device("bob")
    on_card = ledger.add_peer(bob.card()).address
    assert ledger.set_dial(BOB, "10.0.0.9:7100").address == "10.0.0.9:7100"
    certificate, _ = make_certificate(of=BOB)
    ledger.add_peer(bob.card(rev=2, certificate=certificate))  # elsewhere is not what it announces
    assert ledger.peers()[BOB].address == "10.0.0.9:7100"
    assert ledger.set_dial(BOB, "").address == on_card
    ledger.set_dial(BOB, "10.0.0.9:7100")
    ledger.add_peer(bob.card(rev=3, address="moved:7100", certificate=certificate))
    assert ledger.peers()[BOB].address == "moved:7100"
    for wrong in ("nowhere", "host:0", "host:99999", "a b:1"):
        with pytest.raises(UsageError, match="is not host:port"):
            ledger.set_dial(BOB, wrong)
    with pytest.raises(UsageError, match="our card"):
        ledger.set_dial(ALICE, "host:1")
    with pytest.raises(UsageError, match="no peer"):
        ledger.set_dial(DeviceId("z" * 24), "host:1")


def test_the_client_authority_is_made_once(ledger: SqliteLedger, tmp_path: Path) -> None:
    assert ledger.client_authority() is None
    certificate, key = make_certificate()
    other, other_key = make_certificate()
    with pytest.raises(UsageError, match="not the certificate's"):
        ledger.keep_client_authority(certificate, SecretBytes.of(other_key))
    ledger.keep_client_authority(certificate, SecretBytes.of(key))
    ledger.keep_client_authority(other, SecretBytes.of(other_key))
    ledger.close()
    with reopen(tmp_path) as again:
        held = again.client_authority()
        assert held is not None
        assert (held[0], held[1].reveal()) == (certificate, key)
