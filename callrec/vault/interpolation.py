"""A codec's samples at a whole multiple of its rate, the same whatever blocks they are taken in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

_REACH = 24
"""Samples on each side that a new one is made from."""
_ATTENUATION_DB = 70.0


class Interpolator:
    """Takes from a source and gives `factor` samples for each: by a linear-phase filter, so without delay."""

    def __init__(self, take: Callable[[int], Samples], factor: int) -> None:
        self._take = take
        self._factor = factor
        self._phases = _filters(factor)
        self._known = np.zeros(2 * _REACH, np.int16)
        """The samples on both sides of the next one to give."""
        self._begun = False

    def take(self, length: int) -> Samples:
        """Return the next samples; only the last take may be no multiple of the factor."""
        if not self._begun:
            self._begun = True
            self._known[_REACH:] = self._take(_REACH)
        count = -(-length // self._factor)
        window = np.concatenate((self._known, self._take(count))).astype(np.float64)
        raised = np.stack([_filtered(window, phase, count) for phase in self._phases], axis=1).reshape(-1)
        self._known = window[count:].astype(np.int16)
        rounded: Samples = np.clip(np.rint(raised[:length]), -32768, 32767).astype(np.int16)
        return rounded


def _filtered(window: npt.NDArray[np.float64], phase: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    return np.convolve(window, phase, "valid")[:count]


@cache
def _filters(factor: int) -> list[npt.NDArray[np.float64]]:
    """Return the filter of each new sample; the first of a set is the old sample itself (a Nyquist filter)."""
    beta = 0.1102 * (_ATTENUATION_DB - 8.7)
    filters = []
    for phase in range(factor):
        distance = np.arange(-_REACH, _REACH + 1) + phase / factor
        window = np.i0(beta * np.sqrt(np.clip(1 - (distance / (_REACH + 1)) ** 2, 0, 1)))
        weights = np.sinc(distance) * window
        filters.append(weights / weights.sum())
    return filters
