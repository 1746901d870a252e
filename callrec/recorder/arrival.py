"""What an INVITE is, before anything is done about it: who calls whom, on which route, under which rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from callrec.calling_line import CalledNumber, CallingLineIdentity, PeerProfile, called_number, identify, is_emergency
from callrec.calls.routing import called_forms, matches
from callrec.errors import PeerError
from callrec.settings import CalledNumberSource, CaptureDirection, CaptureRule, Menu, Peer, PeerRole, Route, Settings
from callrec.sip.events import IncomingCall
from callrec.sip.message import Request
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri

_NOBODY = NameAddress("Anonymous", Uri.parse("sip:anonymous@anonymous.invalid"))
"""RFC 3323 4.1.1.3."""


def profile_of(peer: Peer, country: str) -> PeerProfile:
    """Return what calling line identification has to know about a peer."""
    return PeerProfile(
        trusted=peer.trusted_identity,
        role=peer.role.value,
        number_format=peer.number_format.value,
        keypad_words=peer.keypad_words,
        outside_prefix=peer.outside_prefix,
        country=country,
    )


def dialled_text(request: Request, source: CalledNumberSource) -> str:
    """Return what was dialled, from where this peer is configured to put it; else from the Request-URI."""
    uri = request.uri
    if source is CalledNumberSource.TO:
        uri = request.to.uri
    elif source is CalledNumberSource.P_CALLED_PARTY_ID:
        uri = _p_called_party(request) or request.uri
    return user_of(uri)


def _p_called_party(request: Request) -> Uri | None:
    value = request.headers.get("P-Called-Party-ID")
    if value is None:
        return None
    try:
        return NameAddress.parse(value).uri
    except PeerError:
        return None


def user_of(uri: Uri) -> str:
    """Return the part of a URI that names whom it is about: the user, the telephone number, or a whole URN."""
    if uri.scheme == "urn":
        return str(uri)
    if uri.scheme == "tel":
        return str(uri).partition(":")[2]
    return uri.user or ""


@dataclass(frozen=True)
class Arrival:
    """A new call as it came in, read once; no look-up of any kind is needed for it (FAIL-1)."""

    incoming: IncomingCall
    peer: Peer
    settings: Settings

    @property
    def request(self) -> Request:
        """Return the INVITE."""
        return self.incoming.request

    @cached_property
    def profile(self) -> PeerProfile:
        """Return how this peer writes and asserts numbers."""
        return profile_of(self.peer, self.settings.org.country)

    @cached_property
    def dialled(self) -> str:
        """Return what was dialled, as it was written."""
        return dialled_text(self.request, self.peer.called_number_source)

    @cached_property
    def emergency(self) -> bool:
        """Return whether this is an emergency call: by the dialled digits, or by the Request-URI itself."""
        if is_emergency(self.dialled, self.profile):
            return True
        return is_emergency(user_of(self.request.uri), self.profile)

    @cached_property
    def called(self) -> CalledNumber:
        """Return the called number."""
        return called_number(self.dialled, self.profile)

    @cached_property
    def calling(self) -> CallingLineIdentity:
        """Return who calls, and how far that is believed."""
        return identify(self.request.headers.items(), self.profile)

    @cached_property
    def route(self) -> Route | None:
        """Return the first route that matches this peer and this called number."""
        forms = called_forms(self.called.e164, self.called.digits, self.dialled)
        return next((route for route in self.settings.route if self._takes(route, forms)), None)

    @property
    def route_name(self) -> str:
        """Return what tells this call's route from others."""
        return f"{self.route.from_}>{self.route.called}" if self.route is not None else ""

    def _takes(self, route: Route, forms: Sequence[str]) -> bool:
        return route.from_ in ("", self.peer.name) and matches(route.called, forms)

    @cached_property
    def rule(self) -> CaptureRule | None:
        """Return the capture rule of the route, or None: then nothing is recorded (LAW-1)."""
        name = self.route.rule if self.route else ""
        return next((rule for rule in self.settings.capture_rule if rule.name == name), None)

    @cached_property
    def menu(self) -> Menu | None:
        """Return the menu that the capture rule offers after the notice."""
        name = self.rule.menu if self.rule else ""
        return next((menu for menu in self.settings.menu if menu.name == name), None)

    def speaking(self, menu_key: str | None = None) -> tuple[str, ...]:
        """Return the numbers of both parties in E.164, as far as anything in the INVITE says them (LAW-39).

        A withheld number is among them, in memory only (CLI-12). A diverting number is not: it belongs to whoever
        forwarded the call, not to the one who speaks.
        """
        calling = self.calling
        theirs = (calling.presentation_number, calling.network_number, calling.asserted_in_memory)
        found = [*(number.e164 for number in theirs if number is not None), self.called.e164]
        found += [self.number_of(user_of(Uri.parse(uri))) for uri in self.destinations(menu_key)[:1]]
        return tuple(dict.fromkeys(number for number in found if number))

    def number_of(self, user: str | None) -> str | None:
        """Return the number in E.164 that a user part is, as this peer would dial it, or None where it is none."""
        return called_number(user, self.profile).e164 if user else None

    def own_number(self) -> str | None:
        """Return the number by which the caller is known: as shown, else as the network or a hiding caller has it."""
        calling = self.calling
        theirs = (calling.presentation_number, calling.network_number, calling.asserted_in_memory)
        return next((number.e164 for number in theirs if number is not None and number.e164), None)

    def shown_to(self, peer: Peer | None) -> NameAddress:
        """Return the From of an INVITE to a peer: the caller's own, or nobody's where it stays in the trust domain.

        A withheld number that a trunk gives in From beside `Privacy: id` is for those alone whom it may trust with it
        (SIP-14, CLI-13). A trunk gets it all the same: carriers refuse calls without a number.
        """
        trusted = peer is not None and peer.trusted_identity
        ours = self.inbound and (peer is None or peer.role is PeerRole.PBX)
        return _NOBODY if self.calling.withheld and ours and not trusted else self.request.from_

    @property
    def inbound(self) -> bool:
        """Return whether the outside party calls us."""
        if self.rule is not None:
            return self.rule.direction is CaptureDirection.INBOUND
        return self.peer.role is PeerRole.TRUNK

    def destinations(self, menu_key: str | None = None) -> tuple[str, ...]:
        """Return whom to call, in this order, none where the configuration has nobody; `with_user` completes each.

        An emergency call goes to `[emergency] destination`, else to the route's own, else to the destinations of any
        route that leads away from the peer it came from: a mistake in the routes must not cost it (FAIL-1).
        """
        if self.emergency:
            return self._emergency_destinations()
        if menu_key is not None and self.menu is not None and menu_key in self.menu.digits:
            return self.menu.digits[menu_key]
        if self.route is None:
            return ()
        return (self.menu.default if self.menu is not None else ()) or self.route.destination

    @property
    def next_on_busy(self) -> bool:
        """Return whether the next destination is tried also when one is busy or declines."""
        return self.route is not None and self.route.next_on_busy

    def with_user(self, destination: str) -> Uri:
        """Return a destination as a URI; its user part defaults to the called number."""
        uri = Uri.parse(destination)
        if uri.user is not None or not uri.is_sip:
            return uri
        return Uri(uri.scheme, self._user_part(), None, uri.host, uri.port, uri.parameters)

    def _user_part(self) -> str:
        dialled = self.dialled
        if dialled and not dialled.startswith("urn:"):
            return dialled.partition(";")[0]
        return self.request.uri.user or self.called.digits or "112"

    def _emergency_destinations(self) -> tuple[str, ...]:
        if self.settings.emergency.destination:
            return self.settings.emergency.destination
        if self.route is not None:
            return self.route.destination
        leading_out = (route.destination for route in self.settings.route if route.from_ in ("", self.peer.name))
        return next(leading_out, ())
