"""Calls that callrec must not touch: no rule, emergency, no keys; they pass as if it were not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demonstration.telephony import g711
from demonstration.telephony.messages import Session
from tests.support.house import Conversation, House
from tests.support.recorder import PBX, ROUTE, Plan
from tests.support.traces import find_traces, voices

QUIET_NUMBER = "02079460190"
EMERGENCY = "999"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Return a house with one number that no capture rule covers."""
    quiet = ROUTE.format(host=PBX, port="PBX_PORT", extra="", answer_timeout="30s")
    quiet = quiet.replace('"*"', f'"{QUIET_NUMBER}"').replace('"inbound"', '""')
    with House(Plan(first_routes=quiet)) as house:
        yield house


def pass_through(house: House, talk: Conversation) -> Conversation:
    """Bring a transparent call up: the desk is called before the caller is answered."""
    house.reach_desk(talk)
    assert [response.status for response in talk.out.responses if response.status >= 180] == []
    return talk


def check_passed(house: House, talk: Conversation, reason: str) -> dict[str, object]:
    item = house.item_of(talk)
    assert (item["outcome"], item["outcome_reason"], item["notice"]) == ("not_recorded", reason, None)
    patterns = voices("caller", talk.outside.coded) | voices("desk", talk.inside.coded)
    assert find_traces([house.recorder.directory], patterns) == []
    return item


def converse(house: House, talk: Conversation) -> None:
    """Let the desk ring and answer, and both speak."""
    talk.desk.ring()
    assert talk.out.wait_response(lambda given: given.status == 180, 5)
    house.pick_up(talk)
    house.hear_notice(talk)
    talk.talk(0.7)
    for listener, speaker in ((talk.inside, talk.outside), (talk.outside, talk.inside)):
        heard = listener.voice.audio_heard(g711.PCMA)
        assert len(heard) > 160 * 10
        assert heard in speaker.coded, "the notice, or something else, came into a transparent call"
    talk.hang_up()


def test_without_a_rule_nothing_is_announced_or_recorded(house: House) -> None:
    """LAW-1: no capture rule, no recording; ringing and answer pass through, nobody hears a notice."""
    talk = pass_through(house, house.dial("+447700900501", QUIET_NUMBER))
    converse(house, talk)
    check_passed(house, talk, "no_capture_rule")


@pytest.mark.parametrize(("status", "reason", "outcome"), [(486, "Busy Here", "busy"), (603, "Decline", "declined")])
def test_a_refusal_passes_through(house: House, status: int, reason: str, outcome: str) -> None:
    """The PBX's own final response reaches the caller: we did not answer for it."""
    talk = pass_through(house, house.dial(f"+447700900{status}", QUIET_NUMBER))
    talk.desk.reject(status, reason)
    assert talk.out.wait_final(5).status == status
    item = house.item_of(talk)
    assert item["outcome"] == "not_recorded"
    assert item["outcome_reason"] in {outcome, "no_capture_rule"}


def test_early_media_passes_through(house: House) -> None:
    """The PBX's 183 with SDP reaches the caller, who hears its early media."""
    talk = pass_through(house, house.dial("+447700900503", QUIET_NUMBER))
    offered = talk.desk.remote_session
    assert offered is not None
    talk.desk.ring(183, "Session Progress", Session(PBX, talk.inside.voice.port, house.codecs(g711.PCMA)))
    talk.inside.begin(offered)
    progress = talk.out.wait_response(lambda given: given.status == 183, 5)
    assert progress.body
    assert talk.outside.voice.wait_heard(lambda heard: len(heard) > 10, 5)
    assert talk.outside.voice.audio_heard(g711.PCMA) in talk.inside.coded
    talk.out.cancel()
    assert talk.out.wait_final(5).status == 487
    assert talk.desk.wait_ended(5) == "cancelled"


@pytest.mark.parametrize("called", ["999", "112", "18000"])
def test_emergency_calls_pass_with_nothing_in_the_way(house: House, called: str) -> None:
    """FAIL-1: decided on the dialled digits: no answer of ours, no notice, not recorded."""
    talk = pass_through(house, house.dial(f"+44770090051{len(called)}", called))
    converse(house, talk)
    check_passed(house, talk, "emergency")


def test_emergency_calls_pass_during_drain() -> None:
    """While the recorder drains, other calls get 503 with Retry-After and 999 goes through."""
    with House(Plan(drain_seconds=30)) as house:
        live = house.connect("+447700900521")
        house.recorder.process.process.terminate()
        refused = None
        for number in range(50):  # the first may still come in before the signal does
            attempt = house.dial(f"+44770090053{number}")
            refused = attempt.out.wait_final(10)
            if refused.status == 503:
                break
            attempt.out.hang_up()
        assert refused is not None
        assert refused.status == 503
        assert refused.get("Retry-After")
        urgent = pass_through(house, house.dial("+447700900522", EMERGENCY))
        converse(house, urgent)
        live.talk(0.3)
        live.hang_up()
        assert house.recorder.process.wait(20) == 0
        house.recorder.restart()
        assert house.item_of(live)["outcome_reason"] == "complete"
        assert house.item_of(urgent)["outcome_reason"] == "emergency"


def test_without_a_key_calls_pass_unrecorded() -> None:
    """Without its master key callrec runs, passes calls, keeps no number, and `status` says why with exit 1."""
    with House() as house:
        house.recorder.stop()
        key = house.recorder.directory / "secrets" / "master-key"
        key.rename(key.with_suffix(".away"))
        house.recorder.restart()
        status = house.recorder.run("status", "--json")
        assert status.code == 1
        assert "keys_unavailable" in [problem["code"] for problem in status.json["problems"]]
        talk = pass_through(house, house.dial("+447700900541"))
        converse(house, talk)
        items = house.recorder.wait_items(1)
        assert items[0]["outcome_reason"] == "keys_unavailable"
        assert items[0]["network_number"] is None
        assert "identity_not_kept" in items[0]["flags"]
