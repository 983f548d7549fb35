"""Rosters as people write them, and the smallest sets of signers that reach a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.protocols.quorum import sharing_of

MAX_SETS_SHOWN = 100


def seat_of(text: str) -> tuple[str, int]:
    name, equals, weight = text.rpartition("=")
    if not (equals and name and weight.isascii() and weight.isdigit()):
        raise UsageError(f"--set {text}: a signer and its weight look like alice=2")
    return name, int(weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A signer known by name only: enough to count with."""

    device: str
    identity_key: bytes
    weight: int


def minimal_sets(
    weights: Sequence[tuple[str, int]], threshold: int, *, allow_sole_signer: bool
) -> tuple[dict[str, Any], str]:
    """The smallest sets of signers that reach the threshold, and who is in all of them: for programs, and for people.
    ``UsageError`` for a roster that no vault can have."""
    candidates = [
        Candidate(device=name, identity_key=name.encode(), weight=weight) for name, weight in weights
    ]
    sharing = sharing_of(candidates, threshold, allow_sole_signer=allow_sole_signer)
    sets = [list(signers) for signers in islice(sharing.minimal_sets(), MAX_SETS_SHOWN + 1)]
    if truncated := len(sets) > MAX_SETS_SHOWN:
        sets.pop()
    total = sum(weight for _, weight in weights)
    needed = [name for name, weight in weights if total - weight < threshold]
    record = {
        "threshold": threshold,
        "total": total,
        "minimal_sets": [
            {"signers": signers, "weight": sharing.weight_of(map(DeviceId, signers))} for signers in sets
        ],
        "truncated": truncated,
        "indispensable": needed,
    }
    of = dict(weights)
    lines = [f"weight {threshold} of {total} signs; the smallest sets:"]
    lines += ["  " + " + ".join(f"{name} ({of[name]})" for name in signers) for signers in sets]
    lines += [f"  and more than {MAX_SETS_SHOWN} in all"] * truncated
    if needed:
        lines.append(f"nothing is signed without {', '.join(needed)}")
    return record, "\n".join(lines)
