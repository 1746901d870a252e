"""What must hold between the transports of peers, the places we listen at, and the URIs we call (SIP-13, CLI-1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from callrec.settings.destinations import placed_destinations
from callrec.settings.problem import Problem
from callrec.settings.values import SipPlace, Transport

if TYPE_CHECKING:
    from callrec.settings.model import Settings
    from callrec.settings.origin import KeyPath
    from callrec.settings.signalling import Peer


def listens_for_peers(settings: Settings) -> Iterator[Problem]:
    """A peer is called by TCP or TLS from a place of ours: answers come back to it (RFC 3261 18.2.2)."""
    ours = {place.transport for place in settings.sip.listen}
    for index, peer in enumerate(settings.peer):
        if peer.transport not in ours and peer.transport is not Transport.UDP:
            expected = f"a place {peer.transport}://… in sip.listen for it, or another transport"
            yield Problem(("peer", index, "transport"), f'"{peer.transport}"', expected)


def never_in_clear(settings: Settings) -> Iterator[Problem]:
    """No URI of the configuration takes a peer out of TLS: what it names is found at the start, not by a call."""
    for path, uri in _uris(settings):
        place = SipPlace.of(uri)
        peer = _peer_at(settings, place)
        if peer is None or peer.transport is not Transport.TLS or place.transport in {None, Transport.TLS}:
            continue
        expected = f'sips: or no transport, for peer "{peer.name}" has transport = "tls" and is never called in clear'
        yield Problem(path, f'"{uri}"', expected)


def _uris(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    yield from placed_destinations(settings)
    yield from ((("peer", index, "register"), peer.register_at) for index, peer in enumerate(settings.peer))


def _peer_at(settings: Settings, place: SipPlace) -> Peer | None:
    """Return the peer at a host: by name where that is what it has, else the closest of its addresses."""
    try:
        return settings.find_peer(place.host, place.port or 5060)
    except ValueError:  # no IP address
        named = (peer for peer in settings.peer if place.host in {*peer.tls_names, *(at.name for at in peer.addresses)})
        return next(named, None)
