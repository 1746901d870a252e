"""Dates as people write them, in the time zone of the organisation."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from callrec.errors import ExitCode, OperatorError

_IN = re.compile(r"(?:in\s+)?(\d{1,4})\s*(d|days?|w|weeks?|m|months?)")
_BRITISH = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")
_NAMED_MONTH = ("%d %B %Y", "%d %b %Y")
_EXPECTED_DAY = "today, yesterday, tomorrow, 2026-11-22, 22/11/2026, 22 November 2026, or from now 30d, 4w or 6m"
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


def read_day(text: str, *, what: str, now: datetime, zone: ZoneInfo) -> date:
    """Return the local day that somebody writes; a bare number of days, weeks or months lies ahead.

    Args:
        text: such as `today`, `2026-11-22`, `22/11/2026`, `22 November 2026`, `30d` or `in 6 months`.
        what: the option it was given with, for the message.
        now: the clock.
        zone: whose days are meant.

    Raises:
        OperatorError: with exit code 2, if the text is no day.
    """
    word = " ".join(text.lower().split())
    today = now.astimezone(zone).date()
    near = {"yesterday": -1, "today": 0, "tomorrow": 1}
    if word in near:
        return today + timedelta(days=near[word])
    day = _ahead(word, today) or _calendar_day(word)
    if day is None:
        message = f"{what}: found {text!r}, expected a day such as {_EXPECTED_DAY}"
        raise OperatorError(message, exit_code=ExitCode.USAGE)
    return day


def read_moment(text: str, *, what: str, now: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, that somebody writes; of a whole day it is the beginning.

    Raises:
        OperatorError: with exit code 2, if the text is no instant.
    """
    try:
        return read_date(text, side=Side.SINCE, now=now, zone=zone)
    except OperatorError:
        message = f"{what}: found {text!r}, expected a moment such as {_EXPECTED}"
        raise OperatorError(message, exit_code=ExitCode.USAGE) from None


def _ahead(word: str, today: date) -> date | None:
    found = _IN.fullmatch(word)
    if found is None:
        return None
    count, unit = int(found[1]), found[2][0]
    if unit == "m":
        month = today.month - 1 + count
        year, month = today.year + month // 12, month % 12 + 1
        return date(year, month, min(today.day, monthrange(year, month)[1]))
    return today + timedelta(days=count * (7 if unit == "w" else 1))


def _calendar_day(word: str) -> date | None:
    try:
        if found := _BRITISH.fullmatch(word):
            return date(int(found[3]), int(found[2]), int(found[1]))
        return date.fromisoformat(word)
    except ValueError:
        pass
    for form in _NAMED_MONTH:
        try:
            return datetime.strptime(word, form).date()  # noqa: DTZ007 - a day, wherever it is read
        except ValueError:
            continue
    return None


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
