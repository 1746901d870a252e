"""One endpoint and a hand that writes SIP to it: every byte of the other side is the test's own."""

from __future__ import annotations

from typing import Any, TypeVar

from callrec.sip.endpoint import Endpoint, EndpointProfile
from callrec.sip.events import Address, Event, Flow
from callrec.sip.message import Request, Response, parse_message
from tests.support.pair import OFFER, seeded

E = TypeVar("E")
OURS = Address("127.0.0.1", 5060)
THEIRS = Address("127.0.0.2", 5070)


class Wire:
    """An endpoint with a clock, what it sent, and what it told."""

    def __init__(
        self, transport: str = "udp", *, ours: Address = OURS, theirs: Address = THEIRS, **profile: Any
    ) -> None:
        self.flow = Flow("tcp" if transport == "tcp" else "udp", ours, theirs)
        self.endpoint = Endpoint(EndpointProfile("test", lambda flow: flow.local, **profile), seeded(7))
        self.now = 100.0

    def give(self, text: str | bytes, flow: Flow | None = None) -> list[Request | Response]:
        """Let a message arrive and return what is sent at once."""
        data = text if isinstance(text, bytes) else text.encode()
        self.endpoint.receive(data, flow or self.flow, self.now)
        return self.sent()

    def sent(self) -> list[Request | Response]:
        """Return what is sent, and forget it."""
        return [message for message, _ in self.sent_to()]

    def sent_to(self) -> list[tuple[Request | Response, Flow]]:
        return [(parse_message(data), flow) for data, flow in self.endpoint.to_send(self.now)]

    def statuses(self, text: str | bytes, flow: Flow | None = None) -> list[int]:
        """Let a message arrive and return the statuses of the responses sent at once."""
        return [message.status for message in self.give(text, flow) if isinstance(message, Response)]

    def wait(self, seconds: float) -> list[Request | Response]:
        """Let time pass timer by timer and return what is sent meanwhile."""
        return [message for _, message in self.wait_at(seconds)]

    def wait_at(self, seconds: float) -> list[tuple[float, Request | Response]]:
        """Let time pass timer by timer and return what is sent, with the instant."""
        end, sent = self.now + seconds, list[tuple[float, Request | Response]]()
        while (due := self.endpoint.next_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.endpoint.timer_fired(self.now)
            sent += [(self.now, message) for message in self.sent()]
        self.now = end
        return sent

    def told(self) -> list[Event]:
        """Return what was told, and forget it."""
        events = []
        while (event := self.endpoint.next_event()) is not None:
            events.append(event)
        return events

    def take(self, kind: type[E]) -> E:
        """Return the one event told, which must be of this kind."""
        events = self.told()
        assert len(events) == 1, f"told {events!r}, expected one {kind.__name__}"
        assert isinstance(events[0], kind), f"told {events[0]!r}, expected {kind.__name__}"
        return events[0]


def request(
    method: str = "INVITE", *, branch: str = "z9hG4bK1", cseq: int | str = 1, to_tag: str = "", **changed: Any
) -> str:
    """Return a request of the other side; a keyword such as `Max_Forwards="0"` sets a header, "" takes it away.

    `uri` and `body` are the Request-URI and the body (an INVITE has an offer, `body=""` takes it away).
    """
    uri = changed.pop("uri", "sip:100@127.0.0.1:5060")
    body = changed.pop("body", OFFER.decode() if method == "INVITE" else "")
    headers = {
        "Via": f"SIP/2.0/UDP 127.0.0.2:5070;branch={branch};rport",
        "Max-Forwards": "70",
        "From": "<sip:alice@127.0.0.2>;tag=theirs",
        "To": "<sip:100@127.0.0.1>" + (f";tag={to_tag}" if to_tag else ""),
        "Call-ID": "call@127.0.0.2",
        "CSeq": f"{cseq} {method}",
        "Contact": "<sip:alice@127.0.0.2:5070>",
        "Content-Type": "application/sdp" if body else "",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{method} {uri} SIP/2.0", *[f"{name}: {value}" for name, value in headers.items() if value]]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])


def reply(to: Request, status: int, *, tag: str = "theirs", body: bytes = b"", **changed: str) -> str:
    """Return a response of the other side to a request of ours; keywords set headers."""
    to_value = to.headers.get("To") or ""
    headers = {
        "Via": to.headers.get("Via") or "",
        "From": to.headers.get("From") or "",
        "To": to_value if ";tag=" in to_value or not tag else f"{to_value};tag={tag}",
        "Call-ID": to.call_id,
        "CSeq": str(to.cseq),
        "Contact": "<sip:bob@127.0.0.2:5070>",
        "Content-Type": "application/sdp" if body else "",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"SIP/2.0 {status} X", *[f"{name}: {value}" for name, value in headers.items() if value]]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body.decode()])


def tag_of(message: Request | Response) -> str:
    """Return the To tag of a message."""
    return message.to.tag or ""
