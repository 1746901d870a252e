"""A telephone line: one SIP address over UDP or TCP, with calls in and out, in a thread of its own.

Every step of a call is its own method, and everything received is kept, so that a test can tell a call as a story.
"""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from demonstration.telephony import messages
from demonstration.telephony.messages import Address, Message, Session

T1 = 0.5
GIVE_UP_S = 32.0


class LineError(Exception):
    """What a call waited for did not come in time, or another thing came."""


@dataclass
class _Resend:
    data: bytes
    to: Address
    due: float
    interval: float
    until: float


class Line:
    """One SIP user agent; a `with` block ends its thread and closes its sockets."""

    def __init__(self, host: str, port: int = 0, *, transport: str = "udp", user: str = "line") -> None:
        self.transport, self.user = transport, user
        self.news = threading.Condition(threading.RLock())
        self.strangers: list[Message] = []
        """Requests that belong to no call and are no INVITE, as they came: REGISTER, OPTIONS and others."""
        self.on_request: Callable[[Message, Address], Message | None] | None = None
        """Answers requests outside calls; None means 200 to OPTIONS and 481 to others."""
        self.incoming: queue.Queue[Call] = queue.Queue()
        self.calls: dict[str, Call] = {}
        self._resends: dict[str, _Resend] = {}
        self._answers: dict[str, queue.Queue[Message]] = {}
        self._streams: dict[Address, socket.socket] = {}
        self._buffers: dict[socket.socket, bytearray] = {}
        self._selector = selectors.DefaultSelector()
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self._socket = socket.socket(socket.AF_INET, kind)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        if transport == "tcp":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        if transport == "tcp":
            self._socket.listen(64)
        self._socket.settimeout(0)
        self.address: Address = self._socket.getsockname()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._running = True
        self._thread = threading.Thread(target=self._run, name=f"line {host}", daemon=True)
        self._thread.start()

    # -- what people do with a line

    def dial(self, target: Address, uri: str, session: Session | None, **given: object) -> Call:
        """Send an INVITE; without a session it is a late offer. See `Outgoing` for what may be given."""
        outgoing = Outgoing(**given)  # type: ignore[arg-type]  # keyword arguments are the fields of the dataclass
        call = Call.outgoing(self, target, uri, session, outgoing)
        with self.news:
            self.calls[call.call_id] = call
            self.request(call.invite, target)
        return call

    def next_call(self, timeout: float = 10.0) -> Call:
        """Return the next call that comes in."""
        try:
            return self.incoming.get(timeout=timeout)
        except queue.Empty:
            raise LineError(f"no call reached {self.address} within {timeout} s") from None

    def ask(
        self, target: Address, method: str, timeout: float = 5.0, headers: messages.Headers | None = None
    ) -> Message:
        """Send a request outside any call and return its final answer."""
        request = Message(
            f"{method} sip:{target[0]}:{target[1]} SIP/2.0",
            [
                ("Via", messages.via(self.transport, self.address)),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.user}@{self.address[0]}>;tag={messages.token()}"),
                ("To", f"<sip:{target[0]}:{target[1]}>"),
                ("Call-ID", messages.token()),
                ("CSeq", f"1 {method}"),
                ("Contact", self.contact),
                *(headers or []),
            ],
        )
        answers: queue.Queue[Message] = queue.Queue()
        self._answers[request.branch] = answers
        with self.news:
            self.request(request, target)
        try:
            return answers.get(timeout=timeout)
        except queue.Empty:
            raise LineError(f"no answer to {method} from {target} within {timeout} s") from None
        finally:
            self._answers.pop(request.branch, None)
            self.settle(request.branch + method)

    @property
    def contact(self) -> str:
        extra = ";transport=tcp" if self.transport == "tcp" else ""
        return f"<sip:{self.user}@{self.address[0]}:{self.address[1]}{extra}>"

    def close(self) -> None:
        self._running = False
        self._thread.join(5)
        for open_socket in [self._socket, *self._streams.values(), *self._buffers]:
            open_socket.close()
        self._selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what calls ask of their line

    def request(self, message: Message, to: Address) -> None:
        """Send a request, again and again over UDP until something answers it (timers A and E)."""
        data = message.serialize()
        self.send(data, to)
        if self.transport == "udp" and message.method != "ACK":
            self.resend(message.branch + message.method, data, to)

    def resend(self, key: str, data: bytes, to: Address) -> None:
        now = time.monotonic()
        self._resends[key] = _Resend(data, to, now + T1, T1, now + GIVE_UP_S)

    def settle(self, key: str) -> None:
        self._resends.pop(key, None)

    def send(self, data: bytes, to: Address) -> None:
        if self.transport == "udp":
            try:
                self._socket.sendto(data, to)
            except OSError:
                return  # nobody listens there just now: the timers try again
        else:
            self._stream(to).sendall(data)

    def _stream(self, to: Address) -> socket.socket:
        stream = self._streams.get(to)
        if stream is None:
            stream = socket.create_connection(to, timeout=5, source_address=(self.address[0], 0))
            self._adopt(stream, to)
        return stream

    def _adopt(self, stream: socket.socket, far: Address) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._streams[far] = stream
        self._buffers[stream] = bytearray()
        self._selector.register(stream, selectors.EVENT_READ)

    # -- the thread

    def _run(self) -> None:
        while self._running:
            for key, _ in self._selector.select(0.05):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is not self._socket:
                    self._read_stream(source)
                elif self.transport == "tcp":
                    self._accept()
                else:
                    self._read_datagrams()
            self._resend_due(time.monotonic())

    def _read_datagrams(self) -> None:
        while True:
            try:
                data, source = self._socket.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP answer to something sent before
            self._take(data, source)

    def _accept(self) -> None:
        stream, far = self._socket.accept()
        with self.news:
            self._adopt(stream, far)

    def _read_stream(self, stream: socket.socket) -> None:
        try:
            data = stream.recv(65535)
            far = stream.getpeername()
        except OSError:
            data, far = b"", None
        if not data:
            self._drop(stream)
            return
        buffer = self._buffers[stream]
        buffer += data
        while (frame := messages.take_frame(buffer)) is not None:
            self._take(frame, far)

    def _drop(self, stream: socket.socket) -> None:
        with self.news:
            self._selector.unregister(stream)
            self._buffers.pop(stream, None)
            for far in [far for far, known in self._streams.items() if known is stream]:
                del self._streams[far]
            stream.close()

    def _resend_due(self, now: float) -> None:
        with self.news:
            for key, entry in list(self._resends.items()):
                if entry.until <= now:
                    del self._resends[key]
                elif entry.due <= now:
                    self.send(entry.data, entry.to)
                    entry.interval = min(entry.interval * 2, 4.0)
                    entry.due = now + entry.interval

    def _take(self, data: bytes, source: Address) -> None:
        if not data.strip():
            return
        message = messages.parse(data)
        with self.news:
            call = self.calls.get(message.get("Call-ID"))
            if message.branch in self._answers and not message.is_request:
                if message.status >= 200:
                    self.settle(message.branch + message.method)
                    self._answers[message.branch].put(message)
            elif call is not None:
                call.take(message, source)
            elif message.is_request:
                self._take_request(message, source)
            self.news.notify_all()

    def _take_request(self, message: Message, source: Address) -> None:
        if message.method == "INVITE" and not messages.tag_in(message.get("To")):
            call = Call.incoming(self, message, source)
            self.calls[call.call_id] = call
            self.send(messages.response_to(message, 100, "Trying").serialize(), source)
            self.incoming.put(call)
            return
        self.strangers.append(message)
        answer = self.on_request(message, source) if self.on_request else None
        if answer is None and message.method != "ACK":
            known = message.method == "OPTIONS"
            answer = messages.response_to(message, *((200, "OK") if known else (481, "Gone")), tag=messages.token())
        if answer is not None:
            self.send(answer.serialize(), source)


