"""Listening sockets, the errors the kernel reports on them, and which local address leads to a peer."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import NamedTuple

from callrec.errors import ExitCode, OperatorError
from callrec.sip.building import host_port
from callrec.sip.events import Address, SipTransport

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel: a burst of calls must not overflow while the loop is busy elsewhere."""

# linux/in.h, linux/in6.h; the socket module has no names for them
IP_RECVERR = 11
IPV6_RECVERR = 25
_DEAD = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EHOSTDOWN})
_EXTENDED_ERROR = struct.Struct("=I")


class Listening(NamedTuple):
    """One entry of `sip.listen`."""

    transport: SipTransport
    address: Address

    def __str__(self) -> str:
        return f"{self.transport}://{host_port(self.address)}"


def read_listening(text: str) -> Listening:
    """Return the place that text such as `udp://127.0.0.1:5070` or `tls://[::1]:5071` names.

    Raises:
        OperatorError: exit 78 where it names none.
    """
    transport, separator, rest = text.partition("://")
    host, colon, port = rest.rpartition(":")
    if separator and colon and port.isascii() and port.isdigit() and int(port) <= 65535:
        address = Address(host.strip("[]"), int(port))
        known: SipTransport
        for known in ("udp", "tcp", "tls"):
            if transport == known:
                return Listening(known, address)
    raise OperatorError(
        f"sip.listen: found {text!r}, expected udp://, tcp:// or tls:// with an IP address and a port",
        exit_code=ExitCode.CONFIGURATION,
    )


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of an IP address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bind(place: Listening) -> socket.socket:
    """Return a bound, non-blocking socket; a TCP one does not listen yet.

    Raises:
        OperatorError: exit 78 where the place cannot be had.
    """
    udp = place.transport == "udp"
    made: socket.socket | None = None
    try:
        made = socket.socket(family_of(place.address.host), socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        _prepare(made, udp=udp)
        made.bind((place.address.host, place.address.port))
    except OSError as error:
        if made is not None:
            made.close()
        raise OperatorError(_why(place, error), exit_code=ExitCode.CONFIGURATION) from None
    return made


def _prepare(made: socket.socket, *, udp: bool) -> None:
    made.settimeout(0)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if not udp:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def _why(place: Listening, error: OSError) -> str:
    advice = {
        errno.EADDRINUSE: "another program has it; stop that, or change sip.listen",
        errno.EADDRNOTAVAIL: "this machine does not have that address; change sip.listen",
        errno.EACCES: "the port may not be used by this user; choose one above 1023, or give CAP_NET_BIND_SERVICE",
    }.get(error.errno or 0, "change sip.listen")
    return f"cannot listen on {place}: {os.strerror(error.errno or 0)}; {advice}"


def address_of(made: socket.socket) -> Address:
    """Return where a socket is bound."""
    host, port, *_ = made.getsockname()
    return Address(host, port)


def dead_destinations(made: socket.socket) -> list[Address]:
    """Return the addresses that the kernel has learnt to be unreachable, and forget them (ip(7), IP_RECVERR)."""
    found: list[Address] = []
    for _ in range(64):
        try:
            _, ancillary, _, address = made.recvmsg(1, 512, socket.MSG_ERRQUEUE)
        except OSError:
            break
        for level, kind, data in ancillary:
            is_error = (level, kind) in {(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)}
            if is_error and len(data) >= 4 and _EXTENDED_ERROR.unpack_from(data)[0] in _DEAD and address:
                found.append(Address(address[0], address[1]))
    return found


def route_local(host: str) -> str:
    """Return the address of ours that packets to an IP address leave by; nothing is sent.

    Raises:
        OSError: where no route leads there.
    """
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])
