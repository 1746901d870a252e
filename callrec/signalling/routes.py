"""Where a SIP URI is, and which of our listening places leads there."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

from callrec.errors import OperatorError
from callrec.signalling.choice import is_downgrade, names_transport, transport_to
from callrec.signalling.locator import Locator
from callrec.signalling.peers import Peers
from callrec.signalling.sockets import Listening, family_of, route_local
from callrec.sip.dialog import default_port, is_literal, literal_route
from callrec.sip.events import Address, Flow, SipTransport
from callrec.sip.locating import target_of, transports_for
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.identifiers import RandomBytes
    from callrec.signalling.resolver import Resolver

_REMEMBERED = 1024


@dataclass(slots=True)
class Routes:
    """Ways from our listening places to others."""

    peers: Peers
    advertised: str
    """`sip.advertise`: our address in Via and Contact; "" is that of the route to the peer."""
    resolver: Resolver
    random: RandomBytes
    places: list[Listening]
    """Where we listen; filled while sockets are bound."""
    locator: Locator = field(init=False)
    _locals: dict[str, str] = field(default_factory=dict)
    _destinations: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.locator = Locator(self.resolver, self.random, self._rank)

    def is_known(self, address: Address) -> bool:
        """Whether a source may speak to us: a peer, or a host we have called ourselves and who may answer."""
        return self.peers.is_known(address) or address.host in self._destinations

    def is_ours(self, host: str, port: int) -> bool:
        """Whether a host and port in a URI name one of our listening places; no name is looked up."""
        if host.lower() == self.advertised.lower():
            return any(place.address.port == port for place in self.places)
        return is_literal(host) and any(self._listens(place.address, host, port) for place in self.places)

    def _listens(self, place: Address, host: str, port: int) -> bool:
        if place.port != port or family_of(place.host) != family_of(host):
            return False
        if not ip_address(place.host).is_unspecified:
            return place.host == host
        try:
            return self.local_address(host) == host
        except OSError:
            return False

    def local_address(self, host: str) -> str:
        """Return the address of ours that leads to an IP address.

        Raises:
            OSError: where no route leads there.
        """
        if host not in self._locals:
            if len(self._locals) >= _REMEMBERED:
                self._locals.clear()
            self._locals[host] = route_local(host)
        return self._locals[host]

    def advertise(self, flow: Flow) -> Address:
        """Return the address others reach us at, for Via and Contact."""
        # A literal stands for its own family only: a party over IPv6 could not reach us at an IPv4 address.
        if self.advertised and (
            not is_literal(self.advertised) or family_of(self.advertised) == family_of(flow.local.host)
        ):
            return Address(self.advertised, flow.local.port)
        if not ip_address(flow.local.host).is_unspecified:
            return flow.local
        try:
            return Address(self.local_address(flow.remote.host), flow.local.port)
        except OSError:
            return flow.local

    def local_for(self, transport: SipTransport, host: str) -> Address | None:
        """Return the listening place that leads to a host: that of the route there, or any of its family."""
        fitting = [
            place.address
            for place in self.places
            if place.transport == transport and family_of(place.address.host) == family_of(host)
        ]
        if len(fitting) <= 1:
            return fitting[0] if fitting else None
        try:
            best = self.local_address(host)
        except OSError:
            return fitting[0]
        return next((address for address in fitting if address.host == best), fitting[0])

    def route_in_dialog(self, uri: Uri, flow: Flow) -> Flow:
        """Return the way to the next hop of a dialog: to its address where that is a peer's, else by the dialog's flow.

        A Contact must not make us send to strangers.
        """
        found = literal_route(uri, flow)
        if found.remote == flow.remote and found.transport == flow.transport:
            return flow
        if found.remote.host != flow.remote.host:
            if not self.is_known(found.remote):
                return flow
            found = self._secured(uri, found)
            if is_downgrade(found.transport, self.peers.match(found.remote)):
                return flow  # by the hop that this dialog has: what it names is not called in clear
        if found.transport == flow.transport and family_of(found.remote.host) == family_of(flow.remote.host):
            return found
        local = self.local_for(found.transport, found.remote.host)
        return flow if local is None else Flow(found.transport, local, found.remote)

    def _secured(self, uri: Uri, found: Flow) -> Flow:
        """Return a way that a Contact leaves open as TLS, where it leads to a peer that is called by nothing else."""
        host = found.remote.host
        if names_transport(uri) or not is_downgrade(found.transport, self.peers.at(host, host, uri.port)):
            return found
        return Flow("tls", found.local, Address(host, uri.port or default_port("tls")))

    async def resolve(self, uri: Uri) -> Flow:
        """Return the first way to a SIP URI.

        Raises:
            OperatorError: where the URI cannot be called, or no listening place leads there.
            OSError: where the name cannot be found.
        """
        return (await self.resolve_all(uri))[0]

    async def resolve_all(self, uri: Uri) -> tuple[Flow, ...]:
        """Return the ways to a SIP URI, the best first (RFC 3263); an IP address costs nothing, a name is looked up.

        Raises:
            OperatorError: where the URI cannot be called, or no listening place leads there.
            OSError: where the name cannot be found.
        """
        if not uri.is_sip or not uri.host:
            raise OperatorError(f"found a destination with scheme {uri.scheme!r}, expected sip:user@host")
        found = await self.locator.places(uri, self._open_transports(uri))
        self.peers.learn(target_of(uri).lower(), (place.address for place in found))
        asked: SipTransport = "udp"
        flows: list[Flow] = []
        for place in found:
            peer = self.peers.at(target_of(uri), place.address, uri.port or place.port)
            asked = place.transport or transport_to(uri, peer)
            if is_downgrade(asked, peer):
                continue
            local = self.local_for(asked, place.address)
            if local is None and asked == "udp" and place.transport is None and not names_transport(uri):
                asked, local = "tcp", self.local_for("tcp", place.address)
            if local is not None:
                flows.append(Flow(asked, local, Address(place.address, place.port or default_port(asked))))
        if not flows:
            raise self._no_way(uri, asked, found[0].address)
        for flow in flows:
            self._remember(flow.remote.host)
        return tuple(dict.fromkeys(flows))

    def _open_transports(self, uri: Uri) -> tuple[SipTransport, ...]:
        """Return the transports that a URI leaves open to DNS: of those we listen for, its peer's own first."""
        peer = self.peers.at(target_of(uri), "", uri.port)
        usual = transport_to(uri, peer)
        ours = dict.fromkeys([usual, *(place.transport for place in self.places)])
        return transports_for(uri, [transport for transport in ours if not is_downgrade(transport, peer)])

    def _rank(self, host: str) -> tuple[int, bool]:
        """Return how well an address can be reached: by a route, IPv6 first (RFC 7984 4, RFC 6724)."""
        if all(family_of(place.address.host) != family_of(host) for place in self.places):
            return 2, True
        try:
            self.local_address(host)
        except OSError:
            return 1, ":" not in host
        return 0, ":" not in host

    def _no_way(self, uri: Uri, asked: SipTransport, address: str) -> OperatorError:
        port = default_port(asked)
        place = f"{asked}://[…]:{port} (IPv6)" if ":" in address else f"{asked}://…:{port}"
        return OperatorError(f"no listening place leads to {uri.host} by {asked}; add {place} to sip.listen")

    def _remember(self, host: str) -> None:
        if len(self._destinations) >= _REMEMBERED:
            del self._destinations[next(iter(self._destinations))]
        self._destinations[host] = None
