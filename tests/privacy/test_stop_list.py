"""Who is never recorded, as it is asked for every call: a stop wins over everything, and an unknown list stops all."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.calls.outcome import Kind, Outcome, Reason
from callrec.calls.routing import Readiness, why_not_recorded
from callrec.catalogue.indexing import keyed_hash
from callrec.privacy.stop_list import People, StopList, Wishes

KEY = b"k" * 32
ANN, BOB, CAT = "+447700900001", "+447700900002", "+442079460123"
NUMBERS = st.lists(st.sampled_from([ANN, BOB, CAT]), max_size=3)


def people(*numbers: str, parties: frozenset[str] = frozenset()) -> People:
    return People(frozenset(keyed_hash(KEY, number) for number in numbers), parties)


def stopping(*numbers: str, parties: frozenset[str] = frozenset()) -> StopList:
    """Return a loaded list on which these people stand."""
    loaded = StopList()
    loaded.take(KEY, Wishes(stopped=people(*numbers, parties=parties)))
    return loaded


def test_law_39_a_number_on_the_list_is_stopped_and_no_other() -> None:
    """LAW-39: keyed by number and by party; one number of a call is enough."""
    loaded = stopping(ANN, parties=frozenset({"p-1"}))
    assert loaded.is_stopped([BOB, ANN])
    assert loaded.is_stopped([], "p-1")
    assert not loaded.is_stopped([BOB, CAT], "p-2")
    assert not loaded.is_stopped([])


def test_law_39_a_list_that_is_not_known_stops_everybody() -> None:
    """Recording fails closed: before the list is loaded, anybody might be on it."""
    unknown = StopList()
    assert not unknown.known
    assert unknown.is_stopped([ANN])
    assert unknown.is_stopped([])
    assert not unknown.is_held([ANN])


def test_law_39_a_change_counts_from_the_next_question_on() -> None:
    """LAW-40: new wishes replace the old ones in whole, at once."""
    loaded = stopping(ANN)
    loaded.take(KEY, Wishes(stopped=people(BOB), held=people(CAT)))
    assert (loaded.is_stopped([ANN]), loaded.is_stopped([BOB])) == (False, True)
    assert (loaded.is_held([BOB]), loaded.is_held([CAT])) == (False, True)


def test_law_44_no_number_is_readable_in_the_list() -> None:
    """LAW-44: the list is made of keyed hashes, and its key does not show itself."""
    loaded = stopping(ANN)
    assert ANN not in repr(loaded)
    assert KEY.decode() not in repr(loaded)
    assert ANN.encode() not in b"".join(loaded.wishes.stopped.numbers)


ALL_READINESS = [Readiness(*each) for each in itertools.product([True, False], repeat=5)]


@pytest.mark.parametrize("emergency", [True, False])
@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("rule", ["", "inbound"])
def test_law_39_a_stop_wins_over_every_rule(emergency: bool, outbound: bool, rule: str) -> None:
    """LAW-39: in no combination of emergency, rule, direction and readiness is a stopped call recorded."""
    for readiness in ALL_READINESS:
        why = why_not_recorded(emergency=emergency, rule=rule, stopped=True, outbound=outbound, readiness=readiness)
        assert why is not None
        assert Outcome(why).kind is Kind.NOT_RECORDED
        if rule and not emergency:
            assert why is Reason.STOP_LIST


def test_law_39_without_the_list_no_readiness_records() -> None:
    """LAW-39: an unknown list is a missing store: the call passes unrecorded."""
    for readiness in ALL_READINESS:
        if not readiness.stops:
            why = why_not_recorded(emergency=False, rule="inbound", stopped=False, outbound=False, readiness=readiness)
            assert why is not None
    unknown = Readiness(stops=False)
    why = why_not_recorded(emergency=False, rule="inbound", stopped=False, outbound=False, readiness=unknown)
    assert why is Reason.STORAGE_UNAVAILABLE


@given(on_list=NUMBERS, spoken=NUMBERS, party=st.sampled_from([None, "p-1", "p-2"]), stopped_party=st.booleans())
def test_law_39_whoever_is_named_is_found_whoever_else_speaks(
    on_list: list[str], spoken: list[str], party: str | None, stopped_party: bool
) -> None:
    """LAW-39: a call is stopped exactly if one of its numbers, or its party, is on the list."""
    loaded = stopping(*on_list, parties=frozenset({"p-1"}) if stopped_party else frozenset())
    expected = bool(set(on_list) & set(spoken)) or (stopped_party and party == "p-1")
    assert loaded.is_stopped(spoken, party) is expected
