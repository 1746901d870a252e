"""A SIP exchange as a ladder: what went which way and when, in one line each, with its SDP in another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

_HEADER = r"^(?:{names})[ \t]*:[ \t]*([^\r\n]*)"
_CALL_ID = re.compile(_HEADER.format(names="call-id|i"), re.IGNORECASE | re.MULTILINE)
_CSEQ = re.compile(_HEADER.format(names="cseq"), re.IGNORECASE | re.MULTILINE)
_FORMAT = re.compile(r"^a=rtpmap:(\d+) ([^/\r\n]+)", re.MULTILINE)
_MEDIA = re.compile(r"^m=(\S+) (\d+)(?:/\d+)? (\S+) ?([^\r\n]*)", re.MULTILINE)
_ADDRESS = re.compile(r"^c=IN IP[46] ([^\s/]+)", re.MULTILINE)
_DIRECTION = re.compile(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", re.MULTILINE)
_STATIC = {"0": "PCMU", "3": "GSM", "8": "PCMA", "9": "G722", "13": "CN", "18": "G729"}
"""RFC 3551 table 4, as far as a telephone uses it."""
_LONGEST_SUMMARY = 80


class Message(Protocol):
    """A message as it was kept."""

    @property
    def at_us(self) -> int:
        """Return when, in microseconds since 1970."""

    @property
    def sent(self) -> bool:
        """Say whether we sent it."""

    @property
    def transport(self) -> str:
        """Return how."""

    @property
    def ours(self) -> str:
        """Return our address."""

    @property
    def theirs(self) -> str:
        """Return the far address."""

    @property
    def text(self) -> str:
        """Return the whole message."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One message of the ladder."""

    at_us: int
    ms: int
    """Milliseconds since the first message."""
    leg: str
    """`caller`, `destination`, `destination 2` …: by Call-ID, in the order in which they came."""
    sent: bool
    transport: str
    ours: str
    theirs: str
    summary: str
    """Method and request URI, or status and reason."""
    cseq: str
    sdp: str | None
    repeated: bool
    """Byte for byte as one before: a re-transmission."""
    text: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def ladder(messages: Iterable[Message]) -> Iterator[Rung]:
    """Give the rungs of a ladder, in the order of time."""
    ordered = sorted(messages, key=lambda message: message.at_us)
    legs: dict[str, str] = {}
    seen: set[tuple[bool, str]] = set()
    for message in ordered:
        head, _, body = message.text.partition("\r\n\r\n")
        name = _first(_CALL_ID, head)
        leg = legs.setdefault(name, _leg(len(legs)))
        key = (message.sent, message.text)
        yield Rung(
            at_us=message.at_us,
            ms=(message.at_us - ordered[0].at_us) // 1000,
            leg=leg,
            sent=message.sent,
            transport=message.transport,
            ours=message.ours,
            theirs=message.theirs,
            summary=_summary(head),
            cseq=_first(_CSEQ, head),
            sdp=summary_of_sdp(body),
            repeated=key in seen,
            text=message.text,
        )
        seen.add(key)


def summary_of_sdp(body: str) -> str | None:
    """Return an SDP in one line: media, codecs, address, direction; None where there is none."""
    media = _MEDIA.search(body)
    if media is None:
        return None
    names = dict(_FORMAT.findall(body))
    codecs = [names.get(number) or _STATIC.get(number, number) for number in media[4].split()]
    profile = "" if media[3] == "RTP/AVP" else f" {media[3]}"
    direction = _first(_DIRECTION, body) or "sendrecv"
    return f"{media[1]} {' '.join(codecs)} at {_first(_ADDRESS, body) or '?'}:{media[2]}{profile} {direction}"


def _leg(count: int) -> str:
    return ("caller", "destination")[count] if count < 2 else f"destination {count}"


def _summary(head: str) -> str:
    line = head.partition("\r\n")[0].removeprefix("SIP/2.0 ").removesuffix(" SIP/2.0")
    return line if len(line) <= _LONGEST_SUMMARY else line[: _LONGEST_SUMMARY - 1] + "…"


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1].strip() if found is not None else ""
