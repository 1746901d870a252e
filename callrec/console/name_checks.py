"""What the doctor looks at of names: each one of the configuration is looked up as the recorder does it (RFC 3263)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from callrec.console.findings import Finding, Patient
from callrec.settings import destinations
from callrec.settings.values import bracketed
from callrec.signalling.choice import SIP_TRANSPORTS
from callrec.signalling.locator import Locator, Place
from callrec.signalling.resolver import Resolver
from callrec.sip.dialog import is_literal
from callrec.sip.locating import target_of, transports_for
from callrec.sip.uri import Uri
from callrec.tasks import Tasks

if TYPE_CHECKING:
    from callrec.settings import Settings
    from callrec.sip.events import SipTransport

_SLOW_S = 1.0
"""Seconds after which a look-up is worth a word: a call waits so long when the answer's time is over."""


class Located(NamedTuple):
    """A name that calls depend on, where it leads or why it leads nowhere, and how many seconds that took."""

    uri: Uri
    found: list[Place] | OSError
    seconds: float


def locate(settings: Settings) -> list[Located]:
    """Look up every name of the configuration that calls depend on, all at once."""
    asked = _names(settings)
    return asyncio.run(_locate_all(settings, asked)) if asked else []


def name_findings(patient: Patient, located: Sequence[Located]) -> Iterator[Finding]:
    """Say of each name where it leads, and how long it took to know."""
    servers = ", ".join(map(str, patient.settings.sip.dns_servers)) or "those of /etc/resolv.conf"
    for uri, found, seconds in located:
        name = target_of(uri)
        if isinstance(found, OSError):
            mend = f"getent ahosts {name}; dig SRV _sip._udp.{name}   # mend DNS, or write the address"
            yield Finding("names", "failed", f"{name} is not found ({found}); DNS servers: {servers}", mend)
            continue
        text = f"{name} is {', '.join(map(_text, found))}, found after {seconds * 1000:.0f} ms"
        if seconds < _SLOW_S:
            yield Finding("names", "ok", text)
        else:
            mend = f"dig {name}   # which of the DNS servers ({servers}) is dead? mend it, or see [sip] dns_servers"
            yield Finding("names", "warning", text, mend)


def _names(settings: Settings) -> list[Uri]:
    """Return a URI for each name that calls depend on, each name and port once."""
    uris = [
        *map(Uri.parse, destinations(settings)),
        *(Uri.parse(peer.register_at) for peer in settings.peer if peer.register_at),
        *(
            Uri("sip", None, None, address.name, address.port)
            for peer in settings.peer
            for address in peer.addresses
            if address.name
        ),
    ]
    found: dict[tuple[str, int | None], Uri] = {}
    for uri in uris:
        if not is_literal(target_of(uri)):
            found.setdefault((target_of(uri).lower(), uri.port), uri)
    return [found[key] for key in sorted(found, key=str)]


async def _locate_all(settings: Settings, uris: list[Uri]) -> list[Located]:
    tasks = Tasks("doctor")
    resolver = Resolver([(one.host, one.port) for one in settings.sip.dns_servers], tasks, time.monotonic)
    locator = Locator(resolver, secrets.token_bytes, lambda address: ":" in address)
    ours = [SIP_TRANSPORTS[place.transport] for place in settings.sip.listen]
    try:
        return await asyncio.gather(*(_locate(locator, uri, ours) for uri in uris))
    finally:
        await tasks.stop()


async def _locate(locator: Locator, uri: Uri, ours: list[SipTransport]) -> Located:
    begun = time.monotonic()
    try:
        found: list[Place] | OSError = await locator.places(uri, transports_for(uri, ours))
    except OSError as error:
        found = error
    return Located(uri, found, time.monotonic() - begun)


def _text(place: Place) -> str:
    """Return a place as the doctor writes it: transport and port where SRV records gave them."""
    if place.transport is None:
        return place.address
    return f"{place.transport} {bracketed(place.address)}:{place.port} (SRV)"
