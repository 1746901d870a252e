"""The RTP ports of a new call: one for each leg, on the address that leads to it."""

from __future__ import annotations

import asyncio
import logging

from callrec.calls.announced import AnnouncedCall
from callrec.descriptors import is_shortage
from callrec.errors import CallrecError
from callrec.media import ShortageError
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall
from callrec.recorder.tools import Tools
from callrec.settings import Srtp
from callrec.sip.events import Flow

log = logging.getLogger("callrec.calls")

_SHORTAGE_LIMIT_S = 0.05
"""A call that is refused for want of ports hears so within 100 ms."""


async def open_ports(tools: Tools, call: LiveCall, limit_s: float) -> bool:
    """Open an RTP port for each leg; return False where there is none: the SDP then passes untouched.

    Raises:
        ShortageError: if ports or descriptors run short, and the call cannot do without.
    """
    if not call.anchored:
        return False
    caller_host = call.arrival.incoming.flow.remote.host
    try:
        async with asyncio.timeout(limit_s):
            await _open_port(tools, call, call.caller, caller_host)
            flow = await _destination(tools, call, limit_s / 2)
            await _open_port(tools, call, call.destination, flow.remote.host if flow is not None else caller_host)
    except (CallrecError, OSError, TimeoutError) as error:
        call.caller.local = call.destination.local = None
        tools.media.close_call(call.call_id)
        if isinstance(error, ShortageError) and await _needs_ports(tools, call):
            raise
        log.warning("call %s: no RTP ports (%s): its SDP passes untouched", call.call_id, error or "too slow")
        return False
    return True


async def _needs_ports(tools: Tools, call: LiveCall) -> bool:
    """Whether the call would not be what it must be with its media going past us.

    It is to be recorded, or its media is encrypted on a leg, or its parties speak different versions of IP.
    """
    if call.arrival.emergency:
        return False
    if isinstance(call.machine, AnnouncedCall) or call.caller.security.policy is not Srtp.OFF:
        return True
    flow = await _destination(tools, call, _SHORTAGE_LIMIT_S)
    if flow is None:
        return False
    peer = tools.driver.peers.match(flow.remote)
    secured = peer is not None and peer.srtp is Srtp.REQUIRED
    return secured or (":" in flow.remote.host) != (":" in call.arrival.incoming.flow.remote.host)


async def _destination(tools: Tools, call: LiveCall, limit_s: float) -> Flow | None:
    """Return where the destination is as far as can be told by now; a name that is not found costs only its call."""
    try:
        uris = call.arrival.destinations()
        if not uris:
            return None
        uri = call.arrival.with_user(uris[0])
        return await asyncio.wait_for(tools.driver.resolve(uri), limit_s)
    except (CallrecError, OSError, TimeoutError):
        return None  # dialling it will say so


async def _open_port(tools: Tools, call: LiveCall, leg: Leg, host: str) -> None:
    try:
        bind = tools.rtp_bind(host)
    except OSError as error:
        if is_shortage(error):
            raise ShortageError(f"the way to {host} cannot be looked up: {error.strerror}") from error
        raise
    leg.local = await tools.media.open_leg(call.call_id, leg.id, bind)
    leg.advertised_host = tools.rtp_advertise(bind)
