"""What listening costs: `python -m bench.rendering [--minutes N]`.

Writes a recording of two G.711 voices as a media worker would, then reads, decrypts, renders and encodes it in each
format. Prints the processor time of each and the sizes.
"""

from __future__ import annotations

import argparse
import os
import resource
import struct
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from callrec.identifiers import new_id
from callrec.vault.export import ExportFormat, export_file
from callrec.vault.part_reader import RecordingReader
from callrec.vault.part_writer import PartSource, PartWriter
from callrec.vault.recording_format import OURS, OUTSIDE, encode_packet

PACKET_MS, PACKET_BYTES = 20, 160
PCMA = 8


def write_recording(folder: Path, minutes: int) -> tuple[RecordingReader, int, float]:
    """Write a recording of both sides speaking; return its reader, its bytes, and the seconds of processor it took."""
    recording_id, key, started = new_id(), os.urandom(32), datetime.now(UTC)
    spec = PartSource(recording_id, key, folder, os.urandom).next_part(started)
    before = time.process_time()
    writer = PartWriter(spec, int(started.timestamp() * 1e9))
    voices = {direction: os.urandom(PACKET_BYTES * 50) for direction in (OUTSIDE, OURS)}
    for n in range(minutes * 60_000 // PACKET_MS):
        place = n % 50 * PACKET_BYTES
        header = struct.pack("!BBHII", 0x80, PCMA, n & 0xFFFF, n * PACKET_BYTES & 0xFFFF_FFFF, 1)
        for direction, voice in voices.items():
            packet = header + voice[place : place + PACKET_BYTES]
            writer.append(encode_packet(direction, n * PACKET_MS * 1000, packet))
    sealed = writer.seal()
    spent = time.process_time() - before
    return RecordingReader([sealed.path], key, recording_id), sealed.path.stat().st_size, spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What rendering and encoding a recording costs.")
    parser.add_argument("--minutes", type=int, default=60)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name:
        reader, size, spent = write_recording(Path(name), minutes)
        print(f"a recording of {minutes} minutes: {size / 2**20:.1f} MiB, written in {spent:.2f} s of processor")
        for form in ExportFormat:
            path = Path(name) / f"out.{form.value}"
            before = time.process_time()
            export_file(reader, form, path)
            spent = time.process_time() - before
            print(f"{form.value:>7}: {spent:6.2f} s of processor, {path.stat().st_size / 2**20:7.1f} MiB")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
