"""Pages, watches and a person's decisions across the client port and the socket."""

from __future__ import annotations

import pytest

from quorate.ceremony.ports import Verdict
from quorate.ceremony.views import Caller
from quorate.errors import Bug
from tests.rpc.fake_node import ASKED, COLD, OPS, Served, operation
from tests.rpc.test_client_port import refusal


async def test_a_long_list_comes_in_pages(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.rpc.client.PAGE", 2)
    served.api.operations_held = tuple(operation(letter, signatures=()) for letter in "pqrst")
    async with served.local() as node:
        for ask, name in ((node.operations, "operations"), (node.pending, "pending")):
            assert await ask() == served.api.operations_held
            assert await ask(limit=3) == served.api.operations_held[:3]
            assert [(a["limit"], a["after"][:1]) for _, a in served.called(name)] == [
                (2, ""), (2, "q"), (2, "s"), (2, ""), (1, "q"),
            ]  # fmt: skip


async def test_what_an_approver_was_asked_and_a_decision_cross_whole(served: Served) -> None:
    async with served.local() as node:
        assert await node.asked("p" * 24) == ASKED
        for verdict in ("approve", "reject", "abstain"):
            view = await node.decide("p" * 24, digest=b"d" * 32, verdict=verdict, reason="why not")
            assert view == operation()
    local = Caller(client="local", role="owner")
    assert served.called("decide") == [
        (local, {"operation": "p" * 24, "digest": b"d" * 32, "verdict": verdict, "reason": "why not"})
        for verdict in (Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN)
    ]


async def test_no_verdict_and_a_long_reason_are_no_decision(served: Served) -> None:
    async with served.local() as node:
        for verdict, reason in (("", ""), ("approve", "x" * 1001)):
            error = await refusal(node.decide("p" * 24, digest=bytes(32), verdict=verdict, reason=reason))
            assert error.code == "INVALID_REQUEST"
    assert not served.called("decide")


async def test_a_watch_is_a_stream_that_ends_or_says_why(served: Served) -> None:
    served.api.operations_held = (operation("p"), operation("q", vault=COLD.id))
    async with served.enrolled("app", "signer", ["ops"]) as node:
        assert [view.id[0] async for view in node.watch(every=True)] == ["p"]
        assert [view.id[0] async for view in node.watch(vault="ops")] == ["p", "q"]
        for watched in (node.watch(vault="cold"), node.watch(operation="q" * 24)):
            error = await refusal(anext(watched))
            assert error.code == "NOT_ALLOWED"
        assert (await refusal(anext(node.watch()))).code == "INVALID_REQUEST"
        served.api.failure = Bug("secret words")
        error = await refusal(anext(node.watch(every=True)))
    assert error.code == "INTERNAL"
    assert "secret" not in str(error)
    assert [arguments for _, arguments in served.called("watch")][1] == {"operation": "", "vault": OPS.id}
