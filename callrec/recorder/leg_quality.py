"""How a leg sounded, as its row and events show it: both ways, with an estimate of the MOS (ITU-T G.107)."""

from __future__ import annotations

from typing import Any

from callrec.media import LegQuality, LegStats
from callrec.rtp.quality import estimate_mos


def quality_item(stats: LegStats, quality: LegQuality, codec: str, packet_ms: int) -> dict[str, object]:
    """Return both directions of a leg; one of which nothing is known is None.

    `received`: what the party sent and we heard. `reported`: what we sent, as the party's RTCP tells it.
    """
    trip_ms = _ms(quality.round_trip_us)
    received = reported = None
    if stats.packets_received and quality.jitter_us is not None:
        lost = stats.packets_lost
        received = _direction(lost, stats.packets_received + lost, quality.jitter_us)
        received["jitter_max_ms"] = _ms(quality.jitter_max_us)
    if quality.far_lost is not None and stats.packets_sent:
        reported = _direction(quality.far_lost, stats.packets_sent, quality.far_jitter_us or 0)
        reported["loss_max_percent"] = round(100 * (quality.far_loss_max or 0.0), 2)
    for way in (received, reported):
        if way is not None:
            loss, jitter_ms = float(way["loss_percent"]) / 100, float(way["jitter_ms"])
            way["mos"] = estimate_mos(codec, loss, jitter_ms=jitter_ms, round_trip_ms=trip_ms, packet_ms=packet_ms)
    return {"received": received, "reported": reported, "round_trip_ms": trip_ms}


def _direction(lost: int, expected: int, jitter_us: int) -> dict[str, Any]:
    percent = round(100 * min(1.0, lost / expected), 2)
    return {"packets_lost": lost, "loss_percent": percent, "jitter_ms": round(jitter_us / 1000, 1), "mos": None}


def _ms(microseconds: int | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1000, 1)
