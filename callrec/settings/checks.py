"""What must hold between settings: names that are used exist, names that name are unique, a rule is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_address

from callrec.settings.choices import LawfulBasis, RetentionStart, Srtp
from callrec.settings.model import Settings
from callrec.settings.origin import KeyPath
from callrec.settings.problem import Problem
from callrec.settings.signalling import Peer
from callrec.settings.values import CalendarPeriod, Transport, write_duration
from callrec.settings.ways import listens_for_peers, never_in_clear

LEAST_SESSION, LONGEST_SESSION = timedelta(seconds=90), timedelta(hours=24)


def first_problem(settings: Settings) -> Problem | None:
    """Return the first thing that does not hold between settings, if any."""
    for check in _CHECKS:
        for problem in check(settings):
            return problem
    return None


def _unique_names(settings: Settings) -> Iterator[Problem]:
    for kind in ("peer", "capture_rule", "retention_class", "menu"):
        seen: set[str] = set()
        for index, row in enumerate(getattr(settings, kind)):
            if row.name in seen:
                yield Problem((kind, index, "name"), f'"{row.name}" a second time', f"a name no other [[{kind}]] has")
            seen.add(row.name)


def _listen_once(settings: Settings) -> Iterator[Problem]:
    """Two sockets on one port: the same address, or an address beside the one that means all."""
    for index, place in enumerate(settings.sip.listen):
        for other in settings.sip.listen[:index]:
            same = (place.transport, place.port) == (other.transport, other.port)
            if same and (place.host == other.host or _means_all(place.host, other.host)):
                yield Problem(("sip", "listen", index), f'"{place}"', f'a place that "{other}" does not hold already')


def _tls_files(settings: Settings) -> Iterator[Problem]:
    sip = settings.sip
    for index, place in enumerate(sip.listen):
        if place.transport is Transport.TLS and (sip.tls_certificate_file is None or sip.tls_key_file is None):
            expected = "sip.tls_certificate_file and sip.tls_key_file beside it"
            yield Problem(("sip", "listen", index), f'"{place}" without a certificate', expected)


def _srtp(settings: Settings) -> Iterator[Problem]:
    """Keys of SRTP go over TLS only, and the library that uses them is an extra."""
    over_tls = any(place.transport is Transport.TLS for place in settings.sip.listen)
    for index, peer in enumerate(settings.peer):
        if peer.srtp is Srtp.OFF:
            continue
        path, found = ("peer", index, "srtp"), f'"{peer.srtp}"'
        if not over_tls:
            yield Problem(path, found, '"off", or a place tls://… in sip.listen: keys of SRTP go over TLS only')
        if find_spec("pylibsrtp") is None:
            yield Problem(path, found, '"off", or the extra [srtp] installed: pip install "callrec[srtp]"')


def _peer_passwords(settings: Settings) -> Iterator[Problem]:
    for index, peer in enumerate(settings.peer):
        if bool(peer.username) != (peer.password_file is not None):
            has, lacks = ("username", "password_file") if peer.username else ("password_file", "username")
            yield Problem(("peer", index, has), f"{has} without {lacks}", f"both {has} and {lacks}, or neither")
        if peer.challenge and not peer.username:
            found, expected = "true without username", "username and password_file beside it, or false"
            yield Problem(("peer", index, "challenge"), found, expected)


def _tls_names_once(settings: Settings) -> Iterator[Problem]:
    seen: dict[str, Peer] = {}
    for index, peer in enumerate(settings.peer):
        for position, name in enumerate(peer.tls_names):
            other = seen.setdefault(name, peer)
            if other is not peer:
                found, expected = f'"{name}"', f'a name that peer "{other.name}" does not have already'
                yield Problem(("peer", index, "tls_names", position), found, expected)


def _means_all(host: str, other: str) -> bool:
    one, two = ip_address(host), ip_address(other)
    return one.version == two.version and (one.is_unspecified or two.is_unspecified)


def _addresses_once(settings: Settings) -> Iterator[Problem]:
    seen: dict[str, Peer] = {}
    for index, peer in enumerate(settings.peer):
        for position, address in enumerate(peer.addresses):
            other = seen.setdefault(str(address), peer)
            if other is not peer:
                found, expected = f'"{address}"', f'an address that peer "{other.name}" does not have already'
                yield Problem(("peer", index, "addresses", position), found, expected)


def _routes(settings: Settings) -> Iterator[Problem]:
    peers = [peer.name for peer in settings.peer]
    rules = [rule.name for rule in settings.capture_rule]
    for index, route in enumerate(settings.route):
        if route.from_ and route.from_ not in peers:
            yield _unknown(("route", index, "from"), route.from_, "peer", peers)
        if route.rule and route.rule not in rules:
            yield _unknown(("route", index, "rule"), route.rule, "capture_rule", rules)


def _retention_classes(settings: Settings) -> Iterator[Problem]:
    for index, row in enumerate(settings.retention_class):
        if row.from_ is RetentionStart.CALL and row.keep == CalendarPeriod():
            expected = 'a period above zero such as 2y: "0d" deletes at once, and is for what ends with a relationship'
            yield Problem(("retention_class", index, "keep"), f'"{row.keep}"', expected)


def _capture_rules(settings: Settings) -> Iterator[Problem]:
    classes = [row.name for row in settings.retention_class]
    menus = [menu.name for menu in settings.menu]
    for index, rule in enumerate(settings.capture_rule):
        if rule.retention_class not in classes:
            yield _unknown(("capture_rule", index, "retention_class"), rule.retention_class, "retention_class", classes)
        if rule.menu and rule.menu not in menus:
            yield _unknown(("capture_rule", index, "menu"), rule.menu, "menu", menus)
        if rule.lawful_basis is LawfulBasis.LEGITIMATE_INTERESTS and not rule.assessment_ref.strip():
            expected = "the reference of the assessment, which legitimate_interests needs (LAW-6)"
            yield Problem(("capture_rule", index, "assessment_ref"), "nothing", expected)
        if rule.lawful_basis is LawfulBasis.CONSENT:
            # LAW-6: consent needs an opt-in event in the call, and no recording without it.
            expected = "another basis: consent needs a key that opts in, which this version does not offer (LAW-6)"
            yield Problem(("capture_rule", index, "lawful_basis"), '"consent"', expected)


def _session_timer(settings: Settings) -> Iterator[Problem]:
    """RFC 4028 5: no session is refreshed more often than every 90 s."""
    sip = settings.sip
    if sip.min_session_expires < LEAST_SESSION:
        found = f'"{write_duration(sip.min_session_expires)}"'
        yield Problem(("sip", "min_session_expires"), found, "at least 90s (RFC 4028)")
    if not sip.min_session_expires <= sip.session_expires <= LONGEST_SESSION:
        expected = "at least sip.min_session_expires and at most 24h"
        yield Problem(("sip", "session_expires"), f'"{write_duration(sip.session_expires)}"', expected)


def _menus(settings: Settings) -> Iterator[Problem]:
    key = settings.attendant.opt_out_key
    for index, menu in enumerate(settings.menu):
        if key in menu.digits:
            expected = "a key that does not decline recording (attendant.opt_out_key)"
            yield Problem(("menu", index, "digits", key), f'"{key}"', expected)


def _stop_key(settings: Settings) -> Iterator[Problem]:
    """The key that stops later recordings must not mean anything else to whoever hears the offer."""
    attendant = settings.attendant
    taken = {attendant.opt_out_key, *(key for menu in settings.menu for key in menu.digits)}
    if attendant.stop_key and attendant.stop_key in taken:
        expected = "a key that neither declines recording nor stands in a menu"
        yield Problem(("attendant", "stop_key"), f'"{attendant.stop_key}"', expected)


_CHECKS = (
    _unique_names,
    _listen_once,
    _session_timer,
    _tls_files,
    listens_for_peers,
    never_in_clear,
    _srtp,
    _peer_passwords,
    _addresses_once,
    _tls_names_once,
    _routes,
    _retention_classes,
    _capture_rules,
    _menus,
    _stop_key,
)


def _unknown(path: KeyPath, name: str, kind: str, names: Sequence[str]) -> Problem:
    known = ", ".join(names) or "none yet"
    return Problem(path, f'"{name}"', f"the name of a [[{kind}]] (there is: {known})")
