"""Calls the destinations of a call, one after the other, and follows those who send us on (SIP-12, FAIL-2)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from callrec.calls import commands as do
from callrec.calls import inputs as given
from callrec.calls.call import State
from callrec.calls.destinations import Destination, Destinations, asks_next_host
from callrec.errors import CallrecError, PeerError
from callrec.identifiers import new_id
from callrec.recorder import negotiation
from callrec.recorder.extensions import supported_onward
from callrec.recorder.live_call import LiveCall
from callrec.recorder.passed_headers import Header, diverted_onward, passed_headers
from callrec.recorder.security import Security, SecurityError, check_untouched
from callrec.recorder.tools import Tools
from callrec.recorder.work import start
from callrec.sip.endpoint import Dial as DialInvite
from callrec.sip.events import Flow
from callrec.sip.message import Response
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

log = logging.getLogger("callrec.calls")

RESOLVE_LIMIT_S = 5.0
_FOLLOWED = frozenset({300, 301, 302})
"""305 names a proxy and is deprecated, 380 another kind of service."""


def dial(tools: Tools, call: LiveCall, command: do.Dial) -> None:
    """Find out where the first destination is, and send it our INVITE."""
    call.menu_key = command.menu_key
    places = call.arrival.destinations(command.menu_key)
    # By their whole URIs: a redirection that names the same number at the same place is known by it.
    call.destinations = Destinations([str(call.arrival.with_user(place)) for place in places])
    dial_next(tools, call, do.DialNext())


def dial_next(tools: Tools, call: LiveCall, _: do.DialNext) -> None:
    """Find out where the next destination is, and send it our INVITE."""
    call.attempt += 1
    start(tools, call, "dial", _dial_next(tools, call, call.attempt))


def dial_again(tools: Tools, call: LiveCall, _: do.DialAgain) -> None:
    """Send the same destination another INVITE."""
    call.attempt += 1
    assert call.trying is not None, "internal error: nobody was called"
    start(tools, call, "dial", _dial_again(tools, call, call.attempt, replace(call.trying, put_off=True)))


async def _dial_again(tools: Tools, call: LiveCall, attempt: int, destination: Destination) -> None:
    failed = await _dial_one(tools, call, attempt, destination)
    if failed is not None and call.attempt == attempt:
        _dial_failed(tools, call, failed)


async def _dial_next(tools: Tools, call: LiveCall, attempt: int) -> None:
    """Call the next destination that can be found; one that is down is tried after all others (calls fail open)."""
    status = call.exchange.failure or 404
    while call.attempt == attempt and (destination := call.destinations.take()) is not None:
        call.trying = destination
        failed = await _dial_one(tools, call, attempt, destination)
        if failed is None:
            return
        status = failed
    if call.attempt == attempt:
        _dial_failed(tools, call, status)


async def _dial_one(tools: Tools, call: LiveCall, attempt: int, destination: Destination) -> int | None:
    """Send one destination our INVITE; return why that cannot be, as a SIP status, or None."""
    uri = call.arrival.with_user(destination.uri)
    if destination.hops and not is_peers(tools, uri):
        log.warning("call %s: a redirection to somebody who is no peer is not followed", call.call_id)
        return 502
    try:
        found = await find_host(tools, call.destinations, destination, uri)
        if found is None:
            log.info("call %s: a destination that is down is tried last", call.call_id)
            return 503
        call.trying, flow = found
        security = _security(tools, call, flow)
        await _move_port(tools, call, flow.remote.host)
    except SecurityError as error:
        log.warning("call %s: the destination is not called: %s", call.call_id, error)
        return 488
    except (CallrecError, OSError, TimeoutError) as error:
        log.warning("call %s: the destination cannot be reached: %s", call.call_id, error or "too slow")
        return 502
    if call.ended:
        tools.media.close_call(call.call_id)
    if call.attempt == attempt and call.machine.state is State.DIALLING:
        _invite(tools, call, uri, flow, security)
        tools.feed(call, given.Trying(more=call.destinations.more))
    return None


async def find_host(
    tools: Tools, destinations: Destinations, destination: Destination, uri: Uri
) -> tuple[Destination, Flow] | None:
    """Return the host of a destination whose turn it is, and the way there; None where it is down and tried last.

    Raises:
        CallrecError: where the URI cannot be called, or no listening place leads there.
        OSError: where its name cannot be found.
        TimeoutError: where that takes too long.
    """
    is_down = tools.driver.reachability.is_down
    if (flow := destination.target) is not None:
        return None if is_down(flow) and destinations.put_off(destination) else (destination, flow)
    flows = await asyncio.wait_for(tools.driver.targets(uri), RESOLVE_LIMIT_S)
    up = [flow for flow in flows if not is_down(flow)]
    if not up:
        if destinations.put_off(destination):
            return None
        up = list(flows)
    found = destinations.spread(destination, up, [flow for flow in flows if flow not in up])
    return found, up[0]


def settle(tools: Tools, call: LiveCall, status: int, *, silent: bool = False) -> None:
    """Leave the other hosts of a destination alone, unless this one was silent or said 503 (RFC 3263 4.3).

    An emergency call may try them whatever was said: every way out counts (FAIL-1).
    """
    if call.trying is None or call.arrival.emergency or asks_next_host(status, silent=silent):
        return
    more = call.destinations.more
    call.destinations.settle(call.trying)
    if more and not call.destinations.more:
        tools.feed(call, given.Trying(more=False))


def is_peers(tools: Tools, uri: Uri) -> bool:
    """Return whether a URI that somebody gave us in a call leads to a peer: nobody makes us call a stranger."""
    if not uri.is_sip:
        return False
    hosts = (uri.host, uri.parameter("maddr") or uri.host)
    return all(tools.driver.peers.knows_host(host, uri.port) for host in hosts)


async def _move_port(tools: Tools, call: LiveCall, host: str) -> None:
    """Open the destination's RTP port on the address that leads to it, where another was expected (a menu's choice)."""
    leg, bind = call.destination, tools.rtp_bind(host)
    if leg.local is None or not call.anchored or leg.local.host == bind:
        return
    tools.media.close_leg(leg.id)
    leg.local, leg.advertised_host = None, tools.rtp_advertise(bind)
    leg.local = await tools.media.open_leg(call.call_id, leg.id, bind)


def _invite(tools: Tools, call: LiveCall, uri: Uri, flow: Flow, security: Security) -> None:
    leg = call.destination
    if leg.over:  # another destination, or the same with another codec: a new dialog on the same RTP port
        leg.over, leg.sip_id, leg.reason_header = False, new_id(tools.random), None
        leg.remote_session = leg.audio = leg.codec = None
        tools.register(call)
    leg.peer = tools.driver.peers.match(flow.remote)
    leg.security = security
    call.exchange.response = call.exchange.session = call.exchange.failure = None
    invite = DialInvite(
        leg=leg.sip_id,
        flow=flow,
        request_uri=uri,
        to=NameAddress("", _to_uri(call, uri)),
        from_=call.arrival.shown_to(leg.peer),
        call_id=tools.tracing.name_leg(call.call_id) if tools.tracing is not None else None,
        session=_offer_for_destination(call),
        headers=(
            *headers_onward(call, trusted=bool(leg.peer and leg.peer.trusted_identity)),
            *supported_onward(call),
        ),
        spared=call.arrival.emergency,
    )
    call.dialled = True
    call.note_called(uri.user)
    leg.started_at = tools.clock.now()
    tools.driver.endpoint.dial(invite, tools.now)
    tools.driver.flush()


def _security(tools: Tools, call: LiveCall, flow: Flow) -> Security:
    """Return the rule of SRTP towards a destination.

    Raises:
        SecurityError: where it cannot be kept.
    """
    emergency = call.arrival.emergency
    security = Security.of(tools.driver.peers.match(flow.remote), flow, tools.random, emergency=emergency)
    offer = call.arrival.incoming.offer
    if not call.anchored and offer is not None and not emergency:
        check_untouched(offer, call.caller.security, security)
    return security


def _dial_failed(tools: Tools, call: LiveCall, status: int) -> None:
    call.exchange.response = None
    call.exchange.failure = status
    tools.feed(call, given.DestinationFailed(status))


def _to_uri(call: LiveCall, destination: Uri) -> Uri:
    """Return the To of the second leg: an emergency URN stays what it is, else where we call."""
    called = call.arrival.request.uri
    return called if called.scheme == "urn" else destination


def headers_onward(call: LiveCall, *, trusted: bool) -> tuple[Header, ...]:
    """Return the headers of our INVITE: the caller's, and what a redirection said about its reason."""
    request = call.arrival.request
    hops = request.max_forwards
    onward = diverted_onward(passed_headers(request.headers.items(), trusted=trusted), call.diverted)
    return (("Max-Forwards", str((70 if hops is None else hops) - 1)), *onward)


