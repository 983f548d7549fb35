"""What fast means here: each goal, and the figure that it is held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]
Reading: TypeAlias = Callable[[Line], float]

LIGHT: Line = {"weights": [1, 1, 1], "threshold": 2}
HEAVY: Line = {"weights": [499, 307, 194], "threshold": 501}


def median(line: Line) -> float:
    return float(line["median"])


def seconds(line: Line) -> float:
    return float(line["median"]) / 1000


def per_second(line: Line) -> float:
    """Signatures, where a run makes ``messages`` of them."""
    return 1000 * int(line["parameters"].get("messages", 1)) / float(line["median"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """``limit`` is the most that ``read`` may come to or, where ``least``, the least. The figure is the one of this
    name whose parameters include ``parameters``."""

    what: str
    name: str
    parameters: Line = field(default_factory=dict)
    limit: float
    stretch: float | None = None
    unit: str = "ms"
    read: Reading = median
    least: bool = False

    def fits(self, line: Line) -> bool:
        return (
            line["name"] == self.name and self.parameters.items() <= dict(line.get("parameters", {})).items()
        )

    def met(self, value: float, bound: float) -> bool:
        return value >= bound if self.least else value <= bound


def _signing(scheme: str, signers: int, limit: float, stretch: float | None = None) -> Goal:
    """Held against the run with the other libraries in it."""
    return Goal(
        what=f"{scheme} signature, computing of {signers} signers",
        name="peers/sign",
        parameters={"library": "Quorate", "scheme": scheme, "signers": signers},
        limit=limit,
        stretch=stretch,
    )


def _throughput(algorithm: str, limit: float, stretch: float) -> Goal:
    return Goal(
        what=f"Daemons: throughput, 32 in flight, {SHOWN[algorithm]}",
        name="node/sign throughput",
        parameters={"algorithm": algorithm, "in_flight": 32},
        limit=limit,
        stretch=stretch,
        unit="per second",
        read=per_second,
        least=True,
    )


def _batch(algorithm: str, limit: float) -> Goal:
    return Goal(
        what=f"Daemons: one batch of 100, {SHOWN[algorithm]}",
        name="node/batch sign",
        parameters={"algorithm": algorithm, "messages": 100},
        limit=limit,
        unit="per second",
        read=per_second,
        least=True,
    )


def _latency(algorithm: str, limit: float, stretch: float) -> Goal:
    return Goal(
        what=f"Daemons: a whole signature, {SHOWN[algorithm]}, p50",
        name="node/sign",
        parameters={"algorithm": algorithm, **LIGHT},
        limit=limit,
        stretch=stretch,
    )


def _by_weight(curve: str) -> Goal:
    return Goal(
        what=f"Signing, weights (499, 307, 194) T=501 over (1, 1, 1) T=2, {curve.upper()}",
        name=f"protocol/{curve} sign, heavy over light",
        limit=1.1,
        unit="ratio",
    )


SHOWN = {"ES256K": "ECDSA", "EDDSA": "Ed25519"}
GOALS = (
    _signing("ECDSA secp256k1", 2, 4, 3),
    _signing("ECDSA secp256k1", 3, 10, 8),
    _signing("Ed25519", 2, 1.5),
    _signing("Ed25519", 3, 3),
    _by_weight("ecdsa"),
    _by_weight("ed25519"),
    Goal(
        what="Key generation at total weight 1000, three signers",
        name="protocol/keygen",
        parameters=HEAVY,
        limit=10,
        unit="s",
        read=seconds,
    ),
    _latency("ES256K", 12, 8),
    _latency("EDDSA", 8, 5),
    _throughput("ES256K", 150, 300),
    _throughput("EDDSA", 300, 600),
    _batch("ES256K", 350),
    _batch("EDDSA", 1500),
    Goal(
        what="Daemons: a new vault, both curves, p50", name="node/create vault", parameters=LIGHT, limit=250
    ),
    Goal(what="Daemons: memory of an idle one", name="node/memory, idle", limit=120, unit="MiB"),
    Goal(
        what="Daemons: memory after 10,000 signatures over before",
        name="node/memory, after signing over before",
        limit=1.05,
        unit="ratio",
    ),
)
