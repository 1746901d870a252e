"""Carries out RFC 3263: asks the resolver what a decision of `sip.locating` wants to know next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from callrec.sip.dialog import is_literal
from callrec.sip.locating import MOST_TARGETS, Service, has_services, in_order, is_refused, services, target_of

if TYPE_CHECKING:
    from callrec.identifiers import RandomBytes
    from callrec.signalling.resolver import Resolver
    from callrec.sip.events import SipTransport
    from callrec.sip.uri import Uri


class Place(NamedTuple):
    """Where a URI leads: None where DNS left transport or port open."""

    transport: SipTransport | None
    address: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Locator:
    """Finds the places of a URI."""

    resolver: Resolver
    random: RandomBytes
    rank: Callable[[str], Any]
    """How well an address can be reached from here; the least comes first among those of one host (RFC 6724)."""

    async def places(self, uri: Uri, allowed: Sequence[SipTransport]) -> list[Place]:
        """Return where a URI leads, in the order in which the places are tried.

        Raises:
            OSError: where no address can be found.
        """
        host = target_of(uri)
        if is_literal(host):
            return [Place(None, host, uri.port)]
        if has_services(uri) and not self.resolver.is_pinned(host) and (found := await self._by_service(host, allowed)):
            return found[:MOST_TARGETS]
        return [Place(None, address, uri.port) for address in await self._addresses(host)][:MOST_TARGETS]

    async def hosts(self, name: str, *, with_services: bool) -> frozenset[str]:
        """Return every address that a name stands for as a peer, those of its services as well.

        Raises:
            OSError: where there is none.
        """
        found: set[str] = set()
        if with_services and not self.resolver.is_pinned(name):
            for records in await asyncio.gather(*map(self._servers, await self._services(name, ("udp", "tcp", "tls")))):
                found.update(place.address for place in records)
        try:
            found.update(await self.resolver.addresses(name))
        except OSError:
            if not found:
                raise
        return frozenset(found)

    async def _by_service(self, host: str, allowed: Sequence[SipTransport]) -> list[Place]:
        """Return the places of the best service that has some; [] where DNS knows none of them.

        Raises:
            OSError: where DNS says that no service is offered (RFC 2782).
        """
        asked = await self._services(host, allowed)
        for service in asked:
            if found := await self._servers(service):
                return found
        answers = [await self.resolver.services(service.name) for service in asked]
        if answers and all(is_refused(answer) for answer in answers):
            raise OSError(f"DNS says that {host} takes no SIP")
        return []

    async def _services(self, host: str, allowed: Sequence[SipTransport]) -> Sequence[Service]:
        """Return the services to ask for; the usual ones are asked along with NAPTR, to save a round trip."""
        usual = services(host, (), allowed)
        naptrs, _ = await asyncio.gather(
            self.resolver.naptr(host), asyncio.gather(*(self.resolver.services(service.name) for service in usual))
        )
        return services(host, naptrs, allowed)

    async def _servers(self, service: Service) -> list[Place]:
        records = in_order(await self.resolver.services(service.name), self.random)[:MOST_TARGETS]
        answers = await asyncio.gather(*(self._addresses(record.target) for record in records), return_exceptions=True)
        return [
            Place(service.transport, address, record.port)
            for record, answer in zip(records, answers, strict=True)
            if not isinstance(answer, BaseException)  # one whose host has no address is left out
            for address in answer
        ]

    async def _addresses(self, host: str) -> list[str]:
        if is_literal(host):
            return [host]
        return sorted(await self.resolver.addresses(host), key=self.rank)
