from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.ports import KeptTime, Ledger, State, Verdict
from quorate.errors import Corrupt, StoreError, UsageError
from quorate.identifiers import DeviceId, OperationId, SessionId
from quorate.storage import SqliteLedger
from tests.rules import breaks
from tests.storage.devices import NOW, create, reopen
from tests.storage.rawsql import raw_sql
from tests.storage.story import BOB, DIGEST, OPERATION, approved, decision, operation, session

OTHER = OperationId("p" * 24)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with create(tmp_path) as made:
        yield made


def test_the_store_is_the_ledger_the_ceremonies_ask_for(ledger: SqliteLedger) -> None:
    port: Ledger = ledger
    assert port.operations() == []


def test_an_operation_comes_back_as_it_was_journalled(ledger: SqliteLedger, tmp_path: Path) -> None:
    row = replace(
        operation(), vault=None, detail="λ", culprits=(BOB,), result=b"\x00\xff", attempt=3, released=True
    )
    assert ledger.add_operation(row) == row
    assert ledger.operation(row.id) == row
    assert ledger.operation(OTHER) is None
    ledger.close()
    with reopen(tmp_path) as again:
        assert again.operation(row.id) == row


@breaks("ST-3.1")
def test_the_first_operation_under_an_id_stands(ledger: SqliteLedger) -> None:
    first = ledger.add_operation(operation())
    assert ledger.add_operation(operation(digest=b"\x22" * 32)) == first
    assert ledger.operation(OPERATION) == first


