"""What a node counts and measures, for Prometheus. Every name and label is here; ``docs/reference/metrics.md`` is made
of it.

Label values are this node's own words: what a peer makes up never becomes one (``reasons.known``), so that there are as
many series as there are peers, vaults, kinds and reason codes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import UnknownMetricFamily
from prometheus_client.registry import Collector

from quorate.ceremony.ports import State
from quorate.operations.kinds import TRANSACTIONS, Kind
from quorate.reasons import known

PHASE_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)
ANSWER_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 600, 3600, 86400)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
STALL = 0.05  # seconds the event loop may be late before it counts as a stall

disable_created_metrics()  # type: ignore[no-untyped-call]  # one series less for each of ours, and they say only when the node started

RESULTS = {State.COMPLETED: "succeeded", State.REJECTED: "denied"}  # any other end: failed
FAMILIES = {
    "Tx": ("transaction signing", frozenset({Kind.SIGN, Kind.BATCH_SIGN}) | TRANSACTIONS),
    "Keygen": ("key generation", frozenset({Kind.CREATE_VAULT})),
    "Reshare": ("reshares and refreshes", frozenset({Kind.RESHARE})),
}


class Metrics:
    """One node's, in a registry of its own. Safe to use from any thread."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        peer, vault = ("peer",), ("vault", "name")
        self.ceremonies = Counter(
            "quorate_ceremonies", "Operations that ended on this node. Each is counted once, at its first end.",
            ("kind", "curve", "result", "reason"), registry=registry,
        )  # fmt: skip
        self.phases = Histogram(
            "quorate_ceremony_seconds",
            "How long operations spent voting (until approved, or running where this node is not the proposer) "
            "and running (from then to the end).",
            ("kind", "phase"), buckets=PHASE_SECONDS, registry=registry,
        )  # fmt: skip
        self.unfinished = Gauge(
            "quorate_operations_unfinished", "Operations in no final state.", registry=registry
        )
        self.sessions = Gauge("quorate_sessions", "Sessions that run at this moment.", registry=registry)
        self.peer_up = Gauge("quorate_peer_up", "1 while a link to the peer is up.", peer, registry=registry)
        self.peer_rtt = Gauge(
            "quorate_peer_rtt_seconds", "Round trip of the last probe on the link.", peer, registry=registry
        )
        self.peer_clock = Gauge(
            "quorate_peer_clock_offset_seconds", "How far the peer's clock is ahead of ours.", peer,
            registry=registry,
        )  # fmt: skip
        self.audit = Gauge("quorate_audit_records", "Records in this node's audit chain.", registry=registry)
        self.peer_audit = Gauge(
            "quorate_peer_audit_records",
            "The highest record of the peer's audit chain that this node holds a signed head of.", peer,
            registry=registry,
        )  # fmt: skip
        self.peer_audit_doubt = Gauge(
            "quorate_peer_audit_doubt",
            "1 while the peer's audit chain is not what it showed before: its store was set back, or it signed two.",
            peer, registry=registry,
        )  # fmt: skip
        self.approvals = Counter(
            "quorate_approvals", "What this node's approver said; refuse is no usable answer.",
            ("approver", "verdict"), registry=registry,
        )  # fmt: skip
        self.approval_seconds = Histogram(
            "quorate_approval_seconds", "How long the approver took.", ("approver",), buckets=ANSWER_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.vault_epoch = Gauge(
            "quorate_vault_epoch", "The epoch this node holds of the vault.", vault, registry=registry
        )
        self.vault_online = Gauge(
            "quorate_vault_online_weight", "Weight of the signers that are connected and level, with our own.", vault,
            registry=registry,
        )  # fmt: skip
        self.vault_threshold = Gauge(
            "quorate_vault_threshold", "Weight needed to sign.", vault, registry=registry
        )
        self.vault_ready = Gauge(
            "quorate_vault_ready", "1 while the vault can be signed with here.", vault, registry=registry
        )
        self.backup_epoch = Gauge(
            "quorate_backup_epoch", "The newest epoch of the vault that the backup folder has a file of by this node.",
            vault, registry=registry,
        )  # fmt: skip
        self.backup_made = Gauge(
            "quorate_backup_made_timestamp_seconds",
            "When that file was made, Unix time.",
            vault,
            registry=registry,
        )
        self.device_backup_made = Gauge(
            "quorate_device_backup_made_timestamp_seconds",
            "When the newest file of this device, as its card and its peers' are now, was made, Unix time; 0 if there"
            " is none.",
            registry=registry,
        )  # fmt: skip
        self.vault_quarantined = Gauge(
            "quorate_vault_quarantined", "1 while this node takes no part in the vault, by cause.",
            (*vault, "cause"), registry=registry,
        )  # fmt: skip
        self.peer_set_back = Gauge(
            "quorate_peer_set_back",
            "1 while a peer's store is known to be an old copy.",
            peer,
            registry=registry,
        )
        self.not_ready = Gauge(
            "quorate_not_ready", "1 for each reason for which the node or a vault is not ready.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self.refusals = Counter(
            "quorate_client_refusals",
            "Calls on the client port that got no further than the door: RATE_LIMITED, UNAUTHENTICATED, NOT_ALLOWED or "
            "BUSY.",
            ("reason",), registry=registry,
        )  # fmt: skip
        self.commits = Histogram(
            "quorate_store_commit_seconds", "How long a commit took to be on disk.", buckets=COMMIT_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.lag = Histogram(
            "quorate_event_loop_lag_seconds", "How late the event loop came back to a timer.", buckets=LAG_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.stalls = Counter(
            "quorate_event_loop_stalls", f"Times the event loop was over {STALL * 1000:.0f} ms late.",
            registry=registry,
        )  # fmt: skip
        self.certificate_ends = Gauge(
            "quorate_certificate_end_timestamp_seconds",
            "When a certificate ends (Unix time; those of a node itself in the year 9999): what the peer or the client "
            "port shows here, and what stands on each peer's card.",
            ("port", "name"), registry=registry,
        )  # fmt: skip
        self.clock_jumps = Counter(
            "quorate_clock_jumps",
            "Times this machine's wall clock was set by a second or more, or the machine slept (forward).",
            ("direction",), registry=registry,
        )  # fmt: skip
        self.requests = Requests()
        registry.register(self.requests)

    def began(self, kind: Kind) -> None:
        self.requests.count(kind, "")

    def refused(self, reason: str) -> None:
        self.refusals.labels(reason=known(reason)).inc()

    def ended(self, kind: Kind, curve: str, state: State, reason: str) -> None:
        """An operation came to its first end here."""
        result = RESULTS.get(state, "failed")
        code = "" if state is State.COMPLETED else known(reason)
        self.ceremonies.labels(kind=kind.value, curve=curve, result=result, reason=code).inc()
        self.requests.count(kind, "Successful" if result == "succeeded" else "Failed")


class Requests(Collector):
    """Counters under the names that dashboards of virtual signers know, which have no suffix ``_total``."""

    def __init__(self) -> None:
        self.starts = 0
        self._lock = threading.Lock()
        self._counts = {name: 0 for name, _ in self._names()}

    def count(self, kind: Kind, result: str) -> None:
        """``result`` is empty for a request that came in, or Successful, or Failed."""
        with self._lock:
            for family, (_, kinds) in FAMILIES.items():
                if kind in kinds:
                    self._counts[f"{family}Requests{result}Counter"] += 1

    def collect(self) -> Iterator[UnknownMetricFamily]:
        yield UnknownMetricFamily("VSStart", "Times this node has started.", self.starts)
        for name, text in self._names():
            yield UnknownMetricFamily(name, text, self._counts[name])

    @staticmethod
    def _names() -> Iterator[tuple[str, str]]:
        for family, (what, _) in FAMILIES.items():
            yield f"{family}RequestsCounter", f"Requests for {what} that came to this node since it started."
            yield f"{family}RequestsSuccessfulCounter", f"Those for {what} that succeeded."
            yield f"{family}RequestsFailedCounter", f"Those for {what} that ended otherwise."
