"""By which transport a place is called (SIP-13): what the URI names, else what its peer is set to.

A peer with `transport = "tls"` is never called in clear: a URI that would, whoever gave it to us, leads nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from callrec.errors import OperatorError
from callrec.settings import Transport
from callrec.sip.dialog import transport_of

if TYPE_CHECKING:
    from callrec.settings import Peer
    from callrec.sip.events import SipTransport
    from callrec.sip.uri import Uri

SIP_TRANSPORTS: Mapping[Transport, SipTransport] = {Transport.UDP: "udp", Transport.TCP: "tcp", Transport.TLS: "tls"}
"""The transport of a setting as `sip` names it."""


def names_transport(uri: Uri) -> bool:
    """Whether a URI says by what it is reached; one that does not leaves it to the peer (RFC 3263 4.1)."""
    return uri.scheme == "sips" or bool(uri.parameter("transport"))


def transport_to(uri: Uri, peer: Peer | None) -> SipTransport:
    """Return the transport for a URI that leads to a peer, None standing for somebody who is none.

    Raises:
        OperatorError: where the URI names a transport in clear and the peer is called over TLS only.
    """
    if peer is None:
        return transport_of(uri)
    if not names_transport(uri):
        return SIP_TRANSPORTS[peer.transport]
    asked = transport_of(uri)
    if is_downgrade(asked, peer):
        raise OperatorError(
            f"found a URI for {asked} to peer {peer.name}, which has transport = tls and is never called in clear; "
            "expected sips:, ;transport=tls, or none"
        )
    return asked


def is_downgrade(asked: SipTransport, peer: Peer | None) -> bool:
    """Whether a transport would take a peer out of TLS."""
    return asked != "tls" and peer is not None and peer.transport is Transport.TLS
