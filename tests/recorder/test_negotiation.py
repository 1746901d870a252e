"""What each party is told in SDP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from callrec.calls.inputs import Side
from callrec.recorder import negotiation
from callrec.recorder.codec_memory import CodecMemory
from callrec.recorder.leg import Leg
from callrec.recorder.passed_headers import passed_back, passed_headers, passed_in_dialog
from callrec.sdp import Direction, SessionDescription, audio_of
from callrec.sip.events import Address


def sdp(formats: str, *lines: str, port: int = 40000, address: str = "127.0.0.1") -> bytes:
    head = ["v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0"]
    return "\r\n".join([*head, f"m=audio {port} RTP/AVP {formats}", *lines, ""]).encode()


def leg(side: Side, port: int) -> Leg:
    return Leg(side, side.value, 7, local=Address("127.0.0.1", port))


def both() -> tuple[Leg, Leg]:
    return leg(Side.CALLER, 10000), leg(Side.DESTINATION, 10002)


OFFER = sdp("9 8 0 96", "a=rtpmap:96 telephone-event/8000", "a=sendrecv")


def test_the_caller_is_answered_with_one_codec_and_its_own_digits() -> None:
    """The first codec in which the notice can be played, and telephone-event under the caller's number."""
    caller, _ = both()
    negotiation.read(caller, OFFER)
    audio = audio_of(SessionDescription.parse(negotiation.answer(caller)))
    assert [(codec.name, codec.payload_type) for codec in audio.codecs] == [("PCMA", 8)]
    assert dict(audio.telephone_events) == {96: 8000}
    assert (audio.address, audio.port) == ("127.0.0.1", 10000)


def test_the_destination_is_offered_exactly_what_the_caller_has() -> None:
    """Nothing is transcoded: one codec, the same payload numbers."""
    caller, destination = both()
    negotiation.read(caller, OFFER)
    negotiation.answer(caller)
    offer = audio_of(SessionDescription.parse(negotiation.single_codec_offer(caller, destination)))
    assert [(codec.name, codec.payload_type) for codec in offer.codecs] == [("PCMA", 8)]
    assert dict(offer.telephone_events) == {96: 8000}
    assert offer.port == 10002


def test_a_hold_passes_through_with_our_address() -> None:
    """SIP-7: direction and codecs stay, the address is ours, the version grows."""
    caller, destination = both()
    negotiation.read(caller, OFFER)
    negotiation.answer(caller)
    negotiation.single_codec_offer(caller, destination)
    before = SessionDescription.parse(destination.own_session or b"").origin
    body = negotiation.relayed(sdp("8 96", "a=rtpmap:96 telephone-event/8000", "a=sendonly"), caller, destination)
    description = SessionDescription.parse(body)
    audio = audio_of(description)
    assert audio.direction is Direction.SENDONLY
    assert audio.port == 10002
    assert before is not None
    assert description.origin is not None
    assert description.origin.version == before.version + 1
    assert description.origin.session_id == before.session_id


def test_an_old_hold_with_an_empty_address_is_still_a_hold() -> None:
    """SIP-7: `c=0.0.0.0` becomes a direction, for the address is now ours."""
    caller, destination = both()
    body = negotiation.relayed(sdp("8", address="0.0.0.0"), caller, destination)
    audio = audio_of(SessionDescription.parse(body))
    assert audio.held
    assert audio.address == "127.0.0.1"


def test_a_refused_offer_leaves_what_was_agreed() -> None:
    """RFC 3261 14.1: the session stays as if the re-INVITE had never been sent."""
    caller, destination = both()
    negotiation.read(caller, OFFER)
    negotiation.answer(caller)
    agreed = caller.audio
    caller.remember()
    negotiation.relayed(sdp("0", port=50000), caller, destination)
    assert caller.audio is not agreed
    caller.restore()
    assert caller.audio is agreed


def test_other_streams_are_refused_and_keep_their_place() -> None:
    """RFC 3264 6: as many m= lines as were offered."""
    caller, destination = both()
    video = b"m=video 5000 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n"
    body = negotiation.relayed(OFFER + video, caller, destination)
    media = SessionDescription.parse(body).media
    assert [(stream.kind, stream.port) for stream in media] == [("audio", 10002), ("video", 0)]


Passed = Callable[..., tuple[tuple[str, str], ...]]
HEADERS = (
    ("Via", "SIP/2.0/UDP x"),
    ("P-Asserted-Identity", "<sip:+441632960001@t>"),
    ("Privacy", "id;critical"),
    ("Diversion", "<sip:+441632960002@t>;reason=unconditional"),
    ("X-Account", "7"),
    ("Authorization", "Digest secret"),
)