def _offer_for_destination(call: LiveCall) -> bytes | None:
    """Return what the destination is offered: just the caller's codec, or all that the caller offered."""
    if call.answered_us:
        return negotiation.single_codec_offer(call.caller, call.destination)
    offer = call.arrival.incoming.offer
    if offer is None or not call.anchored:
        call.destination.own_session = offer
        return offer
    return negotiation.relayed(offer, call.caller, call.destination)


def follow(tools: Tools, call: LiveCall, response: Response) -> bool:
    """Take the contacts of a 3xx as the next destinations; return whether there is one we may try."""
    if response.status not in _FOLLOWED or call.trying is None:
        return False
    contacts = [(q, str(uri)) for q, uri in _contacts(response) if is_peers(tools, uri)]
    if not call.destinations.redirect(call.trying, contacts):
        log.warning("call %s: its %d names nobody whom we may call, or leads too far", call.call_id, response.status)
        return False
    told = [(name, value) for name, value in response.headers.items() if name.lower() in ("diversion", "history-info")]
    call.diverted = (*told, *call.diverted)
    return True


def _contacts(response: Response) -> list[tuple[float, Uri]]:
    """Return the Contacts of a response with their q, 1.0 where there is none; what cannot be read is left out."""
    found = []
    for value in response.headers.get_all("Contact"):
        try:
            found += [(_q_of(address), address.uri.without_headers()) for address in NameAddress.parse_list(value)]
        except PeerError:
            continue
    return found


def _q_of(address: NameAddress) -> float:
    try:
        return min(1.0, max(0.0, float(address.parameter("q") or 1.0)))
    except ValueError:
        return 0.0
