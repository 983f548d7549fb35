"""What a node says to anybody: whether it is well, and nothing else."""

from __future__ import annotations

import contextlib

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from quorate.rpc._pb import admin_pb2, node_pb2, peer_pb2, types_pb2
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY
from quorate.rpc.node_server import SERVICES
from quorate.storage import Grant
from tests.rpc.fake_node import Served, secure_channel
from tests.rpc.loopback import PATIENCE


def every_method() -> list[str]:
    """Of every service this program has a descriptor of, whoever serves it, and of health and reflection."""
    files = (admin_pb2, node_pb2, peer_pb2, types_pb2, health_pb2, reflection_pb2)
    services = [each for file in files for each in file.DESCRIPTOR.services_by_name.values()]
    return [f"/{service.full_name}/{method.name}" for service in services for method in service.methods]


@pytest.mark.parametrize("who", [(), ((CLIENT_KEY, "app"), (SECRET_KEY, "wrong"))])
async def test_a_stranger_may_ask_for_health_and_call_nothing_else_of_anything(
    served: Served, who: tuple[tuple[str, str], ...]
) -> None:
    served.book.enrol("app", Grant("admin"))
    answers: dict[str, grpc.StatusCode] = {}
    async with secure_channel(served) as channel:
        for method in every_method():
            # Not by a stream of requests: where the refusal comes before one is written, the client's library calls
            # it an internal error of its own and hides what the server said.
            call = channel.unary_stream(method, bytes, bytes)(b"", metadata=who, timeout=PATIENCE)
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
            answers[method] = await call.code()
    assert len(answers) > sum(len(service.methods) for service in SERVICES.values()) + 10
    health = "/grpc.health.v1.Health/Check"
    assert answers.pop(health) is grpc.StatusCode.OK
    refused = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)
    assert {method: code for method, code in answers.items() if code not in refused} == {}
    assert not served.api.calls


async def test_health_is_told_to_anyone_and_changes(served: Served) -> None:
    assert served.server is not None
    async with secure_channel(served) as channel:
        check = health_pb2_grpc.HealthStub(channel)
        for service in ("", "quorate.v1.SigningService"):
            await served.server.set_serving(service, True)
        for service in ("", "quorate.v1.SigningService"):
            answer = await check.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await served.server.set_serving("vault/ops", False)
        answer = await check.Check(health_pb2.HealthCheckRequest(service="vault/ops"))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await check.Watch(health_pb2.HealthCheckRequest()).read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_reflection_is_on_the_socket_only(served: Served) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    async def listed(channel: grpc.aio.Channel) -> set[str]:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
        answer = await call.read()
        return {service.name for service in answer.list_services_response.service}

    async with grpc.aio.insecure_channel(f"unix:{served.home}/quorate.sock") as channel:
        assert {service.full_name for service in SERVICES.values()} < await listed(channel)
    async with secure_channel(served) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
