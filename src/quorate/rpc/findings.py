"""What an examination of a node finds, and the port through which the admin service has one made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, and should be looked at
    PROBLEM = "problem"  # does not work, or soon will not


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check. ``code`` is stable: OK, a reason code, or the rule that failed; ``said`` and ``remedy`` are for
    people."""

    check: str
    level: Level
    said: str
    code: str = "OK"
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """How one node sees another, by their names. ``rtt`` and ``clock_offset`` (the peer's clock ahead of the
    observer's) are in seconds, None where not measured; ``certificate_ends_ms`` is None where the certificate has no
    end, or the observer holds another card than this node."""

    observer: str
    peer: str
    connected: bool
    rtt: float | None = None
    clock_offset: float | None = None
    version: str = ""
    certificate_ends_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """``pairs`` is the mesh as far as this node sees it and its peers tell."""

    findings: tuple[Finding, ...]
    pairs: tuple[Pair, ...] = ()


class Examiner(Protocol):
    async def approver(self) -> Sequence[Finding]:
        """What the approver says to a sample of every kind of request."""
        ...

    async def node(self) -> Examination:
        """The machine, the store, the approver, the peers and the vaults."""
        ...
