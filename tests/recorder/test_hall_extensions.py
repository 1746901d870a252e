"""100rel, UPDATE and session timers between a trunk and a PBX, each leg by itself; fax falls back to audio."""

from __future__ import annotations

import pytest

from callrec.recorder.extensions import FLAG_FAX, FLAG_SESSION_EXPIRED
from callrec.sdp import SessionDescription, audio_of
from callrec.sip import events as sip
from callrec.sip.message import Request
from tests.support.hall_house import PBX, HallHouse, sdp
from tests.support.joined import kind_of
from tests.support.stories import ANSWER, Talk, connect, connect_transparent, reach_pbx
from tests.support.virtual_time import virtual

REL, TIMER = ("100rel",), ("timer",)
TRANSPARENT = "02079465555"
MOVED = sdp("8 101", port=6000, host=PBX, version=2)
T38 = b"\r\n".join([
    b"v=0", b"o=- 7 9 IN IP4 127.0.0.2", b"s=-", b"c=IN IP4 127.0.0.2", b"t=0 0", b"m=image 6002 udptl t38", b"",
])  # fmt: skip


async def answer_offer(house: HallHouse, session: bytes) -> sip.Reoffered:
    """Let the trunk accept what it is offered."""
    asked = await house.trunk.await_event(sip.Reoffered)
    house.trunk.endpoint.accept_offer(asked.leg, session, house.now)
    return asked


async def hang_up(house: HallHouse, talk: Talk, outcome: str) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(outcome)


@virtual
async def test_sip_5_early_media_passes_reliably_where_both_sides_want_that() -> None:
    """RFC 3262: the PBX's 183 gets our PRACK, the caller's 183 gets theirs; the 200 comes through after both."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT)))
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    progress = await house.trunk.await_event(sip.Progress)
    assert progress.session is not None
    assert progress.response.headers.get("RSeq")
    await house.trunk.await_event(sip.Answered)
    assert len(house.wire.sent_by(house.driver, "PRACK")) == len(house.wire.sent_by(house.trunk.driver, "PRACK")) == 1
    await hang_up(house, talk, "no_capture_rule")


@virtual
async def test_sip_5_each_side_is_reliable_by_itself() -> None:
    """The PBX wants 100rel and the caller does not: PRACK to one, a plain 183 to the other."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT, headers=(("Supported", "gruu"),))))
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    progress = await house.trunk.await_event(sip.Progress)
    assert progress.session is not None
    assert "RSeq" not in progress.response.headers
    await house.settle(0.2)
    assert len(house.wire.sent_by(house.driver, "PRACK")) == 1
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    await hang_up(house, talk, "no_capture_rule")


@virtual
async def test_sip_5_the_announced_way_acknowledges_the_pbx() -> None:
    """The caller is up already; the PBX's early media is linked and the call recorded from its 200."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    await house.settle(0.5)
    assert len(house.wire.sent_by(house.driver, "PRACK")) == 1
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.pbx.await_event(sip.Acknowledged)
    await house.settle(1.0)
    await hang_up(house, talk, "complete")


@virtual
async def test_sip_6_a_late_offer_comes_in_a_reliable_183_and_is_answered_in_the_prack() -> None:
    """INVITE without SDP: the PBX's 183 offers, the caller's PRACK answers, and so does ours to the PBX."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT, late=True)))
    assert talk.offer is None
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    progress = await house.trunk.await_event(sip.Progress)
    assert progress.session is not None
    house.trunk.endpoint.acknowledge(talk.outside, sdp("8 101"), house.now)
    answered = await house.pbx.await_event(sip.Acknowledged)
    assert answered.answer is not None
    assert audio_of(SessionDescription.parse(answered.answer)).codecs[0].name == "PCMA"
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    await house.settle(0.5)
    await hang_up(house, talk, "no_capture_rule")


