"""Keys that callers press, and callers or desks that wait: what must not be recorded is not."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.house import TELEPHONE_EVENT, Conversation, House, hears
from tests.support.listening import decoded, matches
from tests.support.processes import wait_until
from tests.support.recorder import DDI, Plan
from tests.support.traces import find_traces, voices

MENU = """
[[menu]]
name = "main"
timeout = "3s"
[menu.digits]
1 = "sip:sales@127.0.0.2:PBX_PORT"
2 = "sip:billing@127.0.0.2:PBX_PORT"
"""
LEAST_PACKETS, SILENT_PACKETS = 60, 15


@pytest.fixture(scope="module")
def waiting_room() -> Iterator[House]:
    """Return a house whose only test subject is silence: it is shared by the tests of hold and opt-out."""
    with House() as house:
        yield house


def press(talk: Conversation, digits: str) -> None:
    for digit in digits:
        talk.outside.voice.press(digit, TELEPHONE_EVENT)


def hear_to_the_end(talk: Conversation) -> None:
    """Wait until the notice is over: nothing has come for a while, or only silence."""
    heard = talk.outside.voice.heard

    def over() -> bool:
        last = heard[-SILENT_PACKETS:]
        quiet = all(len(set(packet.payload)) == 1 for packet in last)
        return len(heard) >= LEAST_PACKETS and (quiet or time.monotonic() - heard[-1].at > SILENT_PACKETS * 0.02)

    wait_until(over, "the notice is over", 10)


def check_nothing_kept(house: House, talk: Conversation) -> None:
    item = house.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "opt_out")
    assert house.recorder.run("export", item["call_id"], "--format", "wav", "--to", "-").code == 3
    patterns = voices("caller", talk.outside.coded) | voices("desk", talk.inside.coded)
    assert find_traces([house.recorder.directory], patterns) == []


def test_opt_out_in_the_notice(waiting_room: House) -> None:
    """NOT-16: key 9 during the notice: the call goes on to the desk, nothing is recorded."""
    talk = waiting_room.hear_notice(waiting_room.dial("+447700900401"))
    press(talk, "9")
    waiting_room.pick_up(waiting_room.reach_desk(talk, 20))
    assert hears(talk.inside, talk.outside, 5)
    assert hears(talk.outside, talk.inside, 5)
    talk.talk(0.5)
    talk.hang_up()
    check_nothing_kept(waiting_room, talk)


def test_opt_out_after_connect(waiting_room: House) -> None:
    """`*9` after connect discards what was stored of this call; the two go on talking."""
    talk = waiting_room.connect("+447700900402")
    talk.talk(0.5)
    press(talk, "*9")
    talk.talk(1.0)
    assert hears(talk.inside, talk.outside, 5)
    files = list(waiting_room.recorder.recordings.rglob("*.crec*")) + list(
        waiting_room.recorder.recordings.rglob("*.partial")
    )
    talk.hang_up()
    check_nothing_kept(waiting_room, talk)
    item = waiting_room.item_of(talk)
    assert not [path for path in files if path.exists() and str(item["recording_id"]) in path.name]


def test_opt_out_by_info(waiting_room: House) -> None:
    """NOT-17: a phone without RFC 4733 declines by INFO; both keys reach the desk as they came, and go back as well."""
    talk = waiting_room.connect("+447700900409")
    talk.talk(0.5)
    for digit in "*9":
        body = f"Signal={digit}\r\nDuration=160\r\n".encode()
        assert talk.out.inform("INFO", body, "application/dtmf-relay").status == 200
    assert talk.desk.inform("INFO", b"5", "application/dtmf").status == 200
    got = [request.body for request in talk.desk.requests if request.method == "INFO"]
    assert got == [b"Signal=*\r\nDuration=160\r\n", b"Signal=9\r\nDuration=160\r\n"]
    assert [request.body for request in talk.out.requests if request.method == "INFO"] == [b"5"]
    talk.talk(0.5)
    talk.hang_up()
    check_nothing_kept(waiting_room, talk)


def test_a_plain_nine_after_connect_belongs_to_the_pbx(waiting_room: House) -> None:
    """A 9 after connect is passed on to the PBX's own menu, and the recording goes on."""
    talk = waiting_room.connect("+447700900403")
    press(talk, "9")
    assert talk.inside.voice.wait_heard(lambda heard: any(p.payload_type == TELEPHONE_EVENT for p in heard), 5)
    talk.talk(0.5)
    talk.hang_up()
    assert waiting_room.item_of(talk)["outcome_reason"] == "complete"


