"""The one audio stream of a call: where it goes, in which codecs, and which way (RFC 3264, RFC 3551)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from callrec.errors import PeerError
from callrec.sdp.crypto import SECURE_PROTOCOLS, Crypto, crypto_of
from callrec.sdp.description import Direction, MediaDescription, SessionDescription

PLAIN_PROTOCOLS = frozenset({"RTP/AVP", "RTP/AVPF"})
"""RTP in clear; AVPF only asks for more RTCP, which may be left out."""
DEFAULT_PACKET_TIME_MS = 20

TELEPHONE_EVENT = "telephone-event"
COMFORT_NOISE = "CN"

# RFC 3551 table 4: what a payload type means without rtpmap. 19 is comfort noise of old Cisco gateways (RTP-4).
STATIC_CODECS = {
    0: ("PCMU", 8000), 3: ("GSM", 8000), 4: ("G723", 8000), 5: ("DVI4", 8000), 6: ("DVI4", 16000), 7: ("LPC", 8000),
    8: ("PCMA", 8000), 9: ("G722", 8000), 12: ("QCELP", 8000), 13: ("CN", 8000), 15: ("G728", 8000),
    16: ("DVI4", 11025), 17: ("DVI4", 22050), 18: ("G729", 8000), 19: ("CN", 8000),
}  # fmt: skip

# The spelling of the registry, for names that come in any case, and the RTP clock that belongs to them.
_USUAL = {
    "pcmu": ("PCMU", 8000), "pcma": ("PCMA", 8000), "g722": ("G722", 8000), "gsm": ("GSM", 8000),
    "g729": ("G729", 8000), "opus": ("opus", 48000), "cn": (COMFORT_NOISE, None),
    "telephone-event": (TELEPHONE_EVENT, None),
}  # fmt: skip

_RTPMAP = re.compile(r"([0-9]{1,3})\s+([^\s/]+)\s*/\s*([0-9]{1,7})(?:\s*/\s*([0-9]{1,2}))?\s*")
_FMTP = re.compile(r"([0-9]{1,3})\s+(.*)", re.DOTALL)
_PACKET_TIME = re.compile(r"([0-9]{1,3})(?:\.0*)?")


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec as a session names it; `parameters` is its fmtp as text, "" where there is none."""

    name: str
    payload_type: int
    clock_rate: int
    channels: int = 1
    parameters: str = ""

    def is_same_as(self, other: Codec) -> bool:
        """Whether both mean the same coding, whatever number they have."""
        mine = (self.name.lower(), self.clock_rate, self.channels)
        return mine == (other.name.lower(), other.clock_rate, other.channels)


@dataclass(frozen=True, slots=True)
class AudioMedia:
    """The audio stream of a description, seen by the side that wrote it.

    `address` is a literal or, seldom, a host name, which the caller must resolve or refuse. `codecs` keeps the order
    of the offer, without telephone-event and comfort noise. `telephone_events` maps payload type to clock rate.
    `rtcp_port` is where RTCP goes unless both sides said `rtcp-mux`: our answers do where the offer does, our offers
    do not, and then both sides use two ports (RFC 5761 5.1.1).
    `held` is any hold form (SIP-7): another direction than sendrecv, or the address 0.0.0.0 or ::.
    """

    address: str
    port: int
    rtcp_port: int
    codecs: tuple[Codec, ...]
    telephone_events: Mapping[int, int] = field(default_factory=dict)
    direction: Direction = Direction.SENDRECV
    packet_time_ms: int = DEFAULT_PACKET_TIME_MS
    held: bool = False
    rtcp_mux: bool = False
    comfort_noise: tuple[int, ...] = ()
    protocol: str = "RTP/AVP"
    index: int = 0
    """Which m= line of the description this is, from 0."""
    crypto: tuple[Crypto, ...] = field(default=(), repr=False)
    """The keys of SRTP that it names and we understand (RFC 4568); a stream over RTP/AVP may have some too."""


def audio_of(
    description: SessionDescription, protocols: Collection[str] = PLAIN_PROTOCOLS, *, keyed: bool = False
) -> AudioMedia:
    """Return the first audio stream that can be used: port not 0, protocol known, unicast, a codec known.

    A stream of a secure profile needs a key that we understand; with `keyed` any stream does.

    Raises:
        PeerError: 488 where there is none, 400 where its attributes are malformed.
    """
    reasons = []
    for index, media in enumerate(description.media):
        if media.kind != "audio":
            continue
        reason = _unusable(media, description, protocols, keyed=keyed)
        if reason is None:
            return _audio(description, index)
        reasons.append(reason)
    found = "; ".join(reasons) or f"{len(description.media)} streams, none of them audio"
    raise PeerError(f"SDP: found {found}, expected one audio stream over {', '.join(sorted(protocols))}", status=488)


def _unusable(
    media: MediaDescription, description: SessionDescription, protocols: Collection[str], *, keyed: bool
) -> str | None:
    if media.port == 0:
        return "audio with port 0"
    protocol = media.protocol.upper()
    if protocol not in protocols:
        return f"audio over {media.protocol[:30]}"
    if (keyed or protocol in SECURE_PROTOCOLS) and not crypto_of(media):
        return f"audio over {protocol} without a key of SRTP that is understood"
    address = media.connection or description.connection
    if address is None:
        return "audio without a c= line"
    if _literal_is(address, "is_multicast"):
        return "audio at a multicast address"
    if not any(_is_voice(codec) for codec in codecs_of(media)):
        return "audio without a known codec"
    return None