def test_sip_14_identity_headers_pass_unchanged_to_a_trusted_destination() -> None:
    """SIP-14: also when withheld; what belongs to one hop does not pass."""
    names = [name for name, _ in passed_headers(HEADERS, trusted=True)]
    assert names == ["P-Asserted-Identity", "Privacy", "Diversion", "X-Account"]


def test_sip_14_an_asserted_identity_stays_inside_the_trust_domain() -> None:
    """RFC 3325 7: towards an untrusted side, PAI goes where privacy was asked for."""
    names = [name for name, _ in passed_headers(HEADERS, trusted=False)]
    assert names == ["Privacy", "Diversion"]


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (("Remote-Party-ID", "<sip:01632960001@t>;party=calling;privacy=full"), ""),
        (("Diversion", '<sip:+441632960002@t>;reason=user-busy;privacy="full"'), ""),
        (("Diversion", "<sip:+441632960002@t>;reason=user-busy"), "history"),
        (("History-Info", "<sip:+441632960002@t?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1"), ""),
        (("History-Info", "<sip:+441632960002@t>;index=1"), "session;history"),
        (("P-Charging-Vector", "icid-value=1"), "none"),
        (("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.mmtel"), ""),
    ],
)
def test_sip_14_whoever_forwarded_may_hide_too(header: tuple[str, str], asked: str) -> None:
    """RFC 5806 5, RFC 7044 10.1, RFC 7315 5.6: inside the trust domain it passes, outside it does not."""
    headers = [header, *([("Privacy", asked)] if asked else [])]
    assert header in passed_headers(headers, trusted=True)
    assert header not in passed_headers(headers, trusted=False)
    shown = (header[0], header[1].replace("privacy=full", "privacy=off").replace('privacy="full"', "privacy=off"))
    if shown != header:
        assert shown in passed_headers([shown], trusted=False)


def test_rtp_5_keys_by_notify_are_not_offered_in_another_name() -> None:
    """Cisco's `Call-Info: <...>;method="NOTIFY;Event=telephone-event"` is what one hop takes; a ring tone goes on."""
    offer = ("Call-Info", '<sip:192.0.2.101:5060>;method="NOTIFY;Event=telephone-event;Duration=500"')
    icon = ("Call-Info", "<https://trunk.example/alice.png>;purpose=icon")
    assert passed_headers([offer, icon], trusted=True) == (icon,)


def test_sip_14_a_number_withheld_by_from_alone_stays_inside() -> None:
    """RFC 3323 4.1.1.3: some trunks send no Privacy with an anonymous From."""
    asserted = ("P-Asserted-Identity", "<sip:+441632960001@t>")
    anonymous = ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1')
    assert passed_headers([anonymous, asserted], trusted=True) == (asserted,)
    assert passed_headers([anonymous, asserted], trusted=False) == ()
    assert passed_back([anonymous, asserted], trusted=False) == (asserted,), "the From of a response is the asker's"


@pytest.mark.parametrize("passed", [passed_back, passed_in_dialog])
def test_sip_14_nor_does_it_leave_in_a_response_or_a_new_offer(passed: Passed) -> None:
    """RFC 3325 7: whoever asked for privacy has it in every message; who did not is named to anybody."""
    identity = ("P-Asserted-Identity", "<sip:+441632960001@t>")
    secret = [identity, ("Privacy", "id"), ("X-Account", "7"), ("Via", "SIP/2.0/UDP x")]
    assert [name for name, _ in passed(secret, trusted=True)] == ["P-Asserted-Identity", "Privacy", "X-Account"]
    assert [name for name, _ in passed(secret, trusted=False)] == ["Privacy"]
    assert passed([identity, ("Privacy", "none")], trusted=False) == (identity, ("Privacy", "none"))


def answered(offer: bytes, *, wideband: bool = False, playable: tuple[str, ...] | None = None) -> tuple[Leg, bytes]:
    caller, _ = both()
    caller.wideband = wideband
    caller.playable = playable or caller.playable
    negotiation.read(caller, offer)
    return caller, negotiation.answer(caller) if negotiation.playable_codec(caller) else b""


def named(body: bytes) -> list[tuple[str, int, int, int]]:
    codecs = audio_of(SessionDescription.parse(body)).codecs
    return [(codec.name, codec.payload_type, codec.clock_rate, codec.channels) for codec in codecs]


