"""Dates as people write them, in the time zone of the organisation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from callrec.errors import ExitCode, OperatorError

_AGO = re.compile(r"(\d{1,6})\s*(s|m|min|h|d|w)(?:\s*ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EXPECTED = "today, yesterday, monday, this-week, last-week, last-month, 2026-11-22, 2026-11-22T10:00, 30m, 2h or 7d"


class Side(Enum):
    """Which end of a span a date stands for: `--since yesterday` begins then, `--until yesterday` ends after it."""

    SINCE = "--since"
    UNTIL = "--until"


@dataclass(frozen=True, slots=True)
class _Days:
    """Whole days, in the local calendar."""

    first: date
    count: int = 1


def read_date(text: str, *, side: Side, now: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, that a date stands for on one side of a span.

    A day or longer is meant in whole, so that `--since last-week --until last-week` is last week. An hour that the
    clocks repeat in autumn is meant in whole too.

    Raises:
        OperatorError: with exit code 2, if the text is no date.
    """
    word = text.strip().lower().replace("_", "-").replace(" ", "-")
    days = _days_of(word, now.astimezone(zone).date())
    if days is not None:
        day = days.first if side is Side.SINCE else days.first + timedelta(days=days.count)
        return datetime.combine(day, time(), zone).astimezone(UTC)
    instant = _instant_of(text.strip(), side, now, zone)
    if instant is None:
        found = f"{side.value}: found {text!r}, expected a date such as {_EXPECTED}"
        raise OperatorError(found, exit_code=ExitCode.USAGE)
    return instant.astimezone(UTC)


def _days_of(word: str, today: date) -> _Days | None:
    monday = today - timedelta(days=today.weekday())
    first = today.replace(day=1)
    last_month = (first - timedelta(days=1)).replace(day=1)
    named = {
        "today": _Days(today),
        "yesterday": _Days(today - timedelta(days=1)),
        "this-week": _Days(monday, 7),
        "last-week": _Days(monday - timedelta(days=7), 7),
        "this-month": _Days(first, (_next_month(first) - first).days),
        "last-month": _Days(last_month, (first - last_month).days),
    }
    if word in _DAYS:
        # The latest such day, today included.
        return _Days(today - timedelta(days=(today.weekday() - _DAYS.index(word)) % 7))
    return named.get(word) or _written_day(word)


def _written_day(word: str) -> _Days | None:
    try:
        return _Days(date.fromisoformat(word)) if len(word) == len("2026-11-22") else None
    except ValueError:
        return None


def _next_month(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1)


def _instant_of(text: str, side: Side, now: datetime, zone: ZoneInfo) -> datetime | None:
    if text.lower() == "now":
        return now
    if found := _AGO.fullmatch(text.lower()):
        try:
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            return None
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=zone, fold=int(side is Side.UNTIL))
    return instant
