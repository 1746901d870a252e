"""Whom a transfer leads to: found by Refer-To, called as a new leg of the same call, and heard (SIP-9)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from callrec.calls import inputs as given
from callrec.calls.destinations import Destinations, asks_next_host, moves_on
from callrec.calls.inputs import Side, TargetAnswered
from callrec.errors import CallrecError, PeerError
from callrec.identifiers import new_id
from callrec.recorder import negotiation
from callrec.recorder.arrival import Arrival
from callrec.recorder.dialling import find_host, headers_onward, is_peers
from callrec.recorder.joining import give_back, move
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall, LiveTransfer
from callrec.recorder.passed_headers import Header
from callrec.recorder.security import Security, SecurityError
from callrec.recorder.tools import Tools
from callrec.recorder.transfer_home import home_of
from callrec.recorder.work import start
from callrec.settings import PeerRole
from callrec.sip import events as sip
from callrec.sip.dialog import DEFAULT_PORT
from callrec.sip.endpoint import Dial as DialInvite
from callrec.sip.events import Flow
from callrec.sip.headers import Headers
from callrec.sip.message import Request
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

log = logging.getLogger("callrec.calls")

_STATUS_OF_SILENCE = {"timeout": 408, "transport": 503}


async def call_target(tools: Tools, call: LiveCall, transfer: LiveTransfer) -> None:
    """Find out where the new party is, and send it our INVITE; a consulted one only moves from call to call."""
    if transfer.consultation is not None:
        failed = await move(tools, call, transfer.consultation, transfer.leg, call.leg(transfer.side.other))
        if failed is not None and not transfer.over:
            tools.feed(call, given.TargetFailed(failed))
        return
    transfer.destinations = Destinations(_places(tools, call, transfer))
    await _call_next(tools, call, transfer, 404)


def _places(tools: Tools, call: LiveCall, transfer: LiveTransfer) -> tuple[str, ...]:
    """Return where a Refer-To leads: to a peer that it names, or by the routes, as if the transferor had dialled it.

    A telephone of the PBX's own is called there.

    Nobody makes us call a stranger: a host that is neither a peer's nor ours counts for nothing, its user part does.
    """
    uri = transfer.refer_to
    assert uri is not None, "internal error: a REFER without Refer-To"
    target = uri.without_headers()
    if is_peers(tools, target) and not tools.driver.is_ours(target.host, target.port or DEFAULT_PORT):
        return (str(target),)
    peer = call.leg(transfer.side).peer
    if peer is None:
        return ()
    headers = Headers([("From", str(call.arrival.request.from_)), ("To", f"<{target}>")])
    incoming = replace(call.arrival.incoming, request=Request("INVITE", target, headers), offer=None)
    dialled = Arrival(incoming, peer, tools.settings)
    if (home := home_of(tools, call, transfer, dialled)) is not None:
        return (home,)
    return tuple(str(dialled.with_user(place)) for place in dialled.destinations())


async def _call_next(tools: Tools, call: LiveCall, transfer: LiveTransfer, status: int) -> None:
    while not transfer.over and (destination := transfer.destinations.take()) is not None:
        transfer.trying = destination
        uri = Uri.parse(destination.uri)
        try:
            found = await find_host(tools, transfer.destinations, destination, uri)
            if found is None:
                continue
            transfer.trying, flow = found
            # Never in clear where it must not be, also where the transferor's own leg is (RTP-9).
            transfer.leg.security = Security.of(tools.driver.peers.match(flow.remote), flow, tools.random)
            await _open_port(tools, call, transfer, flow.remote.host)
        except SecurityError as error:
            log.warning("call %s: a transfer's target is not called: %s", call.call_id, error)
            status = 488
            continue
        except (CallrecError, OSError, TimeoutError) as error:
            log.warning("call %s: a transfer's target cannot be reached: %s", call.call_id, error or "too slow")
            status = 502
            continue
        if call.ended:
            tools.media.close_call(call.call_id)
        elif transfer.over:
            tools.media.close_leg(transfer.leg.id)
        else:
            _invite(tools, call, transfer, uri, flow)
        return
    if not transfer.over:
        tools.feed(call, given.TargetFailed(status))


async def _open_port(tools: Tools, call: LiveCall, transfer: LiveTransfer, host: str) -> None:
    """Open an RTP port for the new leg on the address that leads to it."""
    leg, bind = transfer.leg, tools.rtp_bind(host)
    if leg.local is not None and leg.local.host == bind:
        return
    if leg.local is not None:
        tools.media.close_leg(leg.id)
        leg.local, leg.id = None, new_id(tools.random)
    leg.advertised_host = tools.rtp_advertise(bind)
    leg.local = await tools.media.open_leg(call.call_id, leg.id, bind)


def _invite(tools: Tools, call: LiveCall, transfer: LiveTransfer, uri: Uri, flow: Flow) -> None:
    leg, stays = transfer.leg, call.leg(transfer.side.other)
    if stays.codec is None:
        tools.feed(call, given.TargetFailed(488))
        return
    if leg.over:
        leg.over = False
    leg.sip_id = new_id(tools.random)
    tools.register(call)
    leg.peer = tools.driver.peers.match(flow.remote)
    leg.started_at = tools.clock.now()
    trusted = bool(leg.peer and leg.peer.trusted_identity)
    invite = DialInvite(
        leg=leg.sip_id,
        flow=flow,
        request_uri=uri,
        to=NameAddress("", uri),
        # The new party sees who is put through to it.
        from_=call.arrival.shown_to(leg.peer) if transfer.side is Side.DESTINATION else call.arrival.request.to,
        call_id=tools.tracing.name_leg(call.call_id) if tools.tracing is not None else None,
        session=negotiation.single_codec_offer(stays, leg),
        headers=(*_headers(call, transfer.side.other, trusted=trusted), *transfer.headers),
    )
    tools.driver.endpoint.dial(invite, tools.now)
    tools.driver.flush()


def _headers(call: LiveCall, stays: Side, *, trusted: bool) -> tuple[Header, ...]:
    """Return the headers of the INVITE to a new party: what the caller's own carried speaks of the caller only."""
    return headers_onward(call, trusted=trusted) if stays is Side.CALLER else (("Max-Forwards", "69"),)


