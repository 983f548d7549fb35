from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.ports import SealedSetup, SetupState, State
from quorate.errors import Bug, Corrupt, NoSetup, StaleEpoch, StoreError
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.native.memory import SecretBytes
from quorate.storage import SqliteLedger
from tests.rules import breaks
from tests.storage.devices import create, device, reopen, restore
from tests.storage.rawsql import raw_sql
from tests.storage.story import (
    BOB,
    OPERATION,
    VAULT,
    approved,
    keep,
    live,
    session,
    setup,
    shares,
    sharing,
)

ZERO = Epoch(0)
CAROL = device("carol").identity.device
PENDING, LIVE, DEAD = SetupState.PENDING, SetupState.LIVE, SetupState.DEAD


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def states(ledger: SqliteLedger, epoch: int = 0, attempt: int = 1) -> dict[tuple[DeviceId, int], SetupState]:
    return {(row.peer, row.generation): row.state for row in ledger.setups(VAULT, Epoch(epoch), attempt)}


def with_bob(ledger: SqliteLedger) -> dict[int, SetupState]:
    return {generation: state for (peer, generation), state in states(ledger).items() if peer == BOB}


def store(ledger: SqliteLedger, made: SealedSetup, state: SetupState = LIVE) -> None:
    ledger.store_setup(VAULT, ZERO, 1, made, state)  # type: ignore[arg-type]


def test_a_set_up_comes_back_as_it_was_sealed(ledger: SqliteLedger) -> None:
    live(ledger)
    for peer, name in ((BOB, "bob"), (CAROL, "carol")):
        held = ledger.setup(VAULT, ZERO, 1, peer)
        assert (held.id, held.peer, held.generation) == (setup(peer=name).id, peer, 0)
        assert held.secret == setup(peer=name).secret


@breaks("ST-6.1")
def test_set_ups_come_with_the_shares_or_not_at_all(ledger: SqliteLedger) -> None:
    keep(ledger)
    with pytest.raises(StoreError, match="UNIQUE"):
        ledger.store_pending(sharing(0, 2), shares(), [setup(attempt=2), setup(peer="carol")])
    assert [row.attempt for row in ledger.epochs()] == [1]
    assert not ledger.setups(VAULT, ZERO, 2)
    with pytest.raises(Bug, match="generation 0"):
        ledger.store_pending(sharing(0, 2), shares(), [setup(1, attempt=2)])
    with pytest.raises(StoreError, match="UNIQUE"):
        ledger.store_pending(sharing(0, 2), shares(), [setup(attempt=2), setup(attempt=2, change="!")])
    assert [row.attempt for row in ledger.epochs()] == [1]


