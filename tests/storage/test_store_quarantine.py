"""What a restored store, or one that was set back, does not give out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.confinement import Start, Why
from quorate.ceremony.ports import EpochState, SealedShare, SetupState
from quorate.errors import NoSetup, Quarantined, StoreError
from quorate.identifiers import Curve, Epoch, VaultId
from quorate.storage import SqliteLedger
from quorate.storage.quarantine import Restored
from tests.protocols.vaults import handed_over, roster_of, vault_of
from tests.recovery.files import certificate_of, secrets_of
from tests.rules import breaks
from tests.storage.devices import create, reopen
from tests.storage.story import (
    BOB,
    DIGEST,
    ED,
    OPERATION,
    SECP,
    VAULT,
    approved,
    keep,
    live,
    session,
    setup,
    sharing,
)  # fmt: skip
from tests.storage.test_store_setups import in_files

ZERO = Epoch(0)
MADE = vault_of([2, 1, 1], 3)
ALICE = MADE.devices[0]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def causes(ledger: SqliteLedger) -> dict[VaultId, Why]:
    return {vault: each.cause for vault, each in ledger.quarantine().items()}


@breaks("ST-8.1")
def test_a_quarantine_ends_every_pair_set_up_and_outlives_the_process(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
        assert ledger.confine([VAULT], Why.SET_BACK)
        assert not ledger.confine([VAULT], Why.RESTORED)
        assert {row.state for row in ledger.setups(VAULT, ZERO, 1)} == {SetupState.DEAD}
        with pytest.raises(NoSetup):
            ledger.setup(VAULT, ZERO, 1, BOB)
    with reopen(tmp_path) as ledger:
        assert causes(ledger) == {VAULT: Why.SET_BACK}


@breaks("ST-8.1")
def test_a_share_that_is_lost_is_overwritten(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
        ledger.adopt(replace(sharing(1, 2), state=EpochState.ACTIVE, certificate=b"another"))
        assert ledger.confine([VAULT], Why.RESTORED)
        assert ledger.confine([VAULT], Why.SHARE_LOST)
        with pytest.raises(StoreError, match="no share"):
            ledger.share(VAULT, ZERO, 1, Curve.ED25519)
        assert [row.state for row in ledger.epochs(VAULT)] == [EpochState.ERASED, EpochState.ACTIVE]
    assert not in_files(tmp_path, SECP)
    assert not in_files(tmp_path, ED)


@breaks("ST-8.2")
def test_a_vault_is_freed_by_the_sharing_that_lives_or_by_a_new_one(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.confine([VAULT], Why.RESTORED)
    assert not ledger.free(VAULT, bytes(32))
    assert causes(ledger) == {VAULT: Why.RESTORED}
    assert ledger.free(VAULT, sharing().record_hash)
    assert not causes(ledger)
    keep(ledger, 1, 1)
    ledger.mark_signed(VAULT, Epoch(1), 1)
    ledger.confine([VAULT], Why.SET_BACK)  # what it signed before says nothing
    ledger.activate(VAULT, Epoch(1), 1, b"certificate")
    assert causes(ledger) == {VAULT: Why.SET_BACK}
    live(ledger, 2, 1)
    assert not causes(ledger)


@breaks("ST-8.2")
def test_who_is_no_signer_is_freed_once_it_has_no_share(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.confine([VAULT], Why.RESTORED)
    assert not ledger.free(VAULT, sharing().record_hash, signer=False)
    ledger.adopt(replace(sharing(1, 1), state=EpochState.ACTIVE, certificate=b"another"))
    assert not ledger.free(VAULT, sharing(1, 1).record_hash)
    ledger.erase_before(VAULT, Epoch(1), 1)
    assert ledger.free(VAULT, sharing(1, 1).record_hash, signer=False)
    assert not causes(ledger)


@breaks("ST-8.2")
def test_no_word_of_others_frees_a_vault_whose_share_is_lost(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.adopt(replace(sharing(1, 1), state=EpochState.ACTIVE, certificate=b"another"))
    ledger.confine([VAULT], Why.SHARE_LOST)
    assert not ledger.free(VAULT, sharing(1, 1).record_hash)
    assert causes(ledger) == {VAULT: Why.SHARE_LOST}


@breaks("ST-8.3")
def test_what_a_peer_holds_from_before_is_dead_and_the_next_is_above_it(ledger: SqliteLedger) -> None:
    live(ledger)
    ledger.confine([VAULT], Why.RESTORED)
    buried = setup(4)
    for _ in range(2):
        ledger.bury_setup(VAULT, ZERO, 1, BOB, 4, buried.id)
    rows = [row for row in ledger.setups(VAULT, ZERO, 1) if row.peer == BOB]
    assert [(row.generation, row.state) for row in rows] == [(0, SetupState.DEAD), (4, SetupState.DEAD)]
    with pytest.raises(StoreError, match=r"ST-6\.4 next"):
        ledger.store_setup(VAULT, ZERO, 1, setup(3), SetupState.LIVE)
    ledger.store_setup(VAULT, ZERO, 1, setup(5), SetupState.LIVE)


@breaks("ST-8.4")
def test_of_a_peer_s_starts_the_latest_stands(ledger: SqliteLedger) -> None:
    first = Start(counter=3, boot=bytes(32), statement=b"three")
    assert ledger.start_of(BOB) is None
    assert ledger.note_start(BOB, first) == first
    for other in (replace(first, boot=b"\x01" * 32), replace(first, counter=2)):
        assert ledger.note_start(BOB, other) == first
    later = replace(first, counter=4)
    assert ledger.note_start(BOB, later) == later
    assert ledger.start_of(BOB) == later


def test_starts_are_counted_on_from_what_peers_hold(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        assert ledger.boot().counter == 1
        assert ledger.raise_boots(57) == 58
        assert ledger.raise_boots(20) == 58
    with reopen(tmp_path) as ledger:
        assert ledger.boot().counter == 59


@breaks("ST-8.7")
def test_a_record_that_is_lost_is_told_of_once(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        before = ledger.audit_head().sequence
        for _ in range(2):
            ledger.lose_head(9, b"\x07" * 32)
        assert ledger.audit_head().sequence == before + 1
    with reopen(tmp_path) as ledger:
        assert ledger.lost_heads() == {(9, b"\x07" * 32)}
        assert not ledger.verify_audit().flaws


def restored(line: list[object], name: str = "treasury") -> Restored:
    last = line[-1]
    return Restored(
        name=name,
        line=tuple(certificate_of(each) for each in line),  # type: ignore[arg-type]
        shares=[
            SealedShare(curve=curve, indices=tuple(last.record.share(curve, ALICE, secret).indices), secret=secret)  # type: ignore[attr-defined]
            for curve, secret in secrets_of(last, ALICE).items()  # type: ignore[arg-type]
        ],
    )  # fmt: skip


@breaks("ST-8.5")
def test_a_restored_vault_is_in_quarantine_from_the_beginning(tmp_path: Path) -> None:
    weights = {device: MADE.record.sharing.seat(device).weight for device in MADE.devices}
    after = handed_over(MADE, roster_of(weights, 3))
    vault = VaultId(MADE.record.vault)
    with create(tmp_path) as ledger:
        ledger.restore_vault(restored([MADE, after]))
        with pytest.raises(StoreError, match=r"ST-8\.5 restored"):
            ledger.restore_vault(restored([MADE]))
    with reopen(tmp_path) as ledger:
        assert causes(ledger) == {vault: Why.RESTORED}
        assert [row.state for row in ledger.epochs(vault)] == [EpochState.ERASED, EpochState.ACTIVE]
        assert ledger.vault_name(vault) == "treasury"
        for curve, secret in secrets_of(after, ALICE).items():
            assert ledger.share(vault, Epoch(1), after.record.attempt, curve).secret == secret


@breaks("ST-8.6")
def test_nothing_is_released_under_a_vault_in_quarantine(ledger: SqliteLedger) -> None:
    live(ledger)
    approved(ledger)
    assert ledger.begin_attempt(OPERATION, 1, session(), sharing=sharing().record_hash)
    ledger.confine([VAULT], Why.SET_BACK)
    with pytest.raises(Quarantined, match=r"ST-8\.6 free"):
        ledger.release(OPERATION, 1, DIGEST)
    row = ledger.operation(OPERATION)
    assert row is not None
    assert not row.released
    assert ledger.free(VAULT, sharing().record_hash)
    assert ledger.release(OPERATION, 1, DIGEST)