@dataclass(frozen=True)
class Outgoing:
    """What may be said about an outgoing call."""

    from_: str = ""
    to: str = ""
    headers: Sequence[tuple[str, str]] = ()
    call_id: str = ""
    body: bytes = b""
    """An SDP to send as it is, in place of a session's."""


class Call:
    """One call on a line: its dialog, both sessions, and everything that was received for it."""

    def __init__(self, line: Line, invite: Message, remote: Address) -> None:
        self.line, self.invite, self.remote = line, invite, remote
        self.call_id = invite.get("Call-ID")
        self.requests: list[Message] = []
        self.responses: list[Message] = []
        self.arrived: list[float] = []
        """When each response came, in monotonic seconds, beside `responses`."""
        self.started_at = time.monotonic()
        self.ended: str | None = None
        """How it ended: "bye" (theirs), "hung up" (ours), "cancelled", "rejected", "failed 486"; None while up."""
        self.auto_ack, self.auto_reoffer = True, True
        self.session: Session | None = None
        self.remote_session: Session | None = None
        self.late_answer: Session | None = None
        self._inbound = False
        self._local = self._far = ""
        self._target, self._routes = "", [""][:0]
        self._cseq = 1
        self._last_response: Message | None = None
        self._acks: dict[int, Message] = {}
        self._acked = False

    @classmethod
    def outgoing(cls, line: Line, target: Address, uri: str, session: Session | None, given: Outgoing) -> Call:
        host, port = line.address
        from_ = given.from_ or f"<sip:{line.user}@{host}:{port}>"
        local, far = f"{from_};tag={messages.token()}", given.to or f"<{uri}>"
        headers = [
            ("Via", messages.via(line.transport, line.address)),
            ("Max-Forwards", "70"),
            ("From", local),
            ("To", far),
            ("Call-ID", given.call_id or messages.token()),
            ("CSeq", "1 INVITE"),
            ("Contact", line.contact),
            *given.headers,
        ]
        body = given.body or (session.serialize() if session else b"")
        if body:
            headers.append(("Content-Type", "application/sdp"))
        call = cls(line, Message(f"INVITE {uri} SIP/2.0", headers, body), target)
        call.session, call._local, call._far, call._target = session, local, far, uri
        return call

    @classmethod
    def incoming(cls, line: Line, invite: Message, source: Address) -> Call:
        call = cls(line, invite, source)
        call._inbound = True
        call._local = f"{invite.get('To')};tag={messages.token()}"
        call._far = invite.get("From")
        call._target = messages.uri_in(invite.get("Contact"))
        call._routes = invite.get_all("Record-Route")
        call.requests.append(invite)
        if invite.body:
            call.remote_session = messages.read_session(invite.body)
        return call

    # -- steps of a call that came in

    def ring(self, status: int = 180, reason: str = "Ringing", session: Session | None = None) -> None:
        """Send a provisional response; with a session it is early media."""
        if session:
            self.session = session
        self._respond(status, reason, session)

    def answer(self, session: Session) -> None:
        """Accept with 200, repeated until the ACK comes."""
        self.session = session
        self._respond(200, "OK", session)

    def reject(self, status: int = 486, reason: str = "Busy Here") -> None:
        """Refuse with a final response."""
        self._respond(status, reason, None)
        self.ended = "rejected"

    def wait_ack(self, timeout: float = 5.0) -> None:
        self._wait(lambda: self._acked, timeout, "an ACK")

    # -- steps of a call that goes out

    def wait_response(self, accept: Callable[[Message], bool], timeout: float = 10.0) -> Message:
        """Return the first response to the INVITE that satisfies a condition."""
        found: list[Message] = []

        def look() -> bool:
            found[:] = [response for response in self.responses if accept(response)]
            return bool(found)

        self._wait(look, timeout, "a response")
        return found[0]

    def wait_final(self, timeout: float = 10.0) -> Message:
        """Return the final response to the first INVITE."""
        return self.wait_response(lambda given: given.status >= 200 and given.cseq == (1, "INVITE"), timeout)

    def acknowledge(self, session: Session | None = None) -> None:
        """Send the ACK to a 2xx; done by itself unless `auto_ack` is off."""
        ack = self._in_dialog("ACK", session, number=1)
        self._acks[1] = ack
        self.line.send(ack.serialize(), self._hop())

    def cancel(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Take the INVITE back (RFC 3261 9.1)."""
        kept = self.invite.pick("Via", "Max-Forwards", "From", "To", "Call-ID", "Route")
        request = Message(self.invite.start.replace("INVITE", "CANCEL", 1), [*kept, ("CSeq", "1 CANCEL"), *headers])
        with self.line.news:
            self.line.request(request, self.remote)

    # -- steps of a call that is up

    def hang_up(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send BYE."""
        with self.line.news:
            if self.ended is None:
                self.ended = "hung up"
                self.line.settle("2xx" + self.call_id)
                self._cseq += 1
                self.line.request(self._in_dialog("BYE", None, headers=headers), self._hop())

    def reoffer(self, session: Session, timeout: float = 10.0) -> Message:
        """Send a re-INVITE and return its final response."""
        with self.line.news:
            self._cseq += 1
            number = self._cseq
            self.session = session
            self.line.request(self._in_dialog("INVITE", session), self._hop())
        return self.wait_response(lambda given: given.status >= 200 and given.cseq == (number, "INVITE"), timeout)

    def hold(self, direction: str = "sendonly", timeout: float = 10.0) -> Message:
        """Put the far side on hold by re-INVITE."""
        assert self.session is not None
        return self.reoffer(replace(self.session, direction=direction, version=self.session.version + 1), timeout)

    def resume(self, timeout: float = 10.0) -> Message:
        """Take the far side back from hold."""
        return self.hold("sendrecv", timeout)

    def inform(self, method: str, body: bytes, content_type: str, timeout: float = 5.0) -> Message:
        """Send another request inside the dialog, such as INFO, and return its final response."""
        with self.line.news:
            self._cseq += 1
            number = self._cseq
            request = self._in_dialog(method, None, headers=[("Content-Type", content_type)])
            self.line.request(replace(request, body=body), self._hop())
        return self.wait_response(lambda given: given.status >= 200 and given.cseq == (number, method), timeout)

    def wait_ended(self, timeout: float = 10.0) -> str:
        """Return how the call ended."""
        self._wait(lambda: self.ended is not None, timeout, "the end of the call")
        assert self.ended is not None
        return self.ended

    def wait_request(self, accept: Callable[[Message], bool], timeout: float = 10.0) -> Message:
        """Return the first request of the far side that satisfies a condition."""
        self._wait(lambda: any(accept(request) for request in self.requests), timeout, "a request")
        return next(request for request in self.requests if accept(request))

    def wait_session(self, accept: Callable[[Session], bool], timeout: float = 10.0) -> Session:
        """Return the far side's session once it satisfies a condition."""
        self._wait(lambda: self.remote_session is not None and accept(self.remote_session), timeout, "a session")
        assert self.remote_session is not None
        return self.remote_session

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        with self.line.news:
            if not self.line.news.wait_for(condition, timeout):
                heard = [message.start for message in [*self.requests, *self.responses]]
                raise LineError(f"{what} did not come within {timeout} s; heard {heard}, ended: {self.ended}")

    # -- what arrives (in the line's thread)

    def take(self, message: Message, source: Address) -> None:
        if not message.is_request:
            self._take_response(message)
            return
        repeated = any(seen.method == message.method and seen.branch == message.branch for seen in self.requests)
        if not repeated or message.method == "INVITE":
            self.requests.append(message)
        match message.method:
            case "ACK":
                self._take_ack(message)
            case "BYE":
                self.ended = self.ended or "bye"
                self.line.settle("2xx" + self.call_id)
                self._reply(message, 200, "OK", source)
            case "CANCEL":
                self._take_cancel(message, source)
            case "INVITE":
                self._take_invite(message, source, repeated=repeated)
            case _:
                self._reply(message, 200, "OK", source)

    def _take_ack(self, message: Message) -> None:
        self._acked = True
        self.line.settle("2xx" + self.call_id)
        self.line.settle("final" + self.call_id)
        if message.body:
            self.remote_session = messages.read_session(message.body)

    def _take_cancel(self, message: Message, source: Address) -> None:
        self._reply(message, 200, "OK", source)
        if self.ended is None and not (self._last_response and self._last_response.status >= 200):
            self.ended = "cancelled"
            self._respond(487, "Request Terminated", None)

    def _take_invite(self, message: Message, source: Address, *, repeated: bool) -> None:
        if repeated or not messages.tag_in(message.get("To")):
            if self._last_response is not None and message.branch == self.invite.branch:
                self.line.send(self._last_response.serialize(), self.remote)
            return
        self.remote = source
        self.invite = message
        if message.body:
            self.remote_session = messages.read_session(message.body)
        if self.auto_reoffer and self.session is not None:
            assert self.remote_session is not None
            mirrored = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
            direction = mirrored.get(self.remote_session.direction, "sendrecv")
            self.answer(replace(self.session, direction=direction, version=self.session.version + 1))

    def _take_response(self, message: Message) -> None:
        number, method = message.cseq
        if method == "INVITE" or message.status >= 200:
            self.line.settle(message.branch + method)
        self.responses.append(message)
        self.arrived.append(time.monotonic())
        if method != "INVITE":
            return
        if message.body:
            self.remote_session = messages.read_session(message.body)
        if 200 <= message.status < 300:
            self._take_success(message, number)
        elif message.status >= 300:
            self._acknowledge_failure(message, number)

    def _take_success(self, message: Message, number: int) -> None:
        if number in self._acks:
            self.line.send(self._acks[number].serialize(), self._hop())
            return
        if not self._inbound and number == 1:
            self._far = message.get("To")
            self._routes = message.get_all("Record-Route")[::-1]
        self._target = messages.uri_in(message.get("Contact")) or self._target
        if self.auto_ack:
            ack = self._in_dialog("ACK", self.late_answer if number == 1 else None, number=number)
            self._acks[number] = ack
            self.line.send(ack.serialize(), self._hop())

    def _acknowledge_failure(self, message: Message, number: int) -> None:
        kept = [
            ("Via", self.invite.get("Via")),
            *self.invite.pick("Max-Forwards", "From", "Route"),
            *message.pick("To", "Call-ID"),
        ]
        first_line = f"ACK {self.invite.uri} SIP/2.0"
        if number == 1 and not self._inbound:
            self.ended = self.ended or f"failed {message.status}"
        else:  # a refused re-INVITE: the same branch as it had
            kept[0] = ("Via", message.get("Via"))
            first_line = f"ACK {self._target} SIP/2.0"
        self.line.send(Message(first_line, [*kept, ("CSeq", f"{number} ACK")]).serialize(), self.remote)

    # -- how messages are made

    def _respond(self, status: int, reason: str, session: Session | None) -> None:
        with self.line.news:
            tag = messages.tag_in(self._local)
            body = session.serialize() if session else b""
            response = messages.response_to(self.invite, status, reason, tag=tag, body=body)
            response.headers.append(("Contact", self.line.contact))
            self._last_response = response
            self.line.send(response.serialize(), self.remote)
            if status >= 200:
                self._acked = False
                key = ("2xx" if status < 300 else "final") + self.call_id
                if status < 300 or self.line.transport == "udp":
                    self.line.resend(key, response.serialize(), self.remote)

    def _reply(self, request: Message, status: int, reason: str, source: Address) -> None:
        self.line.send(messages.response_to(request, status, reason).serialize(), source)

    def _in_dialog(
        self, method: str, session: Session | None, *, number: int = 0, headers: Sequence[tuple[str, str]] = ()
    ) -> Message:
        lines = [
            ("Via", messages.via(self.line.transport, self.line.address)),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self._routes),
            ("From", self._local),
            ("To", self._far),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number or self._cseq} {method}"),
            ("Contact", self.line.contact),
            *headers,
        ]
        if session:
            lines.append(("Content-Type", "application/sdp"))
        return Message(f"{method} {self._target} SIP/2.0", lines, session.serialize() if session else b"")

    def _hop(self) -> Address:
        """Return where requests of this dialog go: its first route, or its remote target; over TCP the connection."""
        if self.line.transport == "tcp":
            return self.remote
        return messages.address_of(messages.uri_in(self._routes[0]) if self._routes else self._target)
