"""Prompts and tones in the codecs of wide band, for callers who offer nothing else.

    python -m callrec.notice.wideband FOLDER

makes the tones and completes the versions under a folder of notices: for who maintains those shipped with callrec.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from callrec.notice.library import G722, MANIFEST, MASTER, OPUS, SAMPLE_RATE
from callrec.rtp import opus, tones
from callrec.rtp.g711 import Law, decode
from callrec.rtp.ogg import ogg_of, packets_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

TONES = Path(__file__).resolve().parent / "tones"
_G722_RATE = 16_000
_G722_BIT_RATE = 64_000
_PACKET = opus.CLOCK_RATE // 50
_COMPRESSION = 0.9
"""Of libsndfile's scale; about 32 kbit/s, at which nobody hears a difference on the telephone."""
_PERIODS = 3
"""A tone is encoded so often, and the middle taken: it repeats without a seam."""


def g722_of(samples: Samples) -> bytes:
    """Return G.722 of samples at 8 kHz: a byte for each of them."""
    from G722 import G722 as Codec  # type: ignore[import-not-found]  # noqa: N811, PLC0415  publishes no types

    return bytes(Codec(_G722_RATE, _G722_BIT_RATE).encode(_raised(samples, _G722_RATE).tolist()))


def opus_of(samples: Samples) -> bytes:
    """Return an Ogg Opus file of samples at 8 kHz: as many packets of 20 ms as they fill."""
    return ogg_of(_opus_packets(samples))


def _opus_packets(samples: Samples) -> list[bytes]:
    import numpy as np  # noqa: PLC0415  only who encodes needs it
    import soundfile  # type: ignore[import-untyped]  # noqa: PLC0415

    raised = _raised(samples, opus.CLOCK_RATE)
    count = len(raised) // _PACKET
    memory = os.memfd_create("opus", os.MFD_CLOEXEC)
    try:
        with soundfile.SoundFile(
            memory, "w", opus.CLOCK_RATE, 1, format="OGG", subtype="OPUS", closefd=False, compression_level=_COMPRESSION
        ) as file:
            file.write(np.concatenate((raised, np.zeros(2 * _PACKET, np.int16))))  # the encoder looks ahead
        packets = packets_of(os.pread(memory, os.fstat(memory).st_size, 0))[:count]
    finally:
        os.close(memory)
    assert all(opus.packet_samples(packet) == _PACKET for packet in packets), "internal error: packets of other lengths"
    return packets


def _raised(samples: Samples, rate: int) -> Samples:
    import numpy as np  # noqa: PLC0415  only who encodes needs it
    import soxr  # type: ignore[import-untyped]  # noqa: PLC0415

    raised: Samples = soxr.resample(samples.astype(np.float64) / 32768, SAMPLE_RATE, rate, quality="VHQ")
    whole: Samples = np.clip(np.rint(raised * 32768), -32768, 32767).astype(np.int16)
    return whole


def complete(folder: Path) -> None:
    """Add both codecs to a version of a notice."""
    import soundfile  # noqa: PLC0415  only who encodes needs it

    samples, _ = soundfile.read(str(folder / MASTER), dtype="int16")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    for name, field, content in ((G722, "g722_sha256", g722_of(samples)), (OPUS, "opus_sha256", opus_of(samples))):
        (folder / name).write_bytes(content)
        manifest[field] = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


@cache
def tone_sources(kind: tones.Tone) -> dict[str, bytes]:
    """Return one period of a tone in every codec, as a media worker plays it."""
    shipped = packets_of((TONES / f"{kind.name}.opus").read_bytes())
    wide = {"G722": (TONES / f"{kind.name}.g722").read_bytes(), "OPUS": opus.framed(shipped)}
    return tones.tone_sources(kind) | wide


def write_tone(kind: tones.Tone, folder: Path) -> None:
    """Write one period of a tone in both codecs, or two where one does not fill whole packets of 20 ms."""
    import numpy as np  # noqa: PLC0415  only who encodes needs it

    period = np.frombuffer(decode(Law.A, tones.tone(kind, Law.A)), "<i2")
    if len(period) * 50 % SAMPLE_RATE:
        period = np.tile(period, 2)
    repeated = np.tile(period, _PERIODS)
    coded, packets = g722_of(repeated), _opus_packets(repeated)
    (folder / f"{kind.name}.g722").write_bytes(coded[len(period) : 2 * len(period)])
    count = len(packets) // _PERIODS
    (folder / f"{kind.name}.opus").write_bytes(ogg_of(packets[count : 2 * count]))


def main() -> None:
    """Encode what is shipped."""
    TONES.mkdir(exist_ok=True)
    for kind in (tones.RINGBACK, tones.BUSY, tones.CONGESTION, tones.NUMBER_UNOBTAINABLE):
        write_tone(kind, TONES)
    for manifest in Path(sys.argv[1]).glob(f"*/*/{MANIFEST}"):
        complete(manifest.parent)


if __name__ == "__main__":
    main()
