"""How urgent the other watched things are (domain rule 1.14): each a ladder of days, read by `status` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.alerts import Level
from callrec.settings import CalendarPeriod


@dataclass(frozen=True, slots=True)
class Ladder:
    """At how many days each level begins; the days count up."""

    steps: Sequence[tuple[int, Level]]

    def at(self, days: int) -> Level | None:
        """Return the level after so many days, None below the first."""
        return max((step for step in self.steps if days >= step[0]), default=(0, None))[1]


COMPLAINT_UNACKNOWLEDGED = Ladder(((13, Level.AMBER), (20, Level.RED), (26, Level.CRITICAL), (30, Level.BREACH)))
"""By days since receipt, which is day 1 (LAW-63): day 14, 21 and 27, and the thirtieth day passed unsent."""
HOLD_REVIEW = Ladder(((-30, Level.AMBER), (-7, Level.RED), (0, Level.CRITICAL)))
"""By days since the review date; before it they are negative (LAW-52)."""
BACKUP_OVER_AGE = Ladder(((1, Level.AMBER), (3, Level.CRITICAL)))
"""By days over the window in which copies of keyring and catalogue age out (LAW-47, LAW-50)."""
FEED_SILENT = Ladder(((3, Level.AMBER), (7, Level.RED), (14, Level.CRITICAL)))
"""By days since relationships were last told (LAW-60)."""
_LONGEST_REVIEW = CalendarPeriod(months=6)


def check_review_date(review: date, today: date) -> None:
    """Let a hold or restriction have this review date.

    Raises:
        OperatorError: with exit code 2 if it is past, or farther off than six months (LAW-52).
    """
    latest = _LONGEST_REVIEW.after(today)
    if not today <= review <= latest:
        raise OperatorError(
            f"found the review date {review}, expected one from {today} to {latest}, six months on (LAW-52)",
            exit_code=ExitCode.USAGE,
        )


def complaint_level(received: date, today: date) -> Level | None:
    """Return how urgent the acknowledgement of a data protection complaint is."""
    return COMPLAINT_UNACKNOWLEDGED.at((today - received).days)


def hold_review_level(review: date, today: date) -> Level | None:
    """Return how urgent the review of a hold is."""
    return HOLD_REVIEW.at((today - review).days)


def backup_level(taken: date, window_days: int, today: date) -> Level | None:
    """Return how urgent it is that the oldest copy of keyring or catalogue goes."""
    return BACKUP_OVER_AGE.at((today - taken).days - window_days)


def feed_level(last_told: date, today: date) -> Level | None:
    """Return how urgent the silence of the relationship feed is."""
    return FEED_SILENT.at((today - last_told).days)
