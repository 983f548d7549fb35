"""The one table between our exceptions and gRPC statuses, and google.rpc.ErrorInfo around it.

To a client cross the reason code, the message and the peer concerned; to a peer only the reason code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from quorate.errors import (
    Aborted,
    ConsumedError,
    Corrupt,
    Denied,
    EncodingError,
    PeerError,
    QuorateError,
    StoreError,
    UsageError,
)
from quorate.identifiers import DeviceId

DOMAIN = "quorate"
DETAILS_KEY = "grpc-status-details-bin"

UNAUTHENTICATED = "UNAUTHENTICATED"
UNREACHABLE = "UNREACHABLE"
TIMEOUT = "TIMEOUT"
TOO_LARGE = "TOO_LARGE"
BUSY = "BUSY"
INTERNAL = "INTERNAL"
UNKNOWN_CERTIFICATE = "UNKNOWN_CERTIFICATE"
WRONG_CERTIFICATE = "WRONG_CERTIFICATE"
NOT_COMPLETED = "NOT_COMPLETED"
NOT_ALLOWED = "NOT_ALLOWED"
NOT_A_PEER = "NOT_A_PEER"
REFUSED = "REFUSED"
RATE_LIMITED = "RATE_LIMITED"
ENCODING = "ENCODING"

# The first class that fits decides; what is in no row is our own fault.
TABLE: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (UsageError, grpc.StatusCode.INVALID_ARGUMENT),
    (EncodingError, grpc.StatusCode.INVALID_ARGUMENT),
    (Denied, grpc.StatusCode.PERMISSION_DENIED),
    (PeerError, grpc.StatusCode.UNAVAILABLE),
    (Aborted, grpc.StatusCode.ABORTED),
    (Corrupt, grpc.StatusCode.DATA_LOSS),
    (StoreError, grpc.StatusCode.FAILED_PRECONDITION),
    (ConsumedError, grpc.StatusCode.FAILED_PRECONDITION),
)
# Usage errors that have a status of their own.
NARROWED = {
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    NOT_COMPLETED: grpc.StatusCode.FAILED_PRECONDITION,
    "NO_RECEIPT": grpc.StatusCode.FAILED_PRECONDITION,
    UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UNKNOWN_CERTIFICATE: grpc.StatusCode.PERMISSION_DENIED,
}


class RemoteError(QuorateError):
    """What a node answered instead of a result, or that it did not answer.

    ``code`` is the stable reason (UNREACHABLE if no node answered), ``peer`` the device concerned, if one is,
    ``retry_after`` the seconds after which the node says to try again, if it does.
    """

    reason = "REMOTE_ERROR"

    def __init__(
        self, code: str, message: str, peer: DeviceId | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.peer, self.retry_after = code, peer, retry_after


def reason_of(error: BaseException) -> str:
    """The stable upper-case code of any failure; INTERNAL for what is not one of ours."""
    if isinstance(error, QuorateError):
        code = getattr(error, "code", None)
        return code if isinstance(code, str) else error.reason
    return ENCODING if isinstance(error, EncodingError) else INTERNAL


def status_of(error: BaseException) -> grpc.StatusCode:
    if isinstance(error, UsageError):
        code = error.code
        if code in NARROWED:
            return NARROWED[code]
        if code.startswith("UNKNOWN_"):
            return grpc.StatusCode.NOT_FOUND
    return next((code for kind, code in TABLE if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def peer_of(error: BaseException) -> DeviceId | None:
    """The one device a failure is about, where it is about one."""
    if isinstance(error, PeerError | RemoteError):
        return error.peer
    concerned = getattr(error, "waiting_on", None) or (error.culprits if isinstance(error, Aborted) else ())
    return next(iter(concerned)) if len(concerned) == 1 else None


def message_of(error: BaseException) -> str:
    """What a client is told. Of a bug nothing but that it is one: its text may hold anything."""
    if isinstance(error, QuorateError | EncodingError):
        return str(error)
    return "internal error; the node's log has it"


def metadata_of(
    status: grpc.StatusCode,
    reason: str,
    message: str,
    peer: DeviceId | None = None,
    *,
    retry_after: float | None = None,
) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that carries ``google.rpc.Status`` with its ErrorInfo, and RetryInfo where the caller should
    wait for ``retry_after`` seconds."""
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain=DOMAIN, metadata={"peer": peer} if peer is not None else {}
    )
    packed = any_pb2.Any()
    packed.Pack(info)
    details = [packed]
    if retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(retry_after * 1000))
        details.append(any_pb2.Any())
        details[-1].Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    number: int = status.value[0]
    rich = status_pb2.Status(code=number, message=message, details=details)
    return ((DETAILS_KEY, rich.SerializeToString()),)


def is_stranger(details: str) -> bool:
    """Whether a dialled server showed another certificate than ours for it: gRPC says so only in its words."""
    return "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    """The ErrorInfo a failed call carries, if it is one of ours."""
    for packed in _details_of(error):
        info = error_details_pb2.ErrorInfo()
        if packed.Unpack(info) and info.domain == DOMAIN:
            return info
    return None


def retry_after_of(error: grpc.aio.AioRpcError) -> float | None:
    """The seconds after which a failed call says to try again, if it does."""
    for packed in _details_of(error):
        retry = error_details_pb2.RetryInfo()
        if packed.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds() / 1000)
    return None


def _details_of(error: grpc.aio.AioRpcError) -> Sequence[any_pb2.Any]:
    trailing = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in trailing:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return tuple(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return ()
    return ()