def test_operations_are_listed_newest_first_and_the_unfinished_apart(ledger: SqliteLedger) -> None:
    names = ["a" * 24, "b" * 24, "c" * 24, "d" * 24]
    for age, name in enumerate(names):
        ledger.add_operation(operation(name, created_ms=NOW + age // 2))
    assert [row.id for row in ledger.operations()] == ["d" * 24, "c" * 24, "b" * 24, "a" * 24]
    assert [row.id for row in ledger.operations(limit=2)] == ["d" * 24, "c" * 24]
    assert ledger.operation_ids(limit=3) == ["d" * 24, "c" * 24, "b" * 24]
    assert ledger.operation_ids(limit=3, after=OperationId("b" * 24)) == ["a" * 24]
    with pytest.raises(UsageError, match="no operation"):
        ledger.operation_ids(limit=3, after=OperationId("z" * 24))
    for name, state in zip(names, [State.VOTING, State.FAILED, State.COMPLETED, State.RUNNING], strict=True):
        assert ledger.move_operation(OperationId(name), [State.PROPOSED], state)
    assert [row.id for row in ledger.unfinished()] == ["d" * 24, "a" * 24]


@pytest.mark.parametrize("state", State)
def test_every_state_is_finished_or_unfinished(ledger: SqliteLedger, state: State) -> None:
    ledger.add_operation(replace(operation(), state=state))
    unfinished = {State.PROPOSED, State.VOTING, State.APPROVED, State.RUNNING}
    assert bool(ledger.unfinished()) == (state in unfinished)


@breaks("ST-3.2")
def test_an_operation_moves_only_from_the_states_named(ledger: SqliteLedger) -> None:
    before = ledger.add_operation(operation())
    assert not ledger.move_operation(OPERATION, [State.VOTING, State.RUNNING], State.FAILED, reason="no")
    assert not ledger.move_operation(OPERATION, [], State.FAILED)
    assert not ledger.move_operation(OTHER, list(State), State.FAILED)
    assert ledger.operation(OPERATION) == before
    assert ledger.move_operation(
        OPERATION, [State.PROPOSED], State.FAILED, reason="STALLED", detail="silent", culprits=[BOB]
    )
    after = replace(before, state=State.FAILED, reason="STALLED", detail="silent", culprits=(BOB,))
    assert ledger.operation(OPERATION) == after


@breaks("ST-3.2")
def test_of_many_who_move_an_operation_at_once_one_does(ledger: SqliteLedger) -> None:
    ledger.add_operation(operation())
    moved = race(
        lambda number: ledger.move_operation(OPERATION, [State.PROPOSED], State.VOTING, reason=str(number))
    )
    assert sum(moved) == 1


def test_a_result_once_there_stays(ledger: SqliteLedger) -> None:
    ledger.add_operation(operation())
    ledger.move_operation(OPERATION, [State.PROPOSED], State.RUNNING, result=b"signature")
    ledger.move_operation(OPERATION, [State.RUNNING], State.COMPLETED)
    row = ledger.operation(OPERATION)
    assert row is not None
    assert row.result == b"signature"


@breaks("ST-3.3")
def test_an_attempt_begins_once_approved_and_rises(ledger: SqliteLedger) -> None:
    approved(ledger)
    assert ledger.begin_attempt(OPERATION, 1, session(1))
    assert ledger.begin_attempt(OPERATION, 4, session(4))
    row = ledger.operation(OPERATION)
    assert row is not None
    assert (row.state, row.attempt) == (State.RUNNING, 4)


@breaks("ST-3.3", "ST-3.6")
def test_an_attempt_keeps_the_votes_it_stands_on_and_none_where_it_does_not_begin(
    ledger: SqliteLedger,
) -> None:
    approved(ledger)
    ledger.record_vote(OPERATION, BOB, b"first")
    carol = DeviceId("c" * 24)
    assert ledger.begin_attempt(OPERATION, 2, session(1), votes={BOB: b"second", carol: b"yes"})
    assert not ledger.begin_attempt(OPERATION, 2, session(2), votes={DeviceId("d" * 24): b"yes"})
    assert ledger.votes(OPERATION) == {BOB: b"first", carol: b"yes"}


@breaks("ST-3.3")
@pytest.mark.parametrize("state", State)
def test_an_attempt_begins_only_between_voting_and_the_end(ledger: SqliteLedger, state: State) -> None:
    ledger.add_operation(replace(operation(), state=state))
    assert ledger.begin_attempt(OPERATION, 1, session()) == (
        state in (State.VOTING, State.APPROVED, State.RUNNING)
    )


def unapproved(ledger: SqliteLedger) -> None:
    ledger.add_operation(operation())


def ended(ledger: SqliteLedger) -> None:
    approved(ledger)
    ledger.move_operation(OPERATION, [State.APPROVED], State.FAILED)


def running(ledger: SqliteLedger) -> None:
    approved(ledger)
    assert ledger.begin_attempt(OPERATION, 2, session(2))


def elsewhere_consumed(ledger: SqliteLedger) -> None:
    approved(ledger)
    ledger.add_operation(replace(operation(OTHER), state=State.APPROVED))
    assert ledger.begin_attempt(OTHER, 1, session(3))


@breaks("ST-3.3")
@pytest.mark.parametrize(
    ("prepare", "attempt", "number"),
    [
        pytest.param(lambda _: None, 1, 1, id="unknown operation"),
        pytest.param(unapproved, 1, 1, id="not approved"),
        pytest.param(ended, 1, 1, id="already ended"),
        pytest.param(approved, 0, 1, id="attempt zero"),
        pytest.param(running, 2, 3, id="the same attempt"),
        pytest.param(running, 1, 3, id="an earlier attempt"),
        pytest.param(running, 3, 2, id="the same session"),
        pytest.param(elsewhere_consumed, 1, 3, id="another operation's session"),
    ],
)
def test_an_attempt_is_refused_and_consumes_nothing(
    ledger: SqliteLedger, prepare: Callable[[SqliteLedger], None], attempt: int, number: int
) -> None:
    prepare(ledger)
    before = ledger.operation(OPERATION), consumed(ledger)
    assert not ledger.begin_attempt(OPERATION, attempt, session(number))
    assert (ledger.operation(OPERATION), consumed(ledger)) == before


@breaks("ST-3.3")
def test_of_many_who_begin_one_session_at_once_one_does(ledger: SqliteLedger) -> None:
    approved(ledger)
    assert sum(race(lambda number: ledger.begin_attempt(OPERATION, 1 + number, session(1)))) == 1


def test_a_session_id_of_another_length_is_no_session(ledger: SqliteLedger) -> None:
    approved(ledger)
    with pytest.raises(ValueError, match="32 bytes"):
        ledger.begin_attempt(OPERATION, 1, SessionId(b"short"))


@breaks("ST-3.4")
def test_a_release_is_journalled_for_the_running_attempt_of_what_was_approved(ledger: SqliteLedger) -> None:
    running(ledger)
    assert ledger.release(OPERATION, 2, DIGEST)
    assert ledger.release(OPERATION, 2, DIGEST)
    assert released(ledger)
    ledger.move_operation(OPERATION, [State.RUNNING], State.FAILED, reason="STALLED")
    assert released(ledger)


def rejected_since(ledger: SqliteLedger) -> None:
    running(ledger)
    ledger.record_decision(decision(Verdict.REJECT))


def undecided(ledger: SqliteLedger) -> None:
    ledger.add_operation(replace(operation(), state=State.APPROVED))
    assert ledger.begin_attempt(OPERATION, 2, session(2))


def never_begun(ledger: SqliteLedger) -> None:
    approved(ledger)
    ledger.move_operation(OPERATION, [State.APPROVED], State.RUNNING)


def overtaken(ledger: SqliteLedger) -> None:
    running(ledger)
    assert ledger.begin_attempt(OPERATION, 3, session(3))


def failed(ledger: SqliteLedger) -> None:
    running(ledger)
    ledger.move_operation(OPERATION, [State.RUNNING], State.FAILED)


@breaks("ST-3.4")
@pytest.mark.parametrize(
    ("prepare", "attempt", "digest"),
    [
        pytest.param(lambda _: None, 2, DIGEST, id="unknown operation"),
        pytest.param(approved, 0, DIGEST, id="not running"),
        pytest.param(failed, 2, DIGEST, id="failed meanwhile"),
        pytest.param(running, 1, DIGEST, id="an earlier attempt"),
        pytest.param(running, 3, DIGEST, id="a later attempt"),
        pytest.param(overtaken, 2, DIGEST, id="overtaken by another attempt"),
        pytest.param(never_begun, 0, DIGEST, id="no session consumed"),
        pytest.param(running, 2, b"\x22" * 32, id="another digest"),
        pytest.param(undecided, 2, DIGEST, id="no decision"),
        pytest.param(rejected_since, 2, DIGEST, id="rejected since"),
    ],
)
def test_a_release_is_refused(
    ledger: SqliteLedger, prepare: Callable[[SqliteLedger], None], attempt: int, digest: bytes
) -> None:
    prepare(ledger)
    assert not ledger.release(OPERATION, attempt, digest)
    assert not released(ledger)


@breaks("ST-3.4")
@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.APPROVE])
def test_nothing_is_released_under_any_verdict_but_approve(ledger: SqliteLedger, verdict: Verdict) -> None:
    ledger.add_operation(replace(operation(), state=State.APPROVED))
    ledger.record_decision(decision(verdict))
    assert ledger.begin_attempt(OPERATION, 1, session())
    assert not ledger.release(OPERATION, 1, DIGEST)


