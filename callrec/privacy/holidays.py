"""Working days: the bank holidays of the United Kingdom, computed by their rules, as data with a last known year.

Beyond the last known year a date is never moved, so that a deadline is early and not late (LAW-19): holidays are
proclaimed, and have been moved (the early May holiday of 2020) or added (8 May 2023) at short notice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from callrec.settings import Region

_DAY = timedelta(days=1)
_SATURDAY = 5
FIRST_KNOWN_YEAR = 2024
LAST_KNOWN_YEAR = 2028


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """Which days nobody works, and in which years that is known."""

    holidays: frozenset[date]
    known_from: int
    known_until: int

    @classmethod
    def of(
        cls,
        region: Region = Region.ENGLAND_AND_WALES,
        *,
        known_from: int = FIRST_KNOWN_YEAR,
        known_until: int = LAST_KNOWN_YEAR,
        more: frozenset[date] = frozenset(),
    ) -> WorkingDays:
        """Return the table of a region; `more` are days proclaimed beside the rules."""
        years = range(known_from, known_until + 1)
        computed = frozenset(day for year in years for day in bank_holidays(year, region))
        return cls(computed | more, known_from, known_until)

    def is_working_day(self, day: date) -> bool:
        """Say whether people work on a day of a known year."""
        return day.weekday() < _SATURDAY and day not in self.holidays

    def roll(self, day: date) -> date:
        """Return the day or the next working day after it; the day itself where that is not known (LAW-19)."""
        rolled = day
        while self._known(rolled) and not self.is_working_day(rolled):
            rolled += _DAY
        # Rolled across the edge of what is known: whether people work there nobody can say, so the earlier date wins.
        return rolled if self._known(rolled) else day

    def _known(self, day: date) -> bool:
        return self.known_from <= day.year <= self.known_until


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (Meeus, Astronomical Algorithms, chapter 8)."""
    golden = year % 19
    century, of_century = divmod(year, 100)
    leap_centuries, century_rest = divmod(century, 4)
    moon_correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - leap_centuries - moon_correction + 15) % 30
    leaps, rest = divmod(of_century, 4)
    to_sunday = (32 + 2 * century_rest + 2 * leaps - epact - rest) % 7
    late_moon = (golden + 11 * epact + 22 * to_sunday) // 451
    month, day = divmod(epact + to_sunday - 7 * late_moon + 114, 31)
    return date(year, month, day + 1)


def bank_holidays(year: int, region: Region = Region.ENGLAND_AND_WALES) -> frozenset[date]:
    """Return the bank holidays that the rules give a year, with their substitute days.

    Source: Banking and Financial Dealings Act 1971, schedule 1, and the yearly proclamations beside it.
    """
    return _RULES[region](year)


def _england_and_wales(year: int) -> frozenset[date]:
    return frozenset(
        {
            *_in_place_of(date(year, 1, 1)),
            easter(year) - 2 * _DAY,
            easter(year) + _DAY,
            _monday_from(date(year, 5, 1)),
            _last_monday(date(year, 5, 31)),
            _last_monday(date(year, 8, 31)),
            *_in_place_of(date(year, 12, 25), date(year, 12, 26)),
        }
    )


def _scotland(year: int) -> frozenset[date]:
    return frozenset(
        {
            *_in_place_of(date(year, 1, 1), date(year, 1, 2)),
            easter(year) - 2 * _DAY,
            _monday_from(date(year, 5, 1)),
            _last_monday(date(year, 5, 31)),
            _monday_from(date(year, 8, 1)),
            *_in_place_of(date(year, 11, 30)),
            *_in_place_of(date(year, 12, 25), date(year, 12, 26)),
        }
    )


def _northern_ireland(year: int) -> frozenset[date]:
    saints_and_boyne = {*_in_place_of(date(year, 3, 17)), *_in_place_of(date(year, 7, 12))}
    return _england_and_wales(year) | frozenset(saints_and_boyne)


_RULES: dict[Region, Callable[[int], frozenset[date]]] = {
    Region.ENGLAND_AND_WALES: _england_and_wales,
    Region.SCOTLAND: _scotland,
    Region.NORTHERN_IRELAND: _northern_ireland,
}


def _in_place_of(*feasts: date) -> tuple[date, ...]:
    """Return the days off for feasts: one that falls on a weekend is taken on the next weekday that is none."""
    kept = [feast for feast in feasts if feast.weekday() < _SATURDAY]
    for feast in feasts:
        day = feast
        while day.weekday() >= _SATURDAY or (day != feast and day in kept):
            day += _DAY
        if day not in kept:
            kept.append(day)
    return tuple(kept)


def _monday_from(day: date) -> date:
    return day + timedelta(days=-day.weekday() % 7)


def _last_monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
