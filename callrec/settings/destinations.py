"""Where calls may go: every SIP URI of the configuration that is called, with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callrec.settings.model import Settings
    from callrec.settings.origin import KeyPath


def placed_destinations(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Yield each destination of routes, menus and emergency calls, in this order, and its key."""
    for index, route in enumerate(settings.route):
        yield from ((("route", index, "destination"), uri) for uri in route.destination)
    for index, menu in enumerate(settings.menu):
        yield from ((("menu", index, "default"), uri) for uri in menu.default)
        yield from ((("menu", index, "digits", key), uri) for key, uris in menu.digits.items() for uri in uris)
    yield from ((("emergency", "destination"), uri) for uri in settings.emergency.destination)


def destinations(settings: Settings) -> tuple[str, ...]:
    """Return every SIP URI that calls may go to, each once, those of the first routes first."""
    return tuple(dict.fromkeys(uri for _, uri in placed_destinations(settings)))
