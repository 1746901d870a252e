"""At which rate a recording is rendered: the highest that a codec heard in it needs, so that nothing is lost."""

from __future__ import annotations

from callrec.vault.coding import decoding_of
from callrec.vault.part_reader import PartReader, RecordingReader
from callrec.vault.placement import RATE
from callrec.vault.recording_format import OURS, OUTSIDE, Mark, parse_codec_map, walk_records

_HIGHEST = 48_000
_SECOND_BYTE = 1
"""Of an RTP packet: marker and payload type."""


def rate_of(reader: RecordingReader) -> int:
    """Return samples a second: 8,000 unless a packet of G.722 (16,000) or Opus (48,000) is there.

    The recording is read once for it, but only to the first packet of Opus.

    Raises:
        IntegrityError: if the recording does not verify.
    """
    rate = RATE
    wide: dict[int, dict[int, int]] = {OUTSIDE: {}, OURS: {}}
    current: PartReader | None = None
    for part, plaintext in reader.segments():
        if part is not current:
            current, wide = part, {OUTSIDE: {}, OURS: {}}
        for kind, _, start, end in walk_records(plaintext):
            if kind == Mark.CODECS:
                direction, entries = parse_codec_map(plaintext[start:end])
                found = {entry.payload_type: decoding_of(entry) for entry in entries}
                wide[direction] = {number: each.rate for number, each in found.items() if each and each.rate > RATE}
            elif (rates := wide.get(kind)) and start + _SECOND_BYTE < end:
                rate = max(rate, rates.get(plaintext[start + _SECOND_BYTE] & 0x7F, RATE))
        if rate == _HIGHEST:
            break
    return rate