@virtual
async def test_sip_6_a_caller_without_100rel_gets_a_late_offer_in_the_200() -> None:
    """It could not answer before its ACK: our INVITE then does not name 100rel."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT, late=True, headers=(("Supported", "gruu"),))))
    assert "100rel" not in (talk.invite.headers.get("Supported") or "")
    house.pbx.endpoint.ring(talk.inside, house.now)
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    answered = await house.trunk.await_event(sip.Answered)
    house.trunk.endpoint.acknowledge(answered.leg, sdp("8 101"), house.now)
    assert (await house.pbx.await_event(sip.Acknowledged)).answer is not None
    await hang_up(house, talk, "no_capture_rule")


@virtual
async def test_sip_8_a_port_that_changes_in_mid_call_goes_on_by_update() -> None:
    """RFC 3311: UPDATE in, UPDATE out; media goes to the new port, the recording goes on."""
    house = HallHouse()
    talk = await connect(house)
    house.pbx.endpoint.reoffer(talk.inside, MOVED, house.now, update=True)
    asked = await answer_offer(house, sdp("8 101", version=2))
    assert asked.request.method == "UPDATE"
    await house.pbx.await_event(sip.ReofferAnswered)
    await house.settle(0.5)
    remote = house.call.destination.remote_media()
    assert remote is not None
    assert remote.address is not None
    assert remote.address.port == 6000
    assert house.call.machine.is_recording
    await hang_up(house, talk, "complete")


@pytest.mark.parametrize("update", [False, True])
@virtual
async def test_a_payload_type_that_changes_in_mid_call_is_followed(update: bool) -> None:
    """The codec stays PCMA, its number of telephone-event changes: both legs keep their own numbers."""
    house = HallHouse()
    talk = await connect(house)
    offer = MOVED.replace(b"8 101", b"8 96").replace(b"rtpmap:101", b"rtpmap:96")
    house.pbx.endpoint.reoffer(talk.inside, offer, house.now, update=update)
    await answer_offer(house, sdp("8 96", version=2).replace(b"rtpmap:101", b"rtpmap:96"))
    await house.pbx.await_event(sip.ReofferAnswered)
    await house.settle(0.5)
    remote = house.call.destination.remote_media()
    assert remote is not None
    assert house.call.destination.telephone_event == 96
    await hang_up(house, talk, "complete")


@virtual
async def test_sip_8_an_update_before_the_answer_reaches_the_caller() -> None:
    """RFC 3311 5.1: both legs agreed reliably, so the PBX's new session goes on to the caller at once."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT)))
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    await house.trunk.await_event(sip.Progress)
    await house.settle(0.5)
    house.pbx.endpoint.reoffer(talk.inside, MOVED, house.now, update=True)
    asked = await answer_offer(house, sdp("8 101", version=2))
    assert asked.request.method == "UPDATE"
    assert (await house.pbx.await_event(sip.ReofferAnswered)).session is not None
    house.pbx.endpoint.answer(talk.inside, MOVED, house.now)
    await house.trunk.await_event(sip.Answered)
    await hang_up(house, talk, "no_capture_rule")


@virtual
async def test_sip_8_an_update_before_the_answer_of_an_announced_call_is_answered_by_us() -> None:
    """The caller is not asked: the codec is the one that was agreed, only the address is another."""
    house = HallHouse(far=REL)
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    await house.settle(0.5)
    house.pbx.endpoint.reoffer(talk.inside, MOVED, house.now, update=True)
    assert (await house.pbx.await_event(sip.ReofferAnswered)).session is not None
    assert house.wire.sent_by(house.driver, "UPDATE") == []
    house.pbx.endpoint.answer(talk.inside, MOVED, house.now)
    await house.pbx.await_event(sip.Acknowledged)
    await house.settle(0.5)
    await hang_up(house, talk, "complete")


@virtual
async def test_sip_8_an_update_without_an_offer_is_answered_here() -> None:
    """A refresh, or another name at the far end, is no reason to bother the other party."""
    house = HallHouse()
    talk = await connect(house)
    house.pbx.endpoint.ask(talk.inside, "UPDATE", "token", house.now)
    replied = await house.pbx.await_event(sip.Replied)
    assert replied.response is not None
    assert replied.response.status == 200
    assert house.wire.sent_by(house.driver, "UPDATE") == []
    await hang_up(house, talk, "complete")


@virtual
async def test_sip_10_both_legs_are_refreshed_for_hours_and_nobody_notices() -> None:
    """RFC 4028: nearly two hours at 30 minutes; each leg has its own timer, the recording is complete."""
    house = HallHouse(far=TIMER)
    talk = await connect(house)

    def answer_refreshes(event: sip.Event) -> bool:
        phone = house.pbx if isinstance(event, sip.InDialogRequest) and event.leg == talk.inside else house.trunk
        return isinstance(event, sip.InDialogRequest) and phone.endpoint.respond(event.token, 200, house.now)

    house.pbx.react = house.trunk.react = answer_refreshes
    await house.settle(6600)
    refreshes = [message for _, message in house.wire.log if kind_of(message) == "UPDATE"]
    assert len(refreshes) >= 10
    assert not any(isinstance(message, Request) and message.body for message in refreshes)
    assert len({message.call_id for message in refreshes}) == 2
    await hang_up(house, talk, "complete")
    assert FLAG_SESSION_EXPIRED not in house.item().change.add_flags


@virtual
async def test_sip_10_a_party_that_is_gone_ends_the_call_with_a_mark() -> None:
    """RFC 4028 10: no refresh, BYE to both, the recording complete as far as it goes, no row left in progress."""
    house = HallHouse(far=TIMER, sip={"session_expires": "100s"})
    await connect(house)
    house.wire.fate = lambda message, flow: (
        [] if "127.0.0.1" in (flow.remote.host, flow.local.host) and kind_of(message) == "UPDATE" else [0.01]
    )
    await house.check("complete")
    assert FLAG_SESSION_EXPIRED in house.item().change.add_flags
    reasons = [message.headers.get("Reason") or "" for message in house.wire.sent_by(house.driver, "BYE")]
    assert reasons
    assert all("Session expired" in reason for reason in reasons)


