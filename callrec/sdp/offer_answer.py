"""Offers and answers of one audio stream (RFC 3264), and what a new one changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from callrec.errors import PeerError
from callrec.sdp.audio import DEFAULT_PACKET_TIME_MS, PLAIN_PROTOCOLS, AudioMedia, Codec, audio_of
from callrec.sdp.crypto import SECURE_PROTOCOLS, Protection, crypto_lines
from callrec.sdp.description import Direction, Line, MediaDescription, SessionDescription


def offer_of(  # noqa: PLR0913 - what an offer consists of, by keyword but for the first three
    codecs: Sequence[Codec],
    telephone_event: Codec | None,
    local: tuple[str, int],
    *,
    direction: Direction = Direction.SENDRECV,
    session_id: int,
    version: int,
    packet_time_ms: int = DEFAULT_PACKET_TIME_MS,
) -> SessionDescription:
    """Return an offer of exactly these codecs under exactly these payload types, at a local address and port.

    `session_id` stays for the life of a dialog, `version` grows by one with every change (RFC 3264 8).
    """
    stream = _stream([*codecs, *([telephone_event] if telephone_event else [])], local[1], direction, packet_time_ms)
    return SessionDescription(_session_lines(local[0], session_id, version, "0 0"), (stream,))


def answer_to(  # noqa: PLR0913 - what an answer consists of, by keyword but for the first four
    offer: SessionDescription,
    codec: Codec,
    telephone_event: Codec | None,
    local: tuple[str, int],
    *,
    direction: Direction,
    session_id: int,
    version: int,
    audio: AudioMedia | None = None,
) -> SessionDescription:
    """Return the answer that takes the offer's audio stream in one codec and refuses every other stream with port 0.

    `audio` is the stream of the offer that is taken; None takes the first that needs no keys.

    The streams keep their order (RFC 3264 6); `direction` is ours: `reverse_direction` of the offer's, or less. One
    port for RTP and RTCP is taken where it is offered (RFC 5761 5.1.1).

    Raises:
        PeerError: 488 where the offer has no usable audio stream.
    """
    audio = audio or audio_of(offer)
    chosen = [codec, *([telephone_event] if telephone_event else [])]
    accepted = _stream(chosen, local[1], direction, audio.packet_time_ms, protocol=audio.protocol)
    if audio.rtcp_mux:
        accepted = replace(accepted, lines=(*accepted.lines, ("a", "rtcp-mux")))
    media = [accepted if index == audio.index else _refused(offered) for index, offered in enumerate(offer.media)]
    return SessionDescription(_session_lines(local[0], session_id, version, offer.timing), tuple(media))


def protected(description: SessionDescription, protection: Protection) -> SessionDescription:
    """Return a description of ours with its audio stream in this profile, with these keys and no others."""
    media = list(description.media)
    index = next((index for index, each in enumerate(media) if each.kind == "audio" and each.port != 0), None)
    if index is not None:
        kept = tuple(line for line in media[index].lines if not (line[0] == "a" and line[1].startswith("crypto:")))
        lines = (*kept, *crypto_lines(protection.keys))
        media[index] = replace(media[index], protocol=protection.protocol, lines=lines)
    return replace(description, media=tuple(media))


def _session_lines(host: str, session_id: int, version: int, timing: str) -> tuple[Line, ...]:
    family = "IP6" if ":" in host else "IP4"
    return (
        ("v", "0"),
        ("o", f"- {session_id} {version} IN {family} {host}"),
        ("s", "-"),
        ("c", f"IN {family} {host}"),
        ("t", timing),
    )


def _stream(
    codecs: Sequence[Codec], port: int, direction: Direction, packet_time_ms: int, *, protocol: str = "RTP/AVP"
) -> MediaDescription:
    lines: list[Line] = []
    for codec in codecs:
        channels = f"/{codec.channels}" if codec.channels != 1 else ""
        lines.append(("a", f"rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}"))
        if codec.parameters:
            lines.append(("a", f"fmtp:{codec.payload_type} {codec.parameters}"))
    lines.append(("a", f"ptime:{packet_time_ms}"))
    lines.append(("a", direction.value))
    formats = tuple(str(codec.payload_type) for codec in codecs)
    return MediaDescription("audio", port, protocol, formats, tuple(lines))


def _refused(offered: MediaDescription) -> MediaDescription:
    # RFC 3264 6: port 0, and the formats repeated, for there must be at least one.
    return MediaDescription(offered.kind, 0, offered.protocol, offered.formats)


@dataclass(frozen=True, slots=True)
class AudioChange:
    """What differs between two states of the same side's audio stream."""

    address: bool
    """Address or port for RTP."""
    direction: bool
    held: bool
    """Whether the hold state turned."""
    codec: bool
    """The first codec, or its payload type."""
    telephone_event: bool
    packet_time: bool

    def __bool__(self) -> bool:
        return self.address or self.direction or self.held or self.codec or self.telephone_event or self.packet_time


def compare_audio(before: AudioMedia, after: AudioMedia) -> AudioChange:
    """Return what a new offer or answer changes in the audio stream."""
    return AudioChange(
        address=(before.address, before.port) != (after.address, after.port),
        direction=before.direction is not after.direction,
        held=before.held != after.held,
        codec=before.codecs[:1] != after.codecs[:1],
        telephone_event=dict(before.telephone_events) != dict(after.telephone_events),
        packet_time=before.packet_time_ms != after.packet_time_ms,
    )


def is_unchanged(before: SessionDescription, after: SessionDescription) -> bool:
    """Whether the far side says that nothing changed, as a session timer's refresh does (RFC 3264 8, SIP-7).

    The content decides, not the version in o=: some change the session under the version it had (browsers among them),
    others count on without a change (PJSIP); SBCs have switches for both. Fewer codecs under the same version are no
    change: gateways repeat only what was agreed.
    """
    if _without_origin(before) == _without_origin(after):
        return True
    if before.origin is None or before.origin != after.origin:
        return False
    try:
        first, second = (audio_of(each, PLAIN_PROTOCOLS | SECURE_PROTOCOLS) for each in (before, after))
    except PeerError:
        return False
    fewer = set(second.codecs) <= set(first.codecs) and set(second.crypto) <= set(first.crypto)
    return fewer and not compare_audio(first, replace(second, codecs=first.codecs))


def _without_origin(description: SessionDescription) -> tuple[object, ...]:
    return tuple(line for line in description.lines if line[0] != "o"), description.media


def is_t38(description: SessionDescription) -> bool:
    """Whether a description offers fax over UDPTL in place of audio (RTP-7)."""
    return any(media.kind == "image" and media.port != 0 for media in description.media)
