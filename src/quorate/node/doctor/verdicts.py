"""Findings in one word each: fine, a warning or a problem, with what to do by their reason code."""

from __future__ import annotations

from quorate.reasons import REASONS
from quorate.rpc.findings import Finding, Level


def fine(check: str, said: str) -> Finding:
    return Finding(check=check, level=Level.OK, said=said)


def warning(check: str, *, code: str, said: str) -> Finding:
    return Finding(check=check, level=Level.WARNING, code=code, said=said, remedy=remedy_for(code))


def problem(check: str, *, code: str, said: str) -> Finding:
    return Finding(check=check, level=Level.PROBLEM, code=code, said=said, remedy=remedy_for(code))


def remedy_for(code: str) -> str:
    """A peer of another release may have a code of its own."""
    return REASONS[code if code in REASONS else "FAILED"].remedy
