"""Carries out what a call asks of its two SIP legs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.inputs import Side
from callrec.calls.outcome import q850_cause
from callrec.errors import PeerError
from callrec.recorder import negotiation
from callrec.recorder.dialling import dial, dial_again, dial_next
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall
from callrec.recorder.overload import RETRY_LATER
from callrec.recorder.passed_headers import Header, passed_back, passed_in_dialog, q850_header
from callrec.recorder.security import SecurityError
from callrec.recorder.tools import Tools
from callrec.sip.events import Reoffered
from callrec.sip.message import Response

log = logging.getLogger("callrec.calls")


def answer_caller(tools: Tools, call: LiveCall, _: do.AnswerCaller) -> None:
    """Send our 200: with one codec of the caller's offer, or with an offer of ours (SIP-6)."""
    caller = call.caller
    if caller.remote_session is not None:
        body = negotiation.answer(caller)
    else:
        body = negotiation.notice_offer(caller)
    call.answered_us = caller.established = True
    tools.driver.endpoint.answer(caller.sip_id, body, tools.now)


def reject_caller(tools: Tools, call: LiveCall, command: do.RejectCaller) -> None:
    """Give the caller the final response of the destination, or one of ours."""
    response = call.exchange.response
    status, reason = command.status, None
    headers: tuple[Header, ...] = RETRY_LATER if status == 503 else ()
    if status is None and response is None:
        status = call.exchange.failure
    if status is None and response is not None and response.status >= 300:
        # RFC 3261 16.7: a 401 or 407 challenges us, and a 3xx names where we could go; neither is the caller's.
        passed = response.status not in (401, 407) and response.status >= 400
        status, reason = (response.status, response.reason) if passed else (502, None)
        headers = _told_to_caller(call, response)
    call.caller.over = True
    tools.driver.endpoint.reject(call.caller.sip_id, status or 504, tools.now, reason=reason, headers=headers)


def _told_to_caller(call: LiveCall, response: Response) -> tuple[Header, ...]:
    return passed_back(response.headers.items(), trusted=_trusts(call.caller))


def _trusts(leg: Leg) -> bool:
    return leg.peer is not None and leg.peer.trusted_identity


def pass_progress(tools: Tools, call: LiveCall, _: do.PassProgress) -> None:
    """Give the caller the destination's 18x, with its early media."""
    response = call.exchange.response
    if response is None:
        return
    body = _passed_session(call, call.destination, call.caller, answers=call.arrival.incoming.offer is not None)
    if body is not None:
        link_early(tools, call)
    headers = _told_to_caller(call, response)
    tools.driver.endpoint.ring(call.caller.sip_id, tools.now, status=response.status, session=body, headers=headers)


def link_early(tools: Tools, call: LiveCall) -> None:
    """Relay early media, where the call has ports of ours."""
    if call.anchored:
        tell_remotes(tools, call)
        tools.media.link(call.caller.id, call.destination.id)


def pass_answer(tools: Tools, call: LiveCall, _: do.PassAnswer) -> None:
    """Give the caller the destination's 2xx."""
    response = call.exchange.response
    body = _passed_session(call, call.destination, call.caller, answers=call.arrival.incoming.offer is not None)
    if body is None:
        body = call.caller.own_session  # the answer came with a reliable or early response before
    call.answered_us = call.caller.established = True
    headers = _told_to_caller(call, response) if response is not None else ()
    tools.driver.endpoint.answer(call.caller.sip_id, body, tools.now, headers=headers)


def pass_acknowledgement(tools: Tools, call: LiveCall, _: do.PassAcknowledgement) -> None:
    """Give the destination the answer that the caller sent in its ACK (late offer)."""
    body = _passed_session(call, call.caller, call.destination, answers=True)
    negotiation.agree(call.destination, call.caller)
    tools.driver.endpoint.acknowledge(call.destination.sip_id, body, tools.now)
    tell_remotes(tools, call)


def _passed_session(call: LiveCall, sender: Leg, receiver: Leg, *, answers: bool) -> bytes | None:
    """Return what one party sent as the other is to read it: with our address where we relay, else untouched."""
    body = call.exchange.session
    if body is None:
        return None
    call.exchange.session = None
    if not call.anchored or receiver.local is None:
        receiver.own_session = body
        return body
    try:
        return negotiation.relayed(body, sender, receiver, answers=answers)
    except SecurityError as error:
        log.warning("call %s: an SDP that must not pass does not: %s", call.call_id, error)
        return None
    except PeerError as error:
        log.warning("call %s: an SDP that cannot be relayed passes untouched: %s", call.call_id, error)
        return body


