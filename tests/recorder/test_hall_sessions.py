"""What is offered and answered on both ways: late, foreign, unusual and unusable sessions."""

from __future__ import annotations

import pytest

from callrec.media import RemoteMedia
from callrec.recorder.prompts import NOTICE_CODECS
from callrec.sdp import SessionDescription, audio_of
from callrec.sip import events as sip
from tests.support.hall_house import OTHER_PBX, PBX, RECORDER, TRUNK, HallHouse, sdp
from tests.support.stories import ANSWER, Talk, connect, connect_transparent, hear_notice, reach_pbx
from tests.support.virtual_time import virtual

TRANSPARENT = "02079465555"
SRTP = sdp("8 0").replace(b"RTP/AVP", b"RTP/SAVP") + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abcd\r\n"
OPUS = sdp("96", "a=rtpmap:96 opus/48000/2")
VIDEO = sdp("8 101") + b"m=video 4002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"


def remote(house: HallHouse, leg: str) -> RemoteMedia:
    found = house.media.legs[leg].remote
    assert found is not None
    return found


async def end(house: HallHouse, talk: Talk, outcome: str) -> None:
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check(outcome)


@virtual
async def test_sip_6_a_late_offer_on_the_announced_way() -> None:
    """SIP-6: our 200 offers, the ACK answers; the PBX is offered what was agreed."""
    house = HallHouse()
    talk = Talk(house.dial(late=True))
    answered = await house.trunk.await_event(sip.Answered)
    assert [codec.name for codec in audio_of(SessionDescription.parse(answered.session or b"")).codecs] == [
        "PCMA",
        "PCMU",
    ]
    house.trunk.endpoint.acknowledge(talk.outside, sdp("0 101"), house.now)
    await reach_pbx(house, talk)
    assert [codec.name for codec in audio_of(SessionDescription.parse(talk.offer or b"")).codecs] == ["PCMU"]
    house.pbx.endpoint.answer(talk.inside, sdp("0 101", port=5000, host=PBX), house.now)
    await house.settle(1.0)
    await end(house, talk, "complete")


@pytest.mark.parametrize("answer", [None, sdp("9"), b"v=nonsense\r\n", sdp("8", port=0)])
@virtual
async def test_sip_6_an_ack_without_a_usable_answer_ends_the_call(answer: bytes | None) -> None:
    """SIP-6: without an answer nobody could be heard; the caller gets BYE."""
    house = HallHouse()
    leg = house.dial(late=True)
    await house.trunk.await_event(sip.Answered)
    house.trunk.endpoint.acknowledge(leg, answer, house.now)
    await house.trunk.await_event(sip.HungUp)
    await house.check("destination_failed")


@virtual
async def test_sip_6_a_late_offer_on_the_transparent_way() -> None:
    """SIP-6: the PBX's offer goes to the caller, the answer in its ACK to the PBX, both with our addresses."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT, late=True)))
    assert talk.offer is None
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    answered = await house.trunk.await_event(sip.Answered)
    assert audio_of(SessionDescription.parse(answered.session or b"")).address == RECORDER
    house.trunk.endpoint.acknowledge(talk.outside, sdp("8 101"), house.now)
    acknowledged = await house.pbx.await_event(sip.Acknowledged)
    assert audio_of(SessionDescription.parse(acknowledged.answer or b"")).address == RECORDER
    assert remote(house, house.call.caller.id).codec_name == "PCMA"
    await end(house, talk, "no_capture_rule")


@virtual
async def test_a_caller_that_hangs_up_before_its_late_answer_leaves_nothing() -> None:
    """SIP-6: the PBX waits for our ACK: it gets one, and BYE."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT, late=True)))
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.trunk.await_event(sip.Answered)
    await end(house, talk, "no_capture_rule")


