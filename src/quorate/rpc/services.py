"""From a service's descriptor to its handlers: every call is identified, authorised, counted and its failure mapped.

What serves a call is ``async def get_vault(client, request) -> answer`` and knows no gRPC.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from quorate.errors import EncodingError, QuorateError
from quorate.rpc import failures
from quorate.rpc.auth import Gate, Turnstile, authorise
from quorate.storage import Client

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
Serve = Callable[[Client, Any], Awaitable[Message]]
T = TypeVar("T")

_unfinished: set[asyncio.Task[Any]] = set()


def handlers(service: ServiceDescriptor, servant: object, gate: Gate) -> grpc.GenericRpcHandler[Any, Any]:
    """Every method of the service, served by the servant's coroutine of that name in snake case."""
    turnstile = Turnstile()
    methods = {}
    for method in service.methods:
        serve = getattr(servant, snake_case(method.name))
        forms = (
            GetMessageClass(method.input_type).FromString,
            GetMessageClass(method.output_type).SerializeToString,
        )
        if method.server_streaming:
            streamed = _guarded_stream(method, serve, gate, turnstile)
            methods[method.name] = grpc.unary_stream_rpc_method_handler(streamed, *forms)
        else:
            answered = _guarded(method, serve, gate, turnstile)
            methods[method.name] = grpc.unary_unary_rpc_method_handler(answered, *forms)
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _guarded(
    method: MethodDescriptor, serve: Serve, gate: Gate, turnstile: Turnstile
) -> Callable[[Message, Context], Awaitable[Message]]:
    async def call(request: Message, context: Context) -> Message:
        try:
            client = await gate.identify(_text_metadata(context))
            authorise(client, method.full_name)
            with turnstile.passing(client):
                return await serve(client, request)
        except Exception as error:
            await _abort(method, context, error)
            raise AssertionError("abort returned") from error

    return call


def _guarded_stream(
    method: MethodDescriptor,
    serve: Callable[[Client, Any], AsyncIterator[Message]],
    gate: Gate,
    turnstile: Turnstile,
) -> Callable[[Message, Context], AsyncIterator[Message]]:
    async def call(request: Message, context: Context) -> AsyncIterator[Message]:
        try:
            client = await gate.identify(_text_metadata(context))
            authorise(client, method.full_name)
            with turnstile.passing(client):
                async with aclosing(serve(client, request)) as answers:  # type: ignore[type-var] # is a generator
                    async for answer in answers:
                        yield answer
        except Exception as error:
            await _abort(method, context, error)

    return call


async def _abort(method: MethodDescriptor, context: Context, failure: Exception) -> None:
    if isinstance(failure, QuorateError | EncodingError):
        log.info("call refused", method=method.full_name, reason=failures.reason_of(failure))
    else:
        log.error("bug in a call", method=method.full_name, exc_info=failure)
    status, message = failures.status_of(failure), failures.message_of(failure)
    reason, peer = failures.reason_of(failure), failures.peer_of(failure)
    await context.abort(status, message, failures.metadata_of(status, reason, message, peer))


def _text_metadata(context: Context) -> dict[str, str]:
    """The first value of each key: a second secret is not a second try."""
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found.setdefault(key, value)
    return found


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that goes on although its caller hangs up: it is not stopped between two of its steps."""
    task = asyncio.get_running_loop().create_task(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    # Where the caller has hung up, nobody asks how it ended.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)
