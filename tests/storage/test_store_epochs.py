from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.ports import EpochRow, EpochState
from quorate.errors import Bug, Corrupt, StaleEpoch, StoreError
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.storage import SqliteLedger
from quorate.storage.epochs import MOST_FORKS
from tests.rules import breaks
from tests.storage.devices import create, reopen
from tests.storage.rawsql import raw_sql
from tests.storage.story import BOB, ED, SECP, VAULT, keep, live, shares, sharing

ZERO = Epoch(0)
OTHER = VaultId("w" * 24)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def states(ledger: SqliteLedger, vault: VaultId | None = VAULT) -> dict[tuple[int, int], EpochState]:
    return {(row.epoch, row.attempt): row.state for row in ledger.epochs(vault)}


def test_a_sharing_lives_from_pending_to_retired(ledger: SqliteLedger, tmp_path: Path) -> None:
    keep(ledger)
    assert list(ledger.epochs()) == [sharing()]
    assert ledger.active_epoch(VAULT) is None
    ledger.mark_signed(VAULT, ZERO, 1)
    assert states(ledger) == {(0, 1): EpochState.SIGNED}
    ledger.activate(VAULT, ZERO, 1, b"certificate")
    ledger.record_acknowledgement(VAULT, ZERO, 1, BOB, b"ack")
    active = replace(
        sharing(), state=EpochState.ACTIVE, certificate=b"certificate", acknowledgements={BOB: b"ack"}
    )
    assert ledger.active_epoch(VAULT) == active
    live(ledger, 1)
    assert states(ledger) == {(0, 1): EpochState.RETIRED, (1, 1): EpochState.ACTIVE}
    ledger.close()
    with reopen(tmp_path) as again:
        assert again.epochs()[0] == replace(active, state=EpochState.RETIRED)


def test_shares_come_back_as_they_were_sealed(ledger: SqliteLedger) -> None:
    keep(ledger)
    for curve, secret in ((Curve.SECP256K1, SECP), (Curve.ED25519, ED)):
        share = ledger.share(VAULT, ZERO, 1, curve)
        assert (share.curve, share.indices) == (curve, (1, 2))
        assert share.secret == secret


def test_a_share_that_is_not_held_is_asked_for_in_vain(ledger: SqliteLedger) -> None:
    ledger.store_pending(sharing(), shares()[:1], ())
    with pytest.raises(StoreError, match="no share on ed25519"):
        ledger.share(VAULT, ZERO, 1, Curve.ED25519)
    with pytest.raises(StoreError, match="epoch 1, attempt 1: no share"):
        ledger.share(VAULT, Epoch(1), 1, Curve.SECP256K1)


def test_vaults_are_kept_apart(ledger: SqliteLedger) -> None:
    live(ledger)
    keep(ledger, vault=OTHER)
    assert [row.vault for row in ledger.epochs()] == [VAULT, OTHER]
    assert [row.vault for row in ledger.epochs(OTHER)] == [OTHER]
    assert ledger.active_epoch(OTHER) is None


@breaks("ST-4.1")
@pytest.mark.parametrize(("epoch", "attempt"), [(1, 3), (1, 2), (0, 9), (0, 1)])
def test_a_sharing_is_kept_only_in_rising_order(ledger: SqliteLedger, epoch: int, attempt: int) -> None:
    keep(ledger, 0, 1)
    keep(ledger, 1, 3)
    with pytest.raises(StaleEpoch, match="epoch 1, attempt 3 is already held"):
        keep(ledger, epoch, attempt)
    assert states(ledger) == {(0, 1): EpochState.PENDING, (1, 3): EpochState.PENDING}


@breaks("ST-4.1")
def test_a_sharing_that_is_refused_leaves_no_share_behind(ledger: SqliteLedger) -> None:
    secp, _ = shares()
    with pytest.raises(StoreError, match="UNIQUE"):
        ledger.store_pending(sharing(), [secp, secp], ())
    assert list(ledger.epochs()) == []
    with pytest.raises(StoreError, match="no share"):
        ledger.share(VAULT, ZERO, 1, Curve.SECP256K1)