@breaks("ST-6.1")
def test_a_dropped_sharing_takes_its_set_ups_and_no_others_along(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        keep(ledger, 0, 1)
        keep(ledger, 0, 2)
        [(sealed,)] = ledger._database.read(
            lambda connection: connection.execute(
                "SELECT sealed FROM setups WHERE id = ?", (setup().id,)
            ).fetchall()
        )
        assert in_files(tmp_path, sealed)
        assert ledger.drop_pending(VAULT, ZERO, 1)
        assert not in_files(tmp_path, sealed)
        assert not ledger.setups(VAULT, ZERO, 1)
        assert len(ledger.setups(VAULT, ZERO, 2)) == 2


def in_files(directory: Path, sealed: bytes) -> bool:
    """Any part of it: a large value is spread over pages."""
    return any(
        sealed[start : start + 24] in file.read_bytes()
        for file in directory.glob("store.db*")
        for start in range(0, len(sealed) - 24, 24)
    )


@breaks("ST-6.2")
def test_a_set_up_lives_as_long_as_its_sharing(ledger: SqliteLedger) -> None:
    keep(ledger)
    refused(ledger)
    ledger.mark_signed(VAULT, ZERO, 1)
    refused(ledger)
    ledger.activate(VAULT, ZERO, 1, b"certificate")
    assert ledger.setup(VAULT, ZERO, 1, BOB).id == ledger.live_setup(VAULT, ZERO, 1, BOB) == setup().id
    live(ledger, 1)
    refused(ledger)
    assert ledger.setup(VAULT, Epoch(1), 1, BOB).id == setup(epoch=1).id
    assert ledger.live_setup(VAULT, Epoch(1), 1, BOB) == setup(epoch=1).id


@breaks("ST-6.2")
def test_no_set_up_but_a_live_one_is_handed_out(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.kill_setup(setup().id)
    refused(ledger)
    store(ledger, setup(1), PENDING)
    refused(ledger)
    assert ledger.enliven_setup(VAULT, ZERO, BOB, setup(1).id)
    assert ledger.setup(VAULT, ZERO, 1, BOB).secret == setup(1).secret
    assert ledger.live_setup(VAULT, ZERO, 1, BOB) == setup(1).id


@pytest.mark.parametrize(
    ("vault", "epoch", "attempt", "peer"),
    [
        (VAULT, 0, 1, DeviceId("d" * 24)),
        (VAULT, 0, 2, BOB),
        (VAULT, 1, 1, BOB),
        (VaultId("w" * 24), 0, 1, BOB),
    ],
)
def test_a_set_up_that_is_not_held_is_asked_for_in_vain(
    ledger: SqliteLedger, vault: VaultId, epoch: int, attempt: int, peer: DeviceId
) -> None:
    live(ledger)
    with pytest.raises(NoSetup, match=f"quorate vault pair-reset {vault} {peer}") as refusal:
        ledger.setup(vault, Epoch(epoch), attempt, peer)
    assert refusal.value.code == "NO_LIVE_SETUP"


def refused(ledger: SqliteLedger) -> None:
    for ask in (ledger.setup, ledger.live_setup):
        with pytest.raises(NoSetup):
            ask(VAULT, ZERO, 1, BOB)


@breaks("ST-6.2")
def test_the_file_itself_refuses_two_live_set_ups_of_one_pair(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
        store(ledger, setup(1))
    with pytest.raises(Exception, match="UNIQUE"):
        raw_sql(tmp_path / "store.db", "UPDATE setups SET state = 'LIVE'")


@breaks("ST-6.3")
@pytest.mark.parametrize(
    "flaw", ["dead", "pending", "unknown", "replaced", "sharing signed", "sharing retired"]
)
def test_an_attempt_needs_every_set_up_it_names(ledger: SqliteLedger, flaw: str) -> None:
    approved(ledger)
    keep(ledger)
    ledger.mark_signed(VAULT, ZERO, 1)
    if flaw != "sharing signed":
        ledger.activate(VAULT, ZERO, 1, b"certificate")
    named = setup().id
    match flaw:
        case "dead":
            ledger.kill_setup(named)
        case "pending":
            store(ledger, setup(1), PENDING)
            named = setup(1).id
        case "unknown":
            named = bytes(32)
        case "replaced":
            store(ledger, setup(1))
        case "sharing retired":
            live(ledger, 1)
    with pytest.raises(NoSetup, match=r"ST-6\.3"):
        ledger.begin_attempt(OPERATION, 1, session(), setups=[setup(peer="carol").id, named])
    row = ledger.operation(OPERATION)
    assert row is not None
    assert (row.state, row.attempt) == (State.APPROVED, 0)
    assert ledger.begin_attempt(OPERATION, 1, session())


def test_an_attempt_begins_with_live_set_ups(ledger: SqliteLedger) -> None:
    approved(ledger)
    live(ledger)
    assert ledger.begin_attempt(OPERATION, 1, session(), setups=[setup().id, setup(peer="carol").id])


@breaks("ST-6.4")
@pytest.mark.parametrize("state", [PENDING, LIVE])
def test_the_next_set_up_ends_the_one_before(ledger: SqliteLedger, state: SetupState) -> None:
    live(ledger)
    store(ledger, setup(1), state)
    assert with_bob(ledger) == {0: DEAD, 1: state}
    assert states(ledger)[CAROL, 0] is LIVE
    store(ledger, setup(7), state)
    expected = {0: DEAD, 7: PENDING} if state is PENDING else {0: DEAD, 1: DEAD, 7: LIVE}
    assert with_bob(ledger) == expected


@breaks("ST-6.4")
def test_a_generation_that_lived_is_not_made_again(ledger: SqliteLedger) -> None:
    live(ledger)
    store(ledger, setup(3))
    for generation in (0, 2, 3):
        with pytest.raises(StoreError, match=f"generation {generation} after 3"):
            store(ledger, setup(generation, change="again"))
    ledger.kill_setup(setup(3).id)
    with pytest.raises(StoreError, match="generation 3 after 3"):
        store(ledger, setup(3, change="again"), PENDING)
    assert with_bob(ledger) == {0: DEAD, 3: DEAD}


@breaks("ST-6.4")
def test_a_pending_set_up_is_replaced_and_one_that_is_refused_changes_nothing(ledger: SqliteLedger) -> None:
    live(ledger)
    store(ledger, setup(1), PENDING)
    with pytest.raises(StoreError, match="generation 0 after 0"):
        store(ledger, setup(0, change="again"), PENDING)
    assert with_bob(ledger) == {0: DEAD, 1: PENDING}
    store(ledger, setup(1, change="again"), PENDING)
    assert not ledger.enliven_setup(VAULT, ZERO, BOB, setup(1).id)
    assert ledger.enliven_setup(VAULT, ZERO, BOB, setup(1, change="again").id)


@breaks("ST-6.4")
@pytest.mark.parametrize("where", ["absent", "pending", "signed", "retired"])
def test_only_the_live_sharing_takes_another_set_up(ledger: SqliteLedger, where: str) -> None:
    if where != "absent":
        keep(ledger)
    if where in ("signed", "retired"):
        ledger.mark_signed(VAULT, ZERO, 1)
    if where == "retired":
        ledger.activate(VAULT, ZERO, 1, b"certificate")
        live(ledger, 1)
    before = states(ledger)
    with pytest.raises(StaleEpoch, match="not ACTIVE"):
        store(ledger, setup(1))
    assert states(ledger) == before


@pytest.mark.parametrize("flaw", [{"id": bytes(31)}, {"generation": -1}])
def test_what_is_no_set_up_is_a_bug(flaw: dict[str, Any]) -> None:
    with pytest.raises(Bug, match="set-up with"):
        replace(setup(1), **flaw)


@breaks("ST-6.5")
def test_only_a_pending_set_up_of_the_live_sharing_comes_alive(ledger: SqliteLedger) -> None:
    live(ledger)
    assert not ledger.enliven_setup(VAULT, ZERO, BOB, setup().id)
    store(ledger, setup(1), PENDING)
    named = setup(1).id
    assert not ledger.enliven_setup(VAULT, ZERO, CAROL, named)
    assert not ledger.enliven_setup(VAULT, Epoch(1), BOB, named)
    assert not ledger.enliven_setup(VaultId("w" * 24), ZERO, BOB, named)
    assert not ledger.enliven_setup(VAULT, ZERO, BOB, setup(2).id)
    assert with_bob(ledger) == {0: DEAD, 1: PENDING}
    live(ledger, 1)
    assert not ledger.enliven_setup(VAULT, ZERO, BOB, named)
    assert with_bob(ledger) == {0: DEAD, 1: PENDING}


@breaks("ST-6.5", "ST-6.6")
def test_the_dead_stay_dead(ledger: SqliteLedger, tmp_path: Path) -> None:
    live(ledger)
    ledger.kill_setup(setup().id)
    store(ledger, setup(1), PENDING)
    ledger.kill_setup(setup(1).id)
    ledger.kill_setup(setup(1).id)
    ledger.kill_setup(b"none of ours".ljust(32))
    for generation in (0, 1):
        assert not ledger.enliven_setup(VAULT, ZERO, BOB, setup(generation).id)
    ledger.close()
    with reopen(tmp_path) as again:
        assert with_bob(again) == {0: DEAD, 1: DEAD}
        assert states(again)[CAROL, 0] is LIVE
        refused(again)


@breaks("ST-6.6")
@pytest.mark.parametrize("end", ["killed", "replaced", "pending replaced"])
def test_of_a_dead_set_up_nothing_is_left_in_the_files(tmp_path: Path, end: str) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
        victim = setup()
        if end == "pending replaced":
            victim = setup(1)
            store(ledger, victim, PENDING)
        [(sealed,)] = ledger._database.read(
            lambda connection: connection.execute(
                "SELECT sealed FROM setups WHERE id = ?", (victim.id,)
            ).fetchall()
        )
        assert in_files(tmp_path, sealed)
        if end == "killed":
            ledger.kill_setup(victim.id)
        else:
            store(ledger, setup(2))
        assert not in_files(tmp_path, sealed)


@breaks("ST-6.6")
def test_of_a_set_up_that_died_in_a_crash_nothing_is_left_once_the_store_is_open(tmp_path: Path) -> None:
    """Of the size that they have, on pages of their own."""
    victim = replace(setup(), secret=SecretBytes.random(33_000))
    crashed = tmp_path / "crashed"
    crashed.mkdir(mode=0o700)

    def crash(when: str) -> None:
        for name in ("store.db", "store.db-wal", "key") if when == "after:kill_setup" else ():
            copy = crashed / name
            copy.write_bytes((tmp_path / name).read_bytes())
            copy.chmod(0o600)

    with create(tmp_path, on_commit=crash) as ledger:
        ledger.store_pending(sharing(), shares(), [victim, setup(peer="carol")])
        ledger.mark_signed(VAULT, ZERO, 1)
        ledger.activate(VAULT, ZERO, 1, b"certificate")
        [(sealed,)] = ledger._database.read(
            lambda connection: connection.execute(
                "SELECT sealed FROM setups WHERE id = ?", (victim.id,)
            ).fetchall()
        )
        ledger.kill_setup(victim.id)
    assert in_files(crashed, sealed)
    with reopen(crashed) as again:
        assert with_bob(again) == {0: DEAD}
        assert not in_files(crashed, sealed)


SWAP = "UPDATE setups SET sealed = (SELECT sealed FROM setups AS other WHERE id = x'{}') WHERE id = x'{}'"


@breaks("ST-2.3")
@pytest.mark.parametrize(
    "tampering",
    [
        SWAP.format(setup(peer="carol").id.hex(), setup().id.hex()),
        SWAP.format(setup(attempt=2).id.hex(), setup().id.hex()),
        SWAP.format(setup(epoch=1).id.hex(), setup().id.hex()),
        SWAP.format(setup(vault=VaultId("w" * 24)).id.hex(), setup().id.hex()),
        f"UPDATE setups SET sealed = (SELECT sealed FROM shares) WHERE id = x'{setup().id.hex()}'",
        f"UPDATE setups SET id = zeroblob(32) WHERE id = x'{setup().id.hex()}'",
        f"UPDATE setups SET generation = 1 WHERE id = x'{setup().id.hex()}'",
        f"UPDATE setups SET generation = 'first' WHERE id = x'{setup().id.hex()}'",
        f"UPDATE setups SET id = 7 WHERE id = x'{setup().id.hex()}'",
        f"UPDATE setups SET sealed = 7 WHERE id = x'{setup().id.hex()}'",
        f"UPDATE setups SET sealed = x'' WHERE id = x'{setup().id.hex()}'",
        "UPDATE epochs SET record_hash = zeroblob(32)",
    ],
)
def test_a_set_up_opens_nowhere_but_in_its_own_place(tmp_path: Path, tampering: str) -> None:
    with create(tmp_path) as ledger:
        live(ledger, 0, 1)
        keep(ledger, 0, 2)
        keep(ledger, 1, 1)
        keep(ledger, vault=VaultId("w" * 24))
    raw_sql(tmp_path / "store.db", tampering)
    with (
        reopen(tmp_path) as ledger,
        pytest.raises(Corrupt, match=f"setups: vault {VAULT}, epoch 0, attempt 1"),
    ):
        ledger.setup(VAULT, ZERO, 1, BOB)


@breaks("ST-2.3")
def test_a_set_up_of_another_node_does_not_open_even_under_the_same_key(tmp_path: Path) -> None:
    rows = {}
    for name in ("alice", "dave"):
        home = tmp_path / name
        home.mkdir(mode=0o700)
        with create(home, name) as ledger:
            ledger._sealer = type(ledger._sealer)(SecretBytes.of(b"\x07" * 32))
            live(ledger)
        [(rows[name],)] = raw_sql(home / "store.db", "SELECT sealed FROM setups WHERE id = ?", setup().id)
    raw_sql(tmp_path / "alice" / "store.db", "UPDATE setups SET sealed = ?", rows["dave"])
    with reopen(tmp_path / "alice") as ledger:
        ledger._sealer = type(ledger._sealer)(SecretBytes.of(b"\x07" * 32))
        with pytest.raises(Corrupt, match=f"peer {BOB}, generation 0 does not open"):
            ledger.setup(VAULT, ZERO, 1, BOB)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE setups SET state = 'LIVELY'",
        "UPDATE setups SET generation = 'x'",
        "UPDATE setups SET id = rowid",
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, change: str) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
    raw_sql(tmp_path / "store.db", change + f" WHERE peer = '{BOB}'")
    with reopen(tmp_path) as ledger, pytest.raises(Corrupt, match=f"setups: vault {VAULT}, .* peer {BOB}"):
        ledger.setups(VAULT, ZERO, 1)


def test_a_store_of_an_earlier_schema_takes_set_ups_once_it_is_opened(tmp_path: Path) -> None:
    restore(tmp_path, 3)
    with reopen(tmp_path) as ledger:
        ledger.mark_signed(VAULT, ZERO, 1)
        ledger.activate(VAULT, ZERO, 1, b"certificate")
        refused(ledger)
        store(ledger, setup())
        assert ledger.setup(VAULT, ZERO, 1, BOB).secret == setup().secret
