"""The far end of a leg as a worker knows it, and which sources of media it believes (RTP-1, design section 9)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from callrec.media.srtp import MediaKeys

Source = tuple[str, int]

AUDIO, EVENT, DROP, RTCP = 0, 1, 2, 3
"""What to do with a packet, by its second byte."""

_COMFORT_NOISE = (13, 19)


@dataclass(frozen=True, slots=True)
class Remote:
    """What the recorder said about the far end, as it came over the control socket."""

    address: Source | None
    payload_type: int
    codec: str
    clock_rate: int
    telephone_event: int | None
    packet_time_ms: int
    nat: bool
    permitted: tuple[str, ...]
    may_send: bool
    may_receive: bool
    rtcp_port: int | None = None
    """Where RTCP goes (`a=rtcp`), None for the port above the media's."""
    rtcp_mux: bool = False
    """RTP and RTCP share one port (RFC 5761)."""
    srtp: MediaKeys | None = None
    """The keys of SRTP, None for RTP in clear."""

    @classmethod
    def from_wire(cls, wire: dict[str, Any]) -> Remote:
        """Return the value that a message holds."""
        host = wire["host"]
        return cls(
            address=(host, wire["port"]) if host else None,
            payload_type=wire["payload_type"],
            codec=wire["codec"],
            clock_rate=wire["clock_rate"],
            telephone_event=wire["telephone_event"],
            packet_time_ms=wire["packet_time_ms"],
            nat=wire["nat"],
            permitted=tuple(wire["permitted"]),
            may_send=wire["may_send"],
            may_receive=wire["may_receive"],
            rtcp_port=wire["rtcp_port"],
            rtcp_mux=wire["rtcp_mux"],
            srtp=MediaKeys.from_wire(wire["srtp"]),
        )

    @property
    def direction(self) -> str:
        """Return the far end's direction, by its word in SDP."""
        words = {(True, True): "sendrecv", (True, False): "recvonly", (False, True): "sendonly"}
        return words.get((self.may_send, self.may_receive), "inactive")

    @property
    def keys_in_voice(self) -> bool:
        """Tell whether keys of this party can come only as tones in its voice, in a codec that we listen to (RTP-5)."""
        return self.telephone_event is None and self.codec in ("PCMA", "PCMU")

    def permits(self, host: str) -> bool:
        """Tell whether media may come from this host though the SDP named another source."""
        if self.address is not None and host == self.address[0]:
            return True
        source = ip_address(host.partition("%")[0])
        return any(source in ip_network(each, strict=False) for each in self.permitted)

    def speaks(self, second_byte: int) -> bool:
        """Tell whether a packet has a payload type that was agreed on; nobody else is believed before the source is."""
        payload_type = second_byte & 0x7F
        return payload_type in (self.payload_type, self.telephone_event, *_COMFORT_NOISE)

    def actions(self) -> bytes:
        """Return what to do with a packet for each value of its second byte."""
        table = bytearray([AUDIO if self.may_receive else DROP] * 256)
        table[192:224] = bytes([RTCP if self.rtcp_mux else DROP]) * 32  # RFC 5761 4
        if self.telephone_event is not None:
            table[self.telephone_event] = table[self.telephone_event | 0x80] = EVENT
        return bytes(table)


def payload_types(source: Remote, target: Remote) -> bytes | None:
    """Return the second byte to send for each one received, or None where all stay as they are."""
    table = bytearray(range(256))
    pairs = [(source.payload_type, target.payload_type)]
    if source.telephone_event is not None and target.telephone_event is not None:
        pairs.append((source.telephone_event, target.telephone_event))
    for came, goes in pairs:
        table[came] = goes
        table[came | 0x80] = goes | 0x80
    return bytes(table) if any(came != goes for came, goes in pairs) else None
