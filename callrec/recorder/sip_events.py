"""Turns what the SIP endpoint tells into what a call understands; SDP is read here, once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.calls.inputs import Side
from callrec.catalogue.values import CallChange, Event
from callrec.errors import PeerError
from callrec.recorder import negotiation
from callrec.recorder.dialling import follow, settle
from callrec.recorder.extensions import FLAG_FAX, FLAG_SESSION_EXPIRED, mark
from callrec.recorder.in_dialog import on_in_dialog_request, on_replied
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall
from callrec.recorder.rekeying import end_if_keyless
from callrec.recorder.signalling_commands import tell_remotes
from callrec.recorder.tools import Tools
from callrec.sdp import SessionDescription, is_t38, is_unchanged
from callrec.settings import PeerRole
from callrec.sip import events as sip
from callrec.sip.refreshing import EXPIRED

log = logging.getLogger("callrec.calls")


def on_acknowledged(tools: Tools, call: LiveCall, event: sip.Acknowledged) -> None:
    """Read the answer that came in the ACK, where our 2xx made the offer (SIP-6)."""
    if event.reoffer:
        _on_reoffer_acknowledged(tools, call, event)
        return
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
    call.caller.codec = negotiation.playable_codec(call.caller)
    tools.feed(call, given.Acknowledged(usable=call.caller.codec is not None, held=audio.held))


def _on_reoffer_acknowledged(tools: Tools, call: LiveCall, event: sip.Acknowledged) -> None:
    """Read the answer in the ACK where a re-INVITE asked for an offer; any other is in force since our 2xx."""
    side = call.side_of(event.leg)
    call.exchange.session = event.answer
    if event.answer is None:
        tools.feed(call, given.ReofferAcknowledged(side, held=None))
        return
    leg, held = call.leg(side), False
    if call.anchored:
        try:
            held = _read_late_answer(leg, event.answer)
        except PeerError as error:
            log.warning("call %s: the SDP in the ACK cannot be used: %s", call.call_id, error)
            call.exchange.session = None
            tools.feed(call, given.ReofferAcknowledged(side, held=None))
            return
    tell_remotes(tools, call)
    tools.feed(call, given.ReofferAcknowledged(side, held))


def _read_late_answer(leg: Leg, answer: bytes) -> bool:
    before = leg.codec
    audio = negotiation.read(leg, answer)
    leg.codec = next((codec for codec in audio.codecs if before is not None and codec.is_same_as(before)), before)
    return audio.held


def on_hung_up(tools: Tools, call: LiveCall, event: sip.HungUp) -> None:
    """A leg is over."""
    side = call.side_of(event.leg)
    leg = call.leg(side)
    leg.over, leg.reason_header = True, event.reason
    if event.cause == "session_expired":
        log.warning("call %s: the %s stopped refreshing its session: the call is ended", call.call_id, side.value)
        mark(call, FLAG_SESSION_EXPIRED)
        leg.reason_header = EXPIRED[1]
    leg.ended_at = tools.clock.now()
    tools.feed(call, given.HungUp(side))


def on_cancelled(tools: Tools, call: LiveCall, event: sip.Cancelled) -> None:
    """The caller took its INVITE back."""
    call.caller.over, call.caller.reason_header = True, event.reason
    tools.feed(call, given.Cancelled())


def on_progress(tools: Tools, call: LiveCall, event: sip.Progress) -> None:
    """The destination rings, or sends early media."""
    call.exchange.response, call.exchange.session = event.response, event.session
    early = event.session is not None and _read_answer(call, event.session) and _agree(call)
    tools.feed(call, given.DestinationProgress(event.response.status, early))
    if early and call.answered_us:
        tell_remotes(tools, call)  # of several branches the one that spoke last is heard (SIP-2)


def _read_answer(call: LiveCall, session: bytes) -> bool:
    """Read the destination's SDP; return whether there is audio in it that can be relayed."""
    if not call.anchored:
        return False
    try:
        negotiation.read(call.destination, session)
    except PeerError as error:
        log.info("call %s: the destination's SDP cannot be relayed: %s", call.call_id, error)
        return False
    return True


