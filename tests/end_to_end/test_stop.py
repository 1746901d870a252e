"""Whoever asked not to be recorded is not, from the moment it is entered; and nobody erases what is held."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from tests.support.house import TELEPHONE_EVENT, Conversation, House, hears
from tests.support.processes import wait_until
from tests.support.recorder import TRUNK, Plan, Recorder
from tests.support.traces import find_traces, voices

OUR_OTHER_NUMBER = "02079460177"
PROMPTS_S = 30.0
"""The confirmation and the offer take ten seconds to say."""


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """Return a house that offers a key to whoever declines."""
    with House(Plan(more='[attendant]\nstop_key = "5"\n')) as house:
        yield house


def ask(recorder: Recorder, method: str, *path: str, body: Any = None, expect: int = 200) -> Any:
    """Ask the recorder's API."""
    connection = http.client.HTTPConnection("callrec", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(recorder.directory / "api.sock"))
    try:
        content = None if body is None else json.dumps(body)
        headers = {"content-type": "application/json"} if content else {}
        connection.request(method, "/".join(("/api/v1", *path)), content, headers)
        reply = connection.getresponse()
        said = json.loads(reply.read())
        assert reply.status == expect, said
        return said
    finally:
        connection.close()


def stop(house: House, number: str, **more: Any) -> Any:
    """Enter a stop and let no time pass."""
    return ask(house.recorder, "POST", "stops", body={"number": number, **more})


def pass_by(house: House, talk: Conversation) -> dict[str, Any]:
    """Bring a call up that must not be recorded: the desk is called before the caller is answered."""
    house.reach_desk(talk)
    assert [response.status for response in talk.out.responses if response.status >= 180] == [], "a notice is heard"
    talk.desk.ring()
    house.pick_up(talk)
    house.hear_notice(talk)
    talk.talk(0.5)
    assert hears(talk.inside, talk.outside, 5)
    assert hears(talk.outside, talk.inside, 5)
    talk.hang_up()
    return newest(house)


def newest(house: House) -> dict[str, Any]:
    """Return the newest call when it is over."""
    found: list[dict[str, Any]] = []

    def over() -> bool:
        found[:] = house.recorder.find("--limit", "1")
        return bool(found) and not found[0]["in_progress"]

    wait_until(over, "the newest call is over", 15)
    return found[0]


def check_nothing_kept(house: House, talk: Conversation, item: dict[str, Any]) -> None:
    assert (item["outcome"], item["outcome_reason"], item["recording_id"]) == ("not_recorded", "stop_list", None)
    assert house.recorder.run("export", item["call_id"], "--format", "wav", "--to", "-").code == 3
    patterns = voices("caller", talk.outside.coded) | voices("desk", talk.inside.coded)
    assert find_traces([house.recorder.directory], patterns) == []


def test_law_40_a_stop_counts_for_the_next_call(house: House) -> None:
    """LAW-39, LAW-40: recorded before, and never again from the next call on; nobody hears a notice."""
    caller = "+447700900601"
    talk = house.connect(caller)
    talk.talk(0.5)
    talk.hang_up()
    assert house.item_of(talk)["outcome_reason"] == "complete"
    began = time.monotonic()
    stop(house, "07700 900601", reason="by letter")
    assert time.monotonic() - began < 1.0, "LAW-40: it is entered within a second"
    talk = house.dial(caller)
    item = pass_by(house, talk)
    check_nothing_kept(house, talk, item)
    assert (item["network_number"], item["notice"]) == (caller, None)


def test_law_39_the_called_side_is_stopped_too(house: House) -> None:
    """LAW-39: a stop of the number that is called, whoever calls."""
    stop(house, "+44" + OUR_OTHER_NUMBER[1:])
    talk = house.dial("+447700900602", OUR_OTHER_NUMBER)
    check_nothing_kept(house, talk, pass_by(house, talk))


def test_cli_12_a_withheld_number_is_compared_and_forgotten(house: House) -> None:
    """LAW-39, CLI-12: the asserted number is compared in memory; the row keeps no number."""
    hidden = "+447700900603"
    stop(house, hidden)
    headers = [("P-Asserted-Identity", f"<sip:{hidden}@{TRUNK};user=phone>"), ("Privacy", "id")]
    talk = house.dial(hidden, from_=f'"Anonymous" <sip:anonymous@{TRUNK}>', headers=headers)
    item = pass_by(house, talk)
    check_nothing_kept(house, talk, item)
    assert (item["withheld"], item["network_number"], item["presentation_number"]) == (True, None, None)


