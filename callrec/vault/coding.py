"""How the payload of each codec becomes samples: which are decoded, at what rate, and how long a packet lasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callrec.rtp import opus
from callrec.vault.recording_format import CodecEntry

SILENT, A_LAW, MU_LAW, G722, OPUS = range(5)
"""Codings; SILENT is any codec that is not decoded here."""
COMFORT_NOISE, IGNORED = -1, -2
"""What is silence by its nature, and what is not audio at all."""

_STATIC = {0: CodecEntry(0, "PCMU", 8000), 8: CodecEntry(8, "PCMA", 8000)}
_STATIC |= {number: CodecEntry(number, "CN", 8000) for number in (13, 19)}
_SILENT_NAMES = {"CN": COMFORT_NOISE, "TELEPHONE-EVENT": IGNORED}


@dataclass(frozen=True, slots=True)
class Decoding:
    """A codec that is decoded."""

    coding: int
    rate: int
    """Samples a second that its decoder gives."""
    clock_rate: int
    """Of its RTP timestamps; of G.722 that is half its rate, by an old mistake of RFC 1890 (RFC 3551 4.5.2)."""
    length: Callable[[bytes], int]
    """Samples in a payload, at `rate`; 0 where it holds none that can be decoded."""


def _two_for_each_byte(payload: bytes) -> int:
    return 2 * len(payload)


_DECODINGS = {
    "PCMA": Decoding(A_LAW, 8000, 8000, len),
    "PCMU": Decoding(MU_LAW, 8000, 8000, len),
    "G722": Decoding(G722, 16000, 8000, _two_for_each_byte),
    "OPUS": Decoding(OPUS, opus.CLOCK_RATE, opus.CLOCK_RATE, opus.packet_samples),
}


def known_codecs(entries: tuple[CodecEntry, ...]) -> dict[int, CodecEntry]:
    """Return what payload types mean under a codec map; without one those of section 7 of the format."""
    return _STATIC | {entry.payload_type: entry for entry in entries}


def decoding_of(codec: CodecEntry) -> Decoding | None:
    """Return how a codec is decoded, None where it is not."""
    found = _DECODINGS.get(codec.name.upper())
    if found is None or codec.clock_rate != found.clock_rate:
        return None
    # Opus is always "two channels" in a session, whatever its packets hold (RFC 7587 7).
    return found if codec.channels in (0, 1) or found.coding == OPUS else None


def silent_kind(codec: CodecEntry) -> int:
    """Return why a codec without a decoding is silence: COMFORT_NOISE, IGNORED, or SILENT for want of a decoder."""
    return _SILENT_NAMES.get(codec.name.upper(), SILENT)