def _literal_is(address: str, quality: str) -> bool:
    try:
        return bool(getattr(ip_address(address), quality))
    except ValueError:
        return False


def _audio(description: SessionDescription, index: int) -> AudioMedia:
    media = description.media[index]
    address = media.connection or description.connection
    assert address is not None, "internal error: a stream without address was found usable"
    codecs = codecs_of(media)
    direction = _direction(media, description)
    return AudioMedia(
        address=address,
        port=media.port,
        rtcp_port=_rtcp_port(media),
        codecs=tuple(codec for codec in codecs if _is_voice(codec)),
        telephone_events={codec.payload_type: codec.clock_rate for codec in codecs if codec.name == TELEPHONE_EVENT},
        direction=direction,
        packet_time_ms=_packet_time(media, description),
        held=direction is not Direction.SENDRECV or _literal_is(address, "is_unspecified"),
        rtcp_mux=media.attribute("rtcp-mux") is not None,
        comfort_noise=tuple(codec.payload_type for codec in codecs if codec.name == COMFORT_NOISE),
        protocol=media.protocol,
        index=index,
        crypto=crypto_of(media),
    )


def _is_voice(codec: Codec) -> bool:
    return codec.name not in {TELEPHONE_EVENT, COMFORT_NOISE}


def codecs_of(media: MediaDescription) -> list[Codec]:
    """Return what the payload types of a stream mean, in their order; dynamic ones without rtpmap are left out.

    A stream that is no RTP has none.

    Raises:
        PeerError: 400 where an rtpmap is malformed.
    """
    if not media.is_rtp:
        return []
    names = dict([_rtpmap(value) for value in media.attributes("rtpmap")])
    parameters = _format_parameters(media)
    codecs = []
    for payload_type in dict.fromkeys(int(text) for text in media.formats):
        if payload_type in names:
            name, clock_rate, channels = names[payload_type]
        elif payload_type in STATIC_CODECS:
            (name, clock_rate), channels = STATIC_CODECS[payload_type], 1
        else:
            continue
        codecs.append(Codec(name, payload_type, clock_rate, channels, parameters.get(payload_type, "")))
    return codecs


def _rtpmap(value: str) -> tuple[int, tuple[str, int, int]]:
    found = _RTPMAP.fullmatch(value)
    if found is None or int(found[1]) > 127 or int(found[3]) == 0:
        raise PeerError(f"SDP: found a=rtpmap:{value[:40]!r}, expected payload type, name/clock rate")
    name = _USUAL.get(found[2].lower(), (found[2], None))[0]
    return int(found[1]), (name, int(found[3]), int(found[4] or 1) or 1)


def _format_parameters(media: MediaDescription) -> dict[int, str]:
    # A malformed fmtp is a hint lost, not a call lost: it is left out.
    found = [match for value in media.attributes("fmtp") if (match := _FMTP.fullmatch(value))]
    return {int(match[1]): match[2].strip() for match in found}


def _direction(media: MediaDescription, description: SessionDescription) -> Direction:
    # RFC 8866 6.7: the stream's own overrides the session's, and sendrecv where neither says.
    for where in (media, description):
        for direction in Direction:
            if where.attribute(direction.value) is not None:
                return direction
    return Direction.SENDRECV


def _rtcp_port(media: MediaDescription) -> int:
    named = (media.attribute("rtcp") or "").partition(" ")[0]  # RFC 3605: port [IN IP4 address]
    if named.isascii() and named.isdigit() and len(named) <= 5 and 0 < int(named) <= 65535:
        return int(named)
    return min(media.port + 1, 65535)


def _packet_time(media: MediaDescription, description: SessionDescription) -> int:
    # A hint (RFC 8866 6.4): one that is no time between 1 and 200 ms is left out.
    found = _PACKET_TIME.fullmatch(media.attribute("ptime") or description.attribute("ptime") or "")
    return int(found[1]) if found and 1 <= int(found[1]) <= 200 else DEFAULT_PACKET_TIME_MS


def choose_codec(audio: AudioMedia, supported: Sequence[str]) -> Codec | None:
    """Return the first codec of the offer whose name is supported (any case), at its registered clock rate.

    The offer's order counts, not ours (RFC 3264 6.1); None where nothing fits.
    """
    names = {name.lower() for name in supported}
    for codec in audio.codecs:
        name = codec.name.lower()
        rate = _USUAL.get(name, (name, None))[1]
        if name in names and rate in (None, codec.clock_rate):
            return codec
    return None


def telephone_event_for(audio: AudioMedia, codec: Codec) -> Codec | None:
    """Return the telephone-event that goes with a codec: of the same clock rate (RFC 4733 2.1), else of 8000.

    Devices that offer wide-band codecs with telephone-event/8000 alone send it all the same.
    """
    events = audio.telephone_events
    for rate in (codec.clock_rate, 8000):
        for payload_type, clock_rate in events.items():
            if clock_rate == rate:
                return Codec(TELEPHONE_EVENT, payload_type, clock_rate, 1, "0-15")
    return None