WIDE = sdp(
    "107 9 0 96 97", "a=rtpmap:107 OPUS/48000/2", "a=fmtp:107 useinbandfec=1; maxplaybackrate=16000",
    "a=rtpmap:96 telephone-event/8000", "a=rtpmap:97 telephone-event/48000",
)  # fmt: skip


def test_a_caller_who_offers_wide_band_alone_is_answered_in_it() -> None:
    """RTP-6: G.722 by its static number and its clock of 8,000; Opus by its dynamic one, with its fmtp kept."""
    assert named(answered(sdp("9"))[1]) == [("G722", 9, 8000, 1)]
    caller, body = answered(sdp("107 97", *[line.decode() for line in WIDE.split(b"\r\n")[6:-1]]))
    assert named(body) == [("opus", 107, 48_000, 2)]
    assert b"a=fmtp:107 useinbandfec=1; maxplaybackrate=16000" in body
    _, destination = both()
    assert named(negotiation.single_codec_offer(caller, destination)) == [("opus", 107, 48_000, 2)]
    assert (caller.remote_media() or caller).clock_rate == 48_000  # type: ignore[union-attr]


def test_digits_go_by_the_clock_of_the_codec() -> None:
    """RFC 7587 7: with Opus telephone-event/48000 where it is offered, with anything else that of 8,000."""
    for wideband, digits in ((True, {97: 48_000}), (False, {96: 8000})):
        caller, body = answered(WIDE, wideband=wideband)
        assert dict(audio_of(SessionDescription.parse(body)).telephone_events) == digits
        assert caller.telephone_event == next(iter(digits))


def test_a_destination_may_take_digits_at_8000_beside_opus() -> None:
    """RFC 4733: a PBX without telephone-event/48000 still gets the keys, under its own number."""
    caller, _ = answered(WIDE, wideband=True)
    _, destination = both()
    offer = negotiation.single_codec_offer(caller, destination)
    assert dict(audio_of(SessionDescription.parse(offer)).telephone_events) == {96: 8000, 97: 48_000}
    negotiation.read(destination, sdp("107 96", "a=rtpmap:107 opus/48000/2", "a=rtpmap:96 telephone-event/8000"))
    assert negotiation.agree_on_single(caller, destination)
    assert (caller.telephone_event, destination.telephone_event) == (97, 96)


def test_g711_goes_first_unless_wide_band_is_wanted() -> None:
    """rtp.wideband: every network takes G.711; with it the caller's own order counts (RFC 3264 6.1)."""
    assert named(answered(WIDE)[1])[0][0] == "PCMU"
    assert named(answered(WIDE, wideband=True)[1])[0][0] == "opus"


def test_each_refusal_of_the_destination_leads_to_the_next_codec() -> None:
    """SIP-6: Opus, then G.722, then G.711 of the caller's own offer, and then no other."""
    caller, _ = answered(WIDE, wideband=True)
    assert negotiation.another_codec(caller, set())
    assert named(negotiation.recoded_offer(caller, {"OPUS"}) or b"")[0][0] == "G722"
    assert named(negotiation.recoded_offer(caller, {"OPUS", "G722"}) or b"")[0][0] == "PCMU"
    assert negotiation.recoded_offer(caller, {"OPUS", "G722", "PCMU"}) is None


def test_a_codec_refused_lately_is_not_tried_again_unless_it_is_the_only_one() -> None:
    """The second caller of a route hears no re-INVITE."""
    caller, _ = both()
    caller.wideband = True
    negotiation.read(caller, WIDE)
    negotiation.avoid(caller, {"OPUS", "G722"})
    assert named(negotiation.answer(caller))[0][0] == "PCMU"
    only, _ = both()
    negotiation.read(only, sdp("9"))
    negotiation.avoid(only, {"G722"})
    assert named(negotiation.answer(only))[0][0] == "G722"


def test_a_notice_that_lacks_a_codec_is_not_answered_in_it() -> None:
    """NOT-3: a version imported before wide band was known is heard in G.711, or the call passes unrecorded."""
    caller, body = answered(sdp("9"), playable=("PCMA", "PCMU"))
    assert body == b""
    assert negotiation.playable_codec(caller) is None


def test_what_a_destination_refused_is_forgotten_after_an_hour() -> None:
    """A PBX that has learnt a codec meanwhile is offered it again."""
    memory = CodecMemory()
    memory.refuse("trunk>*", "opus", 100.0)
    assert memory.refused("trunk>*", 3699.0) == {"OPUS"}
    assert memory.refused("trunk>*", 3700.0) == set()
    assert memory.refused("other>*", 100.0) == set()
