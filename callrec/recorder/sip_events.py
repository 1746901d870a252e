"""Turns what the SIP endpoint tells into what a call understands; SDP is read here, once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.calls.inputs import Side
from callrec.catalogue.values import CallChange, Event
from callrec.errors import PeerError
from callrec.recorder import negotiation
from callrec.recorder.live_call import LiveCall
from callrec.recorder.tools import Tools
from callrec.sdp import SessionDescription, audio_of, is_unchanged
from callrec.sip import events as sip

log = logging.getLogger("callrec.calls")


def on_acknowledged(tools: Tools, call: LiveCall, event: sip.Acknowledged) -> None:
    """Read the answer that came in the ACK, where our 2xx made the offer (SIP-6)."""
    if event.reoffer:
        return  # the session of a re-INVITE is in force since our 2xx
    call.exchange.session = event.answer
    if call.machine.state is not State.ANSWERING or call.caller.remote_session is not None:
        tools.feed(call, given.Acknowledged())
        return
    try:
        audio = negotiation.read(call.caller, event.answer or b"")
    except PeerError as error:
        log.warning("call %s: the SDP in the ACK cannot be used: %s", call.call_id, error)
        tools.feed(call, given.Acknowledged(usable=False))
        return
    call.caller.codec = negotiation.playable_codec(audio)
    tools.feed(call, given.Acknowledged(usable=call.caller.codec is not None, held=audio.held))


def on_hung_up(tools: Tools, call: LiveCall, event: sip.HungUp) -> None:
    """A leg is over."""
    side = call.side_of(event.leg)
    leg = call.leg(side)
    leg.over, leg.reason_header = True, event.reason
    leg.ended_at = tools.clock.now()
    tools.feed(call, given.HungUp(side))


def on_cancelled(tools: Tools, call: LiveCall, event: sip.Cancelled) -> None:
    """The caller took its INVITE back."""
    call.caller.over, call.caller.reason_header = True, event.reason
    tools.feed(call, given.Cancelled())


def on_progress(tools: Tools, call: LiveCall, event: sip.Progress) -> None:
    """The destination rings, or sends early media."""
    call.exchange.response, call.exchange.session = event.response, event.session
    early = event.session is not None and _read_answer(call, event.session)
    tools.feed(call, given.DestinationProgress(event.response.status, early))


def _read_answer(call: LiveCall, session: bytes) -> bool:
    """Read the destination's SDP; return whether its audio can be relayed."""
    if not call.anchored:
        return False
    try:
        negotiation.read(call.destination, session)
    except PeerError as error:
        log.info("call %s: the destination's SDP cannot be relayed: %s", call.call_id, error)
        return False
    if call.arrival.incoming.offer is not None or call.answered_us:
        negotiation.agree(call.caller, call.destination)
    return True


def on_answered(tools: Tools, call: LiveCall, event: sip.Answered) -> None:
    """The destination answered."""
    call.exchange.response, call.exchange.session = event.response, event.session
    leg = call.destination
    leg.established = True
    readable = _read_answer(call, event.session) if event.session is not None else leg.audio is not None
    if call.answered_us and not readable:
        leg.over = True
        tools.driver.endpoint.hang_up(leg.sip_id, tools.now)
        tools.feed(call, given.DestinationFailed(488))
        return
    call.answered_at = tools.clock.now()
    held = bool(readable and leg.audio is not None and leg.audio.held)
    tools.feed(call, given.DestinationAnswered(held))
    if call.row is not None:
        call.row.change(CallChange(answered_at=call.answered_at), Event("call", "answered", call.call_id))


_STATUS_OF_SILENCE = {"timeout": 408, "transport": 503}


def on_failed(tools: Tools, call: LiveCall, event: sip.Failed) -> None:
    """The destination did not take the call."""
    call.destination.over = True
    call.exchange.response = event.response
    status = event.response.status if event.response is not None else _STATUS_OF_SILENCE.get(event.cause, 500)
    call.exchange.failure = status
    another = status == 488 and call.answered_us and negotiation.another_codec(call.caller, call.codecs_refused)
    tools.feed(call, given.DestinationFailed(status, another_codec=another))


