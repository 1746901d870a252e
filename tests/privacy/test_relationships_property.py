"""Rules that hold for every history of calls and parties, searched by hypothesis."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from callrec.privacy.number_history import EVER, Span, claimed, first_day, holder
from callrec.privacy.retention_classes import KIND_CLASSES, PartyKind, Relationship, RetentionPolicy
from callrec.privacy.ties import CallFacts, Parties, own_class, tie

TODAY = date(2026, 11, 25)
POLICY = RetentionPolicy.of()
DAYS = st.integers(0, 3000).map(lambda days: TODAY - timedelta(days))
PARTIES = ("A", "B", "C")
NUMBERS = (b"1", b"2", b"3")
CLASSES = st.sampled_from([None, "unmatched", "campaign", "customer", "complaint", "hr_applicant", "fca_regulated"])


def history(claims: list[Span]) -> list[Span]:
    """Return a number's history after claims, one after the other."""
    spans: list[Span] = []
    for claim in claims:
        spans = claimed(spans, claim)
    return spans


CLAIMS = st.builds(
    lambda party, since, length: Span(party, since, None if length is None else since + timedelta(length)),
    st.sampled_from(PARTIES),
    st.one_of(st.just(EVER), DAYS),
    st.one_of(st.none(), st.integers(1, 1000)),
)
RELATIONSHIPS = st.builds(
    Relationship,
    st.sampled_from(PartyKind),
    st.one_of(st.none(), DAYS),
    st.lists(st.one_of(st.none(), DAYS), max_size=2).map(tuple),
)
HOUSES = st.builds(
    Parties,
    st.fixed_dictionaries({number: st.lists(CLAIMS, max_size=4).map(history) for number in NUMBERS}),
    st.dictionaries(st.sampled_from(PARTIES), RELATIONSHIPS),
)
CALLS = st.builds(
    CallFacts,
    st.uuids().map(str),
    DAYS,
    st.lists(st.sampled_from(NUMBERS), max_size=2, unique=True).map(tuple),
    CLASSES,
    CLASSES,
)


@given(st.lists(CLAIMS, max_size=8), DAYS)
def test_a_number_has_one_holder_at_a_time(claims: list[Span], day: date) -> None:
    """Whatever is claimed: no two spans overlap, none is empty, and they are in order of time."""
    spans = history(claims)
    assert sum(span.holds(day) for span in spans) <= 1
    assert all(span.until is None or span.since < span.until for span in spans)
    assert spans == sorted(spans, key=lambda span: span.since)
    assert len({span.since for span in spans}) == len(spans)


@given(st.lists(CLAIMS, max_size=8), CLAIMS, DAYS)
def test_a_claim_holds_and_leaves_other_days_alone(claims: list[Span], claim: Span, day: date) -> None:
    """On its days the claimant holds the number; on other days whoever else held it still does."""
    before = history(claims)
    after = claimed(before, claim)
    if claim.holds(day):
        assert holder(after, day) == claim.party_id
    elif (held := holder(before, day)) != claim.party_id:
        assert holder(after, day) == held


@given(st.lists(CLAIMS, max_size=8), CLAIMS)
def test_a_claim_made_twice_is_made_once(claims: list[Span], claim: Span) -> None:
    """An import that is run again changes nothing."""
    once = claimed(history(claims), claim)
    assert claimed(once, claim) == once


@given(st.lists(CLAIMS, max_size=8), st.sampled_from(PARTIES), DAYS)
def test_a_number_that_comes_makes_nobody_forgotten(claims: list[Span], party: str, moved_on: date) -> None:
    """Where no day is given, a number moves in a way that leaves each holder before it something of its time."""
    before = history([claim for claim in claims if claim.until is None or claim.until <= TODAY])
    since = first_day(before, party, moved_on, TODAY)
    if since is None:
        assert holder(before, TODAY) == party
        return
    after = claimed(before, Span(party, since))
    begun = {span.party_id for span in before if span.since < TODAY}
    assert begun <= {span.party_id for span in after}


@given(HOUSES, st.lists(CALLS, min_size=1, max_size=5), CALLS)
def test_law_59_a_later_call_never_moves_an_older_one(
    parties: Parties, calls: list[CallFacts], later: CallFacts
) -> None:
    """LAW-59: what one call is tied to, and when it goes, is the same whatever other calls there are."""
    before = [tie(call, parties, POLICY) for call in calls]
    tie(later, parties, POLICY)
    assert [tie(call, parties, POLICY) for call in calls] == before


@example(
    Parties({b"1": [Span("A", EVER)]}, {"A": Relationship(PartyKind.CUSTOMER)}),
    CallFacts("a call whose rule was given another class", TODAY, (b"1",), "campaign", "complaint"),
)
@given(HOUSES, CALLS)
def test_a_call_looked_at_twice_stays_as_it_is(parties: Parties, call: CallFacts) -> None:
    """Ties that a crash cut off may be made again: with what was stored the first time, the answer is the same."""
    once = tie(call, parties, POLICY)
    stored = CallFacts(call.call_id, call.call_date, call.lookups, once.retention_class, call.rule_class)
    assert tie(stored, parties, POLICY) == once


@settings(max_examples=300)
@given(HOUSES, HOUSES, CALLS)
def test_law_58_parties_that_change_and_change_back_leave_nothing(
    first: Parties, other: Parties, call: CallFacts
) -> None:
    """LAW-58: a call is classed by the parties as they are now, not by what they were in between."""
    # A class that gives way to a party is the one of its capture rule: nobody else chooses it.
    assume(call.stored_class in {None, call.rule_class, *KIND_CLASSES, "complaint", "fca_regulated"})
    once = tie(call, first, POLICY)
    meanwhile = tie(_stored(call, once.retention_class), other, POLICY)
    again = tie(_stored(call, meanwhile.retention_class), first, POLICY)
    assert again == once


def _stored(call: CallFacts, retention_class: str) -> CallFacts:
    return CallFacts(call.call_id, call.call_date, call.lookups, retention_class, call.rule_class)


@given(HOUSES, CALLS)
def test_law_56_every_call_has_a_class_and_no_nobodys_call_stays_for_ever(parties: Parties, call: CallFacts) -> None:
    """LAW-56: a call without a party has a last day; one of a party is open only while something of it lasts."""
    tied = tie(call, parties, POLICY)
    assert tied.retention_class in POLICY.classes
    if tied.party_id is None:
        assert tied.delete_on is not None
        assert own_class(call) == tied.retention_class or tied.retention_class == "unmatched"
