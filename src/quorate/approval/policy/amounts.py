"""Amounts and durations as people write them, exactly: never a float on the way."""

from __future__ import annotations

import re

MOST = 2**256 - 1  # base units; no chain counts further
LONGEST_MS = 366 * 24 * 3600 * 1000

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,77})(?:\.([0-9]{1,77}))?")
_DURATION = re.compile(r"([1-9][0-9]{0,9})([smhd])")
_UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_amount(text: str, decimals: int) -> int:
    """Base units of an amount with up to ``decimals`` digits after the point. ``ValueError`` for any other text."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is no amount; one looks like 1000 or 0.25")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise ValueError(f"{text} has {len(fraction)} digits after the point; the asset has {decimals}")
    units = int(whole + fraction.ljust(decimals, "0"))
    if units > MOST:
        raise ValueError(f"{text} is more than any chain counts")
    return units


def show_amount(units: int, decimals: int) -> str:
    """The shortest text that ``parse_amount`` reads back as ``units``."""
    whole, fraction = divmod(units, 10**decimals)
    shown = f"{fraction:0{decimals}d}".rstrip("0") if decimals else ""
    return f"{whole}.{shown}" if shown else str(whole)


def parse_duration(text: str) -> int:
    """Milliseconds of ``90s``, ``30m``, ``24h`` or ``7d``. ``ValueError`` for any other text, and past 366 days."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is no length of time; one looks like 90s, 30m, 24h or 7d")
    if (milliseconds := int(match[1]) * _UNITS[match[2]]) > LONGEST_MS:
        raise ValueError(f"{text} is longer than 366 days")
    return milliseconds
