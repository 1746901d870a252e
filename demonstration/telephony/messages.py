"""SIP messages and SDP as text: only what a plain telephone line needs (RFC 3261, RFC 4566)."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

Address = tuple[str, int]
Headers = list[tuple[str, str]]

COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
}


@dataclass
class Message:
    """A request or a response; the first line is kept as text, headers in their order."""

    start: str
    headers: Headers
    body: bytes = b""

    @property
    def is_request(self) -> bool:
        return not self.start.startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        """Return the method, of a response the one it answers."""
        return self.start.split(" ", 1)[0] if self.is_request else self.cseq[1]

    @property
    def uri(self) -> str:
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        """Return the status code; 0 for a request."""
        return 0 if self.is_request else int(self.start.split(" ")[1])

    @property
    def cseq(self) -> tuple[int, str]:
        number, method = self.get("CSeq").split()
        return int(number), method

    @property
    def branch(self) -> str:
        found = re.search(r";\s*branch=([^;,\s]+)", self.get("Via"))
        return found.group(1) if found else ""

    def get(self, name: str) -> str:
        """Return the first value of a header, or an empty text."""
        return next((value for key, value in self.headers if same_header(key, name)), "")

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if same_header(key, name)]

    def pick(self, *names: str) -> Headers:
        """Return the headers of these names, in the order of the message."""
        return [(key, value) for key, value in self.headers if any(same_header(key, name) for name in names)]

    def serialize(self) -> bytes:
        kept = [(key, value) for key, value in self.headers if not same_header(key, "Content-Length")]
        lines = [self.start, *(f"{key}: {value}" for key, value in kept), f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


def same_header(one: str, other: str) -> bool:
    one, other = one.strip().lower(), other.strip().lower()
    return COMPACT.get(one, one) == COMPACT.get(other, other)


def parse(data: bytes) -> Message:
    """Return the message of one datagram, or of one frame cut out of a stream."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = re.sub(rb"\r\n[ \t]+", b" ", head).decode("utf-8", "replace").split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    message = Message(lines[0], headers, body)
    length = message.get("Content-Length")
    return Message(lines[0], headers, body[: int(length)]) if length.isdecimal() else message


def take_frame(buffer: bytearray) -> bytes | None:
    """Cut the first whole message out of what a stream has brought; None while it is not whole."""
    while buffer[:2] == b"\r\n":
        del buffer[:2]
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    found = re.search(rb"^(?:content-length|l)[ \t]*:[ \t]*(\d+)", bytes(buffer[:end]), re.IGNORECASE | re.MULTILINE)
    size = end + 4 + (int(found.group(1)) if found else 0)
    if len(buffer) < size:
        return None
    frame = bytes(buffer[:size])
    del buffer[:size]
    return frame


def uri_in(value: str) -> str:
    """Return the URI of a name-addr or addr-spec header value."""
    found = re.search(r"<([^>]+)>", value)
    return found.group(1) if found else value.split(";", 1)[0].strip()


def user_of(uri: str) -> str:
    """Return the user part of a SIP URI, without parameters."""
    user, at, _ = uri.partition(":")[2].partition("@")
    return user.partition(";")[0] if at else ""


def tag_in(value: str) -> str:
    found = re.search(r";\s*tag=([^;\s]+)", value.rpartition(">")[2] if "<" in value else value)
    return found.group(1) if found else ""


def address_of(uri: str) -> Address:
    """Return the host literal and port of a SIP URI (5060 where it names none)."""
    found = re.match(r"sips?:(?:[^@]*@)?(\[[^\]]+\]|[^:;?>]+)(?::(\d+))?", uri, re.IGNORECASE)
    if not found:
        raise ValueError(f"no address in {uri!r}")
    return found.group(1).strip("[]"), int(found.group(2) or 5060)


def token(size: int = 8) -> str:
    return secrets.token_hex(size)


@dataclass(frozen=True)
class Session:
    """One side of an audio session, as its SDP says it."""

    host: str
    port: int
    codecs: dict[int, str] = field(default_factory=dict)
    """Payload type -> "PCMA/8000", in the order of preference."""
    direction: str = "sendrecv"
    version: int = 1

    @property
    def audio(self) -> int:
        """Return the first payload type that is no telephone-event."""
        return next(number for number, name in self.codecs.items() if not name.lower().startswith("telephone-event"))

    @property
    def telephone_event(self) -> int | None:
        names = self.codecs.items()
        return next((number for number, name in names if name.lower().startswith("telephone-event/8000")), None)

    @property
    def held(self) -> bool:
        return self.direction in {"sendonly", "inactive"} or self.host == "0.0.0.0"  # RFC 2543's way to hold

    def serialize(self) -> bytes:
        lines = [
            "v=0",
            f"o=line 1 {self.version} IN IP4 {self.host}",
            "s=-",
            f"c=IN IP4 {self.host}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {' '.join(map(str, self.codecs))}",
            *(f"a=rtpmap:{number} {name}" for number, name in self.codecs.items()),
            *(f"a=fmtp:{number} 0-15" for number, name in self.codecs.items() if name.startswith("telephone-event")),
            "a=ptime:20",
            f"a={self.direction}",
        ]
        return ("\r\n".join(lines) + "\r\n").encode()


STATIC = {0: "PCMU/8000", 3: "GSM/8000", 8: "PCMA/8000", 9: "G722/8000", 13: "CN/8000", 18: "G729/8000"}


def read_session(body: bytes) -> Session:
    """Return the audio session of an SDP body."""
    host, port, numbers, names, direction, version = "", 0, [], dict(STATIC), "sendrecv", 1
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.partition("=")
        if kind == "c":
            host = value.split()[-1].partition("/")[0]
        elif kind == "o":
            version = int(value.split()[2])
        elif kind == "m" and value.startswith("audio"):
            port, numbers = int(value.split()[1].partition("/")[0]), [int(part) for part in value.split()[3:]]
        elif kind == "a" and value.startswith("rtpmap:"):
            number, _, name = value[7:].partition(" ")
            names[int(number)] = name
        elif kind == "a" and value in {"sendrecv", "sendonly", "recvonly", "inactive"}:
            direction = value
    return Session(host, port, {number: names.get(number, "unknown/0") for number in numbers}, direction, version)


def via(transport: str, local: Address, branch: str | None = None) -> str:
    return f"SIP/2.0/{transport.upper()} {local[0]}:{local[1]};branch={branch or 'z9hG4bK' + token()};rport"


def response_to(request: Message, status: int, reason: str, *, tag: str = "", body: bytes = b"") -> Message:
    """Return a response with the headers that RFC 3261 8.2.6.2 copies; the tag goes on To where it has none."""
    headers: Headers = []
    for key, value in request.pick("Via", "Record-Route", "From", "To", "Call-ID", "CSeq"):
        untagged = tag and same_header(key, "To") and not tag_in(value)
        headers.append((key, f"{value};tag={tag}" if untagged else value))
    if body:
        headers.append(("Content-Type", "application/sdp"))
    return Message(f"SIP/2.0 {status} {reason}", headers, body)