def forget_target(tools: Tools, call: LiveCall, transfer: LiveTransfer) -> None:
    """Call the new party no longer, and close its port."""
    leg, transfer.over = transfer.leg, True
    if not transfer.token and not leg.over:  # their INVITE with Replaces, which is no longer of use
        leg.over = True
        tools.driver.endpoint.reject(leg.sip_id, 487, tools.now)
    if transfer.consultation is not None:
        give_back(tools, transfer.consultation, leg)
    elif leg.sip_id != leg.id and not leg.over:
        leg.over = True
        tools.driver.endpoint.hang_up(leg.sip_id, tools.now)
    if leg.local is not None and not call.ended:
        tools.media.close_leg(leg.id)


def answered_by(tools: Tools, call: LiveCall, leg: Leg, user: str | None) -> TargetAnswered:
    """Return what is to be known of a new party that has answered: does it hold, may it be recorded?"""
    outside = leg.peer is None or leg.peer.role is PeerRole.TRUNK
    number = call.arrival.number_of(user)
    call.note_called(user)
    numbers = [number] if number is not None else []
    stopped = not tools.stop_list.known or tools.stop_list.is_stopped(numbers)
    held = leg.audio is not None and leg.audio.held
    return TargetAnswered(held=held, stopped=stopped, outside=outside)


# What the new party says, before it takes the transferor's place.


def _on_progress(tools: Tools, call: LiveCall, event: sip.Progress) -> None:
    tools.feed(call, given.TargetProgress(event.response.status))


