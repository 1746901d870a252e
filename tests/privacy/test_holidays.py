"""Bank holidays are those that were proclaimed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from callrec.privacy.holidays import WorkingDays, bank_holidays, easter
from callrec.settings import Region

PUBLISHED = {
    2024: ["01-01", "03-29", "04-01", "05-06", "05-27", "08-26", "12-25", "12-26"],
    2025: ["01-01", "04-18", "04-21", "05-05", "05-26", "08-25", "12-25", "12-26"],
    2026: ["01-01", "04-03", "04-06", "05-04", "05-25", "08-31", "12-25", "12-28"],
    2027: ["01-01", "03-26", "03-29", "05-03", "05-31", "08-30", "12-27", "12-28"],
    2028: ["01-03", "04-14", "04-17", "05-01", "05-29", "08-28", "12-25", "12-26"],
}
"""England and Wales, substitute days in place of feasts on a weekend."""


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_rules_give_the_published_days(year: int) -> None:
    """The computed holidays of England and Wales are the published ones (LAW-19)."""
    assert bank_holidays(year) == {date.fromisoformat(f"{year}-{day}") for day in PUBLISHED[year]}


@pytest.mark.parametrize(
    ("year", "sunday"),
    [(1961, "04-02"), (2000, "04-23"), (2008, "03-23"), (2024, "03-31"), (2026, "04-05"), (2038, "04-25")],
)
def test_easter_falls_on_its_sunday(year: int, sunday: str) -> None:
    """Easter is right in early, late and ordinary years."""
    assert easter(year) == date.fromisoformat(f"{year}-{sunday}")


def test_christmas_on_a_weekend_gives_two_days_off_after_it() -> None:
    """Christmas on Saturday, Sunday and Boxing Day on Saturday are each taken on the right weekdays."""
    assert {date(2021, 12, 27), date(2021, 12, 28)} <= bank_holidays(2021)
    assert {date(2022, 12, 26), date(2022, 12, 27)} <= bank_holidays(2022)
    assert {date(2020, 12, 25), date(2020, 12, 28)} <= bank_holidays(2020)


def test_the_other_regions_have_days_of_their_own() -> None:
    """Scotland works on Easter Monday and rests on 2 January; Northern Ireland rests on 17 March and 12 July."""
    scotland, ireland = bank_holidays(2026, Region.SCOTLAND), bank_holidays(2026, Region.NORTHERN_IRELAND)
    assert date(2026, 4, 6) not in scotland
    assert {date(2026, 1, 2), date(2026, 8, 3), date(2026, 11, 30)} <= scotland
    assert bank_holidays(2022, Region.SCOTLAND) >= {date(2022, 1, 3), date(2022, 1, 4)}
    assert ireland - bank_holidays(2026) == {date(2026, 3, 17), date(2026, 7, 13)}


def test_a_day_moves_only_within_the_known_years() -> None:
    """Beyond the last known year the earlier date wins, also where moving would lead across its end (LAW-19)."""
    days = WorkingDays.of(known_until=2027)
    assert days.roll(date(2026, 4, 3)) == date(2026, 4, 7)
    assert days.roll(date(2028, 1, 1)) == date(2028, 1, 1)
    assert WorkingDays.of(known_until=2026, more=frozenset({date(2026, 12, 31)})).roll(date(2026, 12, 31)) == date(
        2026, 12, 31
    )


def test_whatever_day_is_moved_becomes_a_working_day_or_stays() -> None:
    """No day moves back, and none farther than the longest row of days off."""
    days = WorkingDays.of()
    for n in range(366 * 5):
        day = date(2024, 1, 1) + timedelta(days=n)
        rolled = days.roll(day)
        assert timedelta(0) <= rolled - day <= timedelta(days=4)
        assert rolled == day or days.is_working_day(rolled)
