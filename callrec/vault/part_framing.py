"""Walks the segments of a part without its key, for recovery and for telling a cut part from a damaged one."""

from __future__ import annotations

import os
from dataclasses import dataclass

from callrec.vault.recording_format import FRAME_LENGTH, HEADER_LENGTH, decode_frame, frame_is_possible


@dataclass(frozen=True, slots=True)
class Framing:
    """What the frames of a part say; nothing here is authentic before the segments have been verified."""

    segments: int
    """Whole segments, the last one with them."""
    end: int
    """Offset in bytes behind the last whole segment."""
    sealed: bool
    """Whether the last whole segment is a last segment that ends with the file."""
    size: int
    """Bytes of the file."""

    @property
    def left_over(self) -> int:
        """Return how many bytes behind the last whole segment belong to none."""
        return self.size - self.end


def scan_frames(fd: int, offset: int = HEADER_LENGTH) -> Framing:
    """Return the whole segments from an offset on; reads four bytes of each."""
    size = os.fstat(fd).st_size
    segments = 0
    while (frame := os.pread(fd, FRAME_LENGTH, offset)) and len(frame) == FRAME_LENGTH:
        length, last = decode_frame(frame)
        following = offset + FRAME_LENGTH + length
        if not frame_is_possible(length, last=last) or following > size:
            break
        offset = following
        segments += 1
        if last:
            return Framing(segments, offset, offset == size, size)
    return Framing(segments, min(offset, size), sealed=False, size=size)
