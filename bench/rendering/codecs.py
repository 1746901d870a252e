"""How long an hour of a call takes to render, by codec: python bench/rendering/codecs.py [MINUTES]."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from callrec.rtp.opus import packet_samples
from callrec.vault.export import export_to
from callrec.vault.export_order import ExportFormat
from callrec.vault.recording_format import OURS, OUTSIDE, CodecEntry, Mark, codec_map_body, encode_mark
from tests.support.sounds import g722, opus_packets, speech
from tests.vault.recording_support import Packet, open_recording, voice, write_recording

CODECS = {
    "PCMA": CodecEntry(8, "PCMA", 8000),
    "G722": CodecEntry(9, "G722", 8000),
    "opus": CodecEntry(111, "opus", 48_000, 2),
}


def payloads(name: str) -> list[bytes]:
    """Return ten seconds of voice in packets of 20 ms."""
    if name == "opus":
        return [packet for packet in opus_packets(speech(10, 48_000)) if packet_samples(packet) == 960]
    said = voice(10) if name == "PCMA" else g722(speech(10, 16_000))
    return [said[start : start + 160] for start in range(0, len(said), 160)]


def recording(directory: Path, name: str, minutes: int) -> list[Path]:
    codec, said = CODECS[name], payloads(name)
    items: list[Packet | bytes] = [encode_mark(Mark.CODECS, 0, codec_map_body(way, [codec])) for way in (OUTSIDE, OURS)]
    step = codec.clock_rate // 50
    for index in range(minutes * 60 * 50):
        for way in (OUTSIDE, OURS):
            payload = said[index % len(said)]
            items.append(Packet(index * 20_000, index, index * step, payload, way, way, codec.payload_type))
    return write_recording(directory, items)


def main() -> None:
    minutes = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    for name in CODECS:
        with tempfile.TemporaryDirectory() as place:
            paths = recording(Path(place), name, minutes)
            for form in (ExportFormat.WAV, ExportFormat.FLAC, ExportFormat.MP3, ExportFormat.OPUS):
                with open_recording(paths) as reader, (Path(place) / "out").open("wb") as out:
                    began = time.process_time()
                    export_to(reader, form, out.fileno())
                    spent = time.process_time() - began
                    size = os.fstat(out.fileno()).st_size
                print(f"{name:5} {form:5} {minutes} min: {spent:6.1f} s of one core, {size / 1e6:7.1f} MB", flush=True)
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
