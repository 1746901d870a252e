"""How good a voice probably sounds: the E-model of ITU-T G.107 with its defaults, and the MOS it stands for.

R = 93.2 - Id - Ie,eff is G.107 (06/2015) with every parameter that a network does not show at its default.
Id is the approximation of R. G. Cole and J. H. Rosenbluth, "Voice over IP performance monitoring" (2001):
0.024 d + 0.11 (d - 177.3) above 177.3 ms. Ie,eff is G.107 equation 7-29 for random loss (BurstR = 1).
"""

from __future__ import annotations

_BASE = 93.2
_KNEE_MS = 177.3
_WORST, _BEST = 1.0, 4.5

# ITU-T G.113 appendix I: equipment impairment Ie and robustness Bpl. G.711 with packet loss concealment (its own
# appendix I), G.729A with VAD. A wide-band codec has no value on this scale and is rated as G.711: what the network
# takes away from it is estimated, not what its bandwidth adds.
_IMPAIRMENT = {"G729": (11.0, 19.0)}
_G711 = (0.0, 25.1)


def rating(codec: str, loss: float, one_way_ms: float) -> float:
    """Return the transmission rating R, 0 to 93.2.

    Args:
        codec: its name in SDP.
        loss: the share of packets that did not arrive, 0 to 1.
        one_way_ms: mouth to ear, as far as it is known.
    """
    impairment, robustness = _IMPAIRMENT.get(codec.upper(), _G711)
    percent = 100 * min(1.0, max(0.0, loss))
    effective = impairment + (95 - impairment) * percent / (percent + robustness)
    late = max(0.0, one_way_ms - _KNEE_MS)
    return max(0.0, _BASE - 0.024 * one_way_ms - 0.11 * late - effective)


def mean_opinion_score(r: float) -> float:
    """Return the MOS that a rating stands for (G.107 annex B), 1 to 4.5."""
    if r <= 0:
        return _WORST
    if r >= 100:
        return _BEST
    return min(_BEST, max(_WORST, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6))


def estimate_mos(codec: str, loss: float, *, jitter_ms: float, round_trip_ms: float | None, packet_ms: int) -> float:
    """Return the MOS of one direction, to two places.

    The delay is half the round trip, one packet, and a jitter buffer of twice the jitter; without a known round trip
    only the latter two.
    """
    one_way_ms = (round_trip_ms or 0.0) / 2 + packet_ms + 2 * jitter_ms
    return round(mean_opinion_score(rating(codec, loss, one_way_ms)), 2)
