"""The typed view of a message's headers: parsed when asked for, and the result kept (RFC 3261 20)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from callrec.errors import PeerError
from callrec.sip.grammar import TOKEN, Parameters, find, parse_parameters, split_list
from callrec.sip.headers import Headers
from callrec.sip.name_address import NameAddress
from callrec.sip.via import Via

T = TypeVar("T")


class CSeq(NamedTuple):
    """The place of a request in its dialog: number and method."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Return the CSeq that text is.

        Raises:
            PeerError: where it is none. Numbers are taken up to 32 bits: RFC 3261 8.1.1.5 says 31, some count on.
        """
        number, _, method = text.replace("\t", " ").partition(" ")
        method = method.strip(" ")
        if not (number.isascii() and number.isdigit() and len(number) <= 10 and int(number) < 2**32):
            raise PeerError(f"CSeq: found number {number[:30]!r}, expected one below 2^31")
        if not TOKEN.fullmatch(method):
            raise PeerError(f"CSeq: found method {method[:30]!r}, expected a token")
        return cls(int(number), method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


class MessageView:
    """What requests and responses share: the typed view of their headers."""

    __slots__ = ()
    headers: Headers
    body: bytes
    _cache: dict[str, Any]

    def _kept(self, key: str, make: Callable[[], T]) -> T:
        if key not in self._cache:
            self._cache[key] = make()
        return cast("T", self._cache[key])

    def _required(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise PeerError(f"found no {name} header, expected one")
        return value

    @property
    def via(self) -> Via:
        """The top Via. PeerError where it is missing or malformed."""
        return self._kept("via", lambda: Via.parse(split_list(self._required("Via"), "Via")[0]))

    @property
    def via_list(self) -> tuple[Via, ...]:
        """Every Via, the latest hop first. PeerError where one is malformed."""
        lines = self.headers.get_all("Via")
        return self._kept("vias", lambda: tuple(hop for line in lines for hop in Via.parse_list(line)))

    @property
    def from_(self) -> NameAddress:
        """From. PeerError where it is missing or malformed."""
        return self._kept("from", lambda: NameAddress.parse(self._required("From"), "From"))

    @property
    def to(self) -> NameAddress:
        """To. PeerError where it is missing or malformed."""
        return self._kept("to", lambda: NameAddress.parse(self._required("To"), "To"))

    @property
    def call_id(self) -> str:
        """Call-ID. PeerError where it is missing or holds blanks."""
        value = self._required("Call-ID")
        if value.split() != [value]:
            raise PeerError(f"Call-ID: found {len(value)} characters with blanks or nothing at all, expected one word")
        return value

    @property
    def cseq(self) -> CSeq:
        """CSeq. PeerError where it is missing or malformed."""
        return self._kept("cseq", lambda: CSeq.parse(self._required("CSeq")))

    @property
    def contacts(self) -> tuple[NameAddress, ...]:
        """Every Contact address; none for `*`. PeerError where one is malformed."""
        return self._kept("contacts", lambda: self._addresses("Contact"))

    @property
    def contact(self) -> NameAddress | None:
        """The first Contact, None where there is none. PeerError where it is malformed."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def route(self) -> tuple[NameAddress, ...]:
        """The route still to go. PeerError where one is malformed."""
        return self._kept("route", lambda: self._addresses("Route"))

    @property
    def record_route(self) -> tuple[NameAddress, ...]:
        """The proxies that want to stay on the path. PeerError where one is malformed."""
        return self._kept("record-route", lambda: self._addresses("Record-Route"))

    def addresses(self, name: str) -> tuple[NameAddress, ...]:
        """Return the addresses of any header that is a list of them, such as P-Asserted-Identity.

        Raises:
            PeerError: where one is malformed.
        """
        return self._kept(f"addresses of {name.lower()}", lambda: self._addresses(name))

    def _addresses(self, name: str) -> tuple[NameAddress, ...]:
        lines = self.headers.get_all(name)
        return tuple([value for line in lines if line != "*" for value in NameAddress.parse_list(line, name)])

    @property
    def max_forwards(self) -> int | None:
        """Hops left, None where the header is missing. PeerError where it is no number from 0 to 255."""
        return self.number("Max-Forwards", 255)

    def number(self, name: str, maximum: int = 2**32 - 1) -> int | None:
        """Return a header that is one whole number, such as Expires or Min-SE; parameters behind it are left out.

        Raises:
            PeerError: where it is no number up to the maximum.
        """
        value = self.headers.get(name)
        if value is None:
            return None
        digits = value.partition(";")[0].rstrip(" \t")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 12 and int(digits) <= maximum):
            raise PeerError(f"{name}: found {value[:30]!r}, expected a number up to {maximum}")
        return int(digits)

    @property
    def content_type(self) -> str | None:
        """The media type in lower case without parameters, None where the header is missing or empty."""
        value = self.headers.get("Content-Type")
        return value.partition(";")[0].replace(" ", "").lower() or None if value else None

    @property
    def content_type_parameters(self) -> Parameters:
        """The parameters of Content-Type, such as `boundary`. PeerError where one is malformed."""
        _, semicolon, rest = (self.headers.get("Content-Type") or "").partition(";")
        return parse_parameters(semicolon + rest, "Content-Type")

    @property
    def require(self) -> frozenset[str]:
        """The option tags the sender requires, in lower case."""
        return self.headers.option_tags("Require")

    @property
    def supported(self) -> frozenset[str]:
        """The option tags the sender supports, in lower case."""
        return self.headers.option_tags("Supported")

    @property
    def session(self) -> bytes | None:
        """The SDP of the body, also as a part of a multipart body; None where there is none.

        A body without Content-Type that starts as SDP does is taken as one (old gateways leave the header out).
        """
        return self._kept("session", self._find_session)

    def _find_session(self) -> bytes | None:
        kind = self.content_type
        if not self.body:
            return None
        if kind == "application/sdp" or (kind is None and self.body.startswith(b"v=0")):
            return self.body
        if kind is None or not kind.startswith("multipart/"):
            return None
        boundary = find(self.content_type_parameters, "boundary")
        return next((body for part, body in body_parts(self.body, boundary) if part == "application/sdp"), None)

    def _written(self, start_line: str) -> bytes:
        length = str(len(self.body))
        headers = self.headers
        if headers.get("Content-Length") != length:
            headers = headers.replace("Content-Length", length)
        lines = [start_line, *[f"{name}: {value}" for name, value in headers.items()], "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


def body_parts(body: bytes, boundary: str | None) -> list[tuple[str, bytes]]:
    """Return media type (lower case, without parameters) and content of each part of a multipart body (RFC 2046 5.1).

    Raises:
        PeerError: 400 where the boundary is missing from Content-Type.
    """
    if not boundary:
        raise PeerError("Content-Type: found multipart without a boundary, expected one")
    delimiter = b"--" + boundary.encode("utf-8", "surrogateescape")
    parts: list[tuple[str, bytes]] = []
    for piece in (b"\r\n" + body).split(b"\r\n" + delimiter)[1:]:
        if piece.startswith(b"--"):
            break
        head, _, content = piece.partition(b"\r\n\r\n")
        parts.append((_part_type(head), content))
    return parts


def _part_type(head: bytes) -> str:
    for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() in {"content-type", "c"}:
            return value.partition(";")[0].strip().lower()
    return "text/plain"  # RFC 2046 5.1
