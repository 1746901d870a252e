"""What SRTP costs a packet: opening and sealing one frame of G.711, by the library and room that the workers use.

.venv/bin/python -m bench.srtp
"""

from __future__ import annotations

import os
import time

from callrec.media.srtp import MediaKeys, Srtp
from callrec.rtp import RtpPacket
from callrec.sdp import KEY_LENGTHS

PACKETS = 50_000


def main() -> None:
    """Print microseconds of processor time a packet for each suite."""
    print(f"{PACKETS} packets of 172 bytes; load {os.getloadavg()[0]:.1f}")
    for suite, length in KEY_LENGTHS.items():
        near, far = os.urandom(length), os.urandom(length)
        ours, theirs = Srtp(MediaKeys(suite, far, near)), Srtp(MediaKeys(suite, near, far))
        packets = [RtpPacket(8, number & 0xFFFF, number * 160, 7, bytes(160)).serialize() for number in range(PACKETS)]
        started = time.process_time()
        sealed = [ours.seal(packet) for packet in packets]
        between = time.process_time()
        opened = [theirs.open(packet) for packet in sealed if packet is not None]
        ended = time.process_time()
        assert opened == packets, "what was opened is not what was sealed"
        seal, open_ = ((b - a) * 1e6 / PACKETS for a, b in ((started, between), (between, ended)))
        print(f"{suite:24}  seal {seal:4.1f} µs  open {open_:4.1f} µs")


if __name__ == "__main__":
    main()
