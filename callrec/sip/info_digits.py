"""Keys that come in INFO, as gateways and phones send them that do not speak RFC 4733; no RFC says how.

Cisco's `application/dtmf-relay` (`Signal=5`), the bare `application/dtmf` (`5`), and Nortel's
`application/vnd.nortelnetworks.digits` (`d=5`) are what is met.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callrec.sip.message import Request

_LINE = {
    "application/dtmf-relay": re.compile(rb"(?im)^\s*Signal\s*[=:]\s*([^\s;]{1,2})"),
    "application/dtmf": re.compile(rb"(?i)^\s*(?:Signal\s*=\s*)?([^\s;]{1,2})\s*(?:$|[\r\n])"),
    "application/vnd.nortelnetworks.digits": re.compile(rb"(?im)^\s*d\s*=\s*([^\s;]{1,2})"),
}
_KEYS = "0123456789*#ABCD"
"""In the order of the events of RFC 4733 3.2, by which some senders name them: 10 is the star."""


def content_type(request: Request) -> str:
    """Return the kind of a request's body in lower case, without parameters."""
    return (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


def carries_digit(request: Request) -> bool:
    """Whether a request is of a kind that carries a key, readable or not: its body is never logged or stored."""
    return content_type(request) in _LINE


def digit_of(request: Request) -> str | None:
    """Return the key that an INFO tells, None where it tells none (a hook flash is none)."""
    line = _LINE.get(content_type(request))
    found = line.search(request.body) if line is not None else None
    if found is None:
        return None
    word = found[1].decode("ascii", "replace").upper()
    if word.isascii() and word.isdecimal():
        return _KEYS[int(word)] if int(word) < len(_KEYS) else None
    return word if len(word) == 1 and word in _KEYS else None
