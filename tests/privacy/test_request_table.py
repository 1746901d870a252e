"""The table of a deletion request says everything that can happen to it, and its diagram says the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.errors import ExitCode, OperatorError
from callrec.privacy.request_table import (
    DELETION_REQUEST,
    ENDS,
    TABLE,
    RequestAction,
    RequestInput,
    RequestState,
    commands,
    is_open,
    take,
)
from tests.support.state_machines import check, mermaid, page

S, I, A = RequestState, RequestInput, RequestAction  # noqa: E741 - state, input, action, as the tables write them


def walk(*inputs: RequestInput) -> list[RequestState]:
    """Return the states a request passes."""
    states = [DELETION_REQUEST.start]
    for given_input in inputs:
        states.append(take(states[-1], given_input).to)
    return states


def test_the_table_holds() -> None:
    """No dead end, nothing unreachable, a row in every open state for what nobody commands."""
    check(DELETION_REQUEST)


def test_the_check_notices_a_missing_row() -> None:
    """Without any one row that comes from outside, the check fails."""
    for key in TABLE:
        if key[1] in DELETION_REQUEST.from_outside:
            table = {other: step for other, step in TABLE.items() if other != key}
            with pytest.raises(AssertionError):
                check(replace(DELETION_REQUEST, table=table))


def test_the_diagram_is_not_stale() -> None:
    """The page in docs/state-machines is what the table prints today."""
    found = page(DELETION_REQUEST).read_text(encoding="utf-8") if page(DELETION_REQUEST).exists() else ""
    assert found == mermaid(DELETION_REQUEST), "run: python -m tests.support.state_machines"


def test_an_ordinary_request_runs_to_its_end() -> None:
    """Received, identified, authorised, executed, verified, completed."""
    assert walk(I.VERIFY, I.APPROVE, I.EXECUTE, I.ERASED, I.VERIFIED) == [
        *(S.RECEIVED, S.AUTHORISATION_PENDING, S.AUTHORISED, S.EXECUTING, S.VERIFYING, S.COMPLETED)
    ]


def test_a_held_rest_is_queued_again_at_its_release() -> None:
    """What was held waits under its hold and comes back, authorised, when that is released (LAW-53)."""
    states = walk(I.VERIFY, I.APPROVE_PARTLY, I.EXECUTE, I.ERASED, I.VERIFIED_REST_HELD, I.HOLD_RELEASED, I.EXECUTE)
    assert states[-4:] == [S.VERIFYING, S.LEGAL_HOLD, S.AUTHORISED, S.EXECUTING]
    assert A.SAVE_PLAN in take(S.LEGAL_HOLD, I.HOLD_RELEASED).actions


def test_a_restart_goes_on_where_it_was() -> None:
    """A start of the recorder repeats the step it broke off, and changes no state."""
    for state in RequestState:
        if is_open(state):
            assert take(state, I.RESTARTED).to is state
    assert take(S.EXECUTING, I.RESTARTED).actions == (A.ERASE,)
    assert take(S.VERIFYING, I.RESTARTED).actions == (A.READ_BACK,)


def test_a_request_without_authorisation_is_not_executed() -> None:
    """One sentence says what was found and what comes next, and the exit code is 5."""
    with pytest.raises(OperatorError) as caught:
        take(S.IDENTITY_PENDING, I.EXECUTE)
    assert str(caught.value) == (
        "found the request in state identity_pending, expected authorised, partly_refused, executing or verifying "
        "for `request execute`; next is `request verify`"
    )
    assert caught.value.exit_code is ExitCode.REFUSED


def test_nothing_leads_back_from_executing() -> None:
    """Once erasing has begun no input leads to a state before it but through a released hold (domain rule 1.5)."""
    before = {S.RECEIVED, S.IDENTITY_PENDING, S.AUTHORISATION_PENDING}
    reached, todo = set(), [S.EXECUTING]
    while todo:
        state = todo.pop()
        reached.add(state)
        todo += [step.to for (at, _), step in TABLE.items() if at is state and step.to not in reached]
    assert not reached & before


def test_erasing_always_follows_identity_and_approval() -> None:
    """No path reaches `executing` without passing identity and authorisation (LAW-34)."""
    for stop in (S.AUTHORISATION_PENDING, None):
        reached = {S.RECEIVED}
        while (
            more := {
                step.to for (at, _), step in TABLE.items() if at in reached and at is not stop and step.to is not stop
            }
            - reached
        ):
            reached |= more
        assert (S.EXECUTING in reached) is (stop is None)


@given(st.lists(st.sampled_from(list(RequestInput)), max_size=40))
def test_whatever_is_tried_an_end_is_an_end(inputs: list[RequestInput]) -> None:
    """Any row of inputs leaves a known state, a refused one changes nothing, and an end accepts nothing."""
    state = DELETION_REQUEST.start
    for given_input in inputs:
        if (state, given_input) in TABLE:
            assert state not in ENDS
            state = take(state, given_input).to
            continue
        with pytest.raises(OperatorError) as caught:
            take(state, given_input)
        assert caught.value.exit_code is ExitCode.REFUSED
    assert is_open(state) or not commands(state)
