"""New keys of SRTP after a media worker was lost: by a re-INVITE, for no key is begun a second time (RFC 3711 9.1)."""

from __future__ import annotations

import logging

from callrec.calls import inputs as given
from callrec.media import KeysLost
from callrec.recorder import negotiation
from callrec.recorder.leg import Leg
from callrec.recorder.live_call import LiveCall
from callrec.recorder.tools import Tools

log = logging.getLogger("callrec.calls")


def on_keys_lost(tools: Tools, call: LiveCall, event: KeysLost) -> None:
    """Offer a party new keys; before its 2xx it gets them with our answer."""
    leg = call.leg(call.side_of(event.leg))
    leg.security.renew()
    if not leg.established or leg.over:
        return
    body = negotiation.offer_again(leg)
    if body is not None:
        log.info("call %s: a media worker was lost: new keys are offered", call.call_id)
        tools.driver.endpoint.reoffer(leg.sip_id, body, tools.now)


def end_if_keyless(tools: Tools, call: LiveCall, leg: Leg) -> bool:
    """End a call whose party refused the new keys: it would hear nothing any more. Return whether that is so."""
    if not leg.security.renewing:
        return False
    log.error("call %s: it ends, for a party took no new keys after its media worker was lost", call.call_id)
    tools.feed(call, given.SealNow())
    return True