def cancel_destination(tools: Tools, call: LiveCall, _: do.CancelDestination) -> None:
    """Take our INVITE back; a 2xx that crosses is acknowledged and hung up by the endpoint."""
    if call.dialled and not call.destination.over:
        call.destination.over = True
        if call.trying is not None and tools.driver.endpoint.has_replied(call.destination.sip_id):
            call.destinations.settle(call.trying)  # it rang: its other hosts would ring the same people
            call.exchange.failure = 480
        tools.driver.endpoint.hang_up(call.destination.sip_id, tools.now, headers=_reason(call.caller))


def hang_up(tools: Tools, call: LiveCall, command: do.HangUp) -> None:
    """End a leg with the cause, ours or the other party's."""
    leg = call.leg(command.side)
    if leg.over or (leg is call.destination and not call.dialled):
        return
    leg.over = True
    headers = _reason(call.leg(command.side.other))
    if call.our_reason is not None:
        headers = (("Reason", call.our_reason),)
    if command.reason is not None:
        headers = (q850_header(q850_cause(command.reason)),)
    tools.driver.endpoint.hang_up(leg.sip_id, tools.now, headers=headers)


def _reason(leg: Leg) -> tuple[Header, ...]:
    return (("Reason", leg.reason_header),) if leg.reason_header else ()


def accept_reoffer(tools: Tools, call: LiveCall, command: do.AcceptReoffer) -> None:
    """Answer a re-INVITE ourselves: the codec stays, the direction follows the party's wish."""
    leg = call.leg(command.side)
    reoffer = _take_reoffer(call, command.side)
    leg.remember()
    if leg.local is None or not call.anchored:
        body = leg.own_session
    elif reoffer is None or reoffer.offer is None:
        body = negotiation.offer_again(leg)
    else:
        body = negotiation.answer_again(leg, reoffer.offer)
    if body is None:
        leg.restore()
        tools.driver.endpoint.refuse_offer(leg.sip_id, 488, tools.now)
        tools.feed(call, given.ReofferNotAccepted(command.side))
        return
    tools.driver.endpoint.accept_offer(leg.sip_id, body, tools.now)
    tell_remotes(tools, call)


def _take_reoffer(call: LiveCall, side: Side) -> Reoffered | None:
    """Return the re-INVITE of a party that is about to get its final response."""
    if call.exchange.passing is side:
        call.exchange.passing = None
        for leg in (call.caller, call.destination):
            leg.restore()  # what was passed on was not agreed to; what is, is read anew
    return call.exchange.reoffers.pop(side, None)


def pass_reoffer(tools: Tools, call: LiveCall, command: do.PassReoffer) -> None:
    """Send the other party what this one asks for."""
    sender, receiver = call.leg(command.side), call.leg(command.side.other)
    call.exchange.passing = command.side
    for leg in (sender, receiver):
        leg.remember()
    body = call.exchange.reoffers[command.side].offer
    if body is not None and receiver.local is not None and call.anchored:
        body = negotiation.relayed(body, sender, receiver)
    elif body is not None:
        receiver.own_session = body
    request = call.exchange.reoffers[command.side].request
    headers = passed_in_dialog(request.headers.items(), trusted=_trusts(receiver))
    by_update = request.method != "INVITE"  # one that cannot wait for a person goes on in the same way (RFC 3311)
    if not tools.driver.endpoint.reoffer(receiver.sip_id, body, tools.now, headers=headers, update=by_update):
        tools.feed(call, given.ReofferFailed(receiver.side, 491))


def pass_reoffer_answer(tools: Tools, call: LiveCall, command: do.PassReofferAnswer) -> None:
    """Answer the party's re-INVITE with what the other one said."""
    receiver, sender = call.leg(command.side), call.leg(command.side.other)
    reoffer = call.exchange.reoffers.pop(command.side, None)
    body = _passed_session(call, sender, receiver, answers=reoffer is not None and reoffer.offer is not None)
    if body is None:
        tools.driver.endpoint.refuse_offer(receiver.sip_id, 488, tools.now)
        return
    if reoffer is not None and reoffer.offer is not None:
        call.exchange.passing = None
        negotiation.agree(receiver, sender)
    tools.driver.endpoint.accept_offer(receiver.sip_id, body, tools.now)
    tell_remotes(tools, call)