@virtual
async def test_488_from_the_pbx_asks_the_caller_for_another_codec() -> None:
    """Design 5: 488 from B leads to a re-INVITE of A, and B is called again with what A took."""
    house = HallHouse()
    talk = await reach_pbx(house)
    first = talk.inside
    house.pbx.endpoint.reject(talk.inside, 488, house.now)
    asked = await house.trunk.await_event(sip.Reoffered)
    assert [codec.name for codec in audio_of(SessionDescription.parse(asked.offer or b"")).codecs] == ["PCMU"]
    house.trunk.endpoint.accept_offer(asked.leg, sdp("0 101", version=2), house.now)
    talk.inside = (await house.pbx.await_event(sip.IncomingCall)).leg
    assert talk.inside != first
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.settle(0.1)
    assert remote(house, house.call.caller.id).codec_name == "PCMU", "the ringing tone is heard in the new codec"
    house.pbx.endpoint.answer(talk.inside, sdp("0 101", port=5000, host=PBX), house.now)
    await house.settle(1.0)
    house.pbx.endpoint.hang_up(talk.inside, house.now)
    await house.check("complete")


@pytest.mark.parametrize("status", [488, 500])
@virtual
async def test_488_twice_or_a_refused_re_invite_is_told_to_the_caller(status: int) -> None:
    """Design 5: no codec is left, or the caller refuses: a tone of at most 10 s, then BYE."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.reject(talk.inside, 488, house.now)
    asked = await house.trunk.await_event(sip.Reoffered)
    if status == 500:
        house.trunk.endpoint.refuse_offer(asked.leg, status, house.now)
    else:
        house.trunk.endpoint.accept_offer(asked.leg, sdp("0 101", version=2), house.now)
        house.pbx.endpoint.reject((await house.pbx.await_event(sip.IncomingCall)).leg, 488, house.now)
    told = house.now
    await house.trunk.await_event(sip.HungUp)
    assert house.now - told < 10.5
    await house.check("destination_failed")


@virtual
async def test_the_answer_time_out_counts_while_the_caller_is_asked_for_another_codec() -> None:
    """A caller that never answers our re-INVITE does not ring for ever."""
    house = HallHouse()
    talk = await reach_pbx(house)
    await house.settle(20.0)
    house.pbx.endpoint.reject(talk.inside, 488, house.now)
    asked = await house.trunk.await_event(sip.Reoffered)
    await house.settle(15.0)
    house.trunk.endpoint.accept_offer(asked.leg, sdp("0 101", version=2), house.now)
    await house.trunk.await_event(sip.HungUp)
    await house.check("not_answered")


@virtual
async def test_an_answer_in_a_codec_that_was_not_offered_is_not_relayed_as_noise() -> None:
    """RFC 3264 6.1: it is treated as 488: the caller is asked for that codec, and the PBX called again."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.answer(talk.inside, sdp("0 101", port=5000, host=PBX), house.now)
    asked = await house.trunk.await_event(sip.Reoffered)
    house.trunk.endpoint.accept_offer(asked.leg, sdp("0 101", version=2), house.now)
    again = await house.pbx.await_event(sip.IncomingCall)
    house.pbx.endpoint.answer(again.leg, sdp("0 101", port=5000, host=PBX), house.now)
    await house.settle(1.0)
    assert remote(house, house.call.destination.id).codec_name == "PCMU"
    await end(house, talk, "complete")


@virtual
async def test_other_payload_numbers_of_the_pbx_are_kept_apart_for_each_leg() -> None:
    """Design 5: the relay rewrites a payload type where B insists on another."""
    house = HallHouse()
    talk = await reach_pbx(house)
    answer = sdp("97 98 18", "a=rtpmap:97 PCMA/8000", "a=rtpmap:98 telephone-event/8000", port=5000, host=PBX)
    house.pbx.endpoint.answer(talk.inside, answer, house.now)
    await house.settle(1.0)
    inside, outside = remote(house, house.call.destination.id), remote(house, house.call.caller.id)
    assert (inside.payload_type, inside.telephone_event) == (97, 98)
    assert (outside.payload_type, outside.telephone_event) == (8, 101)
    await end(house, talk, "complete")


