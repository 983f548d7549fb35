"""From what happens in the layers below to figures, by the seams they have: they know nothing of it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import ApprovalRequest, Approver, Clock, Decision, Ledger, OperationRow, State
from quorate.ceremony.statements import Proposal, Signed
from quorate.identifiers import Curve, OperationId
from quorate.node.metrics import Metrics
from quorate.operations.kinds import BatchSign, Kind, PairReset, PolicyChange, Sign
from quorate.wire.codec import decode

REMEMBERED = 10_000  # operations
WAITING = frozenset({State.PROPOSED, State.VOTING})

log = structlog.get_logger()


@dataclass(slots=True)
class Phase:
    name: str
    since: float


class OperationWatch:
    """Called with each operation that came in or changed: counts it, times its phases. ``then`` hears it too. From the
    event loop only."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        metrics: Metrics,
        *,
        then: Callable[[OperationId], None] | None = None,
    ) -> None:
        self._ledger, self._clock, self._metrics, self._then = ledger, clock, metrics, then
        self._open: OrderedDict[OperationId, Phase] = OrderedDict()
        self._ended: OrderedDict[OperationId, None] = OrderedDict()

    def __call__(self, operation: OperationId) -> None:
        """Figures must not stop what they count: a failure here is a line in the log."""
        try:
            if self._then is not None:
                self._then(operation)
            row = self._ledger.operation(operation)
            if row is not None and operation not in self._ended:
                self._see(row)
        except Exception:
            log.exception("operation not counted", operation=operation)

    def _see(self, row: OperationRow) -> None:
        now, kind = self._clock.monotonic(), Kind(row.kind)
        phase = self._open.get(row.id)
        if phase is None:
            self._metrics.began(kind)
            # one that was under way before this start has no beginning to count from
            phase = self._open[row.id] = Phase("voting" if row.state in WAITING else "", now)
            _bound(self._open)
        if row.state in WAITING:
            return
        if phase.name == "voting":
            self._measure(kind, phase, now)
            phase.name, phase.since = "running", now
        if row.state in FINAL:
            if phase.name == "running" and row.attempt:
                self._measure(kind, phase, now)
            del self._open[row.id]
            self._ended[row.id] = None
            _bound(self._ended)
            self._metrics.ended(kind, curve_of(row), row.state, row.reason)

    def _measure(self, kind: Kind, phase: Phase, now: float) -> None:
        self._metrics.phases.labels(kind=kind.value, phase=phase.name).observe(now - phase.since)


def curve_of(row: OperationRow) -> str:
    """The curve an operation is about; "both" for one that makes keys."""
    request = decode(Proposal, decode(Signed, row.proposal).body).operation.request
    match request:
        case Sign() | BatchSign():
            return request.signing.algorithm.curve.value
        case PolicyChange():
            return Curve.ED25519.value
        case PairReset():
            return Curve.SECP256K1.value
        case _:
            return "both"


def _bound(held: OrderedDict[OperationId, Phase] | OrderedDict[OperationId, None]) -> None:
    while len(held) > REMEMBERED:
        held.popitem(last=False)


class WatchedApprover:
    """An approver, and what it last said."""

    def __init__(self, approver: Approver, clock: Clock, metrics: Metrics) -> None:
        self._approver, self._clock, self._metrics = approver, clock, metrics
        self.last: Decision | None = None
        self.last_at = 0.0  # on the monotonic clock

    @property
    def name(self) -> str:
        return self._approver.name

    def exchange(self, approver: Approver) -> None:
        """Ask another one from now on; who is being asked already answers."""
        self._approver, self.last = approver, None

    async def decide(self, request: ApprovalRequest) -> Decision:
        started = self._clock.monotonic()
        approver = self._approver
        decision, ended = await approver.decide(request), self._clock.monotonic()
        if approver is self._approver:
            self.last, self.last_at = decision, ended
        verdict = decision.verdict.name.lower()
        self._metrics.approvals.labels(approver=approver.name, verdict=verdict).inc()
        self._metrics.approval_seconds.labels(approver=approver.name).observe(ended - started)
        return decision


class CommitWatch:
    """Times commits of the store by the calls around them, all from the store's writer. ``then`` hears them too."""

    def __init__(self, metrics: Metrics, then: Callable[[str], None] | None = None) -> None:
        self._metrics, self._then = metrics, then
        self._started: float | None = None

    def __call__(self, point: str) -> None:
        if self._then is not None:
            self._then(point)
        if point.startswith("before:"):
            self._started = time.perf_counter()
        elif self._started is not None:  # a group of changes has one commit, and each change calls
            self._metrics.commits.observe(time.perf_counter() - self._started)
            self._started = None
