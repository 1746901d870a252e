"""Incoming calls in their usual states, for tests on one endpoint."""

from __future__ import annotations

from callrec.sip.events import (
    Acknowledged,
    IncomingCall,
)
from callrec.sip.message import Response
from tests.support.pair import ANSWER
from tests.support.wire import Wire, request, tag_of


def incoming(wire: Wire, **changed: str) -> tuple[IncomingCall, str]:
    """Let an INVITE arrive and return its call and our tag (of a 180)."""
    assert wire.statuses(request(**changed)) == [100]
    call = wire.take(IncomingCall)
    wire.endpoint.ring(call.leg, wire.now)
    return call, tag_of(wire.sent()[0])


def answered(wire: Wire, **changed: str) -> tuple[IncomingCall, str]:
    """Return an incoming call with our 200 sent."""
    call, tag = incoming(wire, **changed)
    wire.endpoint.answer(call.leg, ANSWER, wire.now)
    assert [message.status for message in wire.sent() if isinstance(message, Response)] == [200]
    return call, tag


def established(wire: Wire, **changed: str) -> tuple[IncomingCall, str]:
    """Return an incoming call that is up."""
    call, tag = answered(wire, **changed)
    assert wire.give(request("ACK", branch="z9hG4bKack", to_tag=tag)) == []
    assert wire.take(Acknowledged) == Acknowledged(call.leg, None)
    return call, tag
