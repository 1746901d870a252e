"""What else is watched becomes urgent on its days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.alerts import Level
from callrec.privacy.watch_levels import (
    backup_level,
    check_review_date,
    complaint_level,
    feed_level,
    hold_review_level,
)

TODAY = date(2026, 11, 25)


def before(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_each_ladder_has_its_days() -> None:
    """Every threshold of domain rule 1.14 is met on its day and not a day earlier."""
    found = {
        "complaint": [complaint_level(before(days), TODAY) for days in (12, 13, 20, 26, 29, 30)],
        "hold": [hold_review_level(before(days), TODAY) for days in (-31, -30, -7, 0, 9)],
        "backup": [backup_level(before(14 + days), 14, TODAY) for days in (0, 1, 2, 3)],
        "feed": [feed_level(before(days), TODAY) for days in (2, 3, 7, 14, 99)],
    }
    assert found == {
        "complaint": [None, Level.AMBER, Level.RED, Level.CRITICAL, Level.CRITICAL, Level.BREACH],
        "hold": [None, Level.AMBER, Level.RED, Level.CRITICAL, Level.CRITICAL],
        "backup": [None, Level.AMBER, Level.AMBER, Level.CRITICAL],
        "feed": [None, Level.AMBER, Level.RED, Level.CRITICAL, Level.CRITICAL],
    }


@pytest.mark.parametrize("review", [date(2026, 11, 24), date(2027, 5, 26)])
def test_a_hold_is_reviewed_within_six_months(review: date) -> None:
    """A review date in the past or beyond six months is refused with the dates that would do (LAW-52)."""
    with pytest.raises(OperatorError, match="expected one from 2026-11-25 to 2027-05-25") as caught:
        check_review_date(review, TODAY)
    assert caught.value.exit_code is ExitCode.USAGE
    check_review_date(TODAY, TODAY)
    check_review_date(date(2027, 5, 25), TODAY)
