"""Session descriptions as values: every line is kept, in its place (RFC 8866)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from typing import NamedTuple

from callrec.errors import PeerError

MAX_DESCRIPTION = 65536
"""Bytes; it comes in a SIP message, which is no longer."""
MAX_LINES = 2000
MAX_MEDIA = 64
"""More m= lines than any phone, and far fewer than an attack needs."""

Line = tuple[str, str]
"""A letter and what stands behind its `=`."""

_NUMERIC = re.compile(r"[0-9.]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_RTP = re.compile(r"(?:UDP/TLS/|TCP/TLS/|TCP/|DCCP/)?RTP/", re.IGNORECASE)


class Direction(Enum):
    """Which way a stream flows, seen by the side that wrote it (RFC 8866 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


_REVERSED = {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}


def reverse_direction(direction: Direction) -> Direction:
    """Return the same flow seen by the other side: what an answer says to an offer (RFC 3264 6.1)."""
    return _REVERSED.get(direction, direction)


class Origin(NamedTuple):
    """The o= line: who made the session, and how often it has changed it."""

    username: str
    session_id: int
    version: int
    address: str

    @classmethod
    def parse(cls, value: str) -> Origin:
        """Return the origin that an o= line tells.

        Raises:
            PeerError: where it is malformed.
        """
        parts = value.split()
        # A user name with blanks is forgiven: only its end counts (seen from desk phones with a display name there).
        if len(parts) < 6 or parts[-3].upper() != "IN":
            raise PeerError(
                f"SDP: found o= with {len(parts)} parts, expected user, id, version, IN, IP4 or IP6, address"
            )
        identifier, version = (_number(part, "o=", 2**64) for part in (parts[-5], parts[-4]))
        return cls(" ".join(parts[:-5]), identifier, version, parts[-1])


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One m= line with the lines that belong to it; `formats` are payload types where the protocol is RTP."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[Line, ...] = ()
    port_count: int = 1

    @property
    def is_rtp(self) -> bool:
        """Whether the formats are RTP payload types."""
        return _RTP.match(self.protocol) is not None

    def attribute(self, name: str) -> str | None:
        """Return the value of the first attribute of this name: "" for a flag, None where there is none."""
        return next(iter(attributes(self.lines, name)), None)

    def attributes(self, name: str) -> list[str]:
        """Return the values of all attributes of this name."""
        return attributes(self.lines, name)

    @property
    def connection(self) -> str | None:
        """The address of this stream's own c= line, None where the session's counts."""
        return connection_of(self.lines)

    def __str__(self) -> str:
        count = f"/{self.port_count}" if self.port_count != 1 else ""
        head = f"m={self.kind} {self.port}{count} {self.protocol} {' '.join(self.formats)}"
        return "\r\n".join([head, *_written(self.lines)])


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """The lines of the session level and the streams, both in their order."""

    lines: tuple[Line, ...]
    media: tuple[MediaDescription, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Return the description that a body is; line ends may be LF, lines may come in any order within a level.

        A missing o=, s= or t= is forgiven (old gateways leave them out), unknown lines are kept.

        Raises:
            PeerError: 400 where it is none.
        """
        lines = _split(body)
        starts = [index for index, (letter, _) in enumerate(lines) if letter == "m"]
        if len(starts) > MAX_MEDIA:
            raise PeerError(f"SDP: found {len(starts)} m= lines, expected at most {MAX_MEDIA}")
        session = lines[: starts[0]] if starts else lines
        versions = [value for letter, value in session if letter == "v"]
        if versions != ["0"]:
            raise PeerError(f"SDP: found {len(versions)} v= lines or another version, expected one v=0")
        media = [_media(lines[start:end]) for start, end in pairwise([*starts, len(lines)])]
        description = cls(tuple(session), tuple(media))
        _ = description.origin, description.connection
        return description

    def serialize(self) -> bytes:
        """Return the description as it goes on the wire."""
        text = "\r\n".join([*_written(self.lines), *map(str, self.media), ""])
        return text.encode("utf-8", "surrogateescape")

    @property
    def origin(self) -> Origin | None:
        """The o= line, None where it is missing. PeerError where it is malformed."""
        value = self._first("o")
        return None if value is None else Origin.parse(value)

    @property
    def timing(self) -> str:
        """What stands behind t=, `0 0` where it is missing; an answer must repeat it (RFC 3264 6)."""
        return self._first("t") or "0 0"

    @property
    def connection(self) -> str | None:
        """The address of the session's c= line, None where there is none."""
        return connection_of(self.lines)

    def attribute(self, name: str) -> str | None:
        """Return the value of the session's first attribute of this name: "" for a flag, None where there is none."""
        return next(iter(attributes(self.lines, name)), None)

    def _first(self, letter: str) -> str | None:
        return next((value for key, value in self.lines if key == letter), None)


def attributes(lines: Sequence[Line], name: str) -> list[str]:
    """Return the values of the a= lines of this name, in any case; "" for a flag."""
    found = []
    for letter, value in lines:
        if letter == "a":
            key, _, rest = value.partition(":")
            if key.strip().lower() == name:
                found.append(rest.strip())
    return found


def connection_of(lines: Sequence[Line]) -> str | None:
    """Return the address of the first c= line: a literal or a host name, without TTL.

    Raises:
        PeerError: where the line is malformed.
    """
    value = next((value for letter, value in lines if letter == "c"), None)
    if value is None:
        return None
    parts = value.split()
    if len(parts) != 3 or parts[0].upper() != "IN" or parts[1].upper() not in {"IP4", "IP6"}:
        raise PeerError(f"SDP: found c={value[:60]!r}, expected IN, IP4 or IP6, address")
    address = parts[2].partition("/")[0]
    if not _is_address(address):
        raise PeerError(f"SDP: found address {address[:60]!r} in c=, expected an IP address or a host name")
    return address


def _is_address(text: str) -> bool:
    # The family by the literal itself: some gateways say IP4 before an IPv6 address.
    try:
        if ":" in text:
            IPv6Address(text)
        elif _NUMERIC.fullmatch(text):
            IPv4Address(text)
        else:
            return _HOST_NAME.fullmatch(text) is not None
    except ValueError:
        return False
    return True


def _split(body: bytes) -> list[Line]:
    if len(body) > MAX_DESCRIPTION:
        raise PeerError(f"SDP: found {len(body)} bytes, expected at most {MAX_DESCRIPTION}")
    text = body.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    if "\x00" in text or "\r" in text:
        raise PeerError("SDP: found a NUL or a bare CR, expected lines of text")
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if not lines or len(lines) > MAX_LINES:
        raise PeerError(f"SDP: found {len(lines)} lines, expected 1 to {MAX_LINES}")
    for line in lines:
        if line[1:2] != "=" or not (line[0].isascii() and line[0].isalpha()):
            raise PeerError(f"SDP: found a line that starts {line[:2]!r}, expected a letter and '='")
    return [(line[0], line[2:]) for line in lines]


def _media(lines: Sequence[Line]) -> MediaDescription:
    """Read an m= line and those behind it."""
    value = lines[0][1]
    parts = value.split()
    if len(parts) < 4:
        raise PeerError(f"SDP: found m={value[:60]!r}, expected kind, port, protocol and at least one format")
    kind, place, protocol, *formats = parts
    port, _, count = place.partition("/")
    media = MediaDescription(
        kind.lower(),
        _number(port, "port", 65535),
        protocol,
        tuple(formats),
        tuple(lines[1:]),
        _number(count, "port count", 65535) if count else 1,
    )
    if media.is_rtp:
        for payload_type in formats:
            _number(payload_type, "payload type", 127)
    _ = media.connection
    return media


def _number(text: str, what: str, maximum: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= maximum):
        raise PeerError(f"SDP: found {what} {text[:30]!r}, expected a number up to {maximum}")
    return int(text)


def _written(lines: Sequence[Line]) -> list[str]:
    return [f"{letter}={value}" for letter, value in lines]