def _agree(call: LiveCall) -> bool:
    """Note the codec of both legs; return False where the destination did not take the one it was offered."""
    if call.answered_us:
        return negotiation.agree_on_single(call.caller, call.destination)
    if call.arrival.incoming.offer is not None:
        negotiation.agree(call.caller, call.destination)
    return True


def on_answered(tools: Tools, call: LiveCall, event: sip.Answered) -> None:
    """The destination answered."""
    if call.machine.state is not State.DIALLING:
        return  # it crossed what ended our INVITE, which the endpoint has hung up
    call.exchange.response, call.exchange.session = event.response, event.session
    leg = call.destination
    leg.established = True
    readable = event.session is not None and _read_answer(call, event.session)
    agreed = readable and _agree(call)
    if (call.answered_us and not agreed) or leg.security.violated:
        _answer_unusable(tools, call, another_codec=readable)
        return
    call.answered_at, call.heard_since = tools.clock.now(), tools.now
    if call.row is not None:
        call.row.change(CallChange(answered_at=call.answered_at), Event("call", "answered", call.call_id))
    held = bool(readable and leg.audio is not None and leg.audio.held)
    tools.feed(call, given.DestinationAnswered(held, outside=_was_sent_outside(call)))


def _was_sent_outside(call: LiveCall) -> bool:
    """Return whether a redirection led an inbound call out again: to somebody who has heard no notice (NOT-10)."""
    peer, trying = call.destination.peer, call.trying
    redirected = trying is not None and trying.hops > 0
    return redirected and call.arrival.inbound and (peer is None or peer.role is PeerRole.TRUNK)


def _answer_unusable(tools: Tools, call: LiveCall, *, another_codec: bool) -> None:
    """Hang up a destination whose answer is of no use; one that answered in another codec may be asked again."""
    call.destination.over = True
    tools.driver.endpoint.hang_up(call.destination.sip_id, tools.now)
    settle(tools, call, 488)
    another = another_codec and negotiation.another_codec(call.caller, call.codecs_refused)
    tools.feed(call, given.DestinationFailed(488, another_codec=another))


_STATUS_OF_SILENCE = {"timeout": 408, "transport": 503}


def on_failed(tools: Tools, call: LiveCall, event: sip.Failed) -> None:
    """The destination did not take the call."""
    call.destination.over = True
    call.exchange.response = event.response
    status = event.response.status if event.response is not None else _STATUS_OF_SILENCE.get(event.cause, 500)
    call.exchange.failure = status
    settle(tools, call, status, silent=event.response is None)
    if status == 503 and event.response is not None and call.trying is not None and call.trying.target is not None:
        tools.driver.reachability.is_busy(call.trying.target, event.response.headers.get("Retry-After"))
    if event.response is not None and follow(tools, call, event.response):
        tools.feed(call, given.Redirected())
        return
    another = status == 488 and call.answered_us and negotiation.another_codec(call.caller, call.codecs_refused)
    tools.feed(call, given.DestinationFailed(status, another_codec=another))


def on_reoffered(tools: Tools, call: LiveCall, event: sip.Reoffered) -> None:
    """A party sent a re-INVITE or UPDATE: what does it say about hold?"""
    side = call.side_of(event.leg)
    if event.offer is None:
        call.exchange.reoffers[side] = event
        tools.feed(call, given.Reoffered(side, held=None, late=True))
        return
    try:
        held = _held(call, side, event.offer)
    except PeerError as error:
        tools.driver.endpoint.refuse_offer(event.leg, error.status, tools.now)
        return
    call.exchange.reoffers[side] = event
    tools.feed(call, given.Reoffered(side, held, early=held is not None and _early(tools, call, side)))


def _early(tools: Tools, call: LiveCall, side: Side) -> bool:
    """Return whether the other party can be asked although the call is not answered (RFC 3311 5.1)."""
    if call.machine.state is not State.DIALLING or call.answered_us:
        return False
    return tools.driver.endpoint.can_reoffer(call.leg(side.other).sip_id)


