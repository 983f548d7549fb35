"""``quorate status`` says whether the node is ready, and if not, why."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from quorate.ceremony.views import Cause, NodeStatus
from quorate.cli.node import status_record, status_text
from tests.rpc.fake_node import ALICE, BOB, OPS

STATUS = NodeStatus(
    device=ALICE, name="alice", version="1", started_ms=0, boot=1, peers={BOB: False}, vaults=(OPS,), unfinished=0
)  # fmt: skip
CAUSES = (
    Cause(code="NO_APPROVER", detail="no approver [is] configured"),
    Cause(code="NOT_ENOUGH_WEIGHT", detail="online weight 2 of 3 needed", vault=OPS.id),
)


def shown(status: NodeStatus) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(status_text(status))
    return captured.get()


def test_a_ready_node_says_so() -> None:
    assert status_record(STATUS)["ready"] is True
    assert "ready" in shown(STATUS)
    assert "not ready" not in shown(STATUS)


def test_every_reason_is_shown_with_its_code_and_its_vault() -> None:
    status = replace(STATUS, not_ready=CAUSES)
    assert status_record(status)["ready"] is False
    assert status_record(status)["not_ready"] == [
        {"code": "NO_APPROVER", "detail": "no approver [is] configured", "vault": None},
        {"code": "NOT_ENOUGH_WEIGHT", "detail": "online weight 2 of 3 needed", "vault": OPS.id},
    ]
    text = shown(status)
    assert "no approver [is] configured NO_APPROVER" in text
    assert "vault ops: online weight 2 of 3 needed NOT_ENOUGH_WEIGHT" in text
    assert "vault ops not ready" in text.splitlines()[0]
