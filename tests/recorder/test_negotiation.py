"""What each party is told in SDP."""

from __future__ import annotations

from callrec.calls.inputs import Side
from callrec.recorder import negotiation
from callrec.recorder.leg import Leg
from callrec.recorder.passed_headers import passed_headers
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
    assert names == ["Privacy", "Diversion", "X-Account"]