@pytest.mark.parametrize("answer", [sdp("8", port=0, host=PBX), None, b"v=nonsense\r\n"])
@virtual
async def test_an_unusable_answer_of_the_pbx_is_told_to_the_caller(answer: bytes | None) -> None:
    """The PBX's leg gets BYE, the caller a tone and BYE."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.answer(talk.inside, answer, house.now)
    await house.pbx.await_event(sip.HungUp)
    await house.check("destination_failed")


@pytest.mark.parametrize("last", [None, ANSWER])
@virtual
async def test_early_media_is_heard_and_the_answer_may_come_without_a_session(last: bytes | None) -> None:
    """NOT-1: 183 with SDP, then 180, then 200 with or without SDP: linked early, recorded from the answer."""
    house = HallHouse()
    talk = await reach_pbx(house)
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    await house.settle(0.5)
    assert house.media.legs[house.call.caller.id].peer == house.call.destination.id
    assert not house.media.recordings
    house.pbx.endpoint.ring(talk.inside, house.now)
    await house.settle(0.5)
    house.pbx.endpoint.answer(talk.inside, last, house.now)
    await house.settle(0.5)
    assert house.media.recordings
    await end(house, talk, "complete")


@pytest.mark.parametrize("last", [None, ANSWER])
@virtual
async def test_early_media_on_the_transparent_way(last: bytes | None) -> None:
    """FAIL-1: 183 with SDP, then 180, then 200 with or without SDP: all pass, with our address."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(TRANSPARENT)))
    house.pbx.endpoint.ring(talk.inside, house.now, status=183, session=ANSWER)
    early = await house.trunk.await_event(sip.Progress)
    assert audio_of(SessionDescription.parse(early.session or b"")).address == RECORDER
    house.pbx.endpoint.ring(talk.inside, house.now)
    assert (await house.trunk.await_event(sip.Progress)).response.status == 180
    house.pbx.endpoint.answer(talk.inside, last, house.now)
    answered = await house.trunk.await_event(sip.Answered)
    assert audio_of(SessionDescription.parse(answered.session or b"")).address == RECORDER
    await end(house, talk, "no_capture_rule")


@pytest.mark.parametrize(("offer", "untouched"), [(OPUS, False), (SRTP, True)])
@virtual
async def test_a_caller_to_whom_no_notice_can_be_played_passes_unrecorded(offer: bytes, untouched: bool) -> None:
    """NOT-3: opus is relayed, SRTP passes untouched; neither is recorded."""
    house = HallHouse()
    talk = await reach_pbx(house, Talk(house.dial(session=offer)))
    assert (talk.offer == offer) is untouched
    answer = offer.replace(b"127.0.0.1", PBX.encode())
    house.pbx.endpoint.answer(talk.inside, answer, house.now)
    answered = await house.trunk.await_event(sip.Answered)
    assert (answered.session == answer) is untouched
    await end(house, talk, "notice_incomplete")


@virtual
async def test_video_is_refused_and_the_call_recorded() -> None:
    """RFC 3264 6: one m= line for each of the offer's; video has port 0."""
    house = HallHouse()
    talk = Talk(house.dial(session=VIDEO))
    answered = await house.trunk.await_event(sip.Answered)
    media = SessionDescription.parse(answered.session or b"").media
    assert [(stream.kind, stream.port != 0) for stream in media] == [("audio", True), ("video", False)]
    await end(house, talk, "abandoned_in_notice")


@pytest.mark.parametrize(("offer", "status"), [(b"nonsense", 400), (VIDEO.replace(b"m=audio 4000", b"m=audio 0"), 488)])
@virtual
async def test_an_offer_without_audio_is_refused(offer: bytes, status: int) -> None:
    """Design 9: bad SDP gets 400 or 488, never silence; it is no call."""
    house = HallHouse()
    house.dial(session=offer)
    failed = await house.trunk.await_event(sip.Failed)
    assert failed.response is not None
    assert failed.response.status == status
    await house.check()
    assert not house.admitted


@virtual
async def test_a_menu_destination_on_another_host_gets_its_rtp_from_the_address_that_leads_there() -> None:
    """Design 5: the chosen destination may be on another network than the default one."""
    house = HallHouse()
    talk = await hear_notice(house, called="02079467777")
    await house.settle(6.0)
    house.press("1")
    await reach_pbx(house, talk, pbx=house.other_pbx)
    assert str(talk.invite.uri).startswith("sip:201@")
    assert audio_of(SessionDescription.parse(talk.offer or b"")).address == "127.0.1.2"
    house.other_pbx.endpoint.answer(talk.inside, sdp("8 101", port=5000, host=OTHER_PBX), house.now)
    await house.settle(1.0)
    await end(house, talk, "complete")
    assert house.other_pbx.endpoint.legs == 0


