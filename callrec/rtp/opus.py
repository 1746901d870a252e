"""Opus packets as far as a recorder must understand them: how long each lasts, and whether a decoder takes it.

Nothing is decoded here (RFC 6716 section 3, RFC 7587).
"""

from __future__ import annotations

from collections.abc import Iterable

CLOCK_RATE = 48_000
"""RTP timestamps of Opus count 48 kHz samples, whatever it was encoded from (RFC 7587 4.1)."""

SILENCE = b"\xf8\xff\xfe"
"""20 ms of nothing, of one channel, as an encoder gives it."""

_LONGEST_SAMPLES = 5760
"""120 ms (RFC 6716 3.2.5, requirement R5)."""
_LONGEST_FRAME = 1275
"""Bytes (R2)."""
_SILENCE_BYTES = 2
"""A packet of at most so many bytes only says that nothing is said (discontinuous transmission)."""

# RFC 6716 table 2: samples of a frame by the configuration number, at 48 kHz.
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
_FRAME_SAMPLES = _SILK * 3 + _HYBRID * 2 + _CELT * 4


def packet_samples(packet: bytes) -> int:
    """Return how many samples at 48 kHz a packet lasts; 0 where it breaks a rule of RFC 6716 3.4, so cannot be decoded.

    A packet that pads or holds several frames is one packet.
    """
    if not packet:
        return 0
    frame = _FRAME_SAMPLES[packet[0] >> 3]
    match packet[0] & 3:
        case 0:
            frames = 1 if len(packet) - 1 <= _LONGEST_FRAME else 0
        case 1:
            frames = 2 if len(packet) % 2 and (len(packet) - 1) // 2 <= _LONGEST_FRAME else 0
        case 2:
            frames = 2 if _has_two_frames(packet) else 0
        case _:
            frames = _count_of_frames(packet)
    samples = frame * frames
    return samples if samples <= _LONGEST_SAMPLES else 0


def is_silence(packet: bytes) -> bool:
    """Tell whether a packet holds no voice: its sender pauses (DTX)."""
    return len(packet) <= _SILENCE_BYTES


def framed(packets: Iterable[bytes]) -> bytes:
    """Return packets in one piece, each after its length in two bytes."""
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def unframed(data: bytes) -> list[bytes]:
    """Return the packets of such a piece; one cut short at its end is left out."""
    packets, position = [], 2
    while position <= len(data):
        end = position + int.from_bytes(data[position - 2 : position], "big")
        if end > len(data):
            break
        packets.append(data[position:end])
        position = end + 2
    return packets


def _has_two_frames(packet: bytes) -> bool:
    """Code 2: two frames, the length of the first before both (R4)."""
    first, behind = _length_at(packet, 1)
    rest = len(packet) - behind - first
    return behind <= len(packet) and 0 <= rest <= _LONGEST_FRAME


def _count_of_frames(packet: bytes) -> int:
    """Code 3: any number of frames, maybe padded; 0 where they do not fit (R5, R6, R7)."""
    if len(packet) < 2:
        return 0
    variable, padded, count = packet[1] & 0x80, packet[1] & 0x40, packet[1] & 0x3F
    position, padding = _padding(packet) if padded else (2, 0)
    end = len(packet) - padding
    if not count or position > end:
        return 0
    if not variable:
        size, left_over = divmod(end - position, count)
        return count if not left_over and size <= _LONGEST_FRAME else 0
    used = 0
    for _ in range(count - 1):
        if position >= end:
            return 0
        size, position = _length_at(packet, position)
        used += size
    return count if 0 <= end - position - used <= _LONGEST_FRAME else 0


def _padding(packet: bytes) -> tuple[int, int]:
    """Return where the frame lengths begin, and how many bytes at the end are padding."""
    position, padding = 2, 0
    while position < len(packet):
        byte = packet[position]
        position += 1
        padding += 254 if byte == 255 else byte
        if byte != 255:
            return position, padding
    return len(packet) + 1, 0


def _length_at(packet: bytes, position: int) -> tuple[int, int]:
    """Return a frame length of one or two bytes (RFC 6716 3.2.1) and the position behind it, past the end if cut."""
    if position >= len(packet):
        return 0, len(packet) + 1
    first = packet[position]
    if first < 252:
        return first, position + 1
    if position + 1 >= len(packet):
        return 0, len(packet) + 1
    return packet[position + 1] * 4 + first, position + 2