@pytest.mark.parametrize(
    "row",
    [
        replace(sharing(), state=EpochState.ACTIVE),
        replace(sharing(), certificate=b"c"),
        replace(sharing(), acknowledgements={BOB: b"a"}),
    ],
)
def test_a_sharing_that_is_not_new_is_a_bug(ledger: SqliteLedger, row: object) -> None:
    with pytest.raises(Bug, match="PENDING"):
        ledger.store_pending(row, shares(), ())  # type: ignore[arg-type]


@breaks("ST-4.2")
def test_only_a_pending_sharing_is_signed(ledger: SqliteLedger) -> None:
    with pytest.raises(StoreError, match="no such sharing"):
        ledger.mark_signed(VAULT, ZERO, 1)
    live(ledger)
    with pytest.raises(StoreError, match="is ACTIVE"):
        ledger.mark_signed(VAULT, ZERO, 1)
    assert states(ledger) == {(0, 1): EpochState.ACTIVE}


@breaks("ST-4.2")
def test_no_sharing_is_signed_behind_a_later_signed_one(ledger: SqliteLedger) -> None:
    for attempt in (1, 2, 3):
        keep(ledger, 0, attempt)
    ledger.mark_signed(VAULT, ZERO, 2)
    with pytest.raises(StaleEpoch, match="attempt 2 is SIGNED"):
        ledger.mark_signed(VAULT, ZERO, 1)
    ledger.mark_signed(VAULT, ZERO, 3)
    assert states(ledger) == {
        (0, 1): EpochState.PENDING,
        (0, 2): EpochState.SIGNED,
        (0, 3): EpochState.SIGNED,
    }


@breaks("ST-4.3")
def test_only_a_signed_sharing_becomes_active(ledger: SqliteLedger) -> None:
    with pytest.raises(StoreError, match="no such sharing"):
        ledger.activate(VAULT, ZERO, 1, b"certificate")
    keep(ledger)
    with pytest.raises(StoreError, match="is PENDING: only a SIGNED"):
        ledger.activate(VAULT, ZERO, 1, b"certificate")
    ledger.mark_signed(VAULT, ZERO, 1)
    with pytest.raises(Bug, match="without a certificate"):
        ledger.activate(VAULT, ZERO, 1, b"")
    assert states(ledger) == {(0, 1): EpochState.SIGNED}


