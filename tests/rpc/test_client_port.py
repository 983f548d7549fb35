from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from quorate.ceremony.policies import signed_policy
from quorate.ceremony.ports import Decided, Decision, DecisionRow, State, Verdict
from quorate.ceremony.views import Caller, Cause
from quorate.errors import (
    Bug,
    Denied,
    Diverged,
    Locked,
    PeerError,
    ProtocolAbort,
    QuorateError,
    Stalled,
    UsageError,
)
from quorate.identifiers import DeviceId, OperationId
from quorate.rpc import failures, options
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY, NodeClient
from quorate.rpc.credentials import Credentials
from quorate.rpc.failures import RemoteError
from quorate.rpc.tls import create_identity
from quorate.storage import Grant
from tests.rpc.fake_node import (
    ALICE,
    BOB,
    COLD,
    EXAMINATION,
    FINDINGS,
    OPS,
    POLICY,
    SIGNED_POLICY,
    Served,
    operation,
    secure_channel,
)
from tests.rpc.loopback import PATIENCE, eventually, talk_garbage

SIGN: dict[str, Any] = {
    "vault": "ops",
    "content_type": "text",
    "algorithm": "EDDSA",
    "idempotency_key": "k",
}


async def refusal(call: Awaitable[object]) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        await call
    return caught.value


# --- what crosses ---------------------------------------------------------------------------------------------


async def test_creating_a_vault_crosses_whole(served: Served) -> None:
    async with served.local() as node:
        view = await node.create_vault(
            name="ops",
            weights={"alice": 2, BOB: 1},
            threshold=3,
            allow_sole_signer=True,
            memo="for lunch",
            idempotency_key="key",
            expires_in_ms=5,
        )
    assert view == operation(kind="create-vault", vault=None, state=State.PROPOSED, signatures=())
    assert served.called("create_vault") == [
        (
            Caller(client="local", role="owner"),
            {
                "name": "ops",
                "weights": {"alice": 2, BOB: 1},
                "threshold": 3,
                "allow_sole_signer": True,
                "memo": "for lunch",
                "idempotency_key": "key",
                "expires_in_ms": 5,
            },
        )
    ]


async def test_a_signer_named_twice_is_refused(served: Served) -> None:
    async with served.local() as node:
        error = await refusal(
            node.create_vault(name="ops", weights=[("bob", 1), ("bob", 1)], threshold=2, idempotency_key="k")
        )
    assert (error.code, str(error)) == ("DUPLICATE_SIGNER", "named twice: bob")
    assert not served.api.calls


@pytest.mark.parametrize("weight", [-1, 1 << 32])
async def test_a_weight_no_request_can_carry_is_refused_before_it_is_sent(
    served: Served, weight: int
) -> None:
    async with served.local() as node:
        with pytest.raises(UsageError, match="not a possible request"):
            await node.create_vault(name="x", weights={"bob": weight}, threshold=1, idempotency_key="k")


@pytest.mark.parametrize(("data", "batch"), [([""], False), (["one", "two"], True), ([], True)])
async def test_signing_crosses_whole(served: Served, data: list[str], batch: bool) -> None:
    async with served.enrolled("app", "signer") as node:
        view = await node.sign(data=data, batch=batch, derivation_path="m/1", **SIGN)
    assert view.kind == ("batch-sign" if batch else "sign")
    ((caller, arguments),) = served.called("sign")
    assert caller == Caller(client="app", role="signer")
    assert arguments == SIGN | {"data": data, "batch": batch, "derivation_path": "m/1", "expires_in_ms": None}


async def test_the_views_come_back_as_they_were(served: Served) -> None:
    async with served.enrolled("app", "signer") as node:
        assert await node.vault("ops") == OPS
        assert await node.vaults() == (OPS, COLD)
        assert await node.operation("p" * 24) == operation()
        assert await node.wait("p" * 24, 1.0) == operation()
        assert await node.signatures("p" * 24) == operation().signatures
    served.causes = (
        Cause(code="NO_APPROVER", detail="none"),
        Cause(code="NOT_ENOUGH_WEIGHT", detail="2 of 3", vault=OPS.id),
    )
    async with served.local() as node:
        assert await node.status() == replace(await served.api.status(), not_ready=served.causes)


