"""What the doctor looks at of the network: peers, RTP on this machine, addresses, names and certificates.

Nothing here needs a running recorder. Only configured peers and destinations are asked.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from callrec.console.findings import Finding, Patient
from callrec.errors import OperatorError
from callrec.rtp import RtpPacket
from callrec.settings.values import bracketed
from callrec.signalling.certificates import expires_at
from callrec.signalling.sockets import family_of, route_local
from callrec.sip.dialog import DEFAULT_PORT, is_literal
from callrec.sip.headers import Headers
from callrec.sip.message import Request
from callrec.sip.uri import Uri

if TYPE_CHECKING:
    from callrec.settings import Settings

_ANSWER_S = 1.0
"""How long a peer may take to answer OPTIONS; RFC 3261's T1 is half of it."""
_RTP_PACKETS, _RTP_STEP_S = 50, 0.01
_EXPIRES_SOON = timedelta(days=21)
"""Certificates of ACME are renewed 30 days before their end: one that has less than 21 was not."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A peer's one address."""

    peer: str
    host: str
    port: int


def peer_findings(patient: Patient) -> Iterator[Finding]:
    """Ask every peer that has an address of its own by OPTIONS, all at once (RFC 3261 11)."""
    places = list(_places(patient.settings, asked=True))
    answers = _ask_all(places)
    for place in places:
        where, answer = f"{place.peer} at {bracketed(place.host)}:{place.port}", answers.get(place)
        if isinstance(answer, float):
            yield Finding("peers", "ok", f"{where} answers OPTIONS after {answer * 1000:.0f} ms")
            continue
        why = answer or f"no answer to OPTIONS over UDP in {_ANSWER_S:g} s"
        mend = f"ping -c 3 {place.host}   # does it run, and may this machine speak to its port {place.port}?"
        yield Finding("peers", "warning", f"{where}: {why}", mend)


def _places(settings: Settings, *, asked: bool = False) -> Iterator[_Place]:
    """Return where peers listen, as far as it is known: a destination on a peer's host, else its address.

    `asked`: only those that can be asked over UDP; not one to which calls go by TCP or TLS.
    """
    destinations = {uri.host: uri for uri in reversed(_destinations(settings))}
    for peer in settings.peer:
        for address in peer.addresses:
            network = address.network
            if network is None or network.prefixlen < network.max_prefixlen:
                continue
            host = str(network.network_address)
            uri = destinations.get(host)
            if not asked or uri is None or _is_udp(uri):
                port = (uri.port if uri is not None else address.port) or DEFAULT_PORT
                yield _Place(peer.name, host, port)


def _destinations(settings: Settings) -> list[Uri]:
    """Return where calls go, in the order of the routes."""
    return [Uri.parse(text) for route in settings.route for text in route.destination]


def _is_udp(uri: Uri) -> bool:
    return uri.scheme == "sip" and (uri.parameter("transport") or "udp").lower() == "udp"


def _ask_all(places: list[_Place]) -> dict[_Place, float | str]:
    """Return after how many seconds each answered, or why it cannot be asked."""
    found: dict[_Place, float | str] = {}
    asked: dict[int, tuple[_Place, socket.socket, float]] = {}
    for place in places:
        try:
            made = _ask(place)
        except OSError as error:
            found[place] = f"it cannot be asked ({error.strerror})"
        else:
            asked[made.fileno()] = (place, made, time.monotonic())
    end = time.monotonic() + _ANSWER_S
    while asked and (left := end - time.monotonic()) > 0:
        for number in select.select(list(asked), [], [], left)[0]:
            place, made, begun = asked.pop(number)
            found[place] = _answer(made, begun)
            made.close()
    for _, made, _ in asked.values():
        made.close()
    return found


def _ask(place: _Place) -> socket.socket:
    made = socket.socket(family_of(place.host), socket.SOCK_DGRAM)
    try:
        made.connect((place.host, place.port))
        host, port, *_ = made.getsockname()
        made.send(_options(place, f"{bracketed(host)}:{port}"))
    except OSError:
        made.close()
        raise
    made.settimeout(0)
    return made


def _options(place: _Place, ours: str) -> bytes:
    mark = os.urandom(8).hex()
    uri = f"sip:{bracketed(place.host)}:{place.port}"
    headers = Headers([
        ("Via", f"SIP/2.0/UDP {ours};branch=z9hG4bK{mark};rport"), ("Max-Forwards", "70"),
        ("From", f"<sip:doctor@{ours}>;tag={mark}"), ("To", f"<{uri}>"), ("Call-ID", mark), ("CSeq", "1 OPTIONS"),
        ("Contact", f"<sip:doctor@{ours}>"), ("Content-Length", "0"),
    ])  # fmt: skip
    return Request("OPTIONS", Uri.parse(uri), headers, b"").serialize()


def _answer(made: socket.socket, begun: float) -> float | str:
    try:
        data = made.recv(65535)
    except OSError as error:
        return f"nothing listens there ({error.strerror})"
    return time.monotonic() - begun if data.startswith(b"SIP/2.0 ") else "what came back is no SIP"


