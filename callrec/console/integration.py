"""Texts of `callrec integrate`: templates beside this file, filled with the addresses of the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_address
from string import Template
from typing import TYPE_CHECKING

from callrec.errors import ExitCode, OperatorError
from callrec.settings import PeerRole, Transport
from callrec.settings.values import bracketed, split_host_port
from callrec.signalling.sockets import route_local
from callrec.sip.dialog import DEFAULT_PORT, SECURE_PORT
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.settings import Peer, Settings


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine hears SIP."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return it as it stands in a SIP URI."""
        return f"{bracketed(self.host)}:{self.port}"


def integration(
    settings: Settings, system: str, *, pbx: str | None = None, trunk: str | None = None, edge: str | None = None
) -> str:
    """Return the configuration text for a PBX or proxy.

    Raises:
        OperatorError: if it is not clear which peer is meant, or where a machine is; says which option tells it.
    """
    ours_to, theirs = _the_peer(settings, PeerRole.PBX, pbx), _the_peer(settings, PeerRole.TRUNK, trunk)
    inside, outside = _place_of(settings, ours_to), _place_of(settings, theirs)
    ours = _own_place(settings, inside.host, ours_to.transport)
    proxy = _read_edge(edge) if edge else Place(ours.host, DEFAULT_PORT)
    names = {
        "organisation": settings.org.name,
        "callrec": str(ours),
        "callrec_host": bracketed(ours.host),
        "callrec_port": str(ours.port),
        "by": _parameter(ours_to.transport),
        "transport": ours_to.transport.value,
        "escaped_by": _parameter(ours_to.transport).replace(";", r"\;"),  # ";" begins a comment in pjsip.conf
        "escaped_trunk_by": _parameter(theirs.transport).replace(";", r"\;"),
        "trunk_by": _parameter(theirs.transport),
        "trunk_transport": theirs.transport.value,
        "pbx": str(inside),
        "pbx_host": bracketed(inside.host),
        "pbx_port": str(inside.port),
        "trunk": str(outside),
        "trunk_host": bracketed(outside.host),
        "trunk_port": str(outside.port),
        "edge": str(proxy),
        "edge_host": bracketed(proxy.host),
        "edge_port": str(proxy.port),
    }
    template = files("callrec.console").joinpath("integrations", f"{system}.txt").read_text(encoding="utf-8")
    return Template(template).substitute(names)


def _parameter(transport: Transport) -> str:
    """Return how a SIP URI says that it is called by a transport; by UDP it need not."""
    return "" if transport is Transport.UDP else f";transport={transport}"


def _the_peer(settings: Settings, role: PeerRole, name: str | None) -> Peer:
    peers = [peer for peer in settings.peer if peer.role is role and name in {None, peer.name}]
    if len(peers) == 1:
        return peers[0]
    known = ", ".join(peer.name for peer in settings.peer if peer.role is role) or "none"
    found = f"--{role.value} {name}" if name else f"{len(peers)} peers of role {role.value}"
    message = f"found {found}, expected one of the configured: {known}; choose it with --{role.value} NAME"
    raise OperatorError(message, exit_code=ExitCode.USAGE)


def _place_of(settings: Settings, peer: Peer) -> Place:
    """Return where a peer hears SIP: a route's destination that is its own, else its first address."""
    default = SECURE_PORT if peer.transport is Transport.TLS else DEFAULT_PORT
    places = [
        Place(uri.host, uri.port or default)
        for route in settings.route
        for uri in map(Uri.parse, route.destination)
        if any(_is_at(address.network, uri.host) or address.name == uri.host for address in peer.addresses)
    ]
    if places:
        return places[0]
    for address in peer.addresses:
        if address.name:
            return Place(address.name, address.port or default)
        if address.network is not None and address.network.prefixlen == address.network.max_prefixlen:
            return Place(str(address.network.network_address), address.port or default)
    message = f"peer {peer.name} has no single address; add it to its `addresses`, beside the networks"
    raise OperatorError(message, exit_code=ExitCode.USAGE)


def _is_at(network: object, host: str) -> bool:
    try:
        return network is not None and ip_address(host) in network  # type: ignore[operator]
    except ValueError:
        return False


def _own_place(settings: Settings, far: str, transport: Transport) -> Place:
    """Return our address as a peer is told it, for its transport."""
    place = next((one for one in settings.sip.listen if one.transport is transport), settings.sip.listen[0])
    if settings.sip.advertise:
        return Place(settings.sip.advertise, place.port)
    if not ip_address(place.host).is_unspecified:
        return Place(place.host, place.port)
    try:
        return Place(route_local(far), place.port)
    except OSError:
        message = f"no route leads to {far}: set [sip] advertise to the address at which it reaches this machine"
        raise OperatorError(message, exit_code=ExitCode.CONFIGURATION) from None


def _read_edge(text: str) -> Place:
    try:
        host, port = split_host_port(text)
    except ValueError as error:
        raise OperatorError(f"--edge {text}: expected {error}", exit_code=ExitCode.USAGE) from None
    return Place(host, port or DEFAULT_PORT)
