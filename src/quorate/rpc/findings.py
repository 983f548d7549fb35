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


class Examiner(Protocol):
    async def approver(self) -> Sequence[Finding]:
        """What the approver says to a sample of every kind of request."""
        ...
