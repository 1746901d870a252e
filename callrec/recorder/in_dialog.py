"""Requests inside a call that are neither INVITE nor BYE: INFO goes on to the other party, a key in it is heard."""

from __future__ import annotations

import asyncio
import logging

from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.identifiers import new_id
from callrec.recorder.live_call import LiveCall, PassedInfo
from callrec.recorder.passed_headers import passed_in_info
from callrec.recorder.tools import Tools
from callrec.recorder.transferring import on_refer
from callrec.sip import events as sip
from callrec.sip.info_digits import carries_digit, digit_of

log = logging.getLogger("callrec.calls")

LARGEST_INFO = 8192
"""Bytes of a body that are passed on; what is met in practice has a few hundred."""
_REPLY_LIMIT_S = 10.0
"""Well before the asker's own 32 s: silence at that end would make it end the call (RFC 3261 12.2.1.2)."""
_NO_REPLY, _REFUSED = 504, 500
_NOT_TO_BE_PASSED = frozenset({401, 407, 408, 481})
"""A challenge is for us, and a 408 or 481 would end the asker's call for the other's fault."""


# RFC 3311: an UPDATE without SDP refreshes.
def on_in_dialog_request(tools: Tools, call: LiveCall, event: sip.InDialogRequest) -> None:
    """Answer another request inside a dialog, or pass it on."""
    method, has_body = event.request.method, bool(event.request.body)
    if method == "INFO":
        _on_info(tools, call, event)
        return
    if method == "REFER":
        on_refer(tools, call, event)
        return
    accepted = (method == "UPDATE" and not has_body) or method in ("NOTIFY", "MESSAGE")
    status = 200 if accepted else 488 if method == "UPDATE" else 603
    log.debug("call %s: %s answered %d", call.call_id, method, status)
    tools.driver.endpoint.respond(event.token, status, tools.now)


def _on_info(tools: Tools, call: LiveCall, event: sip.InDialogRequest) -> None:
    """Hear a key as if it had come by RFC 4733, and pass the INFO on once both parties are connected.

    Until then a key is consumed (NOT-17). What the body says is neither logged nor stored (LAW-74).
    """
    request, side = event.request, call.side_of(event.leg)
    if len(request.body) > LARGEST_INFO:
        tools.driver.endpoint.respond(event.token, 413, tools.now)
        return
    if (digit := digit_of(request)) is not None:
        tools.feed(call, given.KeyPressed(side, digit))
    if call.machine.state is State.CONNECTED and _pass_on(tools, call, event):
        return
    taken = carries_digit(request) or not request.body
    tools.driver.endpoint.respond(event.token, 200 if taken else 480, tools.now)


def _pass_on(tools: Tools, call: LiveCall, event: sip.InDialogRequest) -> bool:
    """Send an INFO to the other party; return whether it could be sent."""
    request, token = event.request, new_id(tools.random)
    receiver = call.leg(call.side_of(event.leg).other)
    headers = passed_in_info(request.headers.items())
    if not tools.driver.endpoint.ask(
        receiver.sip_id, "INFO", token, tools.now, headers=headers, body=request.body
    ):  # fmt: skip
        return False
    limit = asyncio.get_running_loop().call_later(_REPLY_LIMIT_S, _give_up, tools, call, token)
    call.exchange.infos[token] = PassedInfo(event.token, limit)
    return True


def _give_up(tools: Tools, call: LiveCall, token: str) -> None:
    passed = call.exchange.infos.pop(token, None)
    if passed is not None:
        tools.driver.endpoint.respond(passed.token, _NO_REPLY, tools.now)


def on_replied(tools: Tools, call: LiveCall, event: sip.Replied) -> None:
    """Give the sender of an INFO what the other party answered to it."""
    passed = call.exchange.infos.pop(event.token, None)
    if passed is None:
        return  # its time is over
    passed.limit.cancel()
    response = event.response
    if response is None or response.status in _NOT_TO_BE_PASSED or 300 <= response.status < 400:
        tools.driver.endpoint.respond(passed.token, _REFUSED, tools.now)
        return
    tools.driver.endpoint.respond(passed.token, response.status, tools.now, reason=response.reason)
