"""Whose a number was, from when to when: a later holder's claim ends an earlier one's. Pure.

Numbers are given away and taken over; a call belongs to whoever held its number on the day of the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

EVER = date.min
"""The first day of a number that nobody else is known to have held before."""


@dataclass(frozen=True, slots=True)
class Span:
    """One party holds a number from `since` on, until the day before `until`; None while it still does."""

    party_id: str
    since: date = EVER
    until: date | None = None

    def holds(self, on: date) -> bool:
        """Say whether the number was this party's on a local date."""
        return self.since <= on and (self.until is None or on < self.until)


def holder(history: Iterable[Span], on: date) -> str | None:
    """Return who held a number on a local date."""
    return next((span.party_id for span in history if span.holds(on)), None)


def claimed(history: Sequence[Span], claim: Span) -> list[Span]:
    """Return a number's history after a claim, in order of time.

    What others held in that time is theirs no longer; what the claimant itself held in that time is put right by it.
    """
    spans = [claim]
    for span in history:
        if not _overlap(span, claim):
            spans.append(span)
        elif span.party_id != claim.party_id:
            spans += _outside(span, claim)
    return sorted(spans, key=lambda span: span.since)


def first_day(history: Sequence[Span], party_id: str, moved_on: date, today: date) -> date | None:
    """Return from when on a number is a party's where nobody says so; None where it is already.

    Args:
        history: who holds and held it.
        party_id: who is said to hold it.
        moved_on: the day on which a number of somebody else's moves; no holder is forgotten by it.
        today: the day on which it moves where that would be before the other had it.
    """
    current = next((span for span in history if span.until is None), None)
    if current is not None:
        if current.party_id == party_id:
            return None
        return moved_on if moved_on > current.since else today
    return max((span.until for span in history if span.until is not None), default=EVER)


def _overlap(one: Span, other: Span) -> bool:
    return (one.until is None or other.since < one.until) and (other.until is None or one.since < other.until)


def _outside(span: Span, claim: Span) -> list[Span]:
    """Return what is left of a span before and after a claim."""
    left = []
    if span.since < claim.since:
        left.append(Span(span.party_id, span.since, claim.since))
    if claim.until is not None and (span.until is None or claim.until < span.until):
        left.append(Span(span.party_id, claim.until, span.until))
    return left
