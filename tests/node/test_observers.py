"""What happens is counted once, under labels of our own words."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from prometheus_client import generate_latest

from quorate.ceremony.ports import ApprovalRequest, Decision, Ledger, OperationRow, State, Verdict
from quorate.identifiers import DeviceId, OperationId
from quorate.node import observers
from quorate.node.metrics import Metrics
from quorate.node.observers import CommitWatch, OperationWatch, WatchedApprover
from tests.ceremony.world import Says, SteadyClock

ROW = OperationRow(
    id=OperationId("o" * 24), digest=bytes(32), kind="sign", vault=None, proposer=DeviceId("a" * 24), proposal=b"",
    state=State.VOTING, created_ms=0, expires_ms=0, ends_ms=0,
)  # fmt: skip


class Journal:
    """The one method of a ledger that is asked for."""

    def __init__(self) -> None:
        self.row: OperationRow | None = ROW

    def operation(self, operation: OperationId) -> OperationRow | None:
        if self.row is not None and self.row.state is State.CANCELLED:
            raise OSError("the disk")
        return self.row


class Case:
    def __init__(self) -> None:
        self.journal, self.metrics, self.clock = Journal(), Metrics(), SteadyClock()
        self.watch = OperationWatch(cast("Ledger", self.journal), self.clock, self.metrics)

    def see(self, state: State, **changes: str | int) -> None:
        self.journal.row = replace(ROW, state=state, **changes)  # type: ignore[arg-type]
        self.watch(ROW.id)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(observers, "curve_of", lambda _: "ed25519")
    return Case()


def test_an_operation_is_counted_and_timed_once_however_often_it_is_announced(case: Case) -> None:
    case.see(State.VOTING)
    case.see(State.VOTING)
    case.clock.ahead_s += 7
    case.see(State.APPROVED, attempt=0)
    case.see(State.RUNNING, attempt=1)
    case.clock.ahead_s += 3
    case.see(State.COMPLETED, attempt=1)
    case.see(State.COMPLETED, attempt=1)
    labels = {"kind": "sign", "curve": "ed25519", "result": "succeeded", "reason": ""}
    assert case.value("quorate_ceremonies_total", **labels) == 1
    assert case.value("TxRequestsCounter") == case.value("TxRequestsSuccessfulCounter") == 1
    assert 7 <= case.value("quorate_ceremony_seconds_sum", kind="sign", phase="voting") < 8
    assert 3 <= case.value("quorate_ceremony_seconds_sum", kind="sign", phase="running") < 4


def test_a_signature_that_turns_up_after_the_end_is_not_counted_again(case: Case) -> None:
    case.see(State.VOTING)
    case.see(State.FAILED, reason="STALLED", attempt=1)
    case.see(State.COMPLETED, attempt=1)
    assert case.value("TxRequestsFailedCounter") == 1
    assert case.value("TxRequestsSuccessfulCounter") == 0


@pytest.mark.parametrize(
    ("state", "reason", "result", "label"),
    [
        (State.REJECTED, "NOT_APPROVED", "denied", "NOT_APPROVED"),
        (State.EXPIRED, "EXPIRED", "failed", "EXPIRED"),
        (State.FAILED, "STALLED", "failed", "STALLED"),
        (State.FAILED, "A_PEER_S_OWN_WORDS", "failed", "OTHER"),
        (State.FAILED, 'x"} 1\nTxRequestsCounter 9', "failed", "OTHER"),
    ],
)
def test_an_end_has_a_result_and_a_reason_of_our_own_table(
    case: Case, state: State, reason: str, result: str, label: str
) -> None:
    case.see(state, reason=reason)
    assert (
        case.value("quorate_ceremonies_total", kind="sign", curve="ed25519", result=result, reason=label) == 1
    )
    assert reason == label or reason.encode() not in generate_latest(case.metrics.registry)


def test_an_operation_that_was_refused_by_vote_never_ran(case: Case) -> None:
    case.see(State.VOTING)
    case.see(State.REJECTED, reason="NOT_APPROVED")
    assert case.value("quorate_ceremony_seconds_count", kind="sign", phase="voting") == 1
    assert case.value("quorate_ceremony_seconds_count", kind="sign", phase="running") == 0


def test_an_operation_from_before_this_start_has_no_time_to_vote(case: Case) -> None:
    case.see(State.RUNNING, attempt=1)
    case.see(State.COMPLETED, attempt=2)
    assert case.value("quorate_ceremony_seconds_count", kind="sign", phase="voting") == 0
    assert case.value("TxRequestsCounter") == 1


def test_what_cannot_be_counted_stops_nobody(case: Case) -> None:
    case.see(State.CANCELLED)
    case.journal.row = None
    case.watch(ROW.id)
    assert case.value("TxRequestsCounter") == 0


def test_only_so_many_operations_are_remembered(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "REMEMBERED", 3)
    for number in range(10):
        for state in (State.VOTING, State.COMPLETED):
            case.journal.row = replace(ROW, id=OperationId(f"{number:024}"), state=state)
            case.watch(case.journal.row.id)
    assert len(case.watch._ended) == 3
    assert not case.watch._open


async def test_an_approver_s_answers_are_counted_and_the_last_one_kept(case: Case) -> None:
    says = Says()
    watched = WatchedApprover(says, case.clock, case.metrics)
    request = cast("ApprovalRequest", None)
    for verdict in (Verdict.APPROVE, Verdict.REFUSE, Verdict.REFUSE):
        says.verdict = verdict
        decision: Decision = await watched.decide(request)
        assert decision.verdict is verdict
    assert watched.last is decision
    assert case.value("quorate_approvals_total", approver="says", verdict="refuse") == 2
    assert case.value("quorate_approvals_total", approver="says", verdict="approve") == 1
    assert case.value("quorate_approval_seconds_count", approver="says") == 3


def test_a_commit_is_timed_once_for_all_the_changes_in_it(case: Case) -> None:
    told: list[str] = []
    watch = CommitWatch(case.metrics, told.append)
    points = ["before:a", "before:b", "after:a", "after:b", "before:c", "after:c"]
    for point in points:
        watch(point)
    assert case.value("quorate_store_commit_seconds_count") == 2
    assert told == points


def test_each_node_has_a_registry_of_its_own(case: Case) -> None:
    other = Case()
    case.see(State.VOTING)
    assert (case.value("TxRequestsCounter"), other.value("TxRequestsCounter")) == (1, 0)
