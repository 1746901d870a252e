"""Every row stays exactly as long as its class says, and says why in one sentence."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.protections import Hold, Protection, strongest
from callrec.privacy.retention import Action, Cause, RowFacts, Verdict, in_words, judge, judge_all
from callrec.privacy.retention_classes import SHIPPED, UNMATCHED, PartyKind, Relationship, RetentionPolicy
from callrec.privacy.retention_plan import Guard, RunFacts, Summary, Tally, check_run, goes, moves
from callrec.settings import CalendarPeriod, RetentionStart

GOLDEN = Path(__file__).parent / "retention"
TODAY = date(2026, 11, 25)
POLICY = RetentionPolicy.of()


@dataclass(frozen=True)
class Configured:
    """A `[[retention_class]]`."""

    name: str
    keep: CalendarPeriod
    from_: RetentionStart = RetentionStart.CALL


def configured(document: dict[str, str]) -> Configured:
    return Configured(
        document["name"], CalendarPeriod.read(document["keep"]), RetentionStart(document.get("from", "call"))
    )


def row(document: dict[str, Any]) -> RowFacts:
    party = document.get("relationship")
    return RowFacts(
        document["call_id"],
        date.fromisoformat(document["call_date"]),
        document.get("retention_class"),
        relationship(party) if party else None,
        tuple(Hold(each["id"], Protection(each["kind"])) for each in document.get("holds", ())),
        document.get("request_id"),
        document.get("in_progress", False),
    )


def relationship(document: dict[str, Any]) -> Relationship:
    def day(text: str | None) -> date | None:
        return None if text is None else date.fromisoformat(text)

    contracts = tuple(day(text) for text in document.get("contract_ends", ()))
    return Relationship(
        PartyKind(document["kind"]), day(document.get("ended")), contracts, day(document.get("confirmed_on"))
    )


def printed(verdict: Verdict) -> str:
    ends = verdict.delete_on or "-"
    head = (
        f"{verdict.call_id} {verdict.action} {verdict.cause} {ends} {verdict.retention_class} {verdict.class_version}"
    )
    return f"{head.rstrip()}\n   {verdict.reason}\n"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_the_verdicts_are_these(path: Path) -> None:
    """Each golden policy gives exactly its verdicts and sentences; CALLREC_WRITE_GOLDEN writes them, to be reviewed."""
    document, golden = json.loads(path.read_text()), path.with_suffix(".txt")
    policy = RetentionPolicy.of(configured(each) for each in document["classes"])
    today = date.fromisoformat(document["today"])
    verdicts = judge_all((row(each) for each in document["rows"]), policy, today)
    text = f"{document['what']}; on {today}.\n\n" + "".join(map(printed, verdicts))
    if os.environ.get("CALLREC_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


HOLDS = st.lists(st.builds(Hold, st.sampled_from(["h1", "h2", "h3"]), st.sampled_from(Protection)), max_size=4)
DAYS = st.dates(date(2015, 1, 1), date(2031, 12, 31))
MAYBE = st.one_of(st.none(), DAYS)
RELATIONSHIPS = st.builds(
    Relationship, st.sampled_from(PartyKind), MAYBE, st.lists(MAYBE, max_size=3).map(tuple), MAYBE
)
ROWS = st.builds(
    RowFacts,
    st.just("c"),
    DAYS,
    st.one_of(st.none(), st.just("unknown"), st.sampled_from([rule.name for rule in SHIPPED])),
    st.one_of(st.none(), RELATIONSHIPS),
    HOLDS.map(tuple),
    st.one_of(st.none(), st.just("r1")),
    st.booleans(),
)


@given(ROWS, DAYS)
def test_a_hold_always_wins(facts: RowFacts, today: date) -> None:
    """Nothing that is held, restricted or live is deleted, whatever its class, its party, its age and its request."""
    verdict = judge(facts, POLICY, today)
    if facts.holds or facts.in_progress:
        assert verdict.action is Action.KEEP
    if not facts.in_progress and any(hold.kind is Protection.LEGAL_HOLD for hold in facts.holds):
        assert verdict.cause is Cause.LEGAL_HOLD
    assert verdict.reason.endswith(".")
    assert verdict.reason.startswith(("Kept", "To be"))


@given(ROWS, DAYS)
def test_what_is_not_protected_goes_on_its_day(facts: RowFacts, today: date) -> None:
    """A row goes from `delete_on` on and not before; only a relationship that lasts leaves that open."""
    verdict = judge(facts, POLICY, today)
    if verdict.cause in {Cause.PERIOD, Cause.RELATIONSHIP, Cause.CHECK_DUE}:
        due = verdict.delete_on is not None and today >= verdict.delete_on
        assert goes(verdict) is due
    if verdict.delete_on is None and verdict.cause is not Cause.CLASS_UNKNOWN:
        assert facts.relationship is not None or facts.retention_class == "unknown"


@given(ROWS, DAYS, DAYS)
def test_time_alone_never_brings_a_row_back(facts: RowFacts, one: date, other: date) -> None:
    """What goes on one day goes on every later one, too."""
    early, late = sorted((one, other))
    if goes(judge(facts, POLICY, early)):
        assert goes(judge(facts, POLICY, late))


def test_the_strongest_hold_does_not_depend_on_order() -> None:
    """Of several holds of one kind the id decides, not the order in which they were read."""
    holds = [Hold("b", Protection.RESTRICTION), Hold("a", Protection.RESTRICTION)]
    assert strongest(holds) == strongest(reversed(holds)) == Hold("a", Protection.RESTRICTION)
    assert strongest(()) is None


def test_a_configured_class_takes_the_place_of_the_shipped_one() -> None:
    """The configuration has the word, also for a class that a law demands: that it is one does not go away."""
    own = RetentionPolicy.of([Configured("fca_regulated", CalendarPeriod(years=7))])
    assert own.classes["fca_regulated"].version == "7y/call"
    assert own.classes["fca_regulated"].obligation
    assert own.classes["enquirer"].version == "2y/call"


def test_a_call_of_nobody_always_has_an_end() -> None:
    """Where even the class of unmatched calls waits for a relationship, the shipped one holds."""
    own = RetentionPolicy.of([Configured(UNMATCHED, CalendarPeriod(years=1), RetentionStart.RELATIONSHIP_END)])
    assert judge(RowFacts("c", date(2024, 11, 25), UNMATCHED), own, TODAY).delete_on == TODAY


def test_periods_are_said_as_people_say_them() -> None:
    """One year is not one years."""
    periods = [CalendarPeriod(1, 6, 0), CalendarPeriod(0, 0, 28), CalendarPeriod()]
    assert [in_words(period) for period in periods] == ["1 year 6 months", "28 days", "0 days"]


def many(number: int) -> Iterator[RowFacts]:
    for n in range(number):
        yield RowFacts(f"{n:08d}", TODAY - timedelta(days=n % 1000), "unmatched")


def test_memory_does_not_grow_with_the_rows() -> None:
    """Fifty times the rows take no more memory: verdicts are passed on one by one."""
    peaks = []
    for number in (200, 10_000):
        tracemalloc.start()
        summary = Tally.over(judge_all(many(number), POLICY, TODAY)).summary
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert summary.rows == number
    assert peaks[1] < peaks[0] + 20_000


def test_the_hash_is_over_what_goes() -> None:
    """The same set on another day has the same hash; one more row, or another class version, has another."""
    rows = [RowFacts("a", date(2024, 1, 1)), RowFacts("b", date(2026, 1, 1))]
    here = Tally.over(judge_all(rows, POLICY, TODAY)).summary
    tomorrow = Tally.over(judge_all(rows, POLICY, TODAY + timedelta(days=1))).summary
    assert here == tomorrow
    assert (here.rows, here.to_delete, here.by_class) == (2, 1, {"unmatched": 1})
    later = Tally.over(judge_all(rows, POLICY, date(2028, 1, 1))).summary
    shorter = RetentionPolicy.of([Configured("unmatched", CalendarPeriod(years=1))])
    other = Tally.over(judge_all(rows, shorter, TODAY)).summary
    assert len({here.hash, later.hash, other.hash}) == 3


def test_what_a_request_erases_is_left_to_it() -> None:
    """An authorised request's rows are told in the plan and not counted as retention's."""
    rows = [RowFacts("a", date(2020, 1, 1), request_id="r1")]
    tally = Tally()
    assert [goes(verdict) for verdict in tally.passing(judge_all(rows, POLICY, TODAY))] == [False]
    assert tally.summary.by_cause == {"authorised_erasure": 1}
    assert tally.summary.to_delete == 0


def test_rows_out_of_order_are_noticed() -> None:
    """A hash that depended on how rows were read would be worth nothing."""
    with pytest.raises(ValueError, match="ascending"):
        Tally.over(judge_all([RowFacts("b", TODAY), RowFacts("a", TODAY)], POLICY, TODAY))


NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
READY = RunFacts(NOW, NOW - timedelta(hours=1), first_run_approved=True, approved_hash=None)


def plan(to_delete: int, rows: int = 1000) -> Summary:
    return Summary(f"hash-{to_delete}", rows, to_delete, {}, {})


@pytest.mark.parametrize(
    ("summary", "facts", "why"),
    [
        (plan(1), RunFacts(NOW, NOW + timedelta(minutes=1), True, "hash-1"), "set the clock right first"),
        (plan(1), RunFacts(NOW, None, False, None), "the first run is a report"),
        (plan(1), RunFacts(NOW, None, False, "hash-2"), "retention approve hash-1"),
        (plan(201), READY, "would delete 201 of 1000 rows, more than 100 and more than 20%"),
        (plan(201), RunFacts(NOW, None, True, "hash-202"), "retention approve hash-201"),
    ],
)
def test_a_run_that_nobody_meant_does_not_run(summary: Summary, facts: RunFacts, why: str) -> None:
    """A clock before the newest call, a first run, a mass deletion: nothing happens, exit code 5 (LAW-61)."""
    with pytest.raises(OperatorError, match=why) as caught:
        check_run(summary, facts, Guard())
    assert caught.value.exit_code is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("summary", "facts"),
    [
        (plan(0), RunFacts(NOW, NOW, False, None)),
        (plan(1), RunFacts(NOW, None, False, "hash-1")),
        (plan(200), READY),
        (plan(100, rows=100), READY),
        (plan(5000, rows=100_000), READY),
        (plan(900), RunFacts(NOW, NOW, True, "hash-900")),
    ],
)
def test_an_ordinary_or_an_approved_run_runs(summary: Summary, facts: RunFacts) -> None:
    """Nothing to do, an approved hash, a large share of few, a small share of many: no guard stops these."""
    check_run(summary, facts, Guard())


def test_a_dry_import_prints_what_moves() -> None:
    """Of three rows whose party ends only those are told whose date moves, and which go at the next run."""
    open_ended, ended = Relationship(PartyKind.CUSTOMER), Relationship(PartyKind.CUSTOMER, ended=date(2026, 11, 1))
    pairs = [
        (RowFacts("a", date(2025, 1, 1), "unmatched", open_ended), RowFacts("a", date(2025, 1, 1), "unmatched", ended)),
        (RowFacts("b", date(2025, 1, 1), "enquirer"), RowFacts("b", date(2025, 1, 1), "enquirer")),
        (RowFacts("c", date(2026, 11, 9), "unmatched"), RowFacts("c", date(2026, 11, 9), "unmatched", open_ended)),
    ]
    found = [(move.call_id, move.before, move.after, move.goes_now) for move in moves(pairs, POLICY, POLICY, TODAY)]
    assert found == [("a", None, date(2026, 11, 1), True), ("c", date(2028, 11, 9), None, False)]
