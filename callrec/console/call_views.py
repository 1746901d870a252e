"""Calls as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from callrec.console.output import Column, Item

NOTHING = "-"
ONE_WAY_AUDIO = "one_way_audio"
_ARROWS = {"inbound": "in", "outbound": "out", "internal": "internal"}
SHORT_ID = 8
"""Characters of an id in a table; any unique beginning names the call."""


WHOLE, TO_THE_MINUTE, WITHOUT_YEAR, TIME_ONLY = "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%m-%d %H:%M", "%H:%M:%S"


def local(text: str | None, zone: ZoneInfo, pattern: str = WHOLE) -> str:
    """Return an RFC 3339 instant in local time, or a dash."""
    if not text:
        return NOTHING
    return datetime.fromisoformat(text).astimezone(zone).strftime(pattern)


def duration(seconds: float | None) -> str:
    """Return a length of time as `m:ss` or `h:mm:ss`, or a dash."""
    if seconds is None:
        return NOTHING
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def caller(item: Item) -> str:
    """Return who called: the number shown, else the network's, else why there is none."""
    number = item.get("presentation_number") or item.get("network_number")
    if number:
        return str(number)
    return "withheld" if item.get("withheld") else "unavailable"


def outcome(item: Item) -> str:
    """Return how a call ended; of one that goes on, whether one party is not heard."""
    if item.get("in_progress"):
        return "in progress, one-way audio" if ONE_WAY_AUDIO in (item.get("flags") or ()) else "in progress"
    if item.get("outcome") == "recorded":
        return "recorded" if item.get("outcome_reason") == "complete" else f"recorded ({item.get('outcome_reason')})"
    return f"not recorded: {item.get('outcome_reason')}"


def brief_outcome(item: Item) -> str:
    """Return how a call ended, in at most 19 characters: the reason says what it was not recorded for."""
    return outcome(item).removeprefix("not recorded: ").removeprefix("in progress, ")


def call_columns(zone: ZoneInfo) -> Sequence[Column]:
    """Return the columns of a list of calls."""
    return (
        Column("ID", lambda item: str(item["call_id"])[:SHORT_ID]),
        Column("REF", lambda item: str(item.get("call_reference") or NOTHING), spare=True),
        Column(
            "STARTED",
            lambda item: local(item.get("started_at"), zone),
            brief=lambda item: local(item.get("started_at"), zone, WITHOUT_YEAR),
        ),
        Column("WAY", lambda item: _ARROWS.get(str(item.get("direction")), NOTHING), spare=True),
        Column("FROM", caller),
        Column("TO", lambda item: str(item.get("called_number") or NOTHING)),
        Column("LENGTH", lambda item: duration(item.get("duration_seconds")), right=True),
        Column("OUTCOME", outcome, brief=brief_outcome),
    )


def call_lines(item: Item, zone: ZoneInfo) -> Iterator[str]:
    """Return all that is kept about a call, a line for each fact."""
    for name, text in _facts(item, zone):
        yield f"{name + ':':<22}{text}"
    for leg in item.get("legs") or ():
        yield f"{'leg:':<22}{leg_words(leg, zone)}"
    for segment in item.get("segments") or ():
        yield f"{'segment:':<22}{_segment(segment)}"


def _facts(item: Item, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    special = {"legs", "segments", "notice", "holds"}
    for name, value in item.items():
        if name in special or value in (None, [], ()):
            continue
        yield name.removesuffix("_seconds").replace("_", " "), _text(name, value, zone)
    if notice := item.get("notice"):
        yield "notice", _notice(notice)
    for hold in item.get("holds") or ():
        yield "hold", f"{hold.get('kind')} {hold.get('id')}"


def _text(name: str, value: object, zone: ZoneInfo) -> str:
    if name.endswith("_at") and isinstance(value, str):
        return local(value, zone)
    if name == "duration_seconds" and isinstance(value, int | float):
        return duration(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return str(value)


def _notice(notice: Mapping[str, Any]) -> str:
    state = "completed" if notice.get("completed") else f"not completed ({notice.get('interrupted_by')})"
    heard = f"{(notice.get('heard_ms') or 0) / 1000:.1f} s heard"
    return f"{notice.get('id')} version {notice.get('version')}, {state}, {heard}, evidence {notice.get('grade')}"


def leg_words(leg: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Return one leg on a line: its peer, codec, packets, how it sounded, and from when to when it lasted."""
    packets = f"{leg.get('packets_received')} packets, {leg.get('packets_lost')} lost"
    sound = _sound(leg.get("quality") or {})
    span = " to ".join(local(leg.get(name), zone, TIME_ONLY) for name in ("started_at", "ended_at"))
    return f"{leg.get('peer') or '-'}, {leg.get('codec') or 'no codec'}, {packets}{sound}, {span}"


def _sound(quality: Mapping[str, Any]) -> str:
    """Return how a leg sounded: as it arrived here, as its far side reports it, and how far away that is."""
    received, reported, trip = (quality.get(name) for name in ("received", "reported", "round_trip_ms"))
    far = [f"far side: {reported['loss_percent']} % lost, {_way(reported)}"] if reported else []
    far += [f"round trip {trip} ms"] if trip is not None else []
    return (f", {_way(received)}" if received else "") + (f" ({'; '.join(far)})" if far else "")


def _way(way: Mapping[str, Any]) -> str:
    return f"jitter {way['jitter_ms']} ms, MOS {way['mos']}"


def _segment(segment: Mapping[str, Any]) -> str:
    start, end = (duration((segment.get(name) or 0) / 1000) for name in ("start_ms", "end_ms"))
    reason = f" ({segment['reason']})" if segment.get("reason") else ""
    return f"{start} to {end} {segment.get('state')}{reason}"
