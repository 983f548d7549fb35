"""From a service's descriptor to its handlers. Every call is received (whose, whether, how many) before its request is
read off the wire, and its failure is mapped.

What serves a call is ``async def get_vault(permit, request) -> answer`` and knows no gRPC.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from quorate.errors import EncodingError, QuorateError, UsageError
from quorate.rpc import failures
from quorate.rpc.access import Permit
from quorate.rpc.auth import Arrival
from quorate.rpc.reception import Reception, Visit
from quorate.storage.audit import acting

log = structlog.get_logger()

READ_PATIENCE = 20.0  # seconds until a caller that was let in has sent its request
QUIET = frozenset(
    {failures.RATE_LIMITED}
)  # refusals that would let a flood of calls become a flood of log lines

Context = grpc.aio.ServicerContext[Any, Any]
Serve = Callable[[Permit, Any], Awaitable[Message]]
Stream = Callable[[Permit, Any], AsyncIterator[Message]]
Refused = Callable[[str], None]
T = TypeVar("T")

_unfinished: set[asyncio.Task[Any]] = set()


def handlers(
    service: ServiceDescriptor, servant: object, reception: Reception, refused: Refused = lambda _: None
) -> grpc.GenericRpcHandler[Any, Any]:
    """Every method of the service, served by the servant's coroutine of that name in snake case. ``refused`` hears the
    reason of every call that did not get past the reception."""
    methods = {}
    for method in service.methods:
        serve = getattr(servant, snake_case(method.name))
        answer = GetMessageClass(method.output_type).SerializeToString
        # A handler of streams reads its request itself, so a call that is refused sends it to nobody.
        if method.server_streaming:
            streamed = _guarded_stream(method, serve, reception, refused)
            methods[method.name] = grpc.stream_stream_rpc_method_handler(streamed, None, answer)
        else:
            answered = _guarded(method, serve, reception, refused)
            methods[method.name] = grpc.stream_unary_rpc_method_handler(answered, None, answer)
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def who(permit: Permit) -> str:
    """As the audit chain says it."""
    caller = permit.caller()
    return f"{caller.client} ({caller.role})"


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _guarded(
    method: MethodDescriptor, serve: Serve, reception: Reception, refused: Refused
) -> Callable[[object, Context], Awaitable[Message]]:
    form = GetMessageClass(method.input_type)

    async def call(_: object, context: Context) -> Message:
        inside = False
        try:
            async with reception.receive(method.full_name, arrival_of(context)) as visit:
                inside = True
                request = await _request(context, form)
                visit.require_welcome()  # who was revoked while its request was on the way asks for nothing
                acting.set(who(visit.permit))
                answer = await serve(visit.permit, request)
                visit.require_welcome()
                return answer
        except Exception as error:
            if not inside:
                refused(failures.reason_of(error))
            await _abort(method, context, error)
            raise AssertionError("abort returned") from error

    return call


def _guarded_stream(
    method: MethodDescriptor, serve: Stream, reception: Reception, refused: Refused
) -> Callable[[object, Context], AsyncIterator[Message]]:
    form = GetMessageClass(method.input_type)

    async def call(_: object, context: Context) -> AsyncIterator[Message]:
        inside = False
        try:
            async with reception.receive(method.full_name, arrival_of(context)) as visit:
                inside = True
                request = await _request(context, form)
                visit.require_welcome()
                acting.set(who(visit.permit))
                async with aclosing(serve(visit.permit, request)) as answers:  # type: ignore[type-var] # is a generator
                    async for answer in while_welcome(visit, answers):
                        yield answer
        except Exception as error:
            if not inside:
                refused(failures.reason_of(error))
            await _abort(method, context, error)

    return call


async def _request(context: Context, form: type[Message]) -> Message:
    """The one message of a request."""
    try:
        async with asyncio.timeout(READ_PATIENCE):
            body = await context.read()
    except TimeoutError:
        raise UsageError("the request did not come", code=failures.TIMEOUT) from None
    if not isinstance(body, bytes):
        raise EncodingError("the call carries no request")
    try:
        return form.FromString(body)
    except DecodeError:
        raise EncodingError(f"the request is no {form.DESCRIPTOR.full_name}") from None


async def while_welcome(visit: Visit, answers: AsyncIterator[T]) -> AsyncIterator[T]:
    """The answers, until the visitor is dismissed; ``UsageError`` then, whether there is another answer or not."""
    dismissed = asyncio.ensure_future(visit.dismissed.wait())
    step = asyncio.ensure_future(_next(answers))
    try:
        while True:
            await asyncio.wait({step, dismissed}, timeout=visit.left, return_when=asyncio.FIRST_COMPLETED)
            visit.require_welcome()
            if step.done():
                got = step.result()
                if not got:
                    return
                yield got[0]
                step = asyncio.ensure_future(_next(answers))
    finally:
        dismissed.cancel()
        step.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await step


async def _next(answers: AsyncIterator[T]) -> tuple[T, ...]:
    """The next one alone, or nothing at the end."""
    try:
        return (await anext(answers),)
    except StopAsyncIteration:
        return ()


async def _abort(method: MethodDescriptor, context: Context, failure: Exception) -> None:
    reason = failures.reason_of(failure)
    if reason in QUIET:
        log.debug("call refused", method=method.full_name, reason=reason)
    elif isinstance(failure, QuorateError | EncodingError):
        log.info("call refused", method=method.full_name, reason=reason)
    else:
        log.error("bug in a call", method=method.full_name, exc_info=failure)
    await refuse(context, failure)


async def refuse(context: Context, failure: Exception) -> None:
    """End the call with what a caller may know of the failure."""
    reason, peer = failures.reason_of(failure), failures.peer_of(failure)
    status, message = failures.status_of(failure), failures.message_of(failure)
    wait = getattr(failure, "retry_after", None)
    await context.abort(
        status, message, failures.metadata_of(status, reason, message, peer, retry_after=wait)
    )


def arrival_of(context: Context) -> Arrival:
    """Of the metadata the first value of each key: a second secret is not a second try."""
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found.setdefault(key, value)
    shown = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return Arrival(metadata=found, peer=context.peer(), certificate_pem=shown)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that goes on although its caller hangs up: it is not stopped between two of its steps."""
    task = asyncio.get_running_loop().create_task(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    # Where the caller has hung up, nobody asks how it ended.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)
