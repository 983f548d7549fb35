"""What approved operations take of limits: which of it counts, across restarts and ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.approval.policy.book import ReservationLog
from quorate.ceremony.ports import Reservation, State
from quorate.errors import Corrupt, StoreError
from quorate.identifiers import OperationId
from quorate.storage import SqliteLedger
from quorate.storage.reservations import KEPT_MS
from tests.rules import breaks
from tests.storage.devices import NOW, create, reopen
from tests.storage.rawsql import raw_sql
from tests.storage.story import DIGEST, OPERATION, approved, decision, operation, session

OTHER = OperationId("p" * 24)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def reservation(
    name: OperationId = OPERATION, at_ms: int = NOW, effect: bytes = b'{"kind": "sign"}'
) -> Reservation:
    return Reservation(operation=name, effect=effect, at_ms=at_ms)


def test_the_store_is_the_log_that_policies_ask_for(ledger: SqliteLedger) -> None:
    log: ReservationLog = ledger
    assert log.reservations(0) == []
    assert not log.still_counts(OPERATION)


@breaks("ST-3.7")
def test_a_reservation_outlives_the_process(ledger: SqliteLedger, tmp_path: Path) -> None:
    approved(ledger)
    ledger.reserve(reservation())
    ledger.close()
    with reopen(tmp_path) as again:
        assert again.reservations(NOW) == [reservation()]
        assert again.reservations(NOW + 1) == []
        assert again.still_counts(OPERATION)


@breaks("ST-3.7")
def test_the_last_reservation_of_an_operation_is_the_one(ledger: SqliteLedger) -> None:
    approved(ledger)
    ledger.reserve(reservation())
    ledger.reserve(reservation(at_ms=NOW + 5, effect=b"{}"))
    assert ledger.reservations(0) == [reservation(at_ms=NOW + 5, effect=b"{}")]


@breaks("ST-3.7")
def test_nothing_is_reserved_for_what_is_not_journalled(ledger: SqliteLedger) -> None:
    with pytest.raises(StoreError, match=r"ST-3\.7 reservation"):
        ledger.reserve(reservation())
    assert ledger.reservations(0) == []


@pytest.mark.parametrize("end", [State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED])
@breaks("ST-3.7")
def test_what_ends_without_release_counts_no_more_until_it_turns_out_to_be_signed(
    ledger: SqliteLedger, end: State
) -> None:
    approved(ledger)
    ledger.reserve(reservation())
    assert ledger.move_operation(OPERATION, [State.APPROVED], end)
    assert (ledger.reservations(0), ledger.still_counts(OPERATION)) == ([], False)
    assert ledger.move_operation(OPERATION, [end], State.COMPLETED, result=b"signatures")
    assert (ledger.reservations(0), ledger.still_counts(OPERATION)) == ([reservation()], True)


@breaks("ST-3.7")
def test_what_ends_after_release_counts(ledger: SqliteLedger) -> None:
    approved(ledger)
    ledger.reserve(reservation())
    assert ledger.begin_attempt(OPERATION, 1, session())
    assert ledger.release(OPERATION, 1, DIGEST)
    assert ledger.move_operation(OPERATION, [State.RUNNING], State.FAILED)
    assert (ledger.reservations(0), ledger.still_counts(OPERATION)) == ([reservation()], True)


def test_reservations_come_oldest_first_and_those_no_window_reaches_are_gone(ledger: SqliteLedger) -> None:
    names = [OperationId(letter * 24) for letter in "cab"]
    for age, name in enumerate(names):
        ledger.add_operation(operation(name))
        ledger.reserve(reservation(name, NOW + age))
    assert [row.operation for row in ledger.reservations(0)] == names
    ledger.add_operation(operation(OTHER))
    ledger.reserve(reservation(OTHER, NOW + KEPT_MS + 2))
    assert [row.operation for row in ledger.reservations(0)] == [names[2], OTHER]


def test_decisions_come_back_with_what_they_were_about_page_by_page(ledger: SqliteLedger) -> None:
    names = [OperationId(letter * 24) for letter in "cab"]
    for age, name in enumerate(names):
        ledger.add_operation(operation(name))
        row = replace(decision(name=name), at_ms=NOW + age)
        ledger.record_decision(row, request=b"{}", effect=b'{"n": %d}' % age)
    ledger.record_decision(decision(name=names[0]))  # as those made before effects were kept
    everything = ledger.decided(0)
    assert [each.row.operation for each in everything] == names
    assert [each.effect for each in everything] == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']
    assert everything[0].row == replace(decision(name=names[0]), at_ms=NOW)
    assert ledger.decided(0, limit=2) == everything[:2]
    assert ledger.decided(0, after=everything[1].number) == everything[2:]
    assert ledger.decided(NOW + 1) == everything[1:]
    assert all(each.counts for each in everything)
    assert ledger.move_operation(names[1], [State.PROPOSED], State.CANCELLED)
    assert [each.counts for each in ledger.decided(0)] == [True, False, True]


def test_a_row_that_does_not_read_is_told(ledger: SqliteLedger, tmp_path: Path) -> None:
    approved(ledger)
    ledger.reserve(reservation())
    ledger.close()
    raw_sql(tmp_path / "store.db", "UPDATE reservations SET effect = 'text'")
    with reopen(tmp_path) as again, pytest.raises(Corrupt, match="reservations"):
        again.reservations(0)
