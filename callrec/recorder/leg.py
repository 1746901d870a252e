"""One leg of a call as the recorder keeps it: its SIP dialog, its RTP port, and what both ends last said in SDP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from callrec.calls.inputs import Side
from callrec.clock import rfc3339
from callrec.media import LegQuality, LegStats, RemoteMedia
from callrec.recorder.leg_quality import quality_item
from callrec.recorder.prompts import NOTICE_CODECS
from callrec.recorder.security import Security
from callrec.sdp import AudioMedia, Codec, Direction, SessionDescription, telephone_event_for
from callrec.settings import Peer
from callrec.sip.events import Address

_UNKNOWN = Codec("", -1, 8000)
"""Before a codec is agreed on."""


@dataclass(slots=True)
class Leg:
    """A leg; what is None is not known yet."""

    side: Side
    id: str
    session_id: int
    """Of our o= lines towards this party; its version counts what we told it (RFC 3264 section 8)."""
    sip_id: str = ""
    """The dialog: at first the leg's own id; another where the destination is called again."""
    peer: Peer | None = None
    local: Address | None = None
    """Our RTP address on this leg; None where the SDP passes untouched."""
    advertised_host: str = ""
    version: int = 0
    own_session: bytes | None = None
    remote_session: SessionDescription | None = None
    audio: AudioMedia | None = None
    codec: Codec | None = None
    playable: tuple[str, ...] = NOTICE_CODECS
    """The codecs, by their names in capitals, in which all is there that this party may hear from us."""
    wideband: bool = False
    """It may have G.722 or Opus though it offers G.711 as well."""
    established: bool = False
    """A 2xx went over it: it ends with BYE."""
    over: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason_header: str | None = None
    """The Reason that this party gave for its end; passed on to the other (SIP-12)."""
    stats: LegStats | None = None
    stats_told: LegStats | None = None
    """As the present media worker counts."""
    stats_before: LegStats | None = None
    """Counted by workers that were lost."""
    quality: LegQuality | None = None
    codecs_used: list[str] = field(default_factory=list)
    security: Security = field(default_factory=Security)
    """Whether its media is encrypted, and our keys."""
    _before: tuple[SessionDescription | None, AudioMedia | None, Codec | None, bytes | None] | None = None

    def __post_init__(self) -> None:
        self.sip_id = self.sip_id or self.id

    @property
    def sdp_address(self) -> Address:
        """Return the RTP address to write in SDP."""
        assert self.local is not None, "internal error: no RTP port on this leg"
        return Address(self.advertised_host or self.local.host, self.local.port)

    def next_version(self) -> int:
        """Return the next version of our o= line."""
        self.version += 1
        return self.version

    @property
    def digits(self) -> Codec | None:
        """Return how this party sends digits (RFC 4733), at the clock of its codec rather than at 8,000; or None."""
        return None if self.audio is None else telephone_event_for(self.audio, self.codec or _UNKNOWN)

    @property
    def telephone_event(self) -> int | None:
        """Return the payload type that this party uses for digits (RFC 4733), or None."""
        return None if self.digits is None else self.digits.payload_type

    def heard(self, description: SessionDescription, audio: AudioMedia) -> None:
        """Keep what the party last said."""
        self.remote_session = description
        self.audio = audio

    def remember(self) -> None:
        """Keep what is agreed now, before a new offer is read."""
        self._before = (self.remote_session, self.audio, self.codec, self.own_session)

    def restore(self) -> None:
        """Go back to what was agreed: the new offer was refused (RFC 3261 14.1)."""
        if self._before is not None:
            (self.remote_session, self.audio, self.codec, self.own_session), self._before = self._before, None

    def remote_media(self) -> RemoteMedia | None:
        """Return the far end of this leg for the media worker, or None before an offer and an answer were made."""
        audio, codec = self.audio, self.codec
        if audio is None or codec is None:
            return None
        sendable = audio.port != 0 and audio.address not in ("", "0.0.0.0", "::")  # noqa: S104 - RFC 3264 8.4 hold
        permitted = tuple(str(source) for source in self.peer.media_addresses) if self.peer else ()
        return RemoteMedia(
            Address(audio.address, audio.port) if sendable else None,
            codec.payload_type,
            codec.name,
            codec.clock_rate,
            self.telephone_event,
            audio.packet_time_ms or 20,
            nat=self.peer.nat if self.peer else False,
            media_addresses=permitted,
            may_send=audio.direction in (Direction.SENDRECV, Direction.RECVONLY),
            may_receive=audio.direction in (Direction.SENDRECV, Direction.SENDONLY),
            rtcp_port=audio.rtcp_port,
            rtcp_mux=audio.rtcp_mux and b"a=rtcp-mux" in (self.own_session or b""),
            srtp=self.security.media_keys(audio),
        )

    def _quality(self) -> dict[str, object] | None:
        if self.stats is None or self.quality is None or not self.codecs_used:
            return None
        packet_ms = self.audio.packet_time_ms if self.audio is not None else 20
        return quality_item(self.stats, self.quality, self.codecs_used[-1], packet_ms)

    def as_item(self) -> dict[str, object]:
        """Return the leg as the contract's item shows it: no address, no number."""
        return {
            "leg_id": self.id,
            "peer": self.peer.name if self.peer else None,
            "codec": self.codecs_used[-1] if self.codecs_used else None,
            "packets_received": self.stats.packets_received if self.stats else 0,
            "packets_lost": self.stats.packets_lost if self.stats else 0,
            "packets_sent": self.stats.packets_sent if self.stats else 0,
            "quality": self._quality(),
            "started_at": rfc3339(self.started_at) if self.started_at else None,
            "ended_at": rfc3339(self.ended_at) if self.ended_at else None,
        }
