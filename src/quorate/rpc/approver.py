"""The approver that is asked over gRPC: quorate.approval.v1.ApproverService. docs/spec/approval.md, Over gRPC (AG).

It lives here because gRPC does; the node puts it among the others.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import grpc

from quorate.approval.options import GrpcOptions
from quorate.approval.tries import Unanswered, asked
from quorate.ceremony.ports import ApprovalRequest, Decision, Verdict
from quorate.errors import Denied, UsageError
from quorate.identifiers import DeviceId
from quorate.rpc._pb import approver_pb2, approver_pb2_grpc
from quorate.rpc.options import target

NAME = "grpc"
MAX_ANSWER = 64 << 10
MAX_EXPLANATION = 1000

_VERDICTS = MappingProxyType(
    {
        approver_pb2.VERDICT_APPROVE: Verdict.APPROVE,
        approver_pb2.VERDICT_REJECT: Verdict.REJECT,
        approver_pb2.VERDICT_ABSTAIN: Verdict.ABSTAIN,
    }
)
_AGAIN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcApprover:
    """Up to ``tries`` tries of ``timeout`` seconds each, connecting included, ``backoff`` seconds and then twice as
    long as before between them. Each has a connection and a nonce of its own."""

    device: DeviceId
    address: str
    credentials: grpc.ChannelCredentials | None
    server_name: str
    timeout: float
    tries: int
    backoff: float

    @classmethod
    def made(cls, options: GrpcOptions, device: DeviceId) -> Self:
        """``UsageError`` names the file that cannot be read."""
        return cls(
            device=device, address=options.address, credentials=_credentials(options),
            server_name=options.server_name, timeout=options.timeout, tries=options.tries, backoff=options.backoff,
        )  # fmt: skip

    @property
    def name(self) -> str:
        return NAME

    async def decide(self, request: ApprovalRequest) -> Decision:
        return await asked(lambda: self._ask(request), tries=self.tries, backoff=self.backoff)

    async def _ask(self, request: ApprovalRequest) -> Decision:
        question = approver_pb2.DecideRequest(
            operation=request.operation, digest=request.digest, nonce=secrets.token_bytes(16), device=self.device,
            route=request.route, request=request.encoded().decode(), expires_ms=request.expires_ms,
        )  # fmt: skip
        channel = self._channel()
        try:
            # gRPC's own limit does not cover a connection that is taken and left alone.
            async with asyncio.timeout(self.timeout):
                decide = approver_pb2_grpc.ApproverServiceStub(channel).Decide
                answer: approver_pb2.DecideResponse = await decide(question, timeout=self.timeout)
        except TimeoutError:
            raise self._unanswered(f"no answer within {self.timeout:g} s") from None
        except grpc.aio.AioRpcError as error:
            if error.code() in _AGAIN:
                raise self._unanswered(f"no answer ({error.code().name})") from None
            raise _denied(
                "AG-1.2 status", f"{self.address}: the approver failed: {error.code().name}"
            ) from None
        finally:
            await channel.close(None)
        return self._decision(request, question, answer)

    def _decision(
        self,
        request: ApprovalRequest,
        question: approver_pb2.DecideRequest,
        answer: approver_pb2.DecideResponse,
    ) -> Decision:
        if answer.nonce != question.nonce:
            raise _denied("AG-1.3 nonce", "the answer's nonce is not the question's")
        if answer.digest != request.digest:
            raise _denied("AG-1.4 digest", "the answer is for another operation digest than the question")
        if answer.verdict not in _VERDICTS:
            raise _denied("AG-1.5 verdict", f"the answer's verdict is {int(answer.verdict)}, which is none")
        verdict = _VERDICTS[answer.verdict]
        said = ascii(answer.explanation[:MAX_EXPLANATION])[1:-1]
        explanation = f"the approver says {verdict.name.lower()}" + (f": {said}" if said else "")
        return Decision(verdict=verdict, approver=NAME, rule="AG-1.6 answer", explanation=explanation)

    def _channel(self) -> grpc.aio.Channel:
        arguments: list[tuple[str, int | str]] = [
            ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", MAX_ANSWER),
        ]  # fmt: skip
        if self.credentials is None:
            return grpc.aio.insecure_channel(target(self.address), options=arguments)
        if self.server_name:
            arguments.append(("grpc.ssl_target_name_override", self.server_name))
        return grpc.aio.secure_channel(target(self.address), self.credentials, options=arguments)

    def _unanswered(self, why: str) -> Unanswered:
        return Unanswered(f"{self.address}: {why}", approver=NAME, rule="AG-1.1 unanswered")


def _denied(rule: str, why: str) -> Denied:
    return Denied(why, approver=NAME, rule=rule)


def _credentials(options: GrpcOptions) -> grpc.ChannelCredentials | None:
    if options.plaintext:
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_read(options.ca_file, "ca_file"),
        private_key=_read(options.client_key, "client_key"),
        certificate_chain=_read(options.client_certificate, "client_certificate"),
    )


def _read(path: Path | None, option: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"approver.grpc.{option}: {path}: {error.strerror}") from None
