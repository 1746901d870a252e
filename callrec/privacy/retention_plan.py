"""The plan of a retention run, as a sum that does not grow with its rows, and what must hold before it is run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Self

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.retention import Action, Cause, RowFacts, Verdict, judge
from callrec.privacy.retention_classes import RetentionPolicy


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run would do."""

    hash: str
    """Over what is to be deleted and why: the same set has the same hash on whatever day."""
    rows: int
    to_delete: int
    """By retention; what an authorised request erases is not counted."""
    by_cause: Mapping[str, int]
    by_class: Mapping[str, int]
    """To be deleted, by class."""


class Tally:
    """Takes verdicts one by one, in the order of their call ids, and keeps sums and a running hash only."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"callrec retention plan 1\n")
        self._causes: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._last = ""

    def add(self, verdict: Verdict) -> None:
        """Take one verdict.

        Raises:
            ValueError: if it is out of order; the hash would depend on how rows were read.
        """
        if verdict.call_id <= self._last:
            raise ValueError(f"internal error: call {verdict.call_id} after {self._last}, expected ascending call ids")
        self._last = verdict.call_id
        self._causes[verdict.cause.value] += 1
        if goes(verdict):
            self._classes[verdict.retention_class] += 1
            self._hash.update(f"{verdict.call_id} {verdict.cause} {verdict.class_version}\n".encode())

    def passing(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """Return the verdicts as they come, each taken on its way."""
        for verdict in verdicts:
            self.add(verdict)
            yield verdict

    @classmethod
    def over(cls, verdicts: Iterable[Verdict]) -> Self:
        """Return the tally of all of them."""
        tally = cls()
        for verdict in verdicts:
            tally.add(verdict)
        return tally

    @property
    def summary(self) -> Summary:
        """What was taken so far."""
        return Summary(
            self._hash.hexdigest(),
            self._causes.total(),
            self._classes.total(),
            dict(sorted(self._causes.items())),
            dict(sorted(self._classes.items())),
        )


def goes(verdict: Verdict) -> bool:
    """Say whether a retention run deletes the row; what a request erases is carried out by the request."""
    return verdict.action is Action.DELETE and verdict.cause is not Cause.AUTHORISED_ERASURE


@dataclass(frozen=True, slots=True)
class Guard:
    """Beyond what a run needs somebody's word: both must be exceeded, so that a small house is not stopped daily."""

    percent: int = 20
    """Of all rows."""
    count: int = 100


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run is judged by."""

    now: datetime
    newest_recording_at: datetime | None
    """Begin of the newest call in the catalogue, None if it is empty."""
    first_run_approved: bool
    """Somebody has approved a plan before (LAW-61)."""
    approved_hash: str | None
    """The hash that was approved last."""


def check_run(summary: Summary, facts: RunFacts, guard: Guard) -> None:
    """Let a retention run begin.

    Raises:
        OperatorError: with exit code 5; nothing is to be deleted then.
    """
    newest = facts.newest_recording_at
    if newest is not None and facts.now < newest:
        clock, call = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M}Z" for at in (facts.now, newest))
        raise _refused(f"the clock says {clock}, but the newest call began {call}; set the clock right first")
    if summary.to_delete == 0 or facts.approved_hash == summary.hash:
        return
    approve = f"read `retention plan`, then `retention approve {summary.hash}`"
    if not facts.first_run_approved:
        raise _refused(f"the first run is a report: it would delete {_of(summary)}; {approve} (LAW-61)")
    if summary.to_delete > guard.count and summary.to_delete * 100 > guard.percent * summary.rows:
        raise _refused(
            f"it would delete {_of(summary)}, more than {guard.count} and more than {guard.percent}%; {approve}"
        )


def _of(summary: Summary) -> str:
    return f"{summary.to_delete} of {summary.rows} rows"


def _refused(why: str) -> OperatorError:
    return OperatorError(f"retention did not run: {why}", exit_code=ExitCode.REFUSED)


@dataclass(frozen=True, slots=True)
class Move:
    """One row whose end moves when something about it, or a class, is changed."""

    call_id: str
    before: date | None
    after: date | None
    goes_now: bool
    """It would be deleted by the next run, and would not have been before."""


def moves(
    pairs: Iterable[tuple[RowFacts, RowFacts]], old: RetentionPolicy, new: RetentionPolicy, today: date
) -> Iterator[Move]:
    """Return what a changed relationship or policy would move, row by row: for `simulate` and a dry import.

    Args:
        pairs: each row as it is and as it would be; the same twice where only the policy changes.
        old: the policy that holds.
        new: the policy that would hold.
        today: the local date.
    """
    for row, changed in pairs:
        before, after = judge(row, old, today), judge(changed, new, today)
        goes_now = goes(after) and not goes(before)
        if before.delete_on != after.delete_on or goes_now:
            yield Move(row.call_id, before.delete_on, after.delete_on, goes_now)