@breaks("ST-4.3")
def test_activating_twice_changes_nothing_and_the_first_certificate_stands(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.activate(VAULT, ZERO, 1, b"other signatures of the same record")
    active = ledger.active_epoch(VAULT)
    assert active is not None
    assert active.certificate == b"certificate"


@breaks("ST-4.3")
def test_the_highest_attempt_of_an_epoch_wins_and_its_siblings_stay_behind(ledger: SqliteLedger) -> None:
    for attempt in (1, 2):
        keep(ledger, 0, attempt)
        ledger.mark_signed(VAULT, ZERO, attempt)
    ledger.activate(VAULT, ZERO, 1, b"certificate")
    ledger.activate(VAULT, ZERO, 2, b"certificate")
    assert states(ledger) == {(0, 1): EpochState.RETIRED, (0, 2): EpochState.ACTIVE}
    with pytest.raises(StaleEpoch, match="attempt 2 is ACTIVE"):
        ledger.activate(VAULT, ZERO, 1, b"certificate")
    assert states(ledger) == {(0, 1): EpochState.RETIRED, (0, 2): EpochState.ACTIVE}


@breaks("ST-4.3")
def test_a_signed_sibling_does_not_come_alive_behind_the_live_one(ledger: SqliteLedger) -> None:
    for epoch, attempt in ((0, 1), (0, 2), (1, 1)):
        keep(ledger, epoch, attempt)
        ledger.mark_signed(VAULT, Epoch(epoch), attempt)
    ledger.activate(VAULT, Epoch(1), 1, b"certificate")
    for attempt in (1, 2):
        with pytest.raises(StaleEpoch, match="epoch 1, attempt 1 is ACTIVE"):
            ledger.activate(VAULT, ZERO, attempt, b"certificate")


@breaks("ST-4.3")
def test_the_file_itself_refuses_two_live_sharings_of_one_vault(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
        live(ledger, 1)
    with pytest.raises(Exception, match="UNIQUE"):
        raw_sql(tmp_path / "store.db", "UPDATE epochs SET state = 'ACTIVE'")


@breaks("ST-4.4")
@pytest.mark.parametrize("move", ["mark_signed", "activate", "retire"])
def test_a_sharing_we_signed_is_never_dropped(ledger: SqliteLedger, move: str) -> None:
    keep(ledger)
    ledger.mark_signed(VAULT, ZERO, 1)
    if move in ("activate", "retire"):
        ledger.activate(VAULT, ZERO, 1, b"certificate")
    if move == "retire":
        live(ledger, 1)
    before = states(ledger)
    assert not ledger.drop_pending(VAULT, ZERO, 1)
    assert states(ledger) == before
    assert ledger.share(VAULT, ZERO, 1, Curve.ED25519).secret == ED


@breaks("ST-4.4")
def test_a_dropped_sharing_takes_its_shares_and_no_others_along(ledger: SqliteLedger) -> None:
    keep(ledger, 0, 1)
    keep(ledger, 0, 2)
    assert ledger.drop_pending(VAULT, ZERO, 1)
    assert not ledger.drop_pending(VAULT, ZERO, 1)
    assert states(ledger) == {(0, 2): EpochState.PENDING}
    with pytest.raises(StoreError, match="no share"):
        ledger.share(VAULT, ZERO, 1, Curve.ED25519)
    assert ledger.share(VAULT, ZERO, 2, Curve.ED25519).secret == ED


@breaks("ST-4.5")
def test_the_first_acknowledgement_of_each_device_stands(ledger: SqliteLedger) -> None:
    carol = DeviceId("c" * 24)
    live(ledger)
    for device, ack in ((BOB, b"first"), (BOB, b"second"), (carol, b"third")):
        ledger.record_acknowledgement(VAULT, ZERO, 1, device, ack)
    active = ledger.active_epoch(VAULT)
    assert active is not None
    assert active.acknowledgements == {BOB: b"first", carol: b"third"}


@breaks("ST-4.5")
def test_an_acknowledgement_of_a_sharing_we_do_not_hold_is_refused(ledger: SqliteLedger) -> None:
    live(ledger)
    with pytest.raises(StoreError, match="attempt 2: no such sharing"):
        ledger.record_acknowledgement(VAULT, ZERO, 2, BOB, b"ack")


def _epochs(ledger: SqliteLedger) -> object:
    return ledger.epochs()


def _active(ledger: SqliteLedger) -> object:
    return ledger.active_epoch(VAULT)


@pytest.mark.parametrize("look", [_epochs, _active])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE epochs SET record = 'text'",
        "UPDATE epochs SET record_hash = 1",
        "UPDATE epochs SET attempt = 'x'",
    ],
)
def test_a_row_that_makes_no_sense_is_named(
    tmp_path: Path, change: str, look: Callable[[SqliteLedger], object]
) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
    raw_sql(tmp_path / "store.db", "PRAGMA foreign_keys = OFF")
    raw_sql(tmp_path / "store.db", change)
    with reopen(tmp_path) as ledger, pytest.raises(Corrupt, match=f"epochs: vault {VAULT}, epoch 0"):
        look(ledger)


