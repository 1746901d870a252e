"""The last courtesy to bytes that are no message: a 400 where its Via can be read (RFC 3261 21.4.1)."""

from __future__ import annotations

import hashlib
import re

from callrec.errors import PeerError
from callrec.sip.grammar import FOLD, TOKEN, split_list
from callrec.sip.headers import COMPACT, Headers
from callrec.sip.message import MAX_HEADERS, MAX_MESSAGE, REASON_PHRASES, Response
from callrec.sip.via import Via


def usable_via(data: bytes) -> Via | None:
    """Return the top Via of a request that could not be parsed, None where there is none to answer to."""
    return _Remains(data).via


_OTHER_VERSION = re.compile(r"SIP\s*+/\s*+[0-9]+\.[0-9]+", re.IGNORECASE | re.ASCII)  # answered 505 (RFC 3261 21.5.6)


class _Remains:
    """What can still be read of a request that could not be parsed."""

    def __init__(self, data: bytes) -> None:
        head = data[:MAX_MESSAGE].lstrip(b"\r\n").partition(b"\r\n\r\n")[0]
        start_line, *lines = FOLD.sub(" ", head.decode("utf-8", "surrogateescape")).split("\r\n")
        self.method = start_line.lstrip().partition(" ")[0]
        self.pairs = [pair for line in lines[:MAX_HEADERS] if (pair := _pair(line)) is not None]
        self.via: Via | None = None
        # Responses are never answered; nor is what does not speak SIP at all, such as HTTP.
        if TOKEN.fullmatch(self.method) and start_line.rstrip()[-7:-3].upper() == "SIP/":
            self.via = self._top_via()

    def _top_via(self) -> Via | None:
        """Return the top Via: whole if it can be, else the transport and sent-by that stand before its parameters."""
        line = _OTHER_VERSION.sub("SIP/2.0", self.first("via") or "")
        for text in (line, line.partition(";")[0]):
            try:
                return Via.parse(split_list(text, "Via")[0])
            except PeerError:
                continue
        return None

    def first(self, key: str) -> str | None:
        return next((value for name, value in self.pairs if name == key), None)


def _pair(line: str) -> tuple[str, str] | None:
    name, colon, value = line.partition(":")
    key = name.rstrip(" \t").lower()
    if not colon or not TOKEN.fullmatch(key) or any(mark in value for mark in "\r\n\x00"):
        return None
    return COMPACT.get(key, key), value.strip(" \t")


def parse_failure_reply(data: bytes, error: PeerError, source: tuple[str, int] | None = None) -> bytes | None:
    """Return the response to a request that could not be parsed, None where none may be sent.

    Via, From, To, Call-ID and CSeq are echoed as far as they can be read; the To tag is made of the request, so that
    a repeated request gets the same response (RFC 3261 8.2.7). `source` is noted in the Via (RFC 3261 18.2.1).
    """
    remains = _Remains(data)
    if remains.via is None or remains.method == "ACK":
        return None
    top, *others = [value for name, value in remains.pairs if name == "via"]
    if source is not None and remains.via.parameters:
        top = ", ".join([str(remains.via.with_source(*source)), *split_list(top, "Via")[1:]])
    headers = [("Via", value) for value in (top, *others)]
    for key, name in (("from", "From"), ("to", "To"), ("call-id", "Call-ID"), ("cseq", "CSeq")):
        if (value := remains.first(key)) is not None:
            headers.append((name, _tagged(value, data) if key == "to" else value))
    return Response(error.status, REASON_PHRASES.get(error.status, "Bad Request"), Headers(headers)).serialize()


def _tagged(to: str, data: bytes) -> str:
    if re.search(r";\s*tag\s*=", to, re.IGNORECASE):
        return to
    return f"{to};tag={hashlib.sha256(data).hexdigest()[:16]}"