def pass_reoffer_acknowledgement(tools: Tools, call: LiveCall, command: do.PassReofferAcknowledgement) -> None:
    """Give the other party the answer to its offer, which the one that had asked for it sent in its ACK."""
    call.exchange.passing = None
    sender, receiver = call.leg(command.side), call.leg(command.side.other)
    body = _passed_session(call, sender, receiver, answers=True)
    if body is not None:
        negotiation.agree(receiver, sender)
    tools.driver.endpoint.acknowledge(receiver.sip_id, body, tools.now)
    tell_remotes(tools, call)


def refuse_reoffer(tools: Tools, call: LiveCall, command: do.RefuseReoffer) -> None:
    """Refuse a re-INVITE; what was agreed before stays."""
    _take_reoffer(call, command.side)
    tools.driver.endpoint.refuse_offer(call.leg(command.side).sip_id, command.status, tools.now)


def repeat_session(tools: Tools, call: LiveCall, command: do.RepeatSession) -> None:
    """Bring a party back to what was agreed: it accepted a re-INVITE that the other had taken back."""
    receiver, sender = call.leg(command.side), call.leg(command.side.other)
    _take_reoffer(call, command.side.other)
    call.exchange.session = None
    tools.driver.endpoint.acknowledge(receiver.sip_id, None, tools.now)  # where it was asked for an offer
    if sender.remote_session is None or receiver.local is None or not call.anchored:
        body = receiver.own_session
    else:
        body = negotiation.relayed(sender.remote_session.serialize(), sender, receiver)
    tools.driver.endpoint.reoffer(receiver.sip_id, body, tools.now)


def recode_caller(tools: Tools, call: LiveCall, _: do.RecodeCaller) -> None:
    """Ask the caller for another codec of its offer."""
    caller = call.caller
    if caller.codec is not None:
        call.codecs_refused.add(caller.codec.name.upper())
        tools.codec_memory.refuse(call.arrival.route_name, caller.codec.name, tools.now)
    body = negotiation.recoded_offer(caller, call.codecs_refused)
    if body is None:
        tools.feed(call, given.CallerRecoded(accepted=False))
        return
    tools.driver.endpoint.reoffer(caller.sip_id, body, tools.now)


def tell_remotes(tools: Tools, call: LiveCall) -> None:
    """Tell the media worker where both parties are now."""
    if not call.anchored:
        return
    for leg in (call.caller, call.destination):
        remote = leg.remote_media()
        if remote is not None and leg.local is not None:
            if not leg.codecs_used or leg.codecs_used[-1] != remote.codec_name:
                leg.codecs_used.append(remote.codec_name)
            suite = "" if remote.srtp is None else remote.srtp.suite
            if leg.security.suite != suite:
                leg.security.suite = suite
                log.info("call %s: the media of the %s is encrypted by %s", call.call_id, leg.side.value, suite)
            tools.media.set_remote(leg.id, remote)


SIGNALLING_COMMANDS: dict[type[do.Command], Callable[..., None]] = {
    do.AnswerCaller: answer_caller,
    do.RejectCaller: reject_caller,
    do.PassProgress: pass_progress,
    do.PassAnswer: pass_answer,
    do.PassAcknowledgement: pass_acknowledgement,
    do.Dial: dial,
    do.DialNext: dial_next,
    do.DialAgain: dial_again,
    do.CancelDestination: cancel_destination,
    do.HangUp: hang_up,
    do.AcceptReoffer: accept_reoffer,
    do.PassReoffer: pass_reoffer,
    do.PassReofferAnswer: pass_reoffer_answer,
    do.PassReofferAcknowledgement: pass_reoffer_acknowledgement,
    do.RepeatSession: repeat_session,
    do.RefuseReoffer: refuse_reoffer,
    do.RecodeCaller: recode_caller,
}

__all__ = ["SIGNALLING_COMMANDS", "Side", "link_early", "tell_remotes"]