def _on_moved(tools: Tools, call: LiveCall, event: sip.ReofferAnswered) -> None:
    """The consulted party has accepted the port of this call."""
    transfer = call.transfer
    assert transfer is not None, "internal error: nobody is transferred"
    if transfer.consultation is None:
        return
    if not _agreed(call, transfer, event.session):
        tools.feed(call, given.TargetFailed(488))
        return
    target = answered_by(tools, call, transfer.leg, None)
    stopped = target.stopped or tools.stop_list.is_stopped(transfer.consultation.numbers)
    tools.feed(call, replace(target, stopped=stopped))


def _on_not_moved(tools: Tools, call: LiveCall, event: sip.ReofferFailed) -> None:
    transfer = call.transfer
    if transfer is not None and transfer.consultation is not None:
        tools.feed(call, given.TargetFailed(event.response.status if event.response is not None else 408))


def _agreed(call: LiveCall, transfer: LiveTransfer, session: bytes | None) -> bool:
    try:
        negotiation.read(transfer.leg, session or b"")
    except PeerError as error:
        log.info("call %s: the SDP of a transfer's target cannot be used: %s", call.call_id, error)
        return False
    return negotiation.agree_on_single(call.leg(transfer.side.other), transfer.leg)


def _on_answered(tools: Tools, call: LiveCall, event: sip.Answered) -> None:
    transfer = call.transfer
    assert transfer is not None, "internal error: nobody is transferred"
    leg = transfer.leg
    leg.established = True
    if not _agreed(call, transfer, event.session):
        leg.over = True
        tools.driver.endpoint.hang_up(leg.sip_id, tools.now)
        _try_another(tools, call, transfer, 488)
        return
    user = Uri.parse(transfer.trying.uri).user if transfer.trying is not None else None
    tools.feed(call, answered_by(tools, call, leg, user))


def _on_failed(tools: Tools, call: LiveCall, event: sip.Failed) -> None:
    transfer = call.transfer
    assert transfer is not None, "internal error: nobody is transferred"
    transfer.leg.over = True
    status = event.response.status if event.response is not None else _STATUS_OF_SILENCE.get(event.cause, 500)
    if transfer.trying is not None and not asks_next_host(status, silent=event.response is None):
        transfer.destinations.settle(transfer.trying)
    _try_another(tools, call, transfer, status)


def _try_another(tools: Tools, call: LiveCall, transfer: LiveTransfer, status: int) -> None:
    if transfer.destinations.more and moves_on(status):
        start(tools, call, "transfer", _call_next(tools, call, transfer, status))
    else:
        tools.feed(call, given.TargetFailed(status))


def _on_gone(tools: Tools, call: LiveCall, _: sip.HungUp | sip.Cancelled) -> None:
    transfer = call.transfer
    assert transfer is not None, "internal error: nobody is transferred"
    transfer.leg.over = True
    if transfer.token:
        tools.feed(call, given.TargetFailed(480))
    else:
        call.transfer = None
        forget_target(tools, call, transfer)
        tools.register(call)


def _ignore(_: Tools, __: LiveCall, ___: sip.Event) -> None:
    """What has no meaning before the new party is connected."""


def _not_now(tools: Tools, _: LiveCall, event: sip.Reoffered) -> None:
    """It is asked to move at this moment: the two offers have met (RFC 3261 14.2)."""
    tools.driver.endpoint.refuse_offer(event.leg, 491, tools.now)


def _refuse(tools: Tools, _: LiveCall, event: sip.InDialogRequest) -> None:
    tools.driver.endpoint.respond(event.token, 500, tools.now)


TARGET_EVENTS: dict[type[sip.Event], Callable[..., None]] = {
    sip.Progress: _on_progress,
    sip.Answered: _on_answered,
    sip.Failed: _on_failed,
    sip.HungUp: _on_gone,
    sip.Cancelled: _on_gone,
    sip.Acknowledged: _ignore,
    sip.Reoffered: _not_now,
    sip.ReofferCancelled: _ignore,
    sip.ReofferAnswered: _on_moved,
    sip.ReofferFailed: _on_not_moved,
    sip.InDialogRequest: _refuse,
    sip.Replied: _ignore,
}