def test_other_keys_do_not_interrupt_the_notice(waiting_room: House) -> None:
    """Keys other than opt-out and menu change nothing: the notice is heard to its end and the call recorded."""
    talk = waiting_room.hear_notice(waiting_room.dial("+447700900404"))
    press(talk, "5#")
    waiting_room.pick_up(waiting_room.reach_desk(talk))
    talk.talk(0.5)
    talk.hang_up()
    item = waiting_room.item_of(talk)
    assert item["outcome_reason"] == "complete"
    assert item["notice"]["completed"]


@pytest.mark.parametrize(("who", "caller"), [("caller", "+447700900405"), ("desk", "+447700900406")])
def test_nothing_of_a_held_span_is_stored(waiting_room: House, who: str, caller: str) -> None:
    """NOT-20: hold by re-INVITE from either side: no audio of either side, and the time line keeps its length."""
    talk = waiting_room.connect(caller)
    talk.talk(1.0)
    holder, held = (talk.out, talk.desk) if who == "caller" else (talk.desk, talk.out)
    assert holder.hold().status == 200
    held.wait_session(lambda session: session.held, 5)
    marks = [len(side.voice.sent) for side in (talk.outside, talk.inside)]
    talk.talk(1.5)
    ends = [len(side.voice.sent) for side in (talk.outside, talk.inside)]
    assert holder.resume().status == 200
    held.wait_session(lambda session: not session.held, 5)
    talk.talk(1.0)
    talk.hang_up()
    item = waiting_room.item_of(talk)
    assert item["outcome_reason"] == "complete"
    _, left, right = waiting_room.recorder.export(item["call_id"])
    for side, channel, mark, end in zip((talk.outside, talk.inside), (left, right), marks, ends, strict=True):
        pieces = matches(np.array(channel, np.int16), decoded(g711.PCMA, side.coded))
        assert len(pieces) == 2, f"expected the voice before and after the hold, found {pieces}"
        before, after = pieces
        assert before.in_voice + before.length <= (mark + 5) * 160
        assert after.in_voice >= (end - 5) * 160
        gap_in_channel = after.in_channel - (before.in_channel + before.length)
        gap_in_voice = after.in_voice - (before.in_voice + before.length)
        assert abs(gap_in_channel - gap_in_voice) <= 160, "the time line lost its length"
    held_segments = [segment for segment in item["segments"] if segment["state"] == "hold"]
    assert len(held_segments) == 1
    assert held_segments[0]["end_ms"] - held_segments[0]["start_ms"] == pytest.approx(1500, abs=500)


@pytest.fixture(scope="module")
def switchboard() -> Iterator[House]:
    """Return a house whose notice is followed by a menu."""
    with House(Plan(rule='menu = "main"', more=MENU)) as house:
        yield house


def test_the_menu_chooses_the_destination(switchboard: House) -> None:
    """After the notice a key selects where the call goes, and the call is recorded."""
    talk = switchboard.hear_notice(switchboard.dial("+447700900411"))
    hear_to_the_end(talk)
    press(talk, "2")
    switchboard.pick_up(switchboard.reach_desk(talk))
    assert talk.desk.invite.uri.startswith("sip:billing@")
    talk.talk(0.5)
    talk.hang_up()
    assert switchboard.item_of(talk)["outcome_reason"] == "complete"


def test_without_a_key_the_menu_gives_way(switchboard: House) -> None:
    """A caller who presses nothing is connected to the route's own destination."""
    talk = switchboard.connect("+447700900412")
    assert f"sip:{DDI}@" in talk.desk.invite.uri
    talk.hang_up()
    assert switchboard.item_of(talk)["outcome_reason"] == "complete"


def test_opt_out_in_the_menu(switchboard: House) -> None:
    """Key 9 declines the recording in the menu, too."""
    talk = switchboard.hear_notice(switchboard.dial("+447700900413"))
    hear_to_the_end(talk)
    press(talk, "9")
    switchboard.pick_up(switchboard.reach_desk(talk, 20))
    talk.talk(0.5)
    talk.hang_up()
    check_nothing_kept(switchboard, talk)