def _held(call: LiveCall, side: Side, offer: bytes) -> bool | None:
    """Return whether an offer holds; None for one that changes nothing, such as a session timer's refresh."""
    description = SessionDescription.parse(offer)
    if is_t38(description) and not negotiation.has_audio(offer):
        mark(call, FLAG_FAX)
        if call.anchored:
            raise PeerError("found T.38 (m=image), expected audio: fax goes on as G.711", status=488)
    before = call.leg(side).remote_session
    if before is not None and is_unchanged(before, description):
        return None
    if not call.anchored:
        return False
    return call.leg(side).security.audio_of(description).held


def on_reoffer_answered(tools: Tools, call: LiveCall, event: sip.ReofferAnswered) -> None:
    """A party accepted a re-INVITE of ours."""
    side = call.side_of(event.leg)
    if call.machine.state is State.RECODING and side is Side.CALLER and not event.refresh:
        recoded = _recoded(call, event.session)
        tell_remotes(tools, call)
        tools.feed(call, given.CallerRecoded(accepted=recoded))
        return
    if event.refresh or call.exchange.passing is not side.other:
        _take_repeated(tools, call, side, event.session)
        return
    call.exchange.session = event.session
    try:
        if event.session is None:
            raise PeerError("found no SDP in the answer to a re-INVITE")  # noqa: TRY301 - refused as one that is none
        said = SessionDescription.parse(event.session)
        held = call.anchored and call.leg(side).security.audio_of(said).held
    except PeerError as error:
        log.warning("call %s: the answer to a re-INVITE cannot be used: %s", call.call_id, error)
        call.exchange.session = None
        tools.driver.endpoint.acknowledge(event.leg, None, tools.now)
        tools.feed(call, given.ReofferFailed(side, 488))
        return
    tools.feed(call, given.ReofferAnswered(side, held))


def _take_repeated(tools: Tools, call: LiveCall, side: Side, session: bytes | None) -> None:
    """Take the answer to a session that we repeated."""
    if session is None or not call.anchored:
        return
    try:
        negotiation.read(call.leg(side), session)
    except PeerError as error:
        log.info("call %s: the answer to a repeated session cannot be used: %s", call.call_id, error)
        end_if_keyless(tools, call, call.leg(side))
        return
    negotiation.agree(call.leg(side.other), call.leg(side))
    tell_remotes(tools, call)


def _recoded(call: LiveCall, session: bytes | None) -> bool:
    """Take the codec that the caller answered; its first offer stays what it can do."""
    offered = call.caller.remote_session, call.caller.audio
    try:
        audio = negotiation.read(call.caller, session or b"")
    except PeerError:
        call.caller.remote_session, call.caller.audio = offered
        return False
    codec = negotiation.playable_codec(call.caller, call.codecs_refused)
    call.caller.codec = codec or call.caller.codec
    if offered[1] is not None:  # the next refusal leads to the next codec of its offer
        others = tuple(known for known in offered[1].codecs if not any(known.is_same_as(new) for new in audio.codecs))
        call.caller.audio = replace(audio, codecs=audio.codecs + others)
    return codec is not None


def on_reoffer_failed(tools: Tools, call: LiveCall, event: sip.ReofferFailed) -> None:
    """A party refused a re-INVITE of ours."""
    side = call.side_of(event.leg)
    if call.machine.state is State.RECODING and side is Side.CALLER:
        tools.feed(call, given.CallerRecoded(accepted=False))
        return
    if end_if_keyless(tools, call, call.leg(side)):
        return
    tools.feed(call, given.ReofferFailed(side, event.response.status if event.response is not None else 408))


def on_reoffer_cancelled(tools: Tools, call: LiveCall, event: sip.ReofferCancelled) -> None:
    """A party took its re-INVITE back: what was agreed before stays, and the other party is brought back to it."""
    tools.feed(call, given.ReofferCancelled(call.side_of(event.leg)))


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
    sip.Replied: on_replied,
}
