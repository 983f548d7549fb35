"""The approver that is asked over gRPC, against servers that answer soundly, wrongly, late, by halves or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from quorate.approval.options import GrpcOptions
from quorate.ceremony.ports import Decision, Verdict
from quorate.errors import UsageError
from quorate.rpc._pb import approver_pb2, approver_pb2_grpc
from quorate.rpc.approver import GrpcApprover
from tests.approval.asking import REQUEST
from tests.approval.authorities import Authority
from tests.approval.facts import ALICE
from tests.rules import breaks

Answer = Callable[[approver_pb2.DecideRequest, Any], Awaitable[approver_pb2.DecideResponse]]


def honest(question: approver_pb2.DecideRequest, **changes: Any) -> approver_pb2.DecideResponse:
    fields = {"verdict": approver_pb2.VERDICT_APPROVE, "digest": question.digest, "nonce": question.nonce}
    return approver_pb2.DecideResponse(**{**fields, **changes})


def answering(**changes: Any) -> Answer:
    async def answer(question: approver_pb2.DecideRequest, _: Any) -> approver_pb2.DecideResponse:
        return honest(question, **changes)

    return answer


class Service(approver_pb2_grpc.ApproverServiceServicer):
    """Answers with the scripts in turn, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.questions = list(answers), list[approver_pb2.DecideRequest]()

    async def Decide(self, request: approver_pb2.DecideRequest, context: Any) -> approver_pb2.DecideResponse:
        self.questions.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request, context)


@asynccontextmanager
async def served(
    *answers: Answer, tls: grpc.ServerCredentials | None = None
) -> AsyncIterator[tuple[Service, str]]:
    service, server = Service(*answers), grpc.aio.server()
    approver_pb2_grpc.add_ApproverServiceServicer_to_server(service, server)
    port = server.add_secure_port("localhost:0", tls) if tls else server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield service, f"localhost:{port}" if tls else f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def ask(address: str, **changes: Any) -> Decision:
    options: dict[str, Any] = {"address": address, "plaintext": True, "timeout": 20, "tries": 1, "backoff": 0}
    approver = GrpcApprover.made(GrpcOptions(**{**options, **changes}), ALICE)
    return await approver.decide(REQUEST)


@breaks("AG-1.6")
@pytest.mark.parametrize(
    ("verdict", "meant"),
    [
        (approver_pb2.VERDICT_APPROVE, Verdict.APPROVE),
        (approver_pb2.VERDICT_REJECT, Verdict.REJECT),
        (approver_pb2.VERDICT_ABSTAIN, Verdict.ABSTAIN),
    ],
)
async def test_a_sound_answer_is_the_verdict(verdict: int, meant: Verdict) -> None:
    async with served(answering(verdict=verdict, explanation="since\n" + "x" * 2000)) as (service, address):
        decision = await ask(address)
    assert (decision.verdict, decision.approver, decision.rule) == (meant, "grpc", "AG-1.6 answer")
    assert "\n" not in decision.explanation
    assert len(decision.explanation) < 1100
    [question] = service.questions
    assert (question.operation, question.digest, question.device) == (
        REQUEST.operation,
        REQUEST.digest,
        ALICE,
    )
    assert (question.route, question.expires_ms) == (REQUEST.route, REQUEST.expires_ms)
    assert question.request.encode() == REQUEST.encoded()
    assert len(question.nonce) == 16


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        pytest.param({"nonce": b""}, "AG-1.3 nonce", id="half an answer"),
        ({"nonce": bytes(16)}, "AG-1.3 nonce"),
        ({"digest": b""}, "AG-1.4 digest"),
        ({"digest": bytes(32)}, "AG-1.4 digest"),
        ({"verdict": approver_pb2.VERDICT_UNSPECIFIED}, "AG-1.5 verdict"),
        ({"verdict": 4}, "AG-1.5 verdict"),
        ({"verdict": -1}, "AG-1.5 verdict"),
    ],
)
@breaks("AG-1.3", "AG-1.4", "AG-1.5")
async def test_an_unsound_answer_is_a_refusal_and_not_asked_for_again(
    changes: dict[str, Any], rule: str
) -> None:
    async with served(answering(**changes), answering()) as (service, address):
        decision = await ask(address, tries=3)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, rule)
    assert len(service.questions) == 1