@pytest.mark.parametrize("recorded", [True, False])
@virtual
async def test_rtp_7_a_t38_offer_is_refused_so_that_the_fax_goes_on_as_audio(recorded: bool) -> None:
    """488, the session as it was, and the call marked."""
    house = HallHouse()
    talk = await (connect if recorded else connect_transparent)(house)
    house.pbx.endpoint.reoffer(talk.inside, T38, house.now)
    failed = await house.pbx.await_event(sip.ReofferFailed)
    assert failed.response is not None
    assert failed.response.status == 488
    await house.settle(1.0)
    assert house.wire.sent_by(house.driver, "INVITE") == house.wire.sent_by(house.driver, "INVITE")[:1]
    await hang_up(house, talk, "complete" if recorded else "no_capture_rule")
    assert FLAG_FAX in house.item().change.add_flags


@virtual
async def test_sip_7_a_refresh_is_answered_with_the_version_as_it_is() -> None:
    """RFC 3264 8: who says the same again says so by the same version in o=."""
    house = HallHouse()
    talk = await connect(house)
    versions = []
    for _ in range(2):
        house.pbx.endpoint.reoffer(talk.inside, sdp("8 101", port=5000, host=PBX), house.now)
        session = (await house.pbx.await_event(sip.ReofferAnswered)).session
        origin = SessionDescription.parse(session or b"").origin
        assert origin is not None
        versions.append(origin.version)
    assert versions[0] == versions[1]
    assert len(house.wire.sent_by(house.driver, "INVITE")) == 1
    await hang_up(house, talk, "complete")


@pytest.mark.parametrize("update", [False, True])
@virtual
async def test_a_codec_that_changes_in_mid_call_is_told_to_media_and_recording(update: bool) -> None:
    """PCMA to PCMU by re-INVITE or UPDATE: both legs, in one recording; the row says what was used last."""
    house = HallHouse()
    talk = await connect(house)
    offer = sdp("0 101", port=5000, host=PBX, version=2)
    house.pbx.endpoint.reoffer(talk.inside, offer, house.now, update=update)
    await answer_offer(house, sdp("0 101", version=2))
    await house.pbx.await_event(sip.ReofferAnswered)
    await house.settle(1.0)
    for leg in (house.call.caller, house.call.destination):
        assert house.media.legs[leg.id].remote.codec_name == "PCMU"
        assert leg.codecs_used == ["PCMA", "PCMU"]
    assert house.call.machine.is_recording
    await hang_up(house, talk, "complete")


@virtual
async def test_sip_2_of_several_branches_the_one_that_spoke_last_is_heard() -> None:
    """Early media of two branches, one at a time; the 200 of the first decides, and the call is recorded."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    await house.settle(0.5)

    def port() -> int | None:
        remote = house.media.legs[house.call.destination.id].remote
        return None if remote is None or remote.address is None else remote.address.port

    assert port() == 5000
    first = house.wire.sent_by(house.pbx.driver, "183")[0].to.tag or ""
    other = first[::-1].encode()
    house.wire.rewrite = lambda data, _flow: (
        data.replace(first.encode(), other).replace(b"m=audio 5000", b"m=audio 7000") if b" 183 " in data[:20] else data
    )
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    await house.settle(0.5)
    assert port() == 7000
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.pbx.await_event(sip.Acknowledged)
    await house.settle(1.0)
    assert port() == 5000
    await hang_up(house, talk, "complete")


@virtual
async def test_rfc_6228_a_branch_that_is_gone_makes_nobody_hear_ringing() -> None:
    """199 says nothing to a caller who waits."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now, status=199)
    await house.settle(0.5)
    assert house.call.play_id is None
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.pbx.await_event(sip.Acknowledged)
    await hang_up(house, talk, "complete")


@virtual
async def test_fail_1_an_emergency_call_is_neither_refused_nor_ended_for_its_session_timer() -> None:
    """FAIL-1: too short a session gets no 422, and a trunk that stops refreshing loses no call to 999."""
    house = HallHouse(sip={"session_expires": "200s", "min_session_expires": "150s"})
    asked = (("Session-Expires", "90;refresher=uas"), ("Supported", "timer"))
    talk = await reach_pbx(house, Talk(house.dial("999", headers=asked)))
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    house.wire.fate = lambda message, _flow: [] if kind_of(message) == "UPDATE" else [0.01]
    await house.settle(400)
    assert len(house.wire.sent_by(house.driver, "UPDATE")) > 10
    assert house.wire.sent_by(house.driver, "BYE") == house.wire.sent_by(house.driver, "422") == []
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("emergency")