def test_law_39_a_live_call_stops_at_once_and_keeps_what_there_was(house: House) -> None:
    """LAW-39: the two talk on, nothing more is stored; what was stored is offered to be discarded, and then goes."""
    talk = house.connect("+447700900604")
    talk.talk(2.0)
    stopped = stop(house, talk.caller)
    assert (len(stopped["live"]), stopped["discard_offered"]) == (1, True)
    talk.talk(3.0)
    assert hears(talk.inside, talk.outside, 5), "the call goes on"
    talk.hang_up()
    item = house.item_of(talk)
    assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "cut", True)
    rate, left, _ = house.recorder.export(item["call_id"])
    assert 1.0 < len(left) / rate < 4.0, "only what was said before the stop"
    done = ask(house.recorder, "POST", "stops", stopped["id"], "discard")
    assert (done["discarded"], done["kept"]) == ([item["call_id"]], [])
    check_nothing_kept(house, talk, house.item_of(talk))


def test_law_39_a_live_stop_may_discard_what_was_stored(house: House) -> None:
    """LAW-39: stopped live and discarded: as if it had never been recorded."""
    talk = house.connect("+447700900605")
    talk.talk(1.0)
    stopped = stop(house, talk.caller, discard=True)
    assert (len(stopped["discarded"]), stopped["discard_offered"]) == (1, False)
    talk.talk(1.0)
    assert hears(talk.outside, talk.inside, 5)
    talk.hang_up()
    check_nothing_kept(house, talk, house.item_of(talk))


def test_not_16_a_key_after_the_opt_out_stops_all_later_calls(house: House) -> None:
    """NOT-16: 9 declines this call, 5 every later one; both are connected."""
    caller = "+447700900606"
    talk = house.hear_notice(house.dial(caller))
    talk.outside.voice.press("9", TELEPHONE_EVENT)
    heard = talk.outside.voice.heard
    wait_until(lambda: len(heard) > 3.5 / 0.02, "the confirmation is over and the offer is heard", PROMPTS_S)
    talk.outside.voice.press("5", TELEPHONE_EVENT)
    house.pick_up(house.reach_desk(talk, PROMPTS_S))
    talk.talk(0.5)
    talk.hang_up()
    assert house.item_of(talk)["outcome_reason"] == "opt_out"
    (entered,) = [item for item in ask(house.recorder, "GET", "stops")["items"] if item["number"] == caller]
    assert entered["added_by"] == "caller"
    talk = house.dial(caller)
    check_nothing_kept(house, talk, pass_by(house, talk))


def test_law_40_a_stop_survives_a_crash(house: House) -> None:
    """LAW-40: kill -9 right after it was entered: the first call after the restart is not recorded."""
    caller = "+447700900607"
    stop(house, caller)
    house.recorder.kill()
    house.recorder.restart()
    talk = house.dial(caller)
    check_nothing_kept(house, talk, pass_by(house, talk))


def test_law_53_a_hold_wins_over_deletion(house: House) -> None:
    """LAW-53: exit 5 for as long as it is in force, for the frozen list and for calls that come."""
    caller = "+447700900608"
    talk = house.connect(caller)
    talk.talk(0.5)
    talk.hang_up()
    first = house.item_of(talk)
    review = (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011 - the recorder's day, give or take one
    body = {"number": caller, "reason": "claim 7", "review": review}
    hold = ask(house.recorder, "POST", "holds", body=body)
    assert hold["calls"] == [first["call_id"]]
    talk = house.connect(caller)
    talk.talk(0.5)
    talk.hang_up()
    wait_until(
        lambda: (
            [item["holds"] for item in house.recorder.find(caller)] == [[{"id": hold["id"], "kind": "legal_hold"}]] * 2
        ),
        "the new call comes under the hold",
        10,
    )
    for wanted in (("--number", caller), (first["call_id"],)):
        refused = house.recorder.run("delete", *wanted, "--yes")
        assert (refused.code, "hold" in refused.err) == (5, True), refused.err
    assert len(house.recorder.find(caller)) == 2


def test_law_42_what_is_restricted_is_not_used(house: House) -> None:
    """LAW-42: kept and shown, exported by nobody without a reason."""
    talk = house.connect("+447700900609")
    talk.talk(0.5)
    talk.hang_up()
    call_id = house.item_of(talk)["call_id"]
    review = (date.today() + timedelta(days=30)).isoformat()  # noqa: DTZ011 - the recorder's day, give or take one
    body = {"ids": [call_id], "reason": "accuracy is contested", "review": review}
    restriction = ask(house.recorder, "POST", "restrictions", body=body)
    target = house.recorder.directory / "restricted.wav"
    export = ("export", call_id, "--format", "wav", "--to", str(target))
    refused = house.recorder.run(*export)
    assert (refused.code, "restricted" in refused.err) == (5, True), refused.err
    assert not target.exists()
    house.recorder.must(*export, "--reason", "the person asked us to check it")
    target.unlink()
    ask(house.recorder, "POST", "restrictions", restriction["id"], "release", body={"reason": "told by letter"})
    house.recorder.must(*export)