def failing(code: grpc.StatusCode) -> Answer:
    async def answer(_: approver_pb2.DecideRequest, context: Any) -> approver_pb2.DecideResponse:
        await context.abort(code, "because")
        raise AssertionError

    return answer


async def hangs(question: approver_pb2.DecideRequest, _: Any) -> approver_pb2.DecideResponse:
    await asyncio.sleep(60)
    return honest(question)


@breaks("AG-1.2")
@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.CANCELLED]
)
async def test_a_failure_is_a_refusal_and_not_asked_about_again(code: grpc.StatusCode) -> None:
    async with served(failing(code), answering()) as (service, address):
        decision = await ask(address, tries=3)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AG-1.2 status")
    assert code.name in decision.explanation
    assert len(service.questions) == 1


@breaks("AG-1.1")
async def test_an_approver_that_hangs_is_given_up_and_asked_again() -> None:
    async with served(hangs, answering()) as (service, address):
        once = await ask(address, timeout=0.3)
        assert (once.verdict, once.rule) == (Verdict.REFUSE, "AG-1.1 unanswered")
    async with served(hangs, answering()) as (service, address):
        assert (await ask(address, timeout=2, tries=2)).verdict is Verdict.APPROVE
        nonces = {question.nonce for question in service.questions}
        assert len(nonces) == 2


@breaks("AG-1.1")
async def test_an_approver_that_is_down_for_a_moment_is_asked_again() -> None:
    async with served(failing(grpc.StatusCode.UNAVAILABLE), answering()) as (service, address):
        assert (await ask(address, tries=2)).verdict is Verdict.APPROVE
        assert len(service.questions) == 2


@breaks("AG-1.1")
async def test_an_approver_that_is_down_is_a_refusal() -> None:
    async with served(answering()) as (_, address):
        pass
    decision = await ask(address, timeout=2, tries=2)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AG-1.1 unanswered")


@breaks("AG-1.1")
@pytest.mark.parametrize(
    "garbage", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
async def test_garbage_half_an_answer_and_silence_are_refusals(garbage: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        await writer.drain()
        await reader.read(1000)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        decision = await ask(f"127.0.0.1:{port}", timeout=1)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AG-1.1 unanswered")


async def test_an_answer_that_is_too_long_is_a_refusal() -> None:
    async with served(answering(explanation="x" * 100_000)) as (_, address):
        assert (await ask(address)).verdict is Verdict.REFUSE


# --- TLS --------------------------------------------------------------------------------------------------------------


async def test_tls_is_by_the_named_authority_and_both_ways(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server, client = ours.issue("localhost"), theirs.issue("node")
    tls = grpc.ssl_server_credentials(
        [(server.key.read_bytes(), server.certificate.read_bytes())],
        root_certificates=theirs.file.read_bytes(), require_client_auth=True,
    )  # fmt: skip
    shown = {"client_certificate": client.certificate, "client_key": client.key}
    async with served(answering(), tls=tls) as (_, address):
        good = await ask(address, plaintext=False, ca_file=ours.file, **shown)
        assert good.verdict is Verdict.APPROVE
        for changes in (
            {"ca_file": theirs.file, **shown},
            {"ca_file": ours.file},
            {"ca_file": ours.file, "server_name": "elsewhere.example", **shown},
        ):
            refused = await ask(address, plaintext=False, timeout=3, **changes)
            assert (refused.verdict, refused.rule) == (Verdict.REFUSE, "AG-1.1 unanswered"), changes


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    options = GrpcOptions(address="approver.example:443", ca_file=tmp_path / "absent.pem")
    with pytest.raises(UsageError, match=r"ca_file: .*absent\.pem"):
        GrpcApprover.made(options, ALICE)
