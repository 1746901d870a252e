"""OPTIONS to peers, asked by the doctor without a running recorder: over the transport by which calls go to each."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from callrec.errors import OperatorError
from callrec.settings import destinations
from callrec.settings.values import bracketed
from callrec.signalling import TlsFiles
from callrec.signalling import locator as located_at
from callrec.signalling.certificates import Credentials, is_named, names_in
from callrec.signalling.choice import transport_to
from callrec.signalling.sockets import family_of
from callrec.sip.dialog import default_port
from callrec.sip.headers import Headers
from callrec.sip.locating import target_of
from callrec.sip.message import Request
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.console.name_checks import Located
    from callrec.settings import Peer, Settings
    from callrec.sip.events import SipTransport

ANSWER_S = 1.0
"""How long a peer may take to connect, and to answer OPTIONS; RFC 3261's T1 is half of it."""
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Place:
    """A peer's one address, and by what it is called there."""

    peer: str
    host: str
    port: int
    transport: SipTransport
    certified: frozenset[str]
    """Over TLS its certificate must name one of these."""

    def __str__(self) -> str:
        """Return it as the doctor writes it."""
        by = "" if self.transport == "udp" else f" by {self.transport.upper()}"
        return f"{self.peer} at {bracketed(self.host)}:{self.port}{by}"


def places(settings: Settings, located: Sequence[Located] = ()) -> Iterator[Place]:
    """Return where peers listen, as far as it is known: a destination on a peer's host, else its address.

    `located` says where names lead; a peer whose name leads nowhere has no place.
    """
    uris = {uri.host.lower(): uri for uri in map(Uri.parse, reversed(destinations(settings)))}
    for peer in settings.peer:
        for address in peer.addresses:
            network = address.network
            if network is not None and network.prefixlen < network.max_prefixlen:
                continue
            host = address.name or str(network.network_address if network is not None else "")
            uri = uris.get(host.lower()) or Uri("sip", None, None, host, address.port)
            hosts = [located_at.Place(None, host, None)] if network is not None else _found(uri, located)
            yield from (_place(peer, uri, at) for at in hosts)


def _found(uri: Uri, located: Sequence[Located]) -> list[located_at.Place]:
    """Return where the name of a URI leads, as it was looked up."""
    key = (target_of(uri).lower(), uri.port)
    found = (one.found for one in located if (target_of(one.uri).lower(), one.uri.port) == key)
    return next((places for places in found if not isinstance(places, OSError)), [])


def _place(peer: Peer, uri: Uri, at: located_at.Place) -> Place:
    transport = at.transport or transport_to(uri, peer)
    port = at.port or uri.port or default_port(transport)
    return Place(peer.name, at.address, port, transport, frozenset(peer.tls_names or {uri.host}))


def ask_all(asked: list[Place], files: TlsFiles) -> list[float | str]:
    """Return after how many seconds each answered, or why it did not; all are asked at once."""
    if not asked:
        return []
    with ThreadPoolExecutor(min(len(asked), _AT_ONCE)) as pool:
        return list(pool.map(lambda place: _ask(place, files), asked))


def _ask(place: Place, files: TlsFiles) -> float | str:
    begun = time.monotonic()
    try:
        with closing(_connect(place, files)) as made:
            host, port, *_ = made.getsockname()
            made.sendall(_options(place, f"{bracketed(host)}:{port}"))
            data = made.recv(65535)
    except TimeoutError:
        return f"no answer to OPTIONS over {place.transport.upper()} in {ANSWER_S:g} s"
    except ConnectionError as error:
        return f"nothing listens there ({error.strerror or 'the connection was closed'})"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted: {error.verify_message}; see sip.tls_ca_file"
    except (OSError, OperatorError) as error:
        return f"it cannot be asked ({getattr(error, 'strerror', None) or error})"
    if not data:
        return "it closed the connection: is this machine's address one that it serves?"
    return time.monotonic() - begun if data.startswith(b"SIP/2.0 ") else "what came back is no SIP"


def _connect(place: Place, files: TlsFiles) -> socket.socket:
    """Return a socket that leads there.

    Raises:
        OSError: if none does, or its certificate is not verified.
        OperatorError: if our own files cannot be used, or the certificate is somebody else's.
    """
    kind = socket.SOCK_DGRAM if place.transport == "udp" else socket.SOCK_STREAM
    made = socket.socket(family_of(place.host), kind)
    try:
        made.settimeout(ANSWER_S)
        made.connect((place.host, place.port))
        return _secured(made, place, files) if place.transport == "tls" else made
    except BaseException:
        made.close()
        raise


def _secured(made: socket.socket, place: Place, files: TlsFiles) -> socket.socket:
    name = min(place.certified)
    secured = Credentials.load(files).calling.wrap_socket(made, server_hostname=name)
    shown = names_in(cast("dict[str, Any]", secured.getpeercert()))
    if not is_named(shown, place.certified):
        secured.close()
        raise OperatorError(f"its certificate is for {', '.join(sorted(shown)) or 'nobody'}, expected {name}")
    return secured


def _options(place: Place, ours: str) -> bytes:
    mark = os.urandom(8).hex()
    uri = f"sip:{bracketed(place.host)}:{place.port}"
    by = "" if place.transport == "udp" else f";transport={place.transport}"
    headers = Headers([
        ("Via", f"SIP/2.0/{place.transport.upper()} {ours};branch=z9hG4bK{mark};rport"), ("Max-Forwards", "70"),
        ("From", f"<sip:doctor@{ours}>;tag={mark}"), ("To", f"<{uri}>"), ("Call-ID", mark), ("CSeq", "1 OPTIONS"),
        ("Contact", f"<sip:doctor@{ours}{by}>"), ("Content-Length", "0"),
    ])  # fmt: skip
    return Request("OPTIONS", Uri.parse(uri + by), headers, b"").serialize()
