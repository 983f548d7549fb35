"""The Python library: what it sends, what it does again, and what its failures are."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from quorate.ceremony.ports import State, Verdict
from quorate.client import (
    AsyncNode,
    Node,
    NotAllowed,
    NotFound,
    NotSigned,
    RemoteError,
    Throttled,
    Unauthenticated,
    Unavailable,
    UsageError,
)
from quorate.client.errors import KINDS
from quorate.errors import Denied, QuorateError
from quorate.reasons import REASONS
from quorate.rpc.limits import RateLimited
from quorate.storage import Grant
from tests.rpc.conftest import served
from tests.rpc.fake_node import OPS, FakeNode, Served, operation

__all__ = ["served"]


@pytest.fixture
async def node(served: Served) -> AsyncIterator[AsyncNode]:
    secret = served.book.enrol("app", Grant("signer"))
    async with AsyncNode.connect(served.credentials("app", secret), patience=20.0) as connected:
        yield connected


def failing(api: FakeNode, name: str, *failures: Exception) -> None:
    """Have the node answer that call with these failures first, after it has done it."""
    left, inner = list(failures), getattr(api, name)

    async def call(*arguments: Any, **named: Any) -> Any:
        answer = await inner(*arguments, **named)
        if left:
            raise left.pop(0)
        return answer

    setattr(api, name, call)


AWAY = UsageError("stopping", code="DRAINING")


async def test_a_signature_is_asked_for_under_a_fresh_key_each_time(served: Served, node: AsyncNode) -> None:
    for _ in range(2):
        await node.sign("ops", "hello", path="m/0", expires_in=1.5)
    await node.sign("ops", b"\x00\xff", algorithm="ES256K", idempotency_key="mine")
    await node.sign_batch("ops", ["a", "b"])
    asked = [dict(arguments) for _, arguments in served.called("sign")]
    keys = [arguments.pop("idempotency_key") for arguments in asked]
    assert len(set(keys)) == 4
    assert keys[2] == "mine"
    common = {
        "vault": "ops",
        "derivation_path": "",
        "expires_in_ms": None,
        "batch": False,
        "algorithm": "EDDSA",
    }
    hello: dict[str, object] = common | {
        "data": ["hello"],
        "content_type": "text/plain",
        "derivation_path": "m/0",
    }
    hello["expires_in_ms"] = 1500
    assert asked == [
        hello,
        hello,
        common | {"data": ["00ff"], "content_type": "application/octet-stream+hex", "algorithm": "ES256K"},
        common | {"data": ["a", "b"], "content_type": "text/plain", "batch": True},
    ]  # fmt: skip


async def test_messages_of_two_kinds_are_refused_before_anything_is_sent(
    served: Served, node: AsyncNode
) -> None:
    for call in (
        node.sign_batch("ops", ["a", b"b"]),
        node.sign("ops", b"a", content_type="text/plain"),
    ):
        with pytest.raises(UsageError, match="all text or all bytes"):
            await call
    assert not served.called("sign")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("sign", lambda node: node.sign("ops", "hello")),
        ("sign", lambda node: node.sign_batch("ops", ["hello"])),
        ("cancel", lambda node: node.cancel("p" * 24)),
        ("wait", lambda node: node.wait("p" * 24, timeout=0.0)),
        ("operation", lambda node: node.operation("p" * 24)),
        ("operations", lambda node: node.operations()),
        ("asked", lambda node: node.asked("p" * 24)),
        ("vault", lambda node: node.vault("ops")),
    ],
)
async def test_what_got_no_answer_is_asked_again_in_the_same_words(
    served: Served, node: AsyncNode, name: str, call: Callable[[AsyncNode], Awaitable[object]]
) -> None:
    failing(served.api, name, AWAY, RateLimited("slow down", retry_after=0.01))
    await call(node)
    said = [str(arguments) for _, arguments in served.called(name)]
    assert len(said) >= 3
    assert len(set(said)) == 1


async def test_a_vault_is_created_and_a_person_decides_through_a_node_that_is_away_for_a_while(
    served: Served,
) -> None:
    async with AsyncNode.local(served.home) as owner:
        failing(served.api, "create_vault", AWAY)
        await owner.create_vault("ops", {"alice": 2, "bob": 1}, 3, memo="why")
        failing(served.api, "decide", AWAY)
        await owner.decide("p" * 24, "reject", digest=bytes(32), reason="no")
        assert await owner.pending() != ()
    one, again = [arguments for _, arguments in served.called("create_vault")]
    assert one == again
    assert (one["weights"], one["threshold"], one["memo"]) == ({"alice": 2, "bob": 1}, 3, "why")
    assert [arguments["verdict"] for _, arguments in served.called("decide")] == [Verdict.REJECT] * 2


async def test_a_node_that_stays_away_is_given_up(served: Served) -> None:
    secret = served.book.enrol("app", Grant("signer"))
    async with AsyncNode.connect(served.credentials("app", secret), patience=0.0) as node:
        failing(served.api, "sign", AWAY)
        with pytest.raises(Unavailable) as caught:
            await node.sign("ops", "hello")
        assert caught.value.code == "DRAINING"
        await served.stop()
        with pytest.raises(Unavailable) as caught:
            await node.vaults()
        assert caught.value.code == "UNREACHABLE"
    assert len(served.called("sign")) == 1


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (UsageError("no", code="NOT_ALLOWED"), NotAllowed),
        (UsageError("no", code="UNKNOWN_VAULT"), NotFound),
        (UsageError("no"), RemoteError),
        (Denied("no", approver="a", rule="r"), RemoteError),
    ],
)
async def test_a_refusal_is_said_at_once_by_its_kind_and_code(
    served: Served, node: AsyncNode, failure: QuorateError, kind: type[RemoteError]
) -> None:
    served.api.failure = failure
    with pytest.raises(RemoteError) as caught:
        await node.sign("ops", "hello")
    assert type(caught.value) is kind
    assert caught.value.code == getattr(failure, "code", failure.reason)
    assert len(served.called("sign")) == 1


async def test_a_wait_longer_than_the_patience_is_said_with_the_wait(served: Served, node: AsyncNode) -> None:
    served.api.failure = RateLimited("slow down", retry_after=3600)
    with pytest.raises(Throttled) as caught:
        await node.sign("ops", "hello")
    assert caught.value.retry_after == 3600


async def test_wrong_credentials_are_said_to_be(served: Served) -> None:
    async with AsyncNode.connect(served.credentials("app", "wrong")) as node:
        with pytest.raises(Unauthenticated):
            await node.vaults()


def test_the_codes_that_errors_are_told_apart_by_are_reason_codes() -> None:
    assert set(KINDS) <= set(REASONS)


async def test_signatures_come_once_they_are_made_or_the_reason_why_not(
    served: Served, node: AsyncNode
) -> None:
    assert await node.signed("p" * 24) == operation().signatures
    for state in (State.RUNNING, State.REJECTED):
        served.api.operations_held = (operation(state=state, reason="DENIED", detail="bob said no"),)
        with pytest.raises(NotSigned, match="bob said no") as caught:
            await node.signed("p" * 24, timeout=0.0)
        assert caught.value.operation.state is state


async def test_a_watch_goes_on_after_the_node_was_away_and_tells_nothing_twice(
    served: Served, node: AsyncNode
) -> None:
    views = [operation(state=state) for state in (State.VOTING, State.RUNNING, State.COMPLETED)]
    watched = 0

    async def watch(*_: object, **__: object) -> AsyncIterator[object]:
        nonlocal watched
        watched += 1
        if watched == 2:
            raise AWAY
        for view in views[:1] if watched == 1 else views:
            yield view
        if watched == 1:
            raise AWAY

    served.api.watch = watch  # type: ignore[method-assign,assignment]
    assert [view.state async for view in node.watch(operation="p" * 24)][-2:] == [
        State.RUNNING,
        State.COMPLETED,
    ]
    assert watched == 3
    served.api.failure = None
    with pytest.raises(NotFound):
        await anext(node.watch(operation="z" * 24))
    assert await node.vaults() != ()
    assert await node.vault("ops") == OPS


def test_both_forms_of_a_node_have_the_same_calls() -> None:
    def calls(form: type) -> dict[str, list[tuple[str, object, object]]]:
        return {
            name: [
                (each.name, each.kind, each.default) for each in inspect.signature(call).parameters.values()
            ]
            for name, call in inspect.getmembers(form, callable)
            if not name.startswith("_")
        }

    assert calls(Node) == calls(AsyncNode)
    assert {
        "create_vault",
        "sign",
        "sign_batch",
        "signed",
        "operation",
        "operations",
        "watch",
        "wait",
        "cancel",
    } <= set(calls(Node))


async def test_a_node_that_waits_is_not_for_an_event_loop(served: Served) -> None:
    with pytest.raises(UsageError, match="use AsyncNode"):
        Node.connect(served.credentials("app", "secret"))


async def test_each_of_many_is_an_operation_of_its_own_under_a_key_of_its_own(
    served: Served, node: AsyncNode
) -> None:
    asked = await node.sign_each("ops", ["one", "two", "three"], idempotency_key="order 7")
    assert len(asked) == 3
    said = sorted((dict(call) for _, call in served.called("sign")), key=lambda call: call["idempotency_key"])
    assert [call["idempotency_key"] for call in said] == ["order 7/0", "order 7/1", "order 7/2"]
    assert [call["data"] for call in said] == [["one"], ["two"], ["three"]]
    assert not any(call["batch"] for call in said)


async def test_of_many_apart_one_that_cannot_be_asked_for_does_not_keep_the_others(
    served: Served, node: AsyncNode
) -> None:
    failing(served.api, "sign", UsageError("not this one", code="BATCH_SIZE"))
    with pytest.raises(RemoteError, match="not this one"):
        await node.sign_each("ops", ["one", "two"])
    assert len(served.called("sign")) == 2
    with pytest.raises(UsageError, match="all text or all bytes"):
        await node.sign_each("ops", ["one", b"two"])
    assert len(served.called("sign")) == 2
