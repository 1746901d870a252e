"""Pausing live recordings through the whole hall: commands, keys, INFO, limit, stop (LAW-72, LAW-39)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from callrec.calls import inputs as given
from callrec.calls.inputs import Timer
from callrec.errors import ExitCode, OperatorError
from callrec.recorder.live_control import LiveControl, without_numbers
from tests.support.hall_house import HallHouse
from tests.support.stories import ANSWER, Talk, connect, hear_notice, reach_pbx
from tests.support.virtual_time import virtual


class Control(LiveControl):
    """The recorder's control of live calls; what it writes down is kept."""

    def __init__(self, house: HallHouse) -> None:
        self.audited: list[tuple[str, str, Mapping[str, Any]]] = []
        super().__init__(house.tools, house.hall.calls, self._note)

    async def _note(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        self.audited.append((actor, action, detail))


async def end(house: HallHouse, talk: Talk, *outcomes: str) -> list[tuple[str, str | None]]:
    """Let the caller hang up; return the segments of the row."""
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(*outcomes)
    return [(part["state"], part["reason"]) for part in house.item().end.final.segments or ()]


@virtual
async def test_law_72_pause_and_resume_by_a_program() -> None:
    """LAW-72, LAW-75: the line says who and what for; events, audit row without the digits of the reason."""
    house = HallHouse()
    talk, control = await connect(house), Control(house)
    call_id = house.call.call_id
    await house.settle(2.0)
    state = await control.pause(call_id[:8], purpose="card_payment", reason="card 4111 1111 1111 1111", actor="alice")
    assert (state.recording, house.media.recordings[call_id].paused) == ("paused", True)
    await house.settle(3.0)
    assert (await control.resume(call_id, reason="", actor="alice")).recording == "recording"
    assert not house.media.recordings[call_id].paused
    assert (await control.resume(call_id, reason="", actor="alice")).recording == "recording"
    await house.settle(2.0)
    segments = await end(house, talk, "complete")
    assert segments == [("recorded", None), ("paused", "alice: card_payment"), ("recorded", None)]
    assert [action for _, action, _ in control.audited] == ["calls.pause", "calls.resume"]
    assert control.audited[0][2]["reason"] == "card …"
    assert [event for event in house.item().events if "paused" in event or "resumed" in event] == [
        "recording/paused",
        "recording/resumed",
    ]


@virtual
async def test_law_72_a_pause_ends_by_itself() -> None:
    """LAW-72: after `[limits] longest_pause` the recording goes on, with a flag, an event and a line in the log."""
    house = HallHouse(limits={"longest_pause": "1m"})
    talk = await connect(house)
    await Control(house).pause(house.call.call_id, purpose="card_payment", reason="", actor="alice")
    await house.settle(59.0)
    assert house.media.recordings[house.call.call_id].paused
    await house.settle(2.0)
    assert not house.media.recordings[house.call.call_id].paused
    await end(house, talk, "complete")
    assert "pause_expired" in house.item().end.final.add_flags


@virtual
async def test_law_72_a_call_that_ends_while_paused_is_complete() -> None:
    """LAW-72: no timer is left, and the line ends paused."""
    house = HallHouse()
    talk = await connect(house)
    await house.settle(1.0)
    await Control(house).pause(house.call.call_id, purpose="other", reason="", actor="bob")
    await house.settle(1.0)
    assert (await end(house, talk, "complete"))[-1] == ("paused", "bob: other")
    assert Timer.PAUSE not in house.call.timers


@virtual
async def test_law_72_keys_of_our_own_side_only() -> None:
    """LAW-72: the caller's `*7` pauses nothing, the desk's does."""
    house = HallHouse()
    talk = await connect(house)
    recording = house.media.recordings[house.call.call_id]
    house.press("*7")
    await house.settle(0.1)
    assert not recording.paused
    house.media.press(house.call.destination.id, "*7")
    await house.settle(1.0)
    assert recording.paused
    house.press("*8")
    await house.settle(0.1)
    assert recording.paused
    house.media.press(house.call.destination.id, "*8")
    await house.settle(1.0)
    assert not recording.paused
    assert ("paused", "key: card_payment") in await end(house, talk, "complete")
    assert [(entry.action, entry.detail["by"]) for entry in house.catalogue.audited] == [
        ("calls.pause", "key"),
        ("calls.resume", "key"),
    ]


@virtual
async def test_law_72_a_pause_before_the_answer_lets_the_recording_begin_paused() -> None:
    """LAW-72: asked for in the notice, it is in force from the first packet."""
    house = HallHouse()
    leg = await hear_notice(house)
    control = Control(house)
    assert (await control.pause(house.call.call_id, purpose="other", reason="", actor="bob")).recording == "paused"
    talk = await connect_rest(house, leg)
    assert house.media.recordings[house.call.call_id].paused
    assert (await end(house, talk, "complete"))[0] == ("paused", "bob: other")


async def connect_rest(house: HallHouse, talk: Talk) -> Talk:
    talk = await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(2.0)
    return talk


@pytest.mark.parametrize(("discard", "outcome", "state"), [(False, "cut", "ended"), (True, "stop_list", "none")])
@virtual
async def test_law_39_a_stop_ends_the_recording(discard: bool, outcome: str, state: str) -> None:
    """LAW-39: the call goes on; what was stored is kept, or destroyed key first."""
    house = HallHouse()
    talk, control = await connect(house), Control(house)
    await house.settle(2.0)
    done = await control.stop(house.call.call_id, discard=discard, reason="asked", actor="carol")
    assert done.recording == state
    await house.settle(1.0)
    assert (house.call.keys.audio_key_id in house.keyring.destroyed) is discard  # type: ignore[union-attr]
    with pytest.raises(OperatorError) as refused:
        await control.pause(house.call.call_id, purpose="other", reason="", actor="carol")
    assert refused.value.exit_code is ExitCode.REFUSED
    await end(house, talk, outcome)


@virtual
async def test_law_53_a_hold_keeps_what_a_stop_would_discard() -> None:
    """LAW-53: the recording ends, what it stored stays, and whoever asked is told (exit code 5)."""
    house = HallHouse()
    talk, control = await connect(house), Control(house)
    house.tools.feed(house.call, given.Protected())
    with pytest.raises(OperatorError) as refused:
        await control.stop(house.call.call_id, discard=True, reason="", actor="carol")
    assert refused.value.exit_code is ExitCode.REFUSED
    assert house.call.keys.audio_key_id not in house.keyring.destroyed  # type: ignore[union-attr]
    await end(house, talk, "cut")


def test_law_74_no_number_of_a_reason_is_written_down() -> None:
    """LAW-74: runs of four digits and more go, however they are spaced."""
    assert without_numbers("4111-1111 1111.1111 exp 12/27, call 2") == "… exp 12/27, call 2"


@virtual
async def test_law_72_the_media_of_our_side_alone_knows_the_codes() -> None:
    """Whoever is from outside presses `*7` for the far side, not for us: it is passed on whole."""
    house = HallHouse()
    talk = await connect(house)
    call = house.call
    assert house.media.legs[call.ours.id].codes == ("*7", "*8")
    assert house.media.legs[call.outside.id].codes == ()
    await end(house, talk, "complete")
