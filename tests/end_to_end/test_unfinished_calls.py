"""Calls that nobody talked in: each ends in exactly one outcome, and the caller is told why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.house import Conversation, House
from tests.support.ports import free_port
from tests.support.recorder import PBX, ROUTE, Plan

NOBODY = "02079460177"
"""A number whose destination does not exist."""


@dataclass(frozen=True)
class Refusal:
    """What the PBX says to a call, and what must come of it."""

    caller: str
    status: int
    reason: str
    outcome_reason: str
    q850_cause: int


REFUSALS = [
    Refusal("+447700900301", 486, "Busy Here", "busy", 17),
    Refusal("+447700900302", 600, "Busy Everywhere", "busy", 17),
    Refusal("+447700900303", 603, "Decline", "declined", 21),
    Refusal("+447700900304", 480, "Temporarily Unavailable", "not_answered", 19),
    Refusal("+447700900305", 404, "Not Found", "destination_failed", 41),
    Refusal("+447700900306", 503, "Service Unavailable", "destination_failed", 41),
]


@pytest.fixture(scope="module")
def office() -> Iterator[House]:
    """Return a house where a desk may ring for two seconds, and where one number leads nowhere."""
    nowhere = ROUTE.format(host=PBX, port=free_port(PBX), extra="", answer_timeout="2s").replace('"*"', f'"{NOBODY}"')
    with House(Plan(answer_timeout="2s", first_routes=nowhere)) as house:
        yield house


@pytest.fixture(scope="module")
def refused(office: House) -> dict[str, Conversation]:
    """Return all refused calls, placed at once, when the callers have been told."""
    talks = {refusal.caller: office.dial(refusal.caller) for refusal in REFUSALS}
    for refusal in REFUSALS:
        talk = office.reach_desk(office.hear_notice(talks[refusal.caller]))
        talk.desk.reject(refusal.status, refusal.reason)
    for talk in talks.values():
        assert talk.out.wait_ended(12) == "bye"
    return talks


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: str(refusal.status))
def test_a_refusal_is_told_and_noted(office: House, refused: dict[str, Conversation], refusal: Refusal) -> None:
    """After at most 10 s of tone the caller gets BYE with a Q.850 cause, and the row says why nothing was recorded."""
    talk = refused[refusal.caller]
    bye = next(request for request in talk.out.requests if request.method == "BYE")
    assert f"Q.850;cause={refusal.q850_cause}" in bye.get("Reason").replace(" ", "")
    item = office.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", refusal.outcome_reason)
    assert item["recording_id"] is None
    assert item["answered_at"] is None


def test_no_answer(office: House) -> None:
    """A desk that only rings is given up after answer_timeout; the PBX leg is cancelled."""
    talk = office.reach_desk(office.hear_notice(office.dial("+447700900311")))
    talk.desk.ring()
    assert talk.desk.wait_ended(6) == "cancelled"
    assert talk.out.wait_ended(12) == "bye"
    item = office.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "not_answered")


def test_a_destination_that_does_not_exist(office: House) -> None:
    """Where nobody listens the call ends as destination_failed, long before the caller loses patience."""
    talk = office.hear_notice(office.dial("+447700900312", NOBODY))
    assert talk.out.wait_ended(20) == "bye"
    item = office.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "destination_failed")


@pytest.mark.parametrize(("packets_heard", "caller"), [(0, "+447700900313"), (25, "+447700900316")])
def test_the_caller_hangs_up_in_the_notice(office: House, packets_heard: int, caller: str) -> None:
    """NOT-4: at once or in the middle: the row stays with the number, no audio, and the desk is never called."""
    talk = office.hear_notice(office.dial(caller))
    assert talk.outside.voice.wait_heard(lambda heard: len(heard) >= packets_heard, 5)
    talk.out.hang_up()
    item = office.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "abandoned_in_notice")
    assert item["network_number"] == talk.caller
    assert item["recording_id"] is None
    assert item["notice"] is not None, "a notice was due"
    assert item["notice"]["completed"] is False
    if packets_heard:
        assert item["notice"]["interrupted_by"] == "hangup"


def test_the_caller_hangs_up_while_it_rings(office: House) -> None:
    """A BYE while the desk rings cancels the PBX leg; nobody talked, so not_answered."""
    talk = office.reach_desk(office.hear_notice(office.dial("+447700900314")))
    talk.desk.ring()
    talk.out.hang_up()
    assert talk.desk.wait_ended(5) == "cancelled"
    item = office.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "not_answered")


def test_the_caller_cancels(office: House) -> None:
    """CANCEL, however it crosses with our 200, leaves one row with an outcome and no call behind."""
    talk = office.dial("+447700900315")
    talk.out.cancel()
    final = talk.out.wait_final(10)
    if final.status == 200:
        talk.out.hang_up()
    else:
        assert final.status == 487
    item = office.item_of(talk)
    assert item["outcome"] == "not_recorded"
    assert item["outcome_reason"] in {"abandoned_in_notice", "not_answered"}
    assert office.recorder.status()["active_calls"] == 0
