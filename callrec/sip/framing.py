"""Cutting a byte stream into messages (RFC 3261 18.3) and keep-alives (RFC 5626 3.5.1)."""

from __future__ import annotations

import re
from enum import Enum

from callrec.errors import PeerError
from callrec.sip.message import MAX_MESSAGE

_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:((?:[^\r\n]|\r\n[ \t])*+)", re.IGNORECASE)
_END_OF_HEADERS = b"\r\n\r\n"

PONG = b"\r\n"
"""The answer to KeepAlive.PING."""


class KeepAlive(Enum):
    """Line ends between messages."""

    PING = "ping"
    """CR LF CR LF: the sender waits for `PONG`."""
    PONG = "pong"
    """One CR LF: the answer to a ping of ours, or nothing."""


def is_keep_alive(data: bytes) -> bool:
    """Whether a datagram holds line ends (or NULs, as some phones send) only: no message, and no answer is due."""
    return not data.strip(b"\r\n\x00")


class StreamFramer:
    """Takes bytes of one connection in any segmentation and gives whole messages; never holds over a message's limit.

    After an error the place of the next message is unknown: the connection must be closed.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self._held = bytearray()
        self._searched = 0
        self._needed = 0
        self._error: PeerError | None = None

    @property
    def error(self) -> PeerError | None:
        """Why no more can be read of this stream; `feed` raises it at once where it had nothing else to give."""
        return self._error

    @property
    def unframed(self) -> bytes:
        """The bytes no message has been made of yet: after an error, what `parse_failure_reply` can answer."""
        return bytes(self._held)

    def feed(self, data: bytes) -> list[bytes | KeepAlive]:
        """Take more bytes and return what is whole now, in order.

        Raises:
            PeerError: where the stream cannot be cut: no or several Content-Length, one that is no number or too
                large, headers without an end. Messages before it are returned first, the error by the next call.
        """
        if self._error is not None:
            raise self._error
        self._held += data
        found: list[bytes | KeepAlive] = []
        try:
            while (piece := self._next()) is not None:
                found.append(piece)
        except PeerError as error:
            self._error = error
            del self._held[self._max_message :]
            if not found:
                raise
        return found

    def _next(self) -> bytes | KeepAlive | None:
        held = self._held
        if held.startswith((b"\r", b"\n")):
            return self._keep_alive()
        if not self._needed and not self._find_end():
            return None
        if len(held) < self._needed:
            return None
        message = bytes(held[: self._needed])
        del held[: self._needed]
        self._searched = self._needed = 0
        return message

    def _keep_alive(self) -> KeepAlive | None:
        held = self._held
        if held.startswith(_END_OF_HEADERS):
            del held[:4]
            return KeepAlive.PING
        if _END_OF_HEADERS.startswith(held[:4]):
            # CR LF alone, or a part of a ping: more must come to tell. RFC 5626 4.4.1: a pong is not answered,
            # so nobody waits for us.
            return None
        if held.startswith(PONG):
            del held[:2]
            return KeepAlive.PONG
        raise PeerError("found a bare CR or LF between messages, expected CR LF")

    def _find_end(self) -> bool:
        """Find the end of the headers and so the length of the message; True when it is known."""
        held = self._held
        end = held.find(_END_OF_HEADERS, max(0, self._searched - 3))
        self._searched = len(held)
        if end < 0:
            if len(held) > self._max_message:
                raise PeerError(f"found no end of the headers in {len(held)} bytes, expected one", status=513)
            return False
        self._needed = end + 4 + self._body_length(bytes(held[: end + 2]))
        if self._needed > self._max_message:
            needed, self._needed = self._needed, 0
            raise PeerError(f"found a message of {needed} bytes, expected at most {self._max_message}", status=513)
        return True

    def _body_length(self, head: bytes) -> int:
        values = {value.strip() for value in _CONTENT_LENGTH.findall(head)}
        if len(values) != 1:
            raise PeerError(f"found {len(values)} Content-Length values in a stream, expected one (RFC 3261 18.3)")
        (value,) = values
        if not value.isdigit() or len(value) > 9:
            raise PeerError(f"Content-Length: found {value[:30]!r}, expected a number of bytes")
        return int(value)
