"""Who of a call is heard: the counters of its legs, one-way audio told within ten seconds, and calls nobody is in."""

from __future__ import annotations

import logging
from dataclasses import replace

from callrec.calls import inputs as given
from callrec.catalogue.values import CallChange, Event
from callrec.media import Confirmed, LegQuality, LegStats
from callrec.recorder.evidence import confirmed
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall
from callrec.recorder.tools import Tools

log = logging.getLogger("callrec.calls")

FLAG_ONE_WAY_AUDIO = "one_way_audio"
"""One party speaks and the other is not heard (RTP-10); taken away when it is heard, kept by a call that ends so."""

_ALARM_AFTER_S = 9.0  # each leg is looked at once a second: told within ten (RTP-10)
_SPEAKS_S = 2.0
_NOBODY_THERE = 'Q.850;cause=102;text="no RTP from either side"'  # recovery on timer expiry


def on_leg_stats(call: LiveCall, stats: LegStats) -> None:
    """Keep a leg's counters; a worker that took over counts from nothing, so that its counts are added."""
    leg = call.leg_by_id(stats.leg)
    if leg is None:
        return
    if leg.stats_told is not None and _began_anew(leg.stats_told, stats):
        leg.stats_before = leg.stats
    leg.stats_told = stats
    leg.stats = stats if leg.stats_before is None else _sum(leg.stats_before, stats)


def _began_anew(before: LegStats, after: LegStats) -> bool:
    return after.packets_received < before.packets_received or after.packets_sent < before.packets_sent


def _sum(before: LegStats, after: LegStats) -> LegStats:
    return replace(
        after,
        packets_received=before.packets_received + after.packets_received,
        packets_lost=before.packets_lost + after.packets_lost,
        packets_sent=before.packets_sent + after.packets_sent,
        packets_refused=before.packets_refused + after.packets_refused,
        packets_dropped=before.packets_dropped + after.packets_dropped,
    )


def on_leg_quality(_: Tools, call: LiveCall, event: LegQuality) -> None:
    """Keep how a leg sounds; a worker that took over knows less than the one before until it has heard more."""
    leg = call.leg_by_id(event.leg)
    if leg is None:
        return
    if leg.quality is None or event.jitter_us is not None or event.far_lost is not None:
        leg.quality = event


def on_confirmed(_: Tools, call: LiveCall, event: Confirmed) -> None:
    """A report of the caller's side proves the notice that had ended before it came (NOT-13, grade A)."""
    if call.notice_evidence is None or call.notice_evidence.get("leg_id") != event.leg:
        return
    call.notice_evidence = confirmed(call.notice_evidence, event)
    if call.row is not None:
        call.row.change(CallChange(notice=call.notice_evidence))


def look_for_silence(tools: Tools, call: LiveCall) -> None:
    """End a call in which nobody has been heard for the configured time; tell one in which one party is not."""
    if call.answered_at is None or call.ended:
        return
    if call.machine.held:
        call.heard_since = tools.now  # who is on hold need not speak, and has time to begin again
    # A leg counts from its opening: the ringing before the answer is nobody's silence.
    longest_s = tools.now - call.heard_since
    caller_s, destination_s = (min(_silent_s(leg), longest_s) for leg in (call.caller, call.destination))
    _look_for_one_way(call, caller_s, destination_s)
    limit_s = tools.settings.limits.rtp_silence.total_seconds()
    if limit_s and not call.arrival.emergency and min(caller_s, destination_s) >= limit_s:
        log.warning("call %s: no RTP from either side for %d s: it is ended", call.call_id, limit_s)
        call.our_reason = _NOBODY_THERE
        tools.feed(call, given.Silent())


def _silent_s(leg: Leg) -> float:
    return leg.stats.silent_ms / 1000 if leg.stats is not None else 0.0


def _look_for_one_way(call: LiveCall, caller_s: float, destination_s: float) -> None:
    """Begin or end the alarm of RTP-10; that both are silent is another matter, and that one is not heard yet too."""
    if call.unheard is not None and not (call.unheard is call.caller or call.unheard is call.destination):
        replaced, call.unheard = call.unheard, None  # a transfer put somebody else in its place, who is judged anew
        log.info("call %s: who was not heard of %s has left", call.call_id, _NAMES[_side(call, replaced)])
        _tell(call, replaced, over=True)
    shorter, longer = sorted((caller_s, destination_s))
    silent = call.caller if caller_s == longer else call.destination
    if call.unheard is None and longer >= _ALARM_AFTER_S and shorter < _SPEAKS_S:
        call.unheard = silent
        side = _side(call, silent)
        log.warning("call %s: one-way audio: no RTP from %s for %d s", call.call_id, _NAMES[side], round(longer))
        _tell(call, silent, over=False)
    elif call.unheard is not None and (caller_s if call.unheard is call.caller else destination_s) < _SPEAKS_S:
        heard, call.unheard = call.unheard, None
        log.info("call %s: %s is heard again", call.call_id, _NAMES[_side(call, heard)])
        _tell(call, heard, over=True)


_NAMES = {"outside": "the outside party", "ours": "our side"}


def _side(call: LiveCall, leg: Leg) -> str:
    return "outside" if leg.side is call.outside.side else "ours"


def _tell(call: LiveCall, leg: Leg, *, over: bool) -> None:
    """Write the flag, or take it away, with its event."""
    if call.row is None:
        return
    flags = (FLAG_ONE_WAY_AUDIO,)
    change = CallChange(drop_flags=flags) if over else CallChange(add_flags=flags)
    data = {"leg_id": leg.id, "side": _side(call, leg), "over": over}
    call.row.change(change, Event("call", "one_way_audio", call.call_id, data))
