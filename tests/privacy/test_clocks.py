"""Both clocks of a request end when they must, whatever the calendar does."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.clocks import (
    Clarification,
    ClockFacts,
    Deadlines,
    acknowledge_complaint_by,
    at_local,
    check_extension,
    deadlines,
    local_date,
)
from callrec.privacy.holidays import WorkingDays

LONDON = ZoneInfo("Europe/London")
DAYS = WorkingDays.of()
VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "clock.json").read_text())
ANY_INSTANT = st.datetimes(datetime(2024, 1, 1), datetime(2031, 12, 31, 23, 59)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - made aware at once


def clocks_of(received: str, **facts: Any) -> Deadlines:
    return deadlines(ClockFacts(datetime.fromisoformat(received), **facts), LONDON, DAYS)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["received_at"])
def test_the_clock_vectors(vector: dict[str, str]) -> None:
    """Every published vector gives exactly its dates (LAW-16 to LAW-20)."""
    found = clocks_of(vector["received_at"])
    assert found.received_local_date.isoformat() == vector["received_local_date"]
    assert found.promise_due_local_date.isoformat() == vector["promise_due_local_date"]
    assert found.promise_before == datetime.fromisoformat(vector["promise_before_utc"])
    assert found.corresponding_date.isoformat() == vector["corresponding_date"]
    assert found.statutory_due_local_date.isoformat() == vector["statutory_due_local_date"]


def test_clarification_adds_the_days_waited() -> None:
    """An answer after six days moves an access request by six days, both ends counted, each day once."""
    asked = Clarification(date(2026, 9, 10), date(2026, 9, 15))
    assert clocks_of("2026-09-03T08:00Z", clarifications=(asked,)).statutory_due_local_date == date(2026, 10, 9)
    assert clocks_of("2026-09-03T08:00Z", clarifications=(asked, asked)).corresponding_date == date(2026, 10, 9)


def test_identity_restarts_the_month_and_not_the_promise() -> None:
    """Evidence of identity moves the statutory date alone (LAW-18)."""
    found = clocks_of("2026-09-03T08:00Z", identity_evidence_at=datetime(2026, 9, 10, 9, tzinfo=UTC))
    assert found.corresponding_date == date(2026, 10, 10)
    assert found.statutory_due_local_date == date(2026, 10, 12)
    assert found.promise_due_local_date == date(2026, 10, 1)


def test_an_extension_moves_the_statutory_clock_alone() -> None:
    """Two further months, never later than either reading of the calendar (LAW-22)."""
    plain, extended = clocks_of("2026-09-03T08:00Z"), clocks_of("2026-09-03T08:00Z", extended=True)
    assert extended.statutory_due_local_date == date(2026, 12, 3)
    assert extended.promise_due_local_date == plain.promise_due_local_date
    assert clocks_of("2027-01-31T08:00Z", extended=True).statutory_due_local_date == date(2027, 4, 28)


@pytest.mark.parametrize(
    ("notice", "reasons", "today", "code"),
    [
        (date(2026, 9, 10), "  ", date(2026, 9, 10), ExitCode.USAGE),
        (date(2026, 9, 2), "many systems", date(2026, 9, 10), ExitCode.USAGE),
        (date(2026, 9, 11), "many systems", date(2026, 9, 10), ExitCode.USAGE),
        (date(2026, 10, 4), "many systems", date(2026, 10, 4), ExitCode.REFUSED),
    ],
)
def test_a_wrong_extension_is_refused(notice: date, reasons: str, today: date, code: ExitCode) -> None:
    """Without reasons, from before receipt, from the future or after the first month: one clear sentence (LAW-22)."""
    with pytest.raises(OperatorError, match=r"LAW-22|expected a day") as caught:
        check_extension(clocks_of("2026-09-03T08:00Z"), notice, reasons, today=today)
    assert caught.value.exit_code is code
    check_extension(clocks_of("2026-09-03T08:00Z"), date(2026, 10, 3), "many systems", today=date(2026, 10, 3))


def test_keeping_the_promise_keeps_the_month_on_every_day() -> None:
    """The last day of the promise is before the un-rolled month on each date from 2024 to 2031 (LAW-21)."""
    day, end = date(2024, 1, 1), date(2031, 12, 31)
    while day <= end:
        received = at_local(day, time(12), LONDON)
        found = deadlines(ClockFacts(received), LONDON, DAYS)
        assert found.received_local_date == day
        assert day + timedelta(days=27) <= found.corresponding_date - timedelta(days=1)
        day += timedelta(days=1)


@given(ANY_INSTANT)
def test_the_promise_is_twenty_eight_local_days(received: datetime) -> None:
    """Whenever it was received: 28 local dates later at midnight, through every change of the clocks (LAW-20)."""
    found = deadlines(ClockFacts(received), LONDON, DAYS)
    assert found.promise_due_local_date - local_date(received, LONDON) == timedelta(days=28)
    midnight = found.promise_before.astimezone(LONDON)
    assert (midnight.date(), midnight.time()) == (found.promise_due_local_date, time.min)
    assert timedelta(days=26, hours=22) < found.promise_before - received <= timedelta(days=28, hours=1)


@given(ANY_INSTANT, st.timedeltas(timedelta(0), timedelta(days=60)), st.booleans())
def test_the_month_is_never_short_and_only_ever_moves_on(received: datetime, later: timedelta, extended: bool) -> None:
    """The statutory date is a working day wherever that is known, and neither evidence nor extension brings it back."""
    plain = deadlines(ClockFacts(received), LONDON, DAYS)
    moved = deadlines(ClockFacts(received, received + later, extended), LONDON, DAYS)
    assert moved.statutory_due_local_date >= plain.statutory_due_local_date
    assert moved.promise_before == plain.promise_before
    assert plain.corresponding_date.day <= plain.received_local_date.day
    if plain.statutory_due_local_date.year < DAYS.known_until:
        assert DAYS.is_working_day(plain.statutory_due_local_date)
    else:
        assert plain.statutory_due_local_date >= plain.corresponding_date


def test_an_instant_without_an_offset_is_refused() -> None:
    """No clock starts from a time whose zone nobody knows."""
    with pytest.raises(ValueError, match="without an offset"):
        local_date(datetime(2026, 1, 1), LONDON)  # noqa: DTZ001 - the very mistake


def test_a_complaint_is_acknowledged_within_thirty_days_of_its_own() -> None:
    """The day of receipt counts: 1 July leads to 30 July (LAW-63)."""
    assert acknowledge_complaint_by(date(2026, 7, 1)) == date(2026, 7, 30)
