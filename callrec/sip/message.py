"""Requests and responses as values, read from bytes and written to them (RFC 3261 7).

What every receiver needs (top Via, From, To, Call-ID, CSeq) is checked while reading; any other header is parsed when
it is asked for, and the result kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from callrec.errors import PeerError
from callrec.sip.grammar import FOLD, TOKEN
from callrec.sip.headers import Headers, parse_headers
from callrec.sip.message_view import CSeq, MessageView
from callrec.sip.uri import Uri

__all__ = ["REASON_PHRASES", "CSeq", "Message", "Request", "Response", "parse_message", "respond_to"]

MAX_MESSAGE = 65536
"""Bytes of a message with its body; a datagram cannot hold more."""
MAX_HEADERS = 256
MAX_HEADER_LENGTH = 16384
"""Characters of one header line after unfolding; STIR tokens take about two thousand."""

_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)
_BARE_NUL = re.compile(r"(?<!\\)\x00")
_ONCE = ("from", "to", "call-id", "cseq")
_AT_MOST_ONCE = ("max-forwards", "content-length", "content-type")

REASON_PHRASES = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    199: "Early Dialog Terminated", 200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 407: "Proxy Authentication Required",
    408: "Request Timeout", 410: "Gone", 412: "Conditional Request Failed", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
    433: "Anonymity Disallowed",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event", 491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large", 600: "Busy Everywhere",
    603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
"""The phrase of each registered status; any other status has none of its own."""


@dataclass(frozen=True, slots=True)
class Request(MessageView):
    """A request; `serialize` sets Content-Length by the body."""

    method: str
    uri: Uri
    headers: Headers
    body: bytes = field(default=b"", repr=False)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def serialize(self) -> bytes:
        """Return the request as it goes on the wire; the bytes are kept, for its size decides the way it goes."""
        if "serialize" not in self._cache:
            self._cache["serialize"] = self._written(f"{self.method} {self.uri} SIP/2.0")
        written: bytes = self._cache["serialize"]
        return written


@dataclass(frozen=True, slots=True)
class Response(MessageView):
    """A response; `serialize` sets Content-Length by the body."""

    status: int
    reason: str
    headers: Headers
    body: bytes = field(default=b"", repr=False)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def is_provisional(self) -> bool:
        """Whether another response will follow."""
        return self.status < 200

    @property
    def is_success(self) -> bool:
        """Whether this is a 2xx."""
        return 200 <= self.status < 300

    def serialize(self) -> bytes:
        """Return the response as it goes on the wire."""
        return self._written(f"SIP/2.0 {self.status} {self.reason}")


Message = Request | Response


def respond_to(  # noqa: PLR0913 - what a response may carry, all by keyword
    request: Request,
    status: int,
    *,
    reason: str | None = None,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """Return the response to a request with all that RFC 3261 8.2.6.2 copies; `to_tag` counts where To has none.

    Record-Route is copied where the response makes a dialog (12.1.1), Timestamp into 100 (8.2.6.1).
    """
    copied = {"via", "from", "to", "call-id", "cseq"}
    if status == 100:
        copied.add("timestamp")
    elif status < 300:
        copied.add("record-route")
    kept = request.headers.only(*copied)
    if to_tag is not None and status != 100 and request.to.tag is None:
        kept = kept.replace("To", str(request.to.with_tag(to_tag)))
    phrase = REASON_PHRASES.get(status, "") if reason is None else reason
    return Response(status, phrase, kept.extend(headers), body)


def parse_message(data: bytes) -> Message:
    """Return the message that a datagram, or a piece cut by the stream framer, is.

    Empty lines before it are skipped (RFC 3261 7.5), bytes behind Content-Length are left out (18.3).

    Raises:
        PeerError: where it is none; 505 for another version of SIP, 513 for one too large, 414 for a URI too long.
    """
    if len(data) > MAX_MESSAGE:
        raise PeerError(f"found a message of {len(data)} bytes, expected at most {MAX_MESSAGE}", status=513)
    head, separator, rest = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise PeerError("found no empty line behind the headers, expected CR LF CR LF")
    start_line, *lines = _lines(head)
    headers = parse_headers(lines, MAX_HEADERS)
    _check_counts(headers)
    body = _cut_body(headers, rest)
    message = _of_start_line(start_line, headers, body)
    _check_needed(message)
    return message


def _lines(head: bytes) -> list[str]:
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = FOLD.sub(" ", text)
    lines = text.split("\r\n")
    if not text.count("\n") == text.count("\r") == len(lines) - 1:
        raise PeerError("found a bare CR or LF in the headers, expected CR LF at every line end")
    if "\x00" in text and _BARE_NUL.search(text):
        raise PeerError("found a NUL in the headers, expected none")
    if len(text) > MAX_HEADER_LENGTH and max(map(len, lines)) > MAX_HEADER_LENGTH:
        raise PeerError(f"found a header line over {MAX_HEADER_LENGTH} characters, expected a shorter one", status=513)
    return lines


def _check_counts(headers: Headers) -> None:
    for name in _ONCE:
        if (count := len(headers.get_all(name))) != 1:
            raise PeerError(f"found {count} {name} headers, expected exactly one")
    for name in _AT_MOST_ONCE:
        if (count := len(headers.get_all(name))) > 1:
            raise PeerError(f"found {count} {name} headers, expected at most one")


def _cut_body(headers: Headers, rest: bytes) -> bytes:
    length = headers.get("Content-Length")
    if length is None:
        return rest
    if not (length.isascii() and length.isdigit()) or len(length) > 9:
        raise PeerError(f"Content-Length: found {length[:30]!r}, expected a number of bytes")
    if int(length) > len(rest):
        raise PeerError(f"found a body of {len(rest)} bytes, expected the {length} that Content-Length says")
    return rest[: int(length)]


def _of_start_line(line: str, headers: Headers, body: bytes) -> Message:
    if line[:4].upper() == "SIP/":
        return _response(line, headers, body)
    # Request-Line = Method SP Request-URI SP SIP-Version, single blanks (RFC 3261 7.1, RFC 4475 3.1.2.9 ff.)
    parts = line.split(" ")
    if len(parts) != 3:
        raise PeerError(f"found {len(parts)} parts in the request line, expected METHOD URI SIP/2.0")
    method, uri, version = parts
    if not TOKEN.fullmatch(method):
        raise PeerError(f"found method {method[:30]!r}, expected a token")
    _check_version(version)
    return Request(method, Uri.parse(uri), headers, body)


def _check_version(version: str) -> None:
    if version.upper() != "SIP/2.0":
        status = 505 if _VERSION.fullmatch(version) else 400
        raise PeerError(f"found version {version[:20]!r}, expected SIP/2.0", status=status)


def _response(line: str, headers: Headers, body: bytes) -> Response:
    # A missing blank behind the status is forgiven: editors of SIPp scripts strip it.
    version, _, rest = line.partition(" ")
    status, _, reason = rest.partition(" ")
    _check_version(version)
    if not (len(status) == 3 and status.isascii() and status.isdigit() and 100 <= int(status) <= 699):
        raise PeerError(f"found status {status[:20]!r}, expected a number from 100 to 699")
    return Response(int(status), reason, headers, body)


def _check_needed(message: Message) -> None:
    """Parse what every receiver needs; the results stay in the message."""
    _ = message.via, message.from_, message.to, message.call_id
    method = message.cseq.method
    if isinstance(message, Request) and method != message.method:
        raise PeerError(f"CSeq: found method {method[:30]!r}, expected {message.method[:30]} of the request line")
