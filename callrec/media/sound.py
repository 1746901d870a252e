"""What a play sends, packet by packet, in the codec of its leg; the worker only adds headers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from callrec.rtp import opus
from callrec.rtp.g711 import SAMPLE_RATE, SILENCE, Law

PLAYABLE = frozenset({"PCMA", "PCMU", "G722", "OPUS"})
"""Codecs, by their names in capitals, in which something can be played."""

_BYTES_PER_MS = SAMPLE_RATE // 1000
_KEPT = 256
# G.722 is a byte for 125 us as well, and its RTP clock the same 8 kHz (RFC 3551 4.5.2); this code decodes to nothing.
_SILENCE = {"PCMA": SILENCE[Law.A], "PCMU": SILENCE[Law.MU], "G722": b"\xfc"}
_OPUS_PACKET_MS = 20


@dataclass(frozen=True, slots=True)
class Sound:
    """A prompt cut into payloads of equal length in time."""

    payloads: tuple[bytes, ...]
    packet_ms: int
    ticks: int
    """Of the RTP clock, in each payload."""
    lead_in: int
    """How many payloads hold the silence before the first word, whole ones only."""
    spoken_ms: int
    """Without the silence before it, and what fills up the last payload."""


@lru_cache(maxsize=_KEPT)
def sound_of(codec: str, audio: bytes, packet_ms: int, lead_in_ms: int) -> Sound:
    """Return a prompt as it goes to a leg.

    Args:
        codec: the leg's, as in SDP.
        audio: raw G.711 or G.722, 8 bytes a millisecond, or framed Opus packets of 20 ms, whatever the packet time.
        packet_ms: how much a packet shall hold.
        lead_in_ms: silence before the first word.
    """
    if codec.upper() == "OPUS":
        return _opus(opus.unframed(audio), lead_in_ms)
    silence = _SILENCE[codec.upper()]
    size = packet_ms * _BYTES_PER_MS
    whole = silence * (lead_in_ms * _BYTES_PER_MS) + audio
    whole += silence * (-len(whole) % size)
    payloads = tuple(whole[start : start + size] for start in range(0, len(whole), size))
    return Sound(payloads, packet_ms, size, lead_in_ms // packet_ms, len(audio) // _BYTES_PER_MS)


def _opus(packets: list[bytes], lead_in_ms: int) -> Sound:
    lead_in = -(-lead_in_ms // _OPUS_PACKET_MS)
    ticks = _OPUS_PACKET_MS * opus.CLOCK_RATE // 1000
    payloads = (opus.SILENCE,) * lead_in + tuple(packets)
    return Sound(payloads, _OPUS_PACKET_MS, ticks, lead_in, len(packets) * _OPUS_PACKET_MS)