@breaks("ST-3.4")
def test_nothing_is_released_for_a_digest_the_journal_does_not_have(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        running(ledger)
    raw_sql(tmp_path / "store.db", "UPDATE operations SET digest = zeroblob(32)")
    with reopen(tmp_path) as ledger:
        assert not ledger.release(OPERATION, 2, DIGEST)
        assert not ledger.release(OPERATION, 2, bytes(32))


@breaks("ST-3.5")
def test_the_last_decision_counts(ledger: SqliteLedger) -> None:
    ledger.add_operation(operation())
    assert ledger.decision(OPERATION) is None
    for verdict in (Verdict.REFUSE, Verdict.APPROVE, Verdict.REJECT):
        ledger.record_decision(decision(verdict))
        assert ledger.decision(OPERATION) == decision(verdict)


@breaks("ST-3.5")
def test_a_decision_about_anything_but_a_journalled_operation_is_refused(ledger: SqliteLedger) -> None:
    with pytest.raises(StoreError, match=f"{OPERATION} is not in the journal"):
        ledger.record_decision(decision())
    ledger.add_operation(operation())
    with pytest.raises(StoreError, match="another digest"):
        ledger.record_decision(decision(digest=b"\x22" * 32))
    assert ledger.decision(OPERATION) is None


@breaks("ST-3.6")
def test_the_first_vote_of_each_voter_stands(ledger: SqliteLedger) -> None:
    ledger.add_operation(operation())
    carol = DeviceId("c" * 24)
    assert ledger.record_vote(OPERATION, BOB, b"approve") == b"approve"
    assert ledger.record_vote(OPERATION, BOB, b"reject") == b"approve"
    assert ledger.record_vote(OPERATION, carol, b"reject") == b"reject"
    assert ledger.votes(OPERATION) == {BOB: b"approve", carol: b"reject"}
    assert ledger.votes(OTHER) == {}


@breaks("ST-3.6")
def test_a_vote_on_an_operation_nobody_proposed_is_refused(ledger: SqliteLedger) -> None:
    with pytest.raises(StoreError, match="not in the journal"):
        ledger.record_vote(OPERATION, BOB, b"approve")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE operations SET state = 'DONE'", f"operations: operation {OPERATION}"),
        ("UPDATE operations SET culprits = '{'", f"operations: operation {OPERATION}"),
        ("UPDATE operations SET attempt = 'one'", f"operations: operation {OPERATION}"),
        ("UPDATE operations SET digest = 'text'", f"operations: operation {OPERATION}"),
        ("UPDATE decisions SET verdict = 'YES'", f"decisions: the decision on operation {OPERATION}"),
        ("UPDATE decisions SET digest = 1", f"decisions: the decision on operation {OPERATION}"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, change: str, named: str) -> None:
    with create(tmp_path) as ledger:
        running(ledger)
    raw_sql(tmp_path / "store.db", change)
    with reopen(tmp_path) as ledger, pytest.raises(Corrupt, match=named):
        ledger.release(OPERATION, 2, DIGEST)


def released(ledger: SqliteLedger) -> bool:
    row = ledger.operation(OPERATION)
    return row is not None and row.released


def consumed(ledger: SqliteLedger) -> int:
    count: int = ledger._database.read(
        lambda c: c.execute("SELECT count(*) FROM consumed_sessions").fetchone()[0]
    )
    return count


def race(act: Callable[[int], bool]) -> list[bool]:
    """What eight threads get that act at once."""
    barrier, got = threading.Barrier(8), [False] * 8

    def run(number: int) -> None:
        barrier.wait()
        got[number] = act(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_what_the_approver_was_asked_stays_with_its_last_decision(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        ledger.add_operation(operation())
        assert ledger.decided_request(OPERATION) == b""
        ledger.record_decision(decision(), request=b'{"first": 1}')
        ledger.record_decision(decision(), request=b'{"second": 2}')
    with reopen(tmp_path) as ledger:
        assert ledger.decided_request(OPERATION) == b'{"second": 2}'
        assert ledger.decided_request(OTHER) == b""


def test_steady_time_is_kept_and_begins_with_nothing(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        assert ledger.kept_time() is None
        ledger.keep_time(KeptTime(steady_ms=NOW, wall_ms=NOW + 5))
        ledger.add_operation(operation())
    with reopen(tmp_path) as ledger:
        assert ledger.kept_time() == KeptTime(steady_ms=NOW, wall_ms=NOW + 5)
        (light,) = ledger.unfinished()
        assert (light.expires_ms, light.ends_ms) == (NOW + 1000, NOW + 900)
        assert ledger.operation(OPERATION) == operation()