@virtual
async def test_the_last_counters_of_a_short_call_are_in_its_row() -> None:
    """The legs' packets are counted to the last, also where the call ends between two reports."""
    house = HallHouse()
    talk = await connect_transparent(house)
    for leg, packets in ((house.call.caller, 17), (house.call.destination, 13)):
        house.media.legs[leg.id].packets = packets
    await end(house, talk, "no_capture_rule")
    assert [leg["packets_received"] for leg in house.item().change.legs] == [17, 13]
    assert house.item().change.answered_at is not None


@virtual
async def test_a_held_first_offer_leaves_the_call_unrecorded_until_it_listens() -> None:
    """NOT-14: who does not listen has not heard the notice."""
    house = HallHouse()
    talk = await connect(house, session=sdp("8 101", "a=sendonly"))
    await end(house, talk, "notice_incomplete")
    assert TRUNK


WIDE = ("107 9 8 101", "a=rtpmap:107 opus/48000/2", "a=rtpmap:101 telephone-event/8000")


@virtual
async def test_rtp_6_each_refusal_of_the_pbx_leads_to_the_next_codec_and_is_remembered() -> None:
    """RTP-6: Opus, G.722, then G.711 of the caller's own offer; the next caller of the route begins with G.711."""
    house = HallHouse(rtp={"wideband": True})
    house.tools.prompts.codecs = NOTICE_CODECS
    talk = await reach_pbx(house, Talk(house.dial(session=sdp(*WIDE))))
    assert _named(talk.offer) == ["opus"]
    for asked_for, answer in (("G722", "9 101"), ("PCMA", "8 101")):
        house.pbx.endpoint.reject(talk.inside, 488, house.now)
        asked = await house.trunk.await_event(sip.Reoffered)
        assert _named(asked.offer) == [asked_for]
        house.trunk.endpoint.accept_offer(asked.leg, sdp(answer, version=2), house.now)
        incoming = await house.pbx.await_event(sip.IncomingCall)
        talk.inside, talk.offer = incoming.leg, incoming.offer
        assert _named(talk.offer) == [asked_for]
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    await end(house, talk, "complete")
    talk = await reach_pbx(house, Talk(house.dial(session=sdp(*WIDE))))
    assert _named(talk.offer) == ["PCMA"]
    house.pbx.endpoint.answer(talk.inside, ANSWER, house.now)
    await house.settle(1.0)
    house.trunk.endpoint.hang_up(talk.outside, house.now)
    await house.check("complete", "complete")


@virtual
async def test_rtp_6_a_caller_with_g722_alone_is_announced_and_recorded() -> None:
    """RTP-6: under its static number and a clock of 8,000, on both legs."""
    house = HallHouse()
    house.tools.prompts.codecs = NOTICE_CODECS
    talk = await reach_pbx(house, Talk(house.dial(session=sdp("9 101"))))
    assert remote(house, house.call.caller.id).codec_name == "G722"
    house.pbx.endpoint.answer(talk.inside, sdp("9 101", port=5000, host=PBX), house.now)
    await house.settle(1.0)
    found = remote(house, house.call.destination.id)
    assert (found.codec_name, found.payload_type, found.clock_rate) == ("G722", 9, 8000)
    await end(house, talk, "complete")


@virtual
async def test_not_3_a_caller_in_a_codec_the_notice_lacks_passes_unrecorded() -> None:
    """NOT-3: a notice of an older version, in G.711 alone, is not taken for heard in G.722."""
    house = HallHouse()
    talk = Talk(house.dial(session=sdp("9 101")))
    await reach_pbx(house, talk)
    house.pbx.endpoint.answer(talk.inside, sdp("9 101", port=5000, host=PBX), house.now)
    await house.trunk.await_event(sip.Answered)
    await end(house, talk, "notice_incomplete")


def _named(offer: bytes | None) -> list[str]:
    return [codec.name for codec in audio_of(SessionDescription.parse(offer or b"")).codecs]
