"""Real calls that are paused for a card payment: nothing of the span is anywhere, and the line keeps its length."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.house import TELEPHONE_EVENT, Conversation, House
from tests.support.listening import decoded, matches
from tests.support.processes import wait_until
from tests.support.traces import find_traces

CARD = "4929123456789012"


def spoken(talk: Conversation) -> tuple[int, int]:
    """Return how many packets of each voice were sent so far."""
    return len(talk.outside.voice.sent), len(talk.inside.voice.sent)


def asked(house: House, *arguments: str) -> Any:
    """Return the document that a command prints."""
    return house.recorder.must(*arguments, "--json").json


def live_id(house: House) -> str:
    """Return the id of the only call in progress."""
    (item,) = asked(house, "calls")["items"]
    return str(item["call_id"])


def command(house: House, *arguments: str) -> Any:
    return asked(house, "calls", *arguments)


def check_only_outside_the_pause(
    house: House, talk: Conversation, item: dict[str, Any], marks: tuple[int, int], ends: tuple[int, int]
) -> None:
    """Check that the export has both voices before and after the pause, nothing of it, and its length."""
    _, left, right = house.recorder.export(item["call_id"])
    for side, channel, mark, end in zip((talk.outside, talk.inside), (left, right), marks, ends, strict=True):
        pieces = matches(np.array(channel, np.int16), decoded(g711.PCMA, side.coded))
        assert len(pieces) == 2, f"expected the voice before and after the pause, found {pieces}"
        before, after = pieces
        assert before.in_voice + before.length <= mark * 160, "something was stored after the pause was in force"
        assert after.in_voice >= end * 160, "something was stored before the pause had ended"
        gap_in_channel = after.in_channel - (before.in_channel + before.length)
        gap_in_voice = after.in_voice - (before.in_voice + before.length)
        if side is talk.inside:  # a voice stands still while its telephone sends keys
            assert abs(gap_in_channel - gap_in_voice) <= 160, "the time line lost its length"
        assert gap_in_channel >= gap_in_voice - 160


def press_card(talk: Conversation) -> None:
    """Let the caller key the card in by RFC 4733, and by INFO."""
    for digit in CARD:
        talk.outside.voice.press(digit, TELEPHONE_EVENT)
        body = f"Signal={digit}\r\nDuration=160\r\n".encode()
        assert talk.out.inform("INFO", body, "application/dtmf-relay").status == 200


def test_law_72_paused_by_command_nothing_is_stored(house: House) -> None:
    """LAW-72..74: voices and digits of the span are in no file; segments and the audit trail say who and what for."""
    talk = house.connect("+447700900501")
    talk.talk(1.0)
    call = live_id(house)
    assert command(house, "pause", call[:8], "--reason", f"card {CARD}") == {"call_id": call, "recording": "paused"}
    marks = spoken(talk)
    talk.talk(0.3)
    press_card(talk)
    talk.talk(0.5)
    ends = spoken(talk)
    assert command(house, "resume", call)["recording"] == "recording"
    talk.talk(1.0)
    talk.hang_up()
    item = house.item_of(talk)
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
    states = [(part["state"], part["reason"]) for part in item["segments"]]
    assert [state for state, _ in states] == ["recorded", "paused", "recorded"]
    assert states[1][1].endswith(": card_payment")
    check_only_outside_the_pause(house, talk, item, marks, ends)
    patterns = {"card": CARD.encode(), "card with spaces": b"4929 1234 5678 9012"}
    assert find_traces([house.recorder.directory], patterns) == []
    entries = [entry for entry in asked(house, "audit", "list")["items"] if entry["subject"] == call]
    assert {"calls.pause", "calls.resume"} <= {entry["action"] for entry in entries}
    assert CARD[-4:] not in str(entries)


def test_law_72_paused_by_our_own_keys_only_and_over_a_lost_worker(house: House) -> None:
    """LAW-72: `*7` of the caller does nothing, that of the desk pauses; a new media worker does not begin to store."""
    talk = house.connect("+447700900502")
    talk.talk(0.6)
    for digit in "*7":
        talk.outside.voice.press(digit, TELEPHONE_EVENT)
    talk.talk(0.6)
    for digit in "*7":
        talk.inside.voice.press(digit, TELEPHONE_EVENT)
    call = live_id(house)
    assert command(house, "resume", call)["recording"] == "recording"
    assert command(house, "pause", call, "--for", "other")["recording"] == "paused"
    marks = spoken(talk)
    (worker,) = house.recorder.status_now()["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: house.recorder.status_now()["workers"][0]["pid"] != worker["pid"], "a new worker", 10)
    talk.talk(1.0)
    assert command(house, "pause", call)["recording"] == "paused"
    ends = spoken(talk)
    talk.talk(0.3)
    talk.hang_up()
    item = house.item_of(talk)
    assert item["outcome_reason"] == "complete"
    reasons = [part["reason"] for part in item["segments"] if part["state"] == "paused"]
    assert reasons[0] == "key: card_payment"
    assert item["segments"][-1]["state"] == "paused"
    _, left, right = house.recorder.export(item["call_id"])
    for side, channel, mark in zip((talk.outside, talk.inside), (left, right), marks, strict=True):
        for piece in matches(np.array(channel, np.int16), decoded(g711.PCMA, side.coded)):
            assert piece.in_voice + piece.length <= mark * 160
    assert ends > marks


@pytest.mark.parametrize("discard", [False, True])
def test_law_39_stopped_live(house: House, discard: bool) -> None:
    """LAW-39: the recording ends and the call goes on; with --discard nothing is left of it."""
    talk = house.connect("+447700900504" if discard else "+447700900503")
    talk.talk(1.0)
    call = live_id(house)
    if discard:
        assert house.recorder.run("calls", "stop", call, "--discard").code == 2, "a confirmation is due"
    state = command(house, "stop", call, *(["--discard", "--yes"] if discard else []))
    assert state["recording"] == ("none" if discard else "ended")
    assert house.recorder.run("calls", "pause", call).code == 5
    talk.talk(0.3)
    talk.hang_up()
    item = house.item_of(talk)
    assert item["outcome_reason"] == ("stop_list" if discard else "cut")
    assert house.recorder.run("calls", "pause", call).code == 3
    assert house.recorder.run("export", call, "--format", "wav", "--to", "-").code == (3 if discard else 0)