def rtp_findings(patient: Patient) -> Iterator[Finding]:
    """Send RTP to ourselves from one port of the range to another, and count what arrives."""
    settings = patient.settings
    host = settings.rtp.bind or _own_address(settings)
    try:
        arrived, slowest = _loop(host, settings.rtp.ports)
    except OSError as error:
        mend = f"ip address   # is {host} of this machine? or change [rtp] bind"
        yield Finding("rtp", "failed", f"no RTP socket on {host} ({error.strerror})", mend)
        return
    found = f"{arrived} of {_RTP_PACKETS} packets arrived on {host}, the slowest after {slowest * 1000:.1f} ms"
    if arrived < _RTP_PACKETS:
        first, last = settings.rtp.ports.start, settings.rtp.ports.stop - 1
        mend = f"nft list ruleset   # let UDP {first}-{last} through"
        yield Finding("rtp", "failed", found, mend)
    else:
        yield Finding("rtp", "ok", found)


def _own_address(settings: Settings) -> str:
    """Return the address by which packets leave for the first peer, else the first place where SIP is heard."""
    for place in _places(settings):
        try:
            return route_local(place.host)
        except OSError:
            continue
    return settings.sip.listen[0].host


def _loop(host: str, ports: range) -> tuple[int, float]:
    """Return how many of the packets arrived, and the longest way of one in seconds.

    Raises:
        OSError: if there are no two free ports.
    """
    with _free_port(host, ports) as sender, _free_port(host, ports) as receiver:
        receiver.settimeout(0.5)
        arrived, slowest = 0, 0.0
        for number in range(_RTP_PACKETS):
            packet = RtpPacket(8, number, 160 * number, 1, bytes(160)).serialize()
            begun = time.monotonic()
            sender.sendto(packet, receiver.getsockname())
            try:
                arrived += receiver.recv(2048) == packet
            except TimeoutError:
                continue
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(_RTP_STEP_S)
    return arrived, slowest


def _free_port(host: str, ports: range) -> socket.socket:
    made = socket.socket(family_of(host), socket.SOCK_DGRAM)
    error = OSError(0, "all ports of [rtp] ports are in use")
    for port in ports[::2]:
        try:
            made.bind((host, port))
        except OSError as found:
            error = found
            if found.errno != errno.EADDRINUSE:
                break
        else:
            return made
    made.close()
    raise error


def address_findings(patient: Patient) -> Iterator[Finding]:
    """Compare the address others would see in SIP and SDP with the one packets leave by (SIP-13, RTP-1)."""
    settings = patient.settings
    for peer in settings.peer:
        place = next((place for place in _places(settings) if place.peer == peer.name), None)
        if place is None:
            continue
        try:
            ours = route_local(place.host)
        except OSError as error:
            yield Finding("addresses", "failed", f"no route leads to {place.host} ({error.strerror})", "ip route")
            continue
        private = ip_address(ours).is_private and not ip_address(ours).is_loopback
        hidden = [key for key, value in (("sip", settings.sip.advertise), ("rtp", settings.rtp.advertise)) if not value]
        if private and ip_address(place.host).is_global and hidden:
            keys = " and ".join(f"[{key}] advertise" for key in hidden)
            found = f"{peer.name} would be told {ours}, which it cannot reach: this machine is behind NAT"
            yield Finding("addresses", "warning", found, f"$EDITOR {patient.config}   # {keys} = the public address")
        else:
            told = settings.sip.advertise or ours
            yield Finding("addresses", "ok", f"{peer.name} is told {told}; packets to it leave by {ours}")


def name_findings(patient: Patient) -> Iterator[Finding]:
    """Look up every name of the configuration that calls depend on."""
    settings = patient.settings
    names = {address.name for peer in settings.peer for address in peer.addresses if address.name}
    names |= {uri.host for uri in _destinations(settings)}
    for name in sorted(name for name in names if name and not is_literal(name)):
        try:
            found = {str(answer[4][0]) for answer in socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)}
        except OSError as error:
            mend = f"getent ahosts {name}   # mend DNS, or write the address"
            yield Finding("names", "failed", f"{name} is not found ({error.strerror})", mend)
        else:
            yield Finding("names", "ok", f"{name} is {', '.join(sorted(found))}")


def certificate_findings(patient: Patient) -> Iterator[Finding]:
    """Say when the certificate of SIP over TLS ends."""
    path = patient.settings.sip.tls_certificate_file
    if path is None:
        return
    mend = f"openssl x509 -noout -dates -in {path}   # renew it, then systemctl reload callrec"
    try:
        end = expires_at(path)
    except OperatorError as error:
        yield Finding("certificate", "failed", str(error), mend)
        return
    left, found = end - datetime.now(UTC), f"{path} is valid until {end:%Y-%m-%d}"
    if left <= timedelta():
        yield Finding("certificate", "failed", f"{path} has ended on {end:%Y-%m-%d}: nobody connects by TLS", mend)
    elif left < _EXPIRES_SOON:
        yield Finding("certificate", "warning", found, mend)
    else:
        yield Finding("certificate", "ok", found)


NETWORK_CHECKS = (name_findings, address_findings, peer_findings, rtp_findings, certificate_findings)
