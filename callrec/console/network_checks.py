"""What the doctor looks at of the network: peers, RTP on this machine, addresses and certificates.

Nothing here needs a running recorder. Only configured peers and destinations are asked.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from callrec.console.findings import Finding, Patient
from callrec.console.name_checks import Located, locate, name_findings
from callrec.console.peer_questions import ask_all, places
from callrec.errors import OperatorError
from callrec.rtp import RtpPacket
from callrec.signalling import TlsFiles
from callrec.signalling.certificates import expires_at
from callrec.signalling.sockets import family_of, route_local

if TYPE_CHECKING:
    from callrec.settings import Settings

_RTP_PACKETS, _RTP_STEP_S = 50, 0.01
_EXPIRES_SOON = timedelta(days=21)
"""Certificates of ACME are renewed 30 days before their end: one that has less than 21 was not."""


def reach_findings(patient: Patient) -> Iterator[Finding]:
    """Look names up, and ask every peer, also one that is known by its name."""
    located = locate(patient.settings)
    yield from name_findings(patient, located)
    yield from peer_findings(patient, located)


def peer_findings(patient: Patient, located: Sequence[Located] = ()) -> Iterator[Finding]:
    """Ask every peer that has an address or a name of its own by OPTIONS, all at once (RFC 3261 11)."""
    settings = patient.settings
    files = TlsFiles(settings.sip.tls_certificate_file, settings.sip.tls_key_file, settings.sip.tls_ca_file)
    asked = list(places(settings, located))
    for place, answer in zip(asked, ask_all(asked, files), strict=True):
        if isinstance(answer, float):
            yield Finding("peers", "ok", f"{place} answers OPTIONS after {answer * 1000:.0f} ms")
            continue
        mend = f"ping -c 3 {place.host}   # does it run, and may this machine speak to its port {place.port}?"
        yield Finding("peers", "warning", f"{place}: {answer}", mend)


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
    for place in places(settings):
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
        place = next((place for place in places(settings) if place.peer == peer.name), None)
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


NETWORK_CHECKS = (address_findings, reach_findings, rtp_findings, certificate_findings)
