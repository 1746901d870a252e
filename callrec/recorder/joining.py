"""Attended transfer whose consultation came through callrec too: the consulted party moves from its call to the other.

Refer-To names, by Replaces, the dialog that the PBX has with us in the consultation. Its other party gets a re-INVITE
to a port of the call it moves to, and takes the transferor's place there; the consultation ends (RFC 3891, SIP-9).
"""

from __future__ import annotations

import logging

from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.errors import CallrecError, PeerError
from callrec.identifiers import new_id
from callrec.recorder import negotiation
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import Consultation, LiveCall
from callrec.recorder.security import Security, SecurityError
from callrec.recorder.tools import Tools
from callrec.sip.replaces import Replaces
from callrec.sip.uri import Uri

log = logging.getLogger("callrec.calls")


def consultation_of(tools: Tools, call: LiveCall, refer_to: Uri) -> Consultation | None:
    """Return the call of ours that a Refer-To names by Replaces, None where it names another dialog or none.

    Raises:
        PeerError: 400 where Replaces names no dialog at all, 481 where its call cannot be joined now.
    """
    texts = [value for name, value in refer_to.headers if name.lower() == "replaces"]
    if not texts:
        return None
    named = Replaces.parse(texts[0])
    leg_id = tools.driver.endpoint.leg_of_dialog(named.call_id, named.local_tag, named.remote_tag)
    other = tools.call_of(leg_id) if leg_id is not None else None
    if leg_id is None or other is None:
        return None
    leg = other.leg(other.side_of(leg_id).other)
    if other is call or other.machine.state is not State.CONNECTED or not other.anchored or other.transfer is not None:
        raise PeerError("found a Replaces whose call cannot be joined, expected one that is connected", status=481)
    return Consultation(other, leg, leg.sip_id)


async def move(tools: Tools, call: LiveCall, consultation: Consultation, leg: Leg, stays: Leg) -> int | None:
    """Offer the consulted party a port of this call; return why that cannot be, as a SIP status, or None."""
    theirs, dialog = consultation.leg, tools.driver.endpoint.dialog(consultation.sip_id)
    if dialog is None or stays.codec is None:
        return 481
    try:
        leg.security = Security.of(theirs.peer, dialog.flow, tools.random)
        leg.security.secured, leg.security.profile = theirs.security.secured, theirs.security.profile
        bind = tools.rtp_bind(dialog.flow.remote.host)
        leg.local = await tools.media.open_leg(call.call_id, leg.id, bind)
    except SecurityError as error:
        log.warning("call %s: a consulted party cannot move: %s", call.call_id, error)
        return error.status
    except (CallrecError, OSError) as error:
        log.warning("call %s: no RTP port for a consulted party: %s", call.call_id, error)
        return 503
    if consultation.call.ended or theirs.over:
        return 481
    leg.advertised_host = tools.rtp_advertise(bind)
    leg.session_id, leg.version, leg.peer = theirs.session_id, theirs.version, theirs.peer
    leg.sip_id, leg.established, leg.started_at = consultation.sip_id, True, tools.clock.now()
    theirs.sip_id, theirs.over = new_id(tools.random), True  # whatever ends the consultation now leaves it alone
    tools.register(consultation.call)
    tools.register(call)
    tools.driver.endpoint.reoffer(leg.sip_id, negotiation.single_codec_offer(stays, leg), tools.now)
    tools.driver.flush()
    return None


def taken(tools: Tools, consultation: Consultation) -> None:
    """End the consultation: its party is in the other call now."""
    theirs = consultation.leg
    theirs.ended_at = tools.clock.now()
    tools.feed(consultation.call, given.HungUp(theirs.side))


def give_back(tools: Tools, consultation: Consultation, leg: Leg) -> None:
    """Let a party that did not move stay where it was; where its call has ended meanwhile, it ends too."""
    theirs, call = consultation.leg, consultation.call
    if leg.sip_id != consultation.sip_id:
        return  # it was not asked yet
    if call.ended:
        tools.driver.endpoint.hang_up(leg.sip_id, tools.now)
        return
    theirs.sip_id, theirs.over, theirs.version = consultation.sip_id, leg.over, leg.version
    tools.register(call)
    if leg.over:
        tools.feed(call, given.HungUp(theirs.side))
    elif theirs.own_session is not None:
        tools.driver.endpoint.reoffer(theirs.sip_id, negotiation.offer_again(theirs), tools.now)
