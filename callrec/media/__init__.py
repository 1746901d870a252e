"""RTP workers and the service that leads them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callrec.media.commands import DigitPolicy, Play, PlayKind, PlayStart, RemoteMedia, notice
    from callrec.media.errors import CapacityError, ShortageError
    from callrec.media.events import (
        Confirmed,
        Digit,
        Discarded,
        Gap,
        KeysLost,
        Latched,
        LegClosed,
        LegQuality,
        LegStats,
        MediaEvent,
        MediaLost,
        Part,
        Played,
        RecordingFailed,
        RecordingPaused,
        Sealed,
        StatsReport,
        StorageBlocked,
        StorageRecovered,
        WorkerReplaced,
    )
    from callrec.media.service import MediaService, WorkerStatus
    from callrec.media.srtp import MediaKeys

__all__ = [
    "CapacityError",
    "Confirmed",
    "Digit",
    "DigitPolicy",
    "Discarded",
    "Gap",
    "KeysLost",
    "Latched",
    "LegClosed",
    "LegQuality",
    "LegStats",
    "MediaEvent",
    "MediaKeys",
    "MediaLost",
    "MediaService",
    "Part",
    "Play",
    "PlayKind",
    "PlayStart",
    "Played",
    "RecordingFailed",
    "RecordingPaused",
    "RemoteMedia",
    "Sealed",
    "ShortageError",
    "StatsReport",
    "StorageBlocked",
    "StorageRecovered",
    "WorkerReplaced",
    "WorkerStatus",
    "notice",
]

_ROOMS = ("commands", "errors", "events", "service", "srtp")


def __getattr__(name: str) -> Any:
    """Return an exported name: found when first asked for, because a worker imports this package without asyncio."""
    if name in __all__:
        for room in _ROOMS:
            module = import_module(f"callrec.media.{room}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
