"""Who may speak to us: the peers of the configuration, the longest match first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from callrec.settings import Peer, Transport
from callrec.sip.dialog import DEFAULT_PORT, SECURE_PORT, is_literal
from callrec.sip.events import Address
from callrec.sip.uri import Uri

log = logging.getLogger("callrec.signalling")

_REMEMBERED = 4096
"""Sources whose peer is remembered; scanners must not grow it."""

NAMES_S, NAMES_AGAIN_S = 60.0, 5.0
"""Seconds between look-ups of peers that are given by name, and while one could not be found."""

IpAddress = IPv4Address | IPv6Address


class FindHosts(Protocol):
    """Finds the addresses of a name, OSError where there are none."""

    async def __call__(self, name: str, *, with_services: bool) -> Iterable[str]:
        """Return them."""


class Peers:
    """A table of peers by source address; names among the addresses count once `look_up` has found them."""

    def __init__(self, peers: Iterable[Peer]) -> None:
        self._peers: Sequence[Peer] = tuple(peers)
        self._named: dict[str, frozenset[IpAddress]] = {}
        self._missing: set[str] = set()
        self._remembered: dict[Address, Peer | None] = {}
        self._in_clear = {peer.name: _unbelieved(peer) for peer in self._peers if peer.transport is Transport.TLS}
        self._told: set[str] = set()
        self._names = {place: peer for peer in self._peers for place in _names_of(peer)}

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers)

    def __len__(self) -> int:
        return len(self._peers)

    def match(self, address: Address) -> Peer | None:
        """Return the peer that speaks from an address: host:port before host before CIDR, the longest prefix first."""
        remembered = self._remembered
        if address in remembered:
            return remembered[address]
        if len(remembered) >= _REMEMBERED:
            remembered.clear()
        found = remembered[address] = self._search(address)
        return found

    def knows_host(self, host: str, port: int | None) -> bool:
        """Whether a host in a URI is a peer's, as an address or as a name of the configuration; none is looked up.

        A URI without a port stands for those of SIP and of TLS.
        """
        name, ports = host.lower(), _ports(port)
        if any(self.is_known(Address(host, number)) for number in ports):
            return True
        return any(
            place.name == name and place.port in {None, *ports} for peer in self._peers for place in peer.addresses
        )

    def is_known(self, address: Address) -> bool:
        """Whether an address is that of a peer."""
        return self.match(address) is not None

    @property
    def by_certificate(self) -> bool:
        """Whether some peer is known by its certificate."""
        return any(peer.tls_names for peer in self._peers)

    def identify(self, address: Address, names: Collection[str]) -> Peer | None:
        """Return the peer at the far end of a TLS connection whose certificate carries these names.

        A peer with `tls_names` is who shows one of them, from wherever; its address alone is not believed.
        """
        shown = next((peer for peer in self._peers if not set(names).isdisjoint(peer.tls_names)), None)
        if shown is not None:
            return shown
        found = self.match(address)
        return None if found is None or found.tls_names else found

    def in_clear(self, address: Address) -> Peer | None:
        """Return the peer that speaks from an address over UDP or TCP.

        One whose `transport` is TLS is not believed so, for an address can be forged (CLI-1): its calls pass, without
        the identity they assert, and it may not transfer.
        """
        found = self.match(address)
        unbelieved = None if found is None else self._in_clear.get(found.name)
        if unbelieved is not None and unbelieved.name not in self._told:
            self._told.add(unbelieved.name)
            log.warning(
                "peer %s has transport = tls and speaks in clear from %s: its calls pass, what they assert of the "
                "caller is not believed; let it speak over TLS, or take transport away", unbelieved.name, address.host,
            )  # fmt: skip
        return unbelieved or found

    def at(self, name: str, host: str, port: int | None) -> Peer | None:
        """Return the peer that a URI leads to: by the name in it, else by its IP address and port.

        Where the URI has no port, that of TLS will do as well: which of the two it is follows from the peer.
        """
        ports = _ports(port)
        for number in (*ports, None):
            if (peer := self._names.get((name.lower(), number))) is not None:
                return peer
        return next((peer for number in ports if (peer := self.match(Address(host, number))) is not None), None)

    def named(self, name: str) -> Peer | None:
        """Return the peer of a name."""
        return next((peer for peer in self._peers if peer.name == name), None)

    def _search(self, address: Address) -> Peer | None:
        try:
            ip = ip_address(address.host)
        except ValueError:
            return None
        best, best_precision = None, -1
        for peer in self._peers:
            precision = self._precision(peer, ip, address.port)
            if precision > best_precision:
                best, best_precision = peer, precision
        return best

    def _precision(self, peer: Peer, ip: IpAddress, port: int) -> int:
        found = -1
        for place in peer.addresses:
            if place.name is None:
                found = max(found, place.precision(ip, port))
            elif ip in self._named.get(place.name, ()) and place.port in {None, port}:
                found = max(found, ip.max_prefixlen + (0 if place.port is None else 1_000))
        return found

    @property
    def look_again_s(self) -> float:
        """Seconds until names should be looked up again: soon while a peer is a stranger for want of DNS."""
        names = {place.name for peer in self._peers for place in peer.addresses if place.name is not None}
        return NAMES_S if names <= self._named.keys() else NAMES_AGAIN_S

    def problems(self) -> dict[str, str]:
        """Return the names of peers that were never found, by a name that stays the same: those peers are strangers."""
        return {
            f"name {place.name}": f"peer {peer.name}: its name {place.name} cannot be found, and what it sends is "
            "dropped as a stranger's until it is: mend DNS (callrec doctor), or give an IP address"
            for peer in self._peers
            for place in peer.addresses
            if place.name in self._missing and place.name not in self._named
        }

    async def look_up(self, find: FindHosts) -> None:
        """Find the addresses of peers that are given by name; one that cannot be found keeps what it had.

        A name without a port stands for the hosts of its SRV records as well: that is where such a trunk speaks from.
        """
        names: dict[str, bool] = {}
        for place in (place for peer in self._peers for place in peer.addresses):
            if place.name is not None:
                names[place.name] = names.get(place.name, False) or place.port is None
        await asyncio.gather(*(self._look_up_one(name, find, with_services=names[name]) for name in sorted(names)))
        self._remembered.clear()

    def learn(self, name: str, addresses: Iterable[str]) -> None:
        """Take where a name has just been found, until the next look-up; a name that is no peer's says nothing."""
        if (name, None) in self._names:
            known = self._named.get(name, frozenset())
            self._named[name] = known | {ip_address(address) for address in addresses}
            if self._named[name] != known:
                self._remembered.clear()

    async def _look_up_one(self, name: str, find: FindHosts, *, with_services: bool) -> None:
        try:
            found = await find(name, with_services=with_services)
        except OSError as error:
            if name not in self._missing:  # told once, however often it is asked for
                self._missing.add(name)
                log.warning(
                    "peer address %s: the name cannot be found (%s); check DNS or give an IP address", name, error
                )
        else:
            if name in self._missing:
                self._missing.discard(name)
                log.info("peer address %s: the name is found again", name)
            self._named[name] = frozenset(ip_address(address) for address in found)
            self._remembered.clear()


def _ports(port: int | None) -> tuple[int, ...]:
    return (DEFAULT_PORT, SECURE_PORT) if port is None else (port,)


def _names_of(peer: Peer) -> Iterator[tuple[str, int | None]]:
    """Return the host names of a peer: in its addresses, its certificate, its registrar; with None for any port."""
    yield from ((place.name, place.port) for place in peer.addresses if place.name is not None)
    yield from ((name, None) for name in peer.tls_names)
    if peer.register_at and not is_literal(host := Uri.parse(peer.register_at).host):
        yield host.lower(), None


def _unbelieved(peer: Peer) -> Peer:
    """Return a peer as it counts in clear where it is to speak over TLS; we answer no challenge of it either."""
    return peer.model_copy(update={"trusted_identity": False, "allow_refer": False, "username": ""})
