"""A far side that says what named stacks say: messages from tests/vectors/peers, put into a live dialog."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from callrec.sip.events import Address, Flow
from callrec.sip.headers import key_of
from callrec.sip.message import Message, Request, Response, parse_message
from tests.support.joined import Wire, kind_of

ROOT = Path(__file__).parent.parent / "vectors" / "peers"
_HEADER = re.compile(r"(?P<name>[^:\s]+)(?P<colon>\s*:\s*)(?P<value>.*)", re.DOTALL)
_AUTOMATIC = frozenset({"BYE", "NOTIFY", "UPDATE", "PRACK", "OPTIONS", "INFO"})


@cache
def manifest() -> dict[str, Any]:
    """Return what is known and expected of every stack and message; see tests/vectors/peers/README.md."""
    found: dict[str, Any] = json.loads((ROOT / "manifest.json").read_text())
    return found


def stacks(*needed: str) -> list[str]:
    """Return the stacks of which all these files are there."""
    return [name for name in manifest()["stacks"] if all((ROOT / name / f"{file}.sip").exists() for file in needed)]


def address_of(stack: str, *, inside: bool = False) -> Address:
    """Return where a stack speaks from."""
    known = manifest()["stacks"][stack]
    if inside and "inside_address" in known:
        return Address(known["inside_address"], 5060)
    return Address(known["address"], known.get("port", 5060))


def bytes_of(stack: str, name: str) -> bytes:
    """Return a message as the stack wrote it."""
    return (ROOT / stack / f"{name}.sip").read_bytes()


@dataclass
class Dialog:
    """What a message inside the dialog has to name, each as it goes on the wire."""

    call_id: str
    local: str
    remote: str
    target: str = ""
    number: int = 0


@dataclass
class RecordedPeer:
    """One far side on the wire; requests in a dialog are answered 200 by itself, INVITEs by the test."""

    wire: Wire
    stack: str
    recorder: Address
    inside: bool = False
    """Whether it is the PBX: some stacks are met on both sides."""
    at: Address | None = None
    """Where it is, if not where the manifest has it."""
    address: Address = field(init=False)
    dialog: Dialog = field(init=False)
    invite: Request | None = None
    """The recorder's latest INVITE."""

    def __post_init__(self) -> None:
        self.address = self.at or address_of(self.stack, inside=self.inside)
        self.received: asyncio.Queue[Message] = asyncio.Queue()
        self._seen: set[tuple[str, str]] = set()
        self._branches = 0
        self.wire.join(self)  # type: ignore[arg-type] - it has what the wire asks of an end

    # What comes

    def arrive(self, data: bytes, _flow: Flow) -> None:
        message = parse_message(data)
        once = (kind_of(message), f"{message.via.branch}{message.cseq}")
        if once in self._seen and not isinstance(message, Response):
            return  # a copy
        self._seen.add(once)
        if isinstance(message, Request):
            if message.method == "INVITE":
                self.invite = message
            elif message.method in _AUTOMATIC:
                self._say(_plain_response(message, "200 OK"))
        elif message.is_provisional and message.headers.get("RSeq") and message.contact is not None:
            self._acknowledge_reliably(message)
        self.received.put_nowait(message)

    def _acknowledge_reliably(self, response: Response) -> None:
        """Send the PRACK of a reliable 18x (RFC 3262)."""
        assert response.contact is not None
        self.dialog.remote = response.headers.get("To") or ""
        self.dialog.target = str(response.contact.uri)
        self.dialog.number += 1
        rack = f"{response.headers.get('RSeq')} {response.cseq}"
        self._say(self._plain_request("PRACK", self.dialog.number, ("RAck", rack)))

    async def next(self, kind: str, *, within: float = 60.0) -> Any:
        """Return the next message of a method ("BYE") or a status ("200"), forgetting what came before it."""
        async with asyncio.timeout(within):
            while True:
                message = await self.received.get()
                if kind_of(message) == kind:
                    return message

    # What is said

    def call(self, name: str = "invite") -> Request:
        """Send an INVITE, byte for byte as it is in its file; its dialog is this side's from now on."""
        data = bytes_of(self.stack, name)
        request = parse_message(data)
        assert isinstance(request, Request)
        values = request.headers.get
        self.dialog = Dialog(request.call_id, values("From") or "", values("To") or "", number=request.cseq.number)
        self._say(data)
        return request

    async def answered(self, ack: str = "") -> Response:
        """Wait for the recorder's 200 to our INVITE, and acknowledge it (`ack`: with that file)."""
        response: Response = await self.next("200")
        while response.cseq.method == "PRACK":
            response = await self.next("200")
        assert response.cseq.method == "INVITE"
        assert response.contact is not None
        self.dialog.remote = response.headers.get("To") or ""
        self.dialog.target = str(response.contact.uri)
        if ack:
            self.ask(ack, number=response.cseq.number)
        else:
            self._say(self._plain_request("ACK", response.cseq.number))
        return response

    async def called(self) -> Request:
        """Wait for the recorder's INVITE; its dialog is this side's from now on."""
        request: Request = await self.next("INVITE")
        assert request.contact is not None
        remote = request.headers.get("From") or ""
        self.dialog = Dialog(request.call_id, "", remote, str(request.contact.uri))
        return request

    def respond(self, name: str, request: Request | None = None) -> None:
        """Answer an INVITE of the recorder with the message of a file."""
        request = request or self.invite
        assert request is not None
        head, body = _split(bytes_of(self.stack, name))
        tag = re.search(r"(?im)^(?:to|t)\s*:.*(;tag=[^;\r\n]+)", head)
        assert tag is not None, f"{name} has no To tag"
        to = request.headers.get("To") or ""
        filled = {
            "from": request.headers.get("From") or "",
            "to": to if ";tag=" in to else to + tag[1],
            "call-id": request.call_id,
            "cseq": str(request.cseq),
            "via": ", ".join(request.headers.get_all("Via")),
        }
        if self.at is not None:
            filled["contact"] = f"<sip:{request.uri.user}@{self.at.host}:{self.at.port}>"
        self.dialog.local = filled["to"]
        if b" RTP/AVP 0" in request.body and b" RTP/AVP 8" not in request.body:  # nobody answers what was not offered
            body = body.replace(b" RTP/AVP 8", b" RTP/AVP 0").replace(b"rtpmap:8 PCMA", b"rtpmap:0 PCMU")
        self._say(_filled(head, filled) + body)

    def may_respond(self, name: str) -> bool:
        """Return whether there is such a file, and its 100rel, if it needs that, was offered (RFC 3262 3)."""
        if self.stack not in stacks(name):
            return False
        needed = parse_message(bytes_of(self.stack, name)).headers.words("Require")
        return self.invite is not None and needed <= self.invite.headers.words("Supported")

    def refuse(self, request: Request, status: str) -> None:
        """Answer a request of the recorder with a response of no particular stack."""
        self._say(_plain_response(request, status))

    def ask(self, name: str, *, number: int = 0, instead: tuple[str, str] = ("", "")) -> None:
        """Send the request of a file inside the dialog; `instead` of a text in its body another as long."""
        head, body = _split(bytes_of(self.stack, name))
        body = body.replace(instead[0].encode(), instead[1].encode()) if instead[0] else body
        if not number:
            self.dialog.number += 1
        start, _, rest = head.partition("\r\n")
        method, _, _ = start.partition(" ")
        filled = {
            "from": self.dialog.local,
            "to": self.dialog.remote,
            "call-id": self.dialog.call_id,
            "cseq": f"{number or self.dialog.number} {method}",
        }
        self._branches += 1
        unique = re.sub(r"(branch=z9hG4bK)", rf"\g<1>{self._branches}n", rest, count=1)
        self._say(_filled(f"{method} {self.dialog.target} SIP/2.0\r\n{unique}", filled) + body)

    def ping(self, name: str) -> None:
        """Send a request outside any dialog."""
        self._say(bytes_of(self.stack, name))

    def ack_refusal(self, response: Response) -> None:
        """Acknowledge a refusal of our INVITE, as its transaction does (RFC 3261 17.1.1.3)."""
        names = {"Via": str(response.via), "From": self.dialog.local, "To": response.headers.get("To") or ""}
        lines = [f"ACK {self.dialog.target} SIP/2.0", *(f"{name}: {value}" for name, value in names.items())]
        lines += [f"Call-ID: {self.dialog.call_id}", f"CSeq: {response.cseq.number} ACK", "Content-Length: 0"]
        self._say(("\r\n".join(lines) + "\r\n\r\n").encode())

    def end(self) -> None:
        """Hang up, in a way of no particular stack."""
        self.dialog.number += 1
        self._say(self._plain_request("BYE", self.dialog.number))

    def _plain_request(self, method: str, number: int, *more: tuple[str, str]) -> bytes:
        self._branches += 1
        host = f"{self.address.host}:{self.address.port}"
        lines = [
            f"{method} {self.dialog.target} SIP/2.0",
            f"Via: SIP/2.0/UDP {host};branch=z9hG4bK{self._branches}p{self.dialog.call_id[:8]}",
            f"From: {self.dialog.local}",
            f"To: {self.dialog.remote}",
            f"Call-ID: {self.dialog.call_id}",
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
            *(f"{name}: {value}" for name, value in more),
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def written(self, name: str) -> bytes:
        """Return what `ask` would send, without sending it."""
        said: list[bytes] = []
        say, self._say = self._say, said.append  # type: ignore[method-assign]
        try:
            self.ask(name)
        finally:
            self._say = say  # type: ignore[method-assign]
        return said[0]

    def _say(self, data: bytes) -> None:
        self.wire.send(data, Flow("udp", self.address, self.recorder))


def _split(data: bytes) -> tuple[str, bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode() + "\r\n", body


def _filled(head: str, values: dict[str, str]) -> bytes:
    """Return a head with these values, each where the file has that header, in the file's own spelling of it."""
    left = dict(values)
    lines = []
    for line in head.rstrip("\r\n").split("\r\n"):
        found = _HEADER.fullmatch(line)
        key = key_of(found["name"]) if found is not None and lines else ""
        lines.append(f"{found['name']}{found['colon']}{left.pop(key)}" if found is not None and key in left else line)
    assert not left, f"no header for {sorted(left)}"
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _plain_response(request: Request, status: str) -> bytes:
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    lines = [f"SIP/2.0 {status}"]
    lines += [f"{name}: {value}" for name in names for value in request.headers.get_all(name)]
    return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode("utf-8", "surrogateescape")
