"""What a call to a node can come to, other than an answer.

QuorateError
  UsageError          the call could not be made as it was given; nothing was sent
  RemoteError         what the node said instead of an answer; ``code`` is its reason (docs/reference/reasons.md)
    Unavailable       it did not answer, or is stopping: what was asked may have been done
    Throttled         too often, or too much at once; ``retry_after`` seconds, where it says so
    Unauthenticated   the credentials are wrong, revoked or over
    NotAllowed        the client's roles or vaults do not include that
    NotFound          there is no such vault, operation, peer or client
  NotSigned           the operation has no signatures: it ended otherwise, or has not ended
"""

from __future__ import annotations

from quorate.ceremony.views import OperationView
from quorate.errors import QuorateError
from quorate.rpc import failures
from quorate.rpc.failures import RemoteError


class Unavailable(RemoteError):
    pass


class Throttled(RemoteError):
    pass


class Unauthenticated(RemoteError):
    pass


class NotAllowed(RemoteError):
    pass


class NotFound(RemoteError):
    pass


class NotSigned(QuorateError):
    """``operation`` is as it was when that was found out; its ``state``, ``reason`` and ``detail`` say why."""

    reason = "NOT_COMPLETED"

    def __init__(self, operation: OperationView) -> None:
        why = ": ".join(filter(None, (str(operation.state), operation.reason, operation.detail)))
        super().__init__(f"operation {operation.id} has no signatures ({why})")
        self.operation = operation


KINDS: dict[str, type[RemoteError]] = {
    failures.UNREACHABLE: Unavailable,
    failures.TIMEOUT: Unavailable,
    "DRAINING": Unavailable,
    failures.RATE_LIMITED: Throttled,
    failures.BUSY: Throttled,
    failures.UNAUTHENTICATED: Unauthenticated,
    failures.NOT_ALLOWED: NotAllowed,
}


def typed(error: RemoteError) -> RemoteError:
    """The same failure as the class that its reason code belongs to."""
    kind = KINDS.get(error.code) or (NotFound if error.code.startswith("UNKNOWN_") else RemoteError)
    return kind(error.code, str(error), error.peer, retry_after=error.retry_after)
