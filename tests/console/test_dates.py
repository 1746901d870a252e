"""Dates as people write them, in Europe/London."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from callrec.console.dates import Side, read_date, read_day, read_moment
from callrec.errors import ExitCode, OperatorError

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)  # a Wednesday
SUMMER = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)  # 00:30 on 2 July in London


def read(text: str, side: Side = Side.SINCE, now: datetime = NOW) -> str:
    return read_date(text, side=side, now=now, zone=LONDON).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("today", "2026-11-25 00:00", "2026-11-26 00:00"),
        ("yesterday", "2026-11-24 00:00", "2026-11-25 00:00"),
        ("Yesterday", "2026-11-24 00:00", "2026-11-25 00:00"),
        ("this-week", "2026-11-23 00:00", "2026-11-30 00:00"),
        ("last-week", "2026-11-16 00:00", "2026-11-23 00:00"),
        ("last week", "2026-11-16 00:00", "2026-11-23 00:00"),
        ("last-month", "2026-09-30 23:00", "2026-11-01 00:00"),
        ("this-month", "2026-11-01 00:00", "2026-12-01 00:00"),
        ("monday", "2026-11-23 00:00", "2026-11-24 00:00"),
        ("wednesday", "2026-11-25 00:00", "2026-11-26 00:00"),
        ("2026-11-22", "2026-11-22 00:00", "2026-11-23 00:00"),
        ("2026-11-22T10:00", "2026-11-22 10:00", "2026-11-22 10:00"),
        ("2026-11-22 10:00", "2026-11-22 10:00", "2026-11-22 10:00"),
        ("2026-11-22T10:00:00+01:00", "2026-11-22 09:00", "2026-11-22 09:00"),
        ("2026-11-22T10:00:00z", "2026-11-22 10:00", "2026-11-22 10:00"),
        ("2h", "2026-11-25 12:30", "2026-11-25 12:30"),
        ("30m", "2026-11-25 14:00", "2026-11-25 14:00"),
        ("90 min ago", "2026-11-25 13:00", "2026-11-25 13:00"),
        ("7d", "2026-11-18 14:30", "2026-11-18 14:30"),
        ("now", "2026-11-25 14:30", "2026-11-25 14:30"),
    ],
)
def test_a_day_or_longer_is_meant_in_whole(text: str, since: str, until: str) -> None:
    """`--since yesterday --until yesterday` is all of yesterday; an instant is an instant on both sides."""
    assert (read(text, Side.SINCE), read(text, Side.UNTIL)) == (since, until)


@pytest.mark.parametrize(
    ("text", "side", "now", "expected"),
    [
        ("today", Side.SINCE, SUMMER, "2026-07-01 23:00"),
        ("2026-07-02T00:30", Side.SINCE, SUMMER, "2026-07-01 23:30"),
        ("2026-03-29", Side.SINCE, NOW, "2026-03-29 00:00"),
        ("2026-03-29", Side.UNTIL, NOW, "2026-03-29 23:00"),
        ("2026-10-25", Side.SINCE, NOW, "2026-10-24 23:00"),
        ("2026-10-25", Side.UNTIL, NOW, "2026-10-26 00:00"),
        ("2026-10-25T01:30", Side.SINCE, NOW, "2026-10-25 00:30"),
        ("2026-10-25T01:30", Side.UNTIL, NOW, "2026-10-25 01:30"),
        ("2026-03-29T01:30", Side.SINCE, NOW, "2026-03-29 01:30"),
    ],
)
def test_days_are_those_of_london_when_the_clocks_change(text: str, side: Side, now: datetime, expected: str) -> None:
    """A day has 23 or 25 hours twice a year; an hour that comes twice is meant in whole."""
    assert read(text, side, now) == expected


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "2026-11-31", "31/12/2026", "5x", "-2h", "9999999w", "²h"])
def test_what_is_no_date_is_said(text: str) -> None:
    """Exit code 2, and what could be written instead."""
    with pytest.raises(OperatorError, match="yesterday") as told:
        read(text)
    assert told.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("today", date(2026, 11, 25)),
        ("Yesterday", date(2026, 11, 24)),
        ("tomorrow", date(2026, 11, 26)),
        ("2026-11-22", date(2026, 11, 22)),
        ("22/11/2026", date(2026, 11, 22)),
        ("1.2.2027", date(2027, 2, 1)),
        ("22 November 2026", date(2026, 11, 22)),
        ("22  nov 2026", date(2026, 11, 22)),
        ("30d", date(2026, 12, 25)),
        ("in 4 weeks", date(2026, 12, 23)),
        ("3m", date(2027, 2, 25)),
        ("in 1 month", date(2026, 12, 25)),
    ],
)
def test_a_day_is_written_as_people_write_it(text: str, expected: date) -> None:
    """A bare number of days, weeks or months lies ahead: it is a review or an end."""
    assert read_day(text, what="--review", now=NOW, zone=LONDON) == expected


def test_a_month_ahead_ends_with_the_month() -> None:
    """LAW-57: the last day, where that month has no such day."""
    assert read_day("1m", what="--review", now=datetime(2027, 1, 31, tzinfo=UTC), zone=LONDON) == date(2027, 2, 28)


def test_a_day_is_that_of_the_time_zone() -> None:
    """Half past midnight in London is still yesterday in UTC."""
    assert read_day("today", what="--date", now=SUMMER, zone=LONDON) == date(2026, 7, 2)


@pytest.mark.parametrize("text", ["", "soon", "31/02/2026", "2026-11-22T10:00", "11/22/2026", "in 99999 days"])
def test_what_is_no_day_is_refused_by_the_name_of_its_option(text: str) -> None:
    """Exit code 2, with what would have been understood."""
    with pytest.raises(OperatorError, match=r"--review: found .* expected a day such as") as caught:
        read_day(text, what="--review", now=NOW, zone=LONDON)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_moment_is_an_instant_and_of_a_day_its_beginning() -> None:
    """`--received 2026-07-01` is the first moment of that day in London."""
    assert read_moment("2026-07-01", what="--received", now=NOW, zone=LONDON).isoformat() == "2026-06-30T23:00:00+00:00"
    with pytest.raises(OperatorError, match="--received: found"):
        read_moment("soon", what="--received", now=NOW, zone=LONDON)