def test_a_state_nobody_knows_is_named(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
    raw_sql(tmp_path / "store.db", "UPDATE epochs SET state = 'LIVELY'")
    with reopen(tmp_path) as ledger, pytest.raises(Corrupt, match="LIVELY"):
        ledger.epochs()


def adopted(epoch: int, attempt: int = 1) -> EpochRow:
    row = sharing(epoch, attempt)
    return replace(row, state=EpochState.ACTIVE, certificate=b"certificate")


@breaks("ST-4.6")
def test_a_certified_sharing_of_others_retires_ours_unless_ours_is_later(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.adopt(adopted(1, 2))
    assert states(ledger) == {(0, 1): EpochState.RETIRED, (1, 2): EpochState.ACTIVE}
    for epoch, attempt in ((1, 2), (1, 1), (0, 2)):
        with pytest.raises(StaleEpoch, match=r"ST-4\.6"):
            ledger.adopt(adopted(epoch, attempt))
    with pytest.raises(Bug):
        ledger.adopt(replace(adopted(2), certificate=b""))
    ledger.adopt(adopted(1, 3))
    assert states(ledger)[1, 3] is EpochState.ACTIVE


@breaks("ST-4.7")
def test_the_first_trial_of_a_sharing_that_is_held_stands(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.record_trial(VAULT, ZERO, 1, b"first")
    ledger.record_trial(VAULT, ZERO, 1, b"second")
    assert ledger.epochs(VAULT)[0].trial == b"first"
    with pytest.raises(StoreError, match="no such sharing"):
        ledger.record_trial(VAULT, ZERO, 2, b"trial")


@breaks("ST-4.8")
def test_acknowledgements_are_waived_of_the_live_sharing_after_another(ledger: SqliteLedger) -> None:
    live(ledger)
    with pytest.raises(StoreError, match=r"ST-4\.8"):
        ledger.waive(VAULT, ZERO, 1)
    keep(ledger, 1, 1)
    with pytest.raises(StoreError, match=r"ST-4\.8"):
        ledger.waive(VAULT, Epoch(1), 1)
    ledger.drop_pending(VAULT, Epoch(1), 1)
    live(ledger, 1)
    ledger.waive(VAULT, Epoch(1), 1)
    assert [row.waived for row in ledger.epochs(VAULT)] == [False, True]


@breaks("ST-4.10")
def test_forks_are_kept_once_and_of_each_vault_the_first(ledger: SqliteLedger) -> None:
    for number in (*range(MOST_FORKS + 4), 0):
        ledger.record_fork(VAULT, bytes([number]) * 32, b"fork %d" % number)
    assert set(ledger.forks(VAULT)) == {b"fork %d" % number for number in range(MOST_FORKS)}
    ledger.record_fork(OTHER, bytes(32), b"its own")
    assert list(ledger.forks(OTHER)) == [b"its own"]


@breaks("ST-4.9")
def test_what_is_erased_is_gone_from_the_file_and_nothing_of_the_live_epoch(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    live(ledger)
    keep(ledger, 1, 1)
    ledger.mark_signed(VAULT, Epoch(1), 1)
    old = [
        sealed for (sealed,) in raw_sql(tmp_path / "store.db", "SELECT sealed FROM shares WHERE epoch = 0")
    ]
    with pytest.raises(StaleEpoch, match=r"ST-4\.9"):
        ledger.erase_before(VAULT, Epoch(1), 1)
    assert ledger.share(VAULT, ZERO, 1, Curve.ED25519).secret == ED
    ledger.activate(VAULT, Epoch(1), 1, b"certificate")
    assert ledger.erase_before(VAULT, Epoch(1), 1) == 1
    assert ledger.erase_before(VAULT, Epoch(1), 1) == 0
    assert states(ledger) == {(0, 1): EpochState.ERASED, (1, 1): EpochState.ACTIVE}
    with pytest.raises(StoreError, match="no share"):
        ledger.share(VAULT, ZERO, 1, Curve.ED25519)
    assert ledger.share(VAULT, Epoch(1), 1, Curve.ED25519).secret == ED
    left = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert old
    assert not any(bytes(sealed) in left for sealed in old)


def test_siblings_of_an_epoch_are_kept_until_a_later_one_is_erased_to(ledger: SqliteLedger) -> None:
    live(ledger)
    for attempt in (1, 2):
        keep(ledger, 1, attempt)
        ledger.mark_signed(VAULT, Epoch(1), attempt)
    ledger.activate(VAULT, Epoch(1), 2, b"certificate")
    ledger.erase_before(VAULT, Epoch(1), 2)
    assert ledger.share(VAULT, Epoch(1), 1, Curve.ED25519).secret == ED
    live(ledger, 2)
    assert states(ledger)[1, 1] is EpochState.RETIRED
    ledger.erase_before(VAULT, Epoch(2), 1)
    assert states(ledger)[1, 1] is EpochState.ERASED
