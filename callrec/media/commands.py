"""What a call asks of its media: where the far party is, what it shall hear, which digits go through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from callrec.media.srtp import MediaKeys
from callrec.sip.events import Address


class DigitPolicy(StrEnum):
    """What becomes of a leg's RFC 4733 digits; they are told as events and kept out of the recording either way."""

    CONSUME = "consume"
    PASS = "pass"  # noqa: S105 - not a password


class PlayKind(StrEnum):
    """Why something is played."""

    NOTICE = "notice"
    PROMPT = "prompt"
    TONE = "tone"


class PlayStart(StrEnum):
    """When playing begins."""

    AT_ONCE = "at_once"
    ON_MEDIA = "on_media"
    """With the first RTP from the party, or 500 ms after the command (NOT-7)."""


@dataclass(frozen=True, slots=True)
class RemoteMedia:
    """The far end of one leg, as its last SDP and its peer's configuration say."""

    address: Address | None
    """Where to send; None or an unspecified host (`c=0.0.0.0`) where nothing may be sent."""
    payload_type: int
    """Of the one audio codec agreed on."""
    codec_name: str
    """As in `a=rtpmap`: PCMA, PCMU, G722, opus."""
    clock_rate: int = 8000
    telephone_event: int | None = None
    """Payload type of RFC 4733 digits, or None."""
    packet_time_ms: int = 20
    nat: bool = False
    """The peer's media may come from another address than its SDP says: latch on to the first source."""
    media_addresses: tuple[str, ...] = ()
    """Hosts and CIDRs besides the signalled one that may be the source of this peer's media."""
    may_send: bool = True
    """False while the far end does not want to hear (it sent `sendonly` or `inactive`)."""
    may_receive: bool = True
    """False while nothing is to be taken from the far end (it sent `recvonly` or `inactive`)."""
    rtcp_port: int | None = None
    """Where the far end wants RTCP (`a=rtcp`, RFC 3605); None for the port above the media's."""
    rtcp_mux: bool = False
    """Both sides agreed on one port for RTP and RTCP (RFC 5761)."""
    srtp: MediaKeys | None = None
    """The keys of SRTP that both sides agreed on; None for RTP in clear."""


@dataclass(frozen=True, slots=True)
class Play:
    """Something to be heard on one leg, instead of the other party, until it ends or is stopped."""

    play_id: str
    kind: PlayKind
    sources: Mapping[str, bytes | Path]
    """Audio by codec name in capitals, as `callrec.media.sound.sound_of` takes it: the bytes, or a file read once."""
    loop: bool = False
    """Repeat until stopped; such a play is never `completed`."""
    start: PlayStart = PlayStart.AT_ONCE
    lead_in_ms: int = 0
    """Silence before the first sample; a notice has 200 (NOT-7). Counted neither in expected_ms nor in sent_ms."""
    maximum_ms: int | None = None
    """End a loop after this time."""


NOTICE_LEAD_IN_MS = 200


def notice(play_id: str, sources: Mapping[str, bytes | Path]) -> Play:
    """Return a recording notice: it waits for media or 500 ms, then 200 ms of silence, then the words (NOT-7)."""
    return Play(play_id, PlayKind.NOTICE, sources, start=PlayStart.ON_MEDIA, lead_in_ms=NOTICE_LEAD_IN_MS)
