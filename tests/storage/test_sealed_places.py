"""Every sealed value of a whole store, moved to every other place of it; and every part of a place."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from quorate.errors import Corrupt, Locked
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.storage import SqliteLedger
from quorate.storage.locking import node_place, read_lock
from quorate.storage.rewrapping import sealed_values
from quorate.storage.sealed import Place, Sealer
from tests.rules import breaks
from tests.storage.frozen import STORES, Frozen, keys, thaw

NEWEST = max(int(each.name.removeprefix("schema-")) for each in STORES.iterdir() if each.is_dir())
KINDS = {"check", "identity", "tls-key", "retired-tls-key", "client-authority", "share", "setup", "policy"}
SETUP = Place(
    device=DeviceId("a" * 24), kind="setup", vault="v" * 24, epoch=1, attempt=2, curve="", indices=(1, 2),
    record_hash=b"r" * 32, peer="p" * 24, generation=3, setup=b"s" * 32,
)  # fmt: skip
OTHERWISE: dict[str, Any] = {
    "device": DeviceId("b" * 24), "kind": "share", "vault": "w" * 24, "epoch": 2, "attempt": 1,
    "curve": "ed25519", "indices": (2, 1), "record_hash": b"R" * 32, "peer": "q" * 24, "generation": 4,
    "setup": b"S" * 32,
}  # fmt: skip


@pytest.fixture
def frozen(tmp_path: Path) -> Frozen:
    return thaw(NEWEST, tmp_path)


@breaks("ST-2.3")
@pytest.mark.parametrize("part", [each.name for each in fields(Place)])
def test_a_value_opens_only_where_every_part_of_its_place_is_the_same(part: str) -> None:
    sealer = Sealer(SecretBytes.of(bytes(range(32))))
    sealed = sealer.seal(SETUP, SecretBytes.of(b"secret"))
    assert sealer.open(SETUP, sealed) == b"secret"
    elsewhere = replace(SETUP, **{part: OTHERWISE[part]})
    for attempt in (sealer.open, lambda place, blob: sealer.rewrap(place, blob, sealer)):
        with pytest.raises(Corrupt, match=r"ST-2\.3 place"):
            attempt(elsewhere, sealed)


def test_a_value_is_rewrapped_for_its_own_place_and_under_the_other_key_alone() -> None:
    old, new = (Sealer(SecretBytes.of(bytes([number]) * 32)) for number in (1, 2))
    sealed = old.seal(SETUP, SecretBytes.of(b"secret"))
    moved = old.rewrap(SETUP, sealed, new)
    assert new.open(SETUP, moved) == b"secret"
    for sealer, blob in ((old, moved), (new, sealed)):
        with pytest.raises(Corrupt):
            sealer.open(SETUP, blob)


def read(ledger: SqliteLedger, frozen: Frozen, place: Place) -> Any:
    """What stands there, through the port that somebody would ask."""
    vault, epoch, attempt = VaultId(place.vault), Epoch(place.epoch), place.attempt
    match place.kind:
        case "check":
            return ledger.require_key(keys(frozen.folder)["alice"])
        case "identity" | "tls-key":
            return ledger._secret(place.kind)
        case "retired-tls-key":
            return ledger.retiring()
        case "client-authority":
            return ledger.client_authority()
        case "policy":
            return ledger._database.read(ledger._checked)
        case "share":
            return ledger.share(vault, epoch, attempt, Curve(place.curve))
        case "setup":
            return ledger.setup(vault, epoch, attempt, DeviceId(place.peer))


class Disk:
    """The file in somebody's hand: every sealed value, and how to put another in its place."""

    def __init__(self, ledger: SqliteLedger, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        lock = read_lock(self._connection)
        assert lock is not None
        self.held: dict[Place, tuple[bytes, Callable[[bytes], Any]]] = {
            node_place(lock.device, "check"): (lock.check, self._putting("UPDATE node SET key_check = ?"))
        }
        for value in sealed_values(self._connection, ledger.me.device):
            self.held[value.place] = (value.sealed, self._putting(value.update, *value.row))

    def _putting(self, update: str, *row: Any) -> Callable[[bytes], Any]:
        return lambda sealed: self._connection.execute(update, (sealed, *row))

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def opened(frozen: Frozen, name: str) -> Iterator[tuple[SqliteLedger, Disk]]:
    with (
        frozen.open(name) as ledger,
        contextlib.closing(Disk(ledger, frozen.folder / name / "store.db")) as disk,
    ):
        yield ledger, disk


@breaks("ST-2.3")
def test_no_sealed_value_of_a_store_opens_in_the_place_of_another(frozen: Frozen) -> None:
    seen, moves = set(), 0
    for name in ("alice", "bob"):  # bob has an earlier certificate
        with opened(frozen, name) as (ledger, disk):
            seen |= {place.kind for place in disk.held}
            for place, (own, put) in disk.held.items():
                if name == "bob" and place.kind == "check":
                    continue  # under a passphrase, whose check is the same
                for other, (sealed, _) in disk.held.items():
                    if other == place:
                        continue
                    put(sealed)
                    with pytest.raises((Corrupt, Locked)) as refused:
                        read(ledger, frozen, place)
                    assert isinstance(refused.value, Locked) or str(place) in str(refused.value)
                    moves += 1
                put(own)
                read(ledger, frozen, place)
    assert seen == KINDS
    assert moves > 200


@breaks("ST-2.3")
def test_no_sealed_value_of_a_node_opens_at_the_same_place_of_another_even_under_one_key(
    frozen: Frozen,
) -> None:
    moved: set[str] = set()
    with opened(frozen, "alice") as (alice, mine), opened(frozen, "carol") as (carol, theirs):
        key = SecretBytes.of(bytes(range(32)))
        for ledger, disk in ((alice, mine), (carol, theirs)):
            for place, (sealed, put) in disk.held.items():
                again = ledger._sealer.rewrap(place, sealed, Sealer(key))
                disk.held[place] = (again, put)
                put(again)
            ledger._sealer = Sealer(SecretBytes.of(key.reveal()))
        for place, (own, put) in mine.held.items():
            if place.kind in ("check", "setup"):
                continue  # a set-up of the two is in test_store_setups
            match_there = [
                p for p in theirs.held if replace(p, device=place.device, indices=place.indices) == place
            ]
            for there in match_there:
                put(theirs.held[there][0])
                with pytest.raises(Corrupt):
                    read(alice, frozen, place)
                put(own)
                read(alice, frozen, place)
                moved.add(place.kind)
    assert moved >= {"identity", "tls-key", "share", "policy"}
