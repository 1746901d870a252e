"""What callers and destinations want: opt-out, keys, refusals, and what the transparent way passes on."""

from __future__ import annotations

from typing import Any

import pytest

from callrec.recorder.extensions import SUPPORTED
from callrec.sip import events as sip
from tests.support.hall_house import HallHouse
from tests.support.stories import ANSWER, Talk, connect, hear_notice, reach_pbx
from tests.support.virtual_time import virtual

TRANSPARENT = "02079465555"


async def end(house: HallHouse, talk: Talk, *outcomes: str) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(*outcomes)


@pytest.mark.parametrize("at_s", [0.5, 4.99])
@virtual
async def test_not_16_opt_out_in_the_notice(at_s: float) -> None:
    """NOT-16: confirmed by voice, connected, never recorded."""
    house = HallHouse()
    talk = await hear_notice(house)
    await house.settle(at_s)
    house.press("9")
    await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(5.0)
    assert not house.media.recordings
    await end(house, talk, "opt_out")
    assert house.item().change.notice["interrupted_by"] == "dtmf"


@virtual
async def test_not_16_opt_out_in_the_menu() -> None:
    """NOT-16: 9 in the menu declines the recording; the default destination is called."""
    house = HallHouse()
    talk = await hear_notice(house, called="02079467777")
    await house.settle(6.0)
    house.press("9")
    await house.settle(6.0)
    house.press("2")
    await reach_pbx(house, talk)
    assert str(talk.invite.uri).startswith("sip:202@")
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    await end(house, talk, "opt_out")


@pytest.mark.parametrize("blocked", [False, True])
@virtual
async def test_not_17_opt_out_after_connect_destroys_what_was_stored(blocked: bool) -> None:
    """NOT-17: the key goes at once, or as soon as its disk answers; the row names no recording."""
    house = HallHouse()
    talk = await connect(house)
    await house.settle(10.0)
    key = house.call.keys.audio_key_id  # type: ignore[union-attr]
    house.keyring.blocked = blocked
    house.press("*9")
    await house.settle(1.0)
    assert (key in house.keyring.destroyed) is not blocked
    house.keyring.blocked = False
    await house.stores._complete()
    assert key in house.keyring.destroyed
    await end(house, talk, "opt_out")
    assert house.item().change.recording_id is None
    assert house.item().end.final.recording_id is None


@virtual
async def test_not_17_opt_out_and_bye_at_once() -> None:
    """NOT-17: the row ends when the worker has let go of the files."""
    house = HallHouse()
    talk = await connect(house)
    house.press("*9")
    await end(house, talk, "opt_out")
    assert house.call.keys.audio_key_id in house.keyring.destroyed  # type: ignore[union-attr]


@pytest.mark.parametrize("without", ["confirmation", "notice"])
@virtual
async def test_a_prompt_that_is_missing_lets_the_call_go_on(without: str) -> None:
    """NOT-3: a confirmation that cannot be played is left out; a notice that is gone by now is not completed."""
    house = HallHouse()
    house.prompts.confirmation = None
    leg = house.dial()
    await house.settle(0.02)
    if without == "notice":
        house.prompts.loaded = None
    await house.trunk.await_event(sip.Answered)
    await house.settle(0.5)
    house.press("9")
    talk = await reach_pbx(house, Talk(leg))
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    await end(house, talk, "opt_out" if without == "confirmation" else "notice_incomplete")


# Destinations


@virtual
async def test_a_destination_that_cannot_be_found_is_told_after_the_notice() -> None:
    """Design 5: its name does not resolve: the caller still hears the notice, then a tone and BYE."""
    house = HallHouse()

    def fails(uri: Any) -> float:
        if uri.host.endswith("example"):
            raise OSError(-2, "Name or service not known")
        return 0.0

    house.driver.resolving = fails
    await hear_notice(house, called="02079468888")
    await house.trunk.await_event(sip.HungUp)
    await house.check("destination_failed")


@pytest.mark.parametrize(
    ("status", "outcome"), [(486, "busy"), (603, "declined"), (480, "not_answered"), (404, "destination_failed")]
)
@virtual
async def test_a_refusal_is_told_by_a_tone_and_a_cause(status: int, outcome: str) -> None:
    """Design 5: a tone of at most 10 s, then BYE with `Reason: Q.850`."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, status, house.now)
    hung_up = await house.trunk.await_event(sip.HungUp)
    assert hung_up.reason is not None
    assert hung_up.reason.startswith("Q.850;cause=")
    await house.check(outcome)


@pytest.mark.parametrize("called", ["02079460123", TRANSPARENT])
@virtual
async def test_nobody_answers(called: str) -> None:
    """Design 5: announced: a tone and BYE; transparent: 480. The PBX's INVITE is taken back."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(called)))
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.pbx.await_event(sip.Cancelled)
    if called == TRANSPARENT:
        failed = await house.trunk.await_event(sip.Failed)
        assert failed.response is not None
        assert failed.response.status == 480
        await house.check("no_capture_rule")
    else:
        await house.trunk.await_event(sip.HungUp)
        await house.check("not_answered")


@virtual
async def test_the_transparent_way_passes_what_the_pbx_says() -> None:
    """FAIL-1: 18x and the final response with its reason and headers; one hop less, no option of ours or theirs."""
    house = HallHouse()
    wanted = (("Supported", "100rel, gruu"), ("Subject", "hello"), ("Max-Forwards", "40"))
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT, headers=wanted)))
    assert talk.invite.headers.get("Subject") == "hello"
    assert talk.invite.headers.get("Max-Forwards") == "39"
    assert talk.invite.headers.get("Supported") == ", ".join(SUPPORTED)
    house.pbx.endpoint.ring(talk.inside, house.now, status=182, headers=(("Alert-Info", "<urn:alert:x>"),))
    queued = await house.trunk.await_event(sip.Progress)
    assert (queued.response.status, queued.response.headers.get("Alert-Info")) == (182, "<urn:alert:x>")
    headers = (("Reason", "Q.850;cause=21"), ("Warning", '399 pbx "gone home"'))
    house.pbx.endpoint.reject(talk.inside, 480, house.now, reason="Gone Home", headers=headers)
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert (failed.response.status, failed.response.reason) == (480, "Gone Home")
    assert failed.response.headers.get("Reason") == "Q.850;cause=21"
    assert failed.response.headers.get("Warning") == '399 pbx "gone home"'
    await house.check("no_capture_rule")
