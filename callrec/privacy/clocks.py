"""The two clocks of a request: the promise of 28 days, which never pauses, and the statutory month (LAW-16 to LAW-22).

Every step adds calendar days or months to local dates and converts last: a day of 23 or 25 hours is a day (LAW-20).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.holidays import WorkingDays
from callrec.settings import CalendarPeriod

PROMISE_DAYS = 28
_ONE_MONTH = CalendarPeriod(months=1)
_TWO_MONTHS = CalendarPeriod(months=2)
_DAY = timedelta(days=1)
_COMPLAINT_DAYS = 29


@dataclass(frozen=True, slots=True)
class Clarification:
    """Days in which an access request waited for the person's answer: both ends count (Article 12A)."""

    asked: date
    answered: date
    """Today, while there is no answer yet."""


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """What the clocks depend on."""

    received_at: datetime
    """Immutable (LAW-16); aware."""
    identity_evidence_at: datetime | None = None
    """When what was asked for to confirm identity arrived; it restarts the statutory month, never the promise."""
    extended: bool = False
    """Two further months by a notice that `check_extension` let pass (LAW-22)."""
    clarifications: tuple[Clarification, ...] = ()
    """Of access requests only; an erasure has none."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Where both clocks of a request end. Dates are local, instants UTC."""

    received_local_date: date
    promise_due_local_date: date
    """The promise is kept if all is verified erased before this date begins (LAW-17)."""
    promise_before: datetime
    """The beginning of `promise_due_local_date`."""
    promise_outer_date: date
    """The looser reading of "within 28 days", to the end of this date: what a breach report uses (LAW-17)."""
    corresponding_date: date
    """The end of the first month before it moves to a working day; an extension is told by then (LAW-22)."""
    statutory_due_local_date: date
    """The last day on which the statutory answer is in time."""
    statutory_before: datetime
    """The end of `statutory_due_local_date`."""


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """Return the date people at `zone` write on an instant.

    Raises:
        ValueError: if the instant has no offset.
    """
    if instant.tzinfo is None:
        raise ValueError(f"found {instant} without an offset, expected an aware instant")
    return instant.astimezone(zone).date()


def at_local(day: date, clock_time: time, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) of a time of a local day; a time that the day skips is taken by the offset before."""
    return datetime.combine(day, clock_time, zone).astimezone(UTC)


def deadlines(facts: ClockFacts, zone: ZoneInfo, working_days: WorkingDays) -> Deadlines:
    """Return where both clocks end."""
    received = local_date(facts.received_at, zone)
    promise = received + timedelta(days=PROMISE_DAYS)
    first_month = _first_month(facts, received, zone)
    # Two months after the first: where the calendar leaves a choice (31 January) this is the earlier date.
    statutory = working_days.roll(_TWO_MONTHS.after(first_month) if facts.extended else first_month)
    return Deadlines(
        received_local_date=received,
        promise_due_local_date=promise,
        promise_before=at_local(promise, time.min, zone),
        promise_outer_date=promise,
        corresponding_date=first_month,
        statutory_due_local_date=statutory,
        statutory_before=at_local(statutory + _DAY, time.min, zone),
    )


def _first_month(facts: ClockFacts, received: date, zone: ZoneInfo) -> date:
    """Return the corresponding date in the next month, or its last day (ICO), and the days of clarification after."""
    evidence = local_date(facts.identity_evidence_at, zone) if facts.identity_evidence_at else received
    relevant = max(received, evidence)
    return _ONE_MONTH.after(relevant) + timedelta(days=_days_waited(facts.clarifications, relevant))


def _days_waited(clarifications: Sequence[Clarification], relevant: date) -> int:
    """Return how many days the person was asked to clarify, each once, from the day the month begins."""
    waited: set[date] = set()
    for each in clarifications:
        first = max(each.asked, relevant)
        waited.update(first + timedelta(days=n) for n in range((each.answered - first).days + 1))
    return len(waited)


def check_extension(clocks: Deadlines, notice_date: date, reasons: str, *, today: date) -> None:
    """Let an extension pass only with reasons and a notice dated inside the first month (LAW-22).

    Raises:
        OperatorError: with exit code 2 if the notice is wrong, 5 if it comes too late.
    """
    if not reasons.strip():
        raise OperatorError(
            "found no reasons, expected why two further months are needed (LAW-22)", exit_code=ExitCode.USAGE
        )
    if notice_date < clocks.received_local_date or notice_date > today:
        raise OperatorError(
            f"found a notice dated {notice_date}, expected a day from receipt on {clocks.received_local_date} to today",
            exit_code=ExitCode.USAGE,
        )
    if notice_date > clocks.corresponding_date:
        raise OperatorError(
            f"found a notice dated {notice_date}, but the first month ended on {clocks.corresponding_date}: "
            "it can no longer be extended (LAW-22)",
            exit_code=ExitCode.REFUSED,
        )


def acknowledge_complaint_by(received: date) -> date:
    """Return the last day to acknowledge a data protection complaint: 30 days beginning with its own (LAW-63)."""
    return received + timedelta(days=_COMPLAINT_DAYS)
