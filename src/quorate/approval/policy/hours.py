"""Hours of the week in a time zone, as a policy file states them."""

from __future__ import annotations

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from quorate.approval.policy.reading import Table
from quorate.approval.policy.rules import Hours

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_MIDNIGHT = "24:00"


def read_hours(table: Table) -> Hours | None:
    """``{ days = ["mon-fri"], from = "09:00", to = "17:00", zone = "Europe/Berlin" }``. Days: all, unless said
    otherwise; the zone: UTC."""
    days = table.texts("days") or ["mon-sun"]
    read = [table.tried(lambda each=each: _days(each), "days") for each in days]  # type: ignore[misc]
    start, end = table.read("from", _clock), table.read("to", _end)
    zone = table.read("zone", _zone) if table.has("zone") else ZoneInfo("UTC")
    if not table.has("from") or not table.has("to"):
        table.flaw('times take from and to, such as "09:00" and "17:00"')
    elif start is not None and start == end:
        table.flaw('from and to are the same; a whole day is from "00:00" to "24:00"', "to")
    table.close()
    if start is None or end is None or zone is None or None in read:
        return None
    return Hours(
        days=frozenset(day for each in read for day in each or ()),
        start=start,
        end=None if end is _END_OF_DAY else end,
        zone=zone,
        text=f"{', '.join(days)} {table.data['from']} to {table.data['to']} {zone.key}",
    )


_END_OF_DAY = dt.time.max


def _days(text: str) -> tuple[int, ...]:
    """``mon``, or ``mon-fri``; ``sat-mon`` goes over the end of the week."""
    first, _, last = text.partition("-")
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ValueError(f"{text[:100]!r} is no day: one of {', '.join(_DAYS)}, or such as mon-fri")
    start, end = _DAYS.index(first), _DAYS.index(last or first)
    return tuple((start + step) % 7 for step in range((end - start) % 7 + 1))


def _clock(text: str) -> dt.time:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:100]!r} is no time of day: one looks like 09:00")
    return dt.time(int(match[1]), int(match[2]))


def _end(text: str) -> dt.time:
    return _END_OF_DAY if text == _MIDNIGHT else _clock(text)


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{text[:100]!r} is no time zone this system knows: one looks like Europe/Berlin"
        ) from None