async def test_a_list_of_operations_leaves_the_signatures_out(served: Served) -> None:
    served.api.operations_held = (operation("p"), operation("q"))
    async with served.enrolled("app", "signer") as node:
        assert await node.operations() == (operation("p", signatures=()), operation("q", signatures=()))
        await node.operations(limit=1)
        await node.operations(limit=100_000)
    assert [arguments["limit"] for _, arguments in served.called("operations")] == [100, 1, 1000]


async def test_signatures_of_an_unfinished_operation_are_not_given(served: Served) -> None:
    served.api.operations_held = (operation(state=State.RUNNING),)
    async with served.enrolled("app", "signer") as node:
        error = await refusal(node.signatures("p" * 24))
    assert error.code == "NOT_COMPLETED"


async def test_waiting_longer_than_one_call_may_is_several_calls(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.rpc.client.MAX_WAIT", 0.02)
    served.api.operations_held = (operation(state=State.RUNNING),)
    async with served.enrolled("app", "signer") as node:
        view = await node.wait("p" * 24, 0.05)
    assert view.state is State.RUNNING
    assert len(served.called("wait")) >= 2


# --- policies ------------------------------------------------------------------------------------------------


async def test_policies_cross_whole(served: Served) -> None:
    async with served.local() as node:
        view = await node.change_policy(
            policy=b"# new\n", vault="ops", version=9, memo="more", idempotency_key="key", expires_in_ms=5
        )
        assert view.kind == "policy-change"
        assert await node.policy() == POLICY
        assert await node.policies() == (SIGNED_POLICY,)
        assert await node.install_policy(signed_policy(SIGNED_POLICY), b"d" * 32) == POLICY
        await node.change_policy(policy=b"# next\n", idempotency_key="key")
    owner = Caller(client="local", role="owner")
    asked = {
        "policy": b"# new\n", "vault": "ops", "version": 9, "memo": "more", "idempotency_key": "key",
        "expires_in_ms": 5,
    }  # fmt: skip
    next_one = {
        **asked,
        "policy": b"# next\n",
        "vault": "",
        "version": None,
        "memo": "",
        "expires_in_ms": None,
    }
    assert served.called("change_policy") == [(owner, asked), (owner, next_one)]
    installed = {"signed": signed_policy(SIGNED_POLICY), "digest": b"d" * 32}
    assert served.called("install_policy") == [(owner, installed)]


# --- pair resets -----------------------------------------------------------------------------------------------


async def test_a_pair_reset_crosses_whole(served: Served) -> None:
    async with served.local() as node:
        view = await node.pair_reset(
            vault="ops", peer="bob", memo="a cheat", idempotency_key="key", expires_in_ms=5
        )
    assert view == operation(kind="pair-reset", state=State.VOTING, signatures=())
    asked = {"vault": "ops", "peer": "bob", "memo": "a cheat", "idempotency_key": "key", "expires_in_ms": 5}
    assert served.called("pair_reset") == [(Caller(client="local", role="owner"), asked)]


async def test_a_transaction_crosses_whole(served: Served) -> None:
    claim = {"asset": "ETH", "amount": "5", "address": "0xbb", "to_vault": "cold"}
    async with served.local() as node:
        view = await node.sign_transaction(
            vault="ops", purpose="transfer-between", data="02c0", content_type="hex", derivation_path="m/1",
            memo="rent", idempotency_key="key", expires_in_ms=5, **claim,
        )  # fmt: skip
        with pytest.raises(UsageError, match="sell is not one of allow-address, "):
            await node.sign_transaction(vault="ops", purpose="sell", data="", idempotency_key="key")
    assert view == operation(kind="transfer-between", state=State.VOTING)
    asked = {
        "vault": "ops", "purpose": "transfer-between", "data": "02c0", "content_type": "hex",
        "derivation_path": "m/1", "memo": "rent", "idempotency_key": "key", "expires_in_ms": 5,
    }  # fmt: skip
    assert served.called("sign_transaction") == [(Caller(client="local", role="owner"), asked | claim)]


# --- failures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "code", "peer", "status"),
    [
        (UsageError("bad"), "INVALID_REQUEST", None, grpc.StatusCode.INVALID_ARGUMENT),
        (UsageError("no", code="UNKNOWN_VAULT"), "UNKNOWN_VAULT", None, grpc.StatusCode.NOT_FOUND),
        (UsageError("off", code="DRAINING"), "DRAINING", None, grpc.StatusCode.UNAVAILABLE),
        (Denied("no", approver="a", rule="r"), "DENIED", None, grpc.StatusCode.PERMISSION_DENIED),
        (PeerError(BOB, "gone"), "UNREACHABLE", BOB, grpc.StatusCode.UNAVAILABLE),
        (ProtocolAbort("KG-1 x", BOB), "PROTOCOL_ABORT", BOB, grpc.StatusCode.ABORTED),
        (ProtocolAbort("KG-1 x", BOB, ALICE), "PROTOCOL_ABORT", None, grpc.StatusCode.ABORTED),
        (Stalled([BOB], "slot"), "STALLED", BOB, grpc.StatusCode.ABORTED),
        (Diverged("slot"), "DIVERGED", None, grpc.StatusCode.ABORTED),
        (Locked("wrong passphrase"), "STORE_LOCKED", None, grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
async def test_a_failure_crosses_with_its_reason_its_words_and_its_peer(
    served: Served, failure: QuorateError, code: str, peer: DeviceId | None, status: grpc.StatusCode
) -> None:
    served.api.failure = failure
    async with served.local() as node:
        error = await refusal(node.status())
    assert (error.code, error.peer, str(error)) == (code, peer, str(failure))
    cause = error.__cause__
    assert isinstance(cause, grpc.aio.AioRpcError)
    assert cause.code() is status


@pytest.mark.parametrize("bug", [Bug("share 0x1234"), KeyError("share 0x1234")])
async def test_a_bug_crosses_without_its_words(served: Served, bug: Exception) -> None:
    served.api.failure = bug
    async with served.local() as node:
        error = await refusal(node.status())
    assert (error.code, str(error)) == ("INTERNAL", "internal error; the node's log has it")


async def test_an_oversize_request_is_refused_by_the_client_and_by_the_node(served: Served) -> None:
    async with served.enrolled("app", "signer") as node:
        error = await refusal(node.sign(data=["x" * (options.CLIENT_BODY_LIMIT + 2000)], **SIGN))
        assert error.code == "TOO_LARGE"
    metadata = ((CLIENT_KEY, "app"), (SECRET_KEY, "secret of app"))
    async with secure_channel(served) as channel:
        call = channel.unary_unary(
            "/quorate.v1.SigningService/Sign",
            request_serializer=lambda body: body,
            response_deserializer=lambda body: body,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(bytes(options.CLIENT_BODY_LIMIT + 2000), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\xff" * 100, metadata=metadata)
    assert not served.called("sign")
    async with served.local() as node:
        assert await node.vaults()


async def test_garbage_on_the_client_port_leaves_the_node_alive(served: Served) -> None:
    await talk_garbage(served.port)
    async with served.enrolled("app", "signer") as node:
        assert await node.vaults()


async def test_a_caller_that_hangs_up_does_not_stop_its_operation_half_way(served: Served) -> None:
    served.api.gate = asyncio.Event()
    finished = asyncio.Event()
    inner: Callable[..., Awaitable[Any]] = served.api.sign

    async def sign(caller: Caller, **arguments: Any) -> Any:
        view = await inner(caller, **arguments)
        finished.set()
        return view

    served.api.sign = sign  # type: ignore[method-assign]
    async with served.enrolled("app", "signer") as node:
        call = asyncio.create_task(node.sign(data=["x"], **SIGN))
        await eventually(lambda: bool(served.called("sign")))
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    served.api.gate.set()
    async with asyncio.timeout(PATIENCE):
        await finished.wait()


# --- reaching it ----------------------------------------------------------------------------------------------


async def test_a_node_that_does_not_run_is_said_not_to(served: Served, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="start it with `quorate run`") as caught:
        NodeClient.local(tmp_path)
    assert caught.value.code == "UNREACHABLE"
    credentials = served.credentials("app", "x")
    await served.stop()
    async with NodeClient.remote(credentials) as node:
        error = await refusal(node.vaults())
    assert error.code == "UNREACHABLE"
    assert credentials.endpoint in str(error)


async def test_a_socket_left_by_a_killed_node_is_said_to_be_dead_and_taken_over(served: Served) -> None:
    await served.stop()
    path = served.home / "quorate.sock"
    listener = await asyncio.start_unix_server(lambda _, __: None, path)
    listener.close()
    path.touch()
    async with served.local() as node:
        assert (await refusal(node.status())).code == "UNREACHABLE"
    await served.start()
    async with served.local() as node:
        assert await node.status()


async def test_the_socket_of_a_running_node_is_not_taken(served: Served) -> None:
    second = Served(served.home)
    with pytest.raises(UsageError, match="another node answers"):
        await second.start()
    async with served.local() as node:
        assert await node.status()


async def test_the_socket_is_its_owners_only_and_gone_after_a_stop(served: Served) -> None:
    path = served.home / "quorate.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await served.stop()
    assert not path.exists()


async def test_a_home_too_deep_for_a_socket_is_refused_by_name(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.raises(UsageError, match="choose a shorter home"):
        await Served(deep).start()


async def test_another_certificate_than_the_credentials_one_is_not_spoken_to(served: Served) -> None:
    served.book.enrol("app", Grant("signer"))
    impostor = create_identity(ALICE)
    credentials = replace(served.credentials("app", "secret of app"), ca_pem=impostor.certificate_pem)
    async with NodeClient.remote(credentials) as node:
        assert (await refusal(node.vaults())).code == "WRONG_CERTIFICATE"
    assert served.book.checks == 0


def test_credentials_are_written_for_their_owner_only_and_never_over_a_file(tmp_path: Path) -> None:
    credentials = Credentials(endpoint="h:1", client_id="app", secret="s3", ca_pem="PEM")
    path = tmp_path / "app.json"
    credentials.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Credentials.load(path) == credentials
    assert "s3" not in repr(credentials)
    with pytest.raises(UsageError, match="cannot write"):
        credentials.save(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"endpoint": "h:1"}', "\udcff"])
def test_a_file_that_is_no_credentials_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"bad\.json is not a credentials file"):
        Credentials.load(path)


# --- admin, health, reflection ----------------------------------------------------------------------------------


async def test_clients_are_kept_through_the_admin_service(served: Served) -> None:
    async with served.local() as node:
        credentials = await node.add_client("app", [Grant("signer", ("ops",))])
        assert credentials == Credentials(
            endpoint="node:7200", client_id="app", secret="secret of app", ca_pem="PEM"
        )
        await node.add_client("everything", [Grant("admin"), Grant("signer")])
        assert list(await node.clients()) == list(served.book.clients())
        await node.revoke_client("app")
        assert [client.id for client in await node.clients()] == ["everything"]
        assert (await refusal(node.revoke_client("app"))).code == "UNKNOWN_CLIENT"


async def test_decisions_cross_whole_and_page_by_page(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.rpc.client.PAGE", 2)
    said = Decision(
        verdict=Verdict.REJECT, approver="policy", rule="PO-2.1 rules: few", explanation="too many"
    )
    served.book.decisions = [
        Decided(
            number=number,
            row=DecisionRow(
                operation=OperationId("p" * 24), digest=bytes(range(32)), decision=said, at_ms=number * 10
            ),
            effect=b'{"kind": "sign"}',
            counts=number % 2 == 0,
        )
        for number in range(1, 6)
    ]
    async with served.local() as node:
        assert [each async for each in node.decided(since_ms=20)] == served.book.decisions[1:]
        assert [each async for each in node.decided(since_ms=60)] == []


async def test_a_card_that_does_not_read_is_refused_by_the_node(served: Served) -> None:
    async with served.local() as node:
        assert (await refusal(node.add_peer("nonsense"))).code == "INVALID_CARD"


def test_the_error_info_of_another_domain_is_not_ours() -> None:
    theirs = failures.metadata_of(grpc.StatusCode.ABORTED, "X", "x")
    assert theirs[0][0] == failures.DETAILS_KEY
    foreign = theirs[0][1].replace(b"quorate", b"another")
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.ABORTED,
        grpc.aio.Metadata(),
        grpc.aio.Metadata((failures.DETAILS_KEY, foreign)),
        None,
        None,
    )
    assert failures.info_of(error) is None


async def test_findings_cross_as_they_are(served: Served) -> None:
    async with served.local() as node:
        assert await node.try_approver() == FINDINGS


async def test_an_examination_crosses_as_it_is(served: Served) -> None:
    async with served.local() as node:
        assert await node.examine() == EXAMINATION
