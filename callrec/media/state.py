"""What the recorder wants of each call's media: enough to build it up again in another worker."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from callrec.media.channel import Message
from callrec.media.commands import DigitPolicy, Play, PlayStart, RemoteMedia
from callrec.media.events import Part
from callrec.media.ports import BoundPair
from callrec.media.process import WorkerProcess
from callrec.vault.part_writer import PartSpec


class Parts(Protocol):
    """Gives out the parts of one recording: the vault's PartSource."""

    recording_id: str

    def next_part(self, now_utc: datetime) -> PartSpec:
        """Return the next part."""


@dataclass(slots=True)
class LegState:
    """One leg as it shall be."""

    number: int
    name: str
    call: CallState
    pair: BoundPair
    ssrc: int
    sequence: int
    timestamp: int
    last_at: int | None = None
    """When the stream last sent, in nanoseconds of the monotonic clock; None before it did."""
    remote: RemoteMedia | None = None
    digits: DigitPolicy = DigitPolicy.CONSUME
    codes: tuple[str, ...] = ()
    peer: LegState | None = None
    play: Play | None = None
    """The play under way, or None."""
    loading: bool = False
    """Its audio is still being read from a file."""
    rtcp_name: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    """The CNAME of its reports, which means nothing (RFC 7022) and stays over a lost worker (RFC 3550 6.5.1)."""

    def lose_keys(self, ssrc: bytes) -> bool:
        """Forget the key of SRTP that we send with: how far a lost worker had used it is not known.

        Nothing is sent until `set_remote` brings another; the stream then begins anew, under this SSRC (RFC 3711 9.1).
        Return whether there was a key.
        """
        if self.remote is None or self.remote.srtp is None:
            return False
        self.remote = replace(self.remote, srtp=replace(self.remote.srtp, send=None))
        self.ssrc = int.from_bytes(ssrc, "big")
        return True

    def link_message(self, other: LegState) -> Message:
        """Return the message that lets two legs hear each other."""
        return {"t": "link", "a": self.number, "b": other.number}

    def digits_message(self) -> Message:
        """Return the message that says whether digits of this leg are sent on, but those that complete a code."""
        passed = self.digits is DigitPolicy.PASS
        return {"t": "digits", "leg": self.number, "pass": passed, "codes": list(self.codes)}

    def open_message(self, now_ns: int, *, quiet: bool) -> Message:
        """Return the message that opens this leg in a worker; its stream goes on where it was, as far as is known.

        A `quiet` leg is not read until it is told to listen.
        """
        sequence, timestamp = self.sequence, self.timestamp
        if self.last_at is not None:
            # What was sent since the last report is unknown: go on beyond it, so that no number is used twice.
            elapsed_ms = max(0, now_ns - self.last_at) // 1_000_000
            sequence = (sequence + elapsed_ms // 10 + 50) & 0xFFFF
        return {
            "t": "open",
            "leg": self.number,
            "call": self.call.number,
            "ssrc": self.ssrc,
            "sequence": sequence,
            "timestamp": timestamp,
            "last_at": self.last_at,
            "rtcp_name": self.rtcp_name,
            "quiet": quiet,
        }

    def remote_message(self, remote: RemoteMedia, *, keep: bool) -> Message:
        """Return the message that tells a worker the far end."""
        host, port = _destination(remote)
        return {
            "t": "remote",
            "leg": self.number,
            "host": host,
            "port": port,
            "payload_type": remote.payload_type,
            "codec": remote.codec_name,
            "clock_rate": remote.clock_rate,
            "telephone_event": remote.telephone_event,
            "packet_time_ms": remote.packet_time_ms,
            "nat": remote.nat,
            "permitted": list(remote.media_addresses),
            "may_send": remote.may_send and host is not None,
            "may_receive": remote.may_receive,
            "rtcp_port": remote.rtcp_port,
            "rtcp_mux": remote.rtcp_mux,
            "srtp": None if remote.srtp is None else remote.srtp.to_wire(),
            "keep": keep,
        }

    def play_message(self, play: Play, asset: str) -> Message:
        """Return the message that plays audio, which goes with it in a memfd."""
        return {
            "t": "play",
            "leg": self.number,
            "play_id": play.play_id,
            "kind": play.kind.value,
            "asset": asset,
            "loop": play.loop,
            "wait": play.start is PlayStart.ON_MEDIA,
            "lead_in_ms": play.lead_in_ms,
            "maximum_ms": play.maximum_ms,
        }


@dataclass(slots=True)
class RecordingState:
    """One recording as it shall be."""

    source: Parts
    outside: LegState | None
    ours: LegState | None
    started_unix_ns: int
    started_mono_ns: int
    spec: PartSpec
    part_started_mono_ns: int
    held: bool = False
    paused: bool = False
    resumed_mono_ns: int = 0
    """When the last pause ended: what came before it is stored by no later worker either."""
    ending: str = ""
    """Empty, `seal`, `discard` or `failed`."""
    reason: str = ""
    ended_mono_ns: int = 0
    kept_ms: int = 0
    """Up to where the present part is known to be written, from its start."""
    parts: list[Part] = field(default_factory=list)
    """Parts that a lost worker left behind."""

    @property
    def part_offset_ms(self) -> int:
        """Return where the present part starts, from the start of the recording."""
        return (self.part_started_mono_ns - self.started_mono_ns) // 1_000_000

    def record_message(self, call: int, *, resume: bool) -> Message:
        """Return the message that starts the present part; `resume` where it takes over from a lost worker."""
        return {
            "t": "record",
            "call": call,
            "outside": self.outside.number if self.outside is not None else None,
            "ours": self.ours.number if self.ours is not None else None,
            "spec": self.spec.to_wire(),
            "started_unix_ns": self.started_unix_ns + self.part_started_mono_ns - self.started_mono_ns,
            "started_mono_ns": self.part_started_mono_ns,
            "held": self.held,
            "paused": self.paused,
            "keep_from_mono_ns": self.resumed_mono_ns,
            "resume": resume,
        }

    def replace(self, old: LegState, new: LegState) -> Message:
        """Let another leg take the side of one that was recorded; return the message that says so, but for the call."""
        if self.outside is old:
            self.outside = new
        if self.ours is old:
            self.ours = new
        return {"t": "replace", "old": old.number, "new": new.number}

    def discard_message(self, call: int) -> Message:
        """Return the message that removes every file of this recording."""
        paths = [str(self.spec.path), str(self.spec.sealed_path)]
        for part in self.parts:
            path = Path(part.path)
            paths += [str(path), str(path.with_suffix(".crec"))]
        return {"t": "discard", "call": call, "spec": self.spec.to_wire(), "paths": paths}


@dataclass(slots=True)
class CallState:
    """One call's media, all of it in one worker."""

    number: int
    name: str
    worker: WorkerProcess
    legs: dict[str, LegState] = field(default_factory=dict)
    recording: RecordingState | None = None
    closing: bool = False


def _destination(remote: RemoteMedia) -> tuple[str | None, int]:
    """Return host and port to send to; the host is None where the SDP says nowhere (`c=0.0.0.0`, port 0)."""
    if remote.address is None or remote.address.port == 0:
        return None, 0
    host, scope_mark, scope = remote.address.host.partition("%")
    try:
        address = ip_address(host)
    except ValueError:
        return None, 0  # a host name in SDP: its source will be believed only through media_addresses or nat
    if address.is_unspecified:
        return None, 0
    return f"{address}{scope_mark}{scope}", remote.address.port


def nanoseconds(instant: datetime) -> int:
    """Return the nanoseconds since 1970 of an instant, exactly."""
    since = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000
