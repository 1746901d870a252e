"""Requests that follow from other messages, and the pieces that every request of ours has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrec.sip.headers import Headers
from callrec.sip.message import Request, Response
from callrec.sip.name_address import NameAddress

if TYPE_CHECKING:
    from callrec.sip.events import Address, Flow

MAX_FORWARDS = 70
"""RFC 3261 8.1.1.6."""

HeaderPairs = tuple[tuple[str, str], ...]


def host_port(address: Address) -> str:
    """Return an address as it is written in Via and Contact: IPv6 in brackets."""
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def via_of(flow: Flow, sent_by: Address, branch: str) -> str:
    """Return our Via; `rport` asks that responses come back to the socket the request left (RFC 3581)."""
    rport = ";rport" if flow.transport == "udp" else ""
    return f"SIP/2.0/{flow.transport.upper()} {host_port(sent_by)}{rport};branch={branch}"


def contact_of(flow: Flow, user: str, address: Address) -> str:
    """Return our Contact: where requests in the dialog reach us (RFC 3261 8.1.1.8)."""
    transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
    return f"<sip:{user}@{host_port(address)}{transport}>"


def with_local_tag(address: NameAddress, tag: str) -> str:
    """Return an address with our tag, its display name and URI byte for byte as they were."""
    text, end = str(address), f"{address.uri}>"
    if end not in text:  # no angle brackets: with them the tag belongs to the header beyond doubt
        return str(address.with_tag(tag))
    kept = text[: text.rindex(end) + len(end)]
    parameters = address.without_parameter("tag").parameters
    plain = NameAddress("", address.uri, parameters)
    return f"{kept}{str(plain)[len(str(NameAddress('', address.uri))) :]};tag={tag}"


def body_headers(body: bytes, content_type: str | None) -> HeaderPairs:
    """Return the headers of a body; Content-Length is always said, for streams need it."""
    length = ("Content-Length", str(len(body)))
    return (("Content-Type", content_type or "application/sdp"), length) if body else (length,)


def ack_to_failure(invite: Request, response: Response) -> Request:
    """Return the ACK to a final response that is no 2xx: of the INVITE's own transaction (RFC 3261 17.1.1.3)."""
    pairs = [("Via", str(invite.via)), ("Max-Forwards", str(MAX_FORWARDS))]
    pairs += [("Route", value) for value in invite.headers.get_all("Route")]
    pairs += [
        ("From", invite.headers.get("From") or ""),
        ("To", response.headers.get("To") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{invite.cseq.number} ACK"),
        ("Content-Length", "0"),
    ]
    return Request("ACK", invite.uri, Headers(pairs))


def cancel_of(invite: Request, headers: HeaderPairs) -> Request:
    """Return the CANCEL of an INVITE of ours: its way, its branch, its dialog (RFC 3261 9.1)."""
    pairs = [("Via", str(invite.via)), ("Max-Forwards", str(MAX_FORWARDS))]
    pairs += [("Route", value) for value in invite.headers.get_all("Route")]
    pairs += [(name, invite.headers.get(name) or "") for name in ("From", "To", "Call-ID")]
    pairs += [("CSeq", f"{invite.cseq.number} CANCEL"), *headers, ("Content-Length", "0")]
    return Request("CANCEL", invite.uri, Headers(pairs))
