"""A SIP exchange as a ladder."""

from __future__ import annotations

from callrec.sip.ladder import ladder, summary_of_sdp
from callrec.vault.trace_files import TracedMessage

SDP = "v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendonly\r\n"


def message(at_ms: int, name: str, start: str, cseq: str, *, sent: bool, body: str = "") -> TracedMessage:
    text = f"{start}\r\nCall-ID: {name}\r\nCSeq: {cseq}\r\n\r\n{body}"
    return TracedMessage(1_000_000 + at_ms * 1000, sent, "udp", "127.0.0.1:5070", "127.0.0.2:5060", text)


def test_a_ladder_knows_its_legs_copies_and_answers() -> None:
    """Legs by Call-ID in the order in which they came, a copy is marked, times count from the first message."""
    invite = message(0, "a", "INVITE sip:1@x SIP/2.0", "1 INVITE", sent=False, body=SDP)
    rungs = list(
        ladder(
            [
                invite,
                message(500, "a", "INVITE sip:1@x SIP/2.0", "1 INVITE", sent=False, body=SDP),
                message(600, "b", "INVITE sip:2@y SIP/2.0", "1 INVITE", sent=True),
                message(610, "b", "SIP/2.0 486 Busy Here", "1 INVITE", sent=False),
                message(700, "c", "INVITE sip:3@z SIP/2.0", "1 INVITE", sent=True),
            ]
        )
    )
    assert [(rung.ms, rung.leg, rung.summary, rung.repeated) for rung in rungs] == [
        (0, "caller", "INVITE sip:1@x", False),
        (500, "caller", "INVITE sip:1@x", True),
        (600, "destination", "INVITE sip:2@y", False),
        (610, "destination", "486 Busy Here", False),
        (700, "destination 2", "INVITE sip:3@z", False),
    ]
    assert rungs[0].sdp == "audio PCMA PCMU telephone-event at 192.0.2.9:4000 sendonly"
    assert rungs[2].sdp is None
    assert rungs[3].cseq == "1 INVITE"


def test_what_is_no_sip_is_shown_all_the_same() -> None:
    """Nothing that came over the wire makes a ladder fail."""
    odd = TracedMessage(1, False, "udp", "?", "?", "\x00\xff")
    assert [rung.summary for rung in ladder([odd])] == ["\x00\xff"]
    assert summary_of_sdp("m=") is None
