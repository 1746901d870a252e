"""An INVITE that asks to take the place of one of our dialogs (Replaces, RFC 3891), as in an attended transfer."""

from __future__ import annotations

import logging

from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.errors import CallrecError, PeerError
from callrec.identifiers import new_id
from callrec.recorder import negotiation
from callrec.recorder.arrival import Arrival
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall, LiveTransfer
from callrec.recorder.security import Security, SecurityError
from callrec.recorder.tools import Tools
from callrec.recorder.transfer_targets import answered_by, forget_target
from callrec.recorder.work import start
from callrec.settings import Peer
from callrec.sip.events import IncomingCall
from callrec.sip.replaces import Replaces

log = logging.getLogger("callrec.calls")


def take_replaces(tools: Tools, event: IncomingCall) -> bool:
    """Take an INVITE with Replaces; return whether it was one that is no call of its own.

    That of a peer that may not transfer is a call like any other where it names no dialog of ours, and refused where
    it does; an emergency call replaces nobody (FAIL-1).
    """
    values = event.request.headers.get_all("Replaces")
    peer = tools.driver.peer_of(event.flow)
    if not values or peer is None or Arrival(event, peer, tools.settings).emergency:
        return False
    refusal = _take(tools, event, peer, values)
    if refusal is not None:
        if refusal == 481 and not peer.may_transfer:
            return False
        tools.driver.endpoint.reject(event.leg, refusal, tools.now)
    return True


def _take(tools: Tools, event: IncomingCall, peer: Peer, values: tuple[str, ...]) -> int | None:
    """Begin to replace a leg; return why that cannot be, as a SIP status, or None."""
    if len(values) > 1:
        return 400
    try:
        replaces = Replaces.parse(values[0])
    except PeerError as error:
        return error.status
    leg_id = tools.driver.endpoint.leg_of_dialog(replaces.call_id, replaces.local_tag, replaces.remote_tag)
    call = tools.call_of(leg_id) if leg_id is not None else None
    if leg_id is None or call is None:
        return 481
    side = call.side_of(leg_id)
    replaced = call.leg(side).peer
    if not peer.may_transfer or replaced is None or not replaced.may_transfer:
        return 403
    if call.machine.state is not State.CONNECTED:
        return 481
    if replaces.early_only:
        return 486  # RFC 3891 section 3: it has been answered
    if call.transfer is not None:
        return 491
    if event.offer is None or not call.anchored or call.leg(side.other).codec is None:
        return 488
    leg = Leg(side, new_id(tools.random), int.from_bytes(tools.random(4), "big"))
    leg.sip_id, leg.peer, leg.started_at = event.leg, peer, tools.clock.now()
    try:
        leg.security = Security.of(peer, event.flow, tools.random)
    except SecurityError as error:
        log.warning("call %s: a leg is not replaced: %s", call.call_id, error)
        return error.status
    call.transfer = LiveTransfer(side, leg)
    tools.register(call)
    start(tools, call, "replace", _replace(tools, call, call.transfer, event))
    return None


async def _replace(tools: Tools, call: LiveCall, transfer: LiveTransfer, event: IncomingCall) -> None:
    """Open a port for the new leg, and let it take the place of the other in the one codec of the call."""
    leg = transfer.leg
    try:
        bind = tools.rtp_bind(event.flow.remote.host)
        leg.local = await tools.media.open_leg(call.call_id, leg.id, bind)
    except (CallrecError, OSError) as error:
        log.warning("call %s: no RTP port for the leg that replaces another: %s", call.call_id, error)
        _refuse(tools, call, transfer, 503)
        return
    leg.advertised_host = tools.rtp_advertise(bind)
    if transfer.over or call.ended:
        tools.media.close_leg(leg.id)
        _refuse(tools, call, transfer, 481)  # the call ended meanwhile
        return
    leg.codec = call.leg(transfer.side.other).codec
    transfer.answer = negotiation.answer_again(leg, event.offer or b"")
    if transfer.answer is None:
        _refuse(tools, call, transfer, 488)
        return
    user = event.request.from_.uri.user
    tools.feed(call, given.LegReplaced(transfer.side, answered_by(tools, call, leg, user)))


def _refuse(tools: Tools, call: LiveCall, transfer: LiveTransfer, status: int) -> None:
    if transfer.over:
        return
    call.transfer = None
    tools.driver.endpoint.reject(transfer.leg.sip_id, status, tools.now)
    transfer.leg.over = True
    forget_target(tools, call, transfer)
    tools.register(call)
    tools.driver.flush()
