"""A dialog as a plain value: what two user agents agreed on, fit to be written down (RFC 3261 12)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from typing import Any, NamedTuple

from callrec.errors import PeerError
from callrec.sip.building import MAX_FORWARDS, HeaderPairs
from callrec.sip.events import Address, Flow, SipTransport
from callrec.sip.headers import Headers
from callrec.sip.message import CSeq, Request, Response
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

MAX_ROUTES = 32
"""Proxies in a route set; a longer one cannot be real."""

DEFAULT_PORT = 5060
SECURE_PORT = 5061
"""Of TLS."""


class DialogKey(NamedTuple):
    """What a request inside a dialog is matched by; a tag is "" for a peer of RFC 2543 that gives none."""

    call_id: str
    local_tag: str
    remote_tag: str


@dataclass(frozen=True, slots=True)
class Dialog:
    """Everything needed to send and to judge requests inside a dialog; all fields are text and numbers.

    `local` and `remote` are the From and To of our requests, tags included. `flow` is the way the dialog was set up.
    """

    key: DialogKey
    local: str
    remote: str
    remote_target: str
    route_set: tuple[str, ...]
    local_cseq: int
    remote_cseq: int | None
    flow: Flow

    @property
    def next_hop(self) -> Uri:
        """Where the next request goes: the first route, or the remote target (RFC 3261 8.1.2, 12.2.1.1)."""
        return NameAddress.parse(self.route_set[0]).uri if self.route_set else Uri.parse(self.remote_target)

    def to_plain(self) -> dict[str, Any]:
        """Return the dialog as values that JSON can hold, for `of_plain` in another process."""
        flow = [self.flow.transport, *self.flow.local, *self.flow.remote]
        return asdict(self) | {"key": list(self.key), "route_set": list(self.route_set), "flow": flow}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Dialog:
        """Return the dialog that `to_plain` wrote."""
        transport, local_host, local_port, remote_host, remote_port = plain["flow"]
        flow = Flow(transport, Address(local_host, local_port), Address(remote_host, remote_port))
        rest = plain | {"key": DialogKey(*plain["key"]), "route_set": tuple(plain["route_set"]), "flow": flow}
        return cls(**rest)


def dialog_of_request(request: Request, local_tag: str, flow: Flow) -> Dialog:
    """Return the dialog that an INVITE to us begins (RFC 3261 12.1.1).

    Raises:
        PeerError: where Contact or Record-Route are malformed.
    """
    remote = request.from_
    return Dialog(
        key=DialogKey(request.call_id, local_tag, remote.tag or ""),
        local=_with_tag(request.to, local_tag),
        remote=str(remote),
        remote_target=_target(request, str(remote.uri)),
        route_set=_routes(request),
        local_cseq=0,
        remote_cseq=request.cseq.number,
        flow=flow,
    )


def dialog_of_response(invite: Request, response: Response, flow: Flow) -> Dialog:
    """Return the dialog that a response to our INVITE begins (RFC 3261 12.1.2).

    Raises:
        PeerError: where Contact or Record-Route are malformed.
    """
    return Dialog(
        key=DialogKey(invite.call_id, invite.from_.tag or "", response.to.tag or ""),
        local=invite.headers.get("From") or "",
        remote=response.headers.get("To") or "",
        remote_target=_target(response, str(invite.uri)),
        route_set=tuple(reversed(_routes(response))),
        local_cseq=invite.cseq.number,
        remote_cseq=None,
        flow=flow,
    )


def _with_tag(address: NameAddress, tag: str) -> str:
    return str(address.with_tag(tag)) if address.tag is None else str(address)


def _target(message: Request | Response, otherwise: str) -> str:
    # RFC 3261 wants a Contact in every INVITE and 2xx; without one the URI that was dialled has to do.
    contact = message.contact
    return otherwise if contact is None else str(contact.uri.without_headers() if contact.uri.headers else contact.uri)


def _routes(message: Request | Response) -> tuple[str, ...]:
    routes = tuple([str(route) for route in message.record_route])
    if len(routes) > MAX_ROUTES:
        raise PeerError(f"Record-Route: found {len(routes)} proxies, expected at most {MAX_ROUTES}")
    return routes


def refreshed(dialog: Dialog, message: Request | Response) -> Dialog:
    """Return the dialog with the remote target that a target refresh brings (RFC 3261 12.2.1.2, 12.2.2).

    A Contact that cannot be read leaves the target as it is.
    """
    try:
        target = _target(message, dialog.remote_target)
    except PeerError:
        return dialog
    return dialog if target == dialog.remote_target else replace(dialog, remote_target=target)


def request_in(dialog: Dialog, cseq: CSeq, via: str, headers: HeaderPairs = (), body: bytes = b"") -> Request:
    """Return a request inside a dialog (RFC 3261 12.2.1.1); `headers` come behind those every request has."""
    uri, routes = Uri.parse(dialog.remote_target), dialog.route_set
    if routes:
        first = NameAddress.parse(routes[0]).uri
        if first.parameter("lr") is None:
            # A strict router of RFC 2543: it is the Request-URI, the target goes last.
            uri, routes = first.without_headers(), (*routes[1:], f"<{dialog.remote_target}>")
    pairs = [("Via", via), ("Max-Forwards", str(MAX_FORWARDS)), *[("Route", route) for route in routes]]
    pairs += [("From", dialog.local), ("To", dialog.remote), ("Call-ID", dialog.key.call_id)]
    pairs += [("CSeq", str(cseq)), *headers]
    return Request(cseq.method, uri, Headers(pairs), body)


def literal_route(uri: Uri, flow: Flow) -> Flow:
    """Return the way to a URI where its host is an address; a name keeps the flow of the dialog.

    A connection that leads to the same host is kept (RFC 5923): its far side may not listen at all. What was agreed
    over TLS never goes on in clear, whatever a Contact says.
    """
    host = uri.parameter("maddr") or uri.host
    if not is_literal(host):
        return flow
    transport = (uri.parameter("transport") or "").lower()
    secured = flow.transport == "tls"
    if flow.transport != "udp" and (secured or transport != "udp") and host == flow.remote.host:
        return flow
    chosen = "tls" if secured else transport_of(uri)
    return Flow(chosen, flow.local, Address(host, uri.port or default_port(chosen)))


def transport_of(uri: Uri) -> SipTransport:
    """Return what a URI asks to be reached by; UDP where it says nothing (RFC 3261 19.1.4, RFC 5630 3.1.2)."""
    transport = (uri.parameter("transport") or "").lower()
    if uri.scheme == "sips" or transport == "tls":
        return "tls"
    return "tcp" if transport == "tcp" else "udp"


def default_port(transport: SipTransport) -> int:
    """Return the port where a URI names none (RFC 3261 19.1.2)."""
    return SECURE_PORT if transport == "tls" else DEFAULT_PORT


def is_literal(host: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
