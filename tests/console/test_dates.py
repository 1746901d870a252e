"""Dates as people write them, in Europe/London."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from callrec.console.dates import Side, read_date
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