def on_reoffered(tools: Tools, call: LiveCall, event: sip.Reoffered) -> None:
    """A party sent a re-INVITE: what does it say about hold?"""
    side = call.side_of(event.leg)
    leg = call.leg(side)
    call.exchange.reoffer = event
    if event.offer is None:
        tools.feed(call, given.Reoffered(side, held=None))
        return
    try:
        held = _held(call, side, event.offer)
    except PeerError as error:
        call.exchange.reoffer = None
        tools.driver.endpoint.refuse_offer(leg.sip_id, error.status, tools.now)
        return
    for each in (call.caller, call.destination):
        each.remember()
    tools.feed(call, given.Reoffered(side, held))


def _held(call: LiveCall, side: Side, offer: bytes) -> bool | None:
    """Return whether an offer holds; None for one that changes nothing, such as a session timer's refresh."""
    description = SessionDescription.parse(offer)
    before = call.leg(side).remote_session
    if before is not None and is_unchanged(before, description):
        return None
    if not call.anchored:
        return False
    return audio_of(description).held


def on_reoffer_answered(tools: Tools, call: LiveCall, event: sip.ReofferAnswered) -> None:
    """A party accepted a re-INVITE of ours."""
    side = call.side_of(event.leg)
    if call.machine.state is State.RECODING and side is Side.CALLER:
        tools.feed(call, given.CallerRecoded(accepted=_recoded(call, event.session)))
        return
    call.exchange.session = event.session
    held = False
    if event.session is not None and call.anchored:
        try:
            held = audio_of(SessionDescription.parse(event.session)).held
        except PeerError:
            call.exchange.session = None
    tools.feed(call, given.ReofferAnswered(side, held))


def _recoded(call: LiveCall, session: bytes | None) -> bool:
    """Take the codec that the caller answered; its first offer stays what it can do."""
    offered = call.caller.remote_session, call.caller.audio
    try:
        audio = negotiation.read(call.caller, session or b"")
    except PeerError:
        call.caller.remote_session, call.caller.audio = offered
        return False
    codec = negotiation.playable_codec(audio, call.codecs_refused)
    call.caller.codec = codec or call.caller.codec
    return codec is not None


def on_reoffer_failed(tools: Tools, call: LiveCall, event: sip.ReofferFailed) -> None:
    """A party refused a re-INVITE of ours."""
    side = call.side_of(event.leg)
    if call.machine.state is State.RECODING and side is Side.CALLER:
        tools.feed(call, given.CallerRecoded(accepted=False))
        return
    tools.feed(call, given.ReofferFailed(side, event.response.status if event.response is not None else 408))


def on_reoffer_cancelled(tools: Tools, call: LiveCall, event: sip.ReofferCancelled) -> None:
    """A party took its re-INVITE back: what was agreed before stays; the other side's answer finds nobody waiting."""
    side = call.side_of(event.leg)
    call.exchange.reoffer = None
    tools.feed(call, given.ReofferFailed(side.other, 487))


# RFC 6086, 3311, 3515: INFO is taken (its digits are never stored, LAW-74); an UPDATE without SDP refreshes.
def on_in_dialog_request(tools: Tools, call: LiveCall, event: sip.InDialogRequest) -> None:
    """Answer another request inside a dialog."""
    method, has_body = event.request.method, bool(event.request.body)
    accepted = method == "INFO" or (method == "UPDATE" and not has_body) or method in ("NOTIFY", "MESSAGE")
    status = 200 if accepted else 488 if method == "UPDATE" else 603
    log.debug("call %s: %s answered %d", call.call_id, method, status)
    tools.driver.endpoint.respond(event.token, status, tools.now)


SIP_EVENTS: dict[type[sip.Event], Callable[..., None]] = {
    sip.Acknowledged: on_acknowledged,
    sip.HungUp: on_hung_up,
    sip.Cancelled: on_cancelled,
    sip.Progress: on_progress,
    sip.Answered: on_answered,
    sip.Failed: on_failed,
    sip.Reoffered: on_reoffered,
    sip.ReofferCancelled: on_reoffer_cancelled,
    sip.ReofferAnswered: on_reoffer_answered,
    sip.ReofferFailed: on_reoffer_failed,
    sip.InDialogRequest: on_in_dialog_request,
}
