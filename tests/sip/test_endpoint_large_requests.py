"""SIP-13, RFC 3261 18.1.1: what is too large for a datagram goes by a stream, and by UDP where there is none."""

from __future__ import annotations

from typing import Any

from callrec.sip.digest_answer import Credentials
from callrec.sip.events import Address, Answered, Failed, Flow
from callrec.sip.message import Request
from callrec.sip.registration import Register
from callrec.sip.uri import Uri
from tests.support.pair import ANSWER, OFFER, dial
from tests.support.wire import THEIRS, Wire, reply

STREAM = Flow("tcp", Address("127.0.0.1", 5062), THEIRS)
LARGE = (("X-Token", "t" * 1400),)


class Streams:
    """The network's side of the hook: which stream there is, and what was asked."""

    def __init__(self) -> None:
        self.open = True
        """There is a connection already."""
        self.taken = True
        """The peer is not known to have none."""
        self.silences: list[str] = []

    def beside(self, flow: Flow, urgent: bool) -> Flow | None:
        assert flow.transport == "udp"
        return STREAM if self.taken and (self.open or not urgent) else None


def wired(**profile: Any) -> tuple[Wire, Streams]:
    streams = Streams()
    silence = lambda _flow, cause: streams.silences.append(cause)  # noqa: E731
    return Wire(stream=streams.beside, on_silence=silence, **profile), streams


def sent(wire: Wire) -> tuple[Request, Flow]:
    """Return the one request that was sent."""
    ((message, flow),) = wire.sent_to()
    assert isinstance(message, Request)
    return message, flow


def invited(wire: Wire, **more: object) -> tuple[Request, Flow]:
    wire.endpoint.dial(dial("leg", wire.flow, headers=LARGE, **more), wire.now)
    return sent(wire)


def test_a_large_invite_goes_by_tcp_and_what_is_small_by_udp() -> None:
    """Via names the stream, Contact and the rest of the dialog stay with UDP: ACK and BYE are datagrams."""
    wire, _ = wired()
    invite, by = invited(wire)
    assert by == STREAM
    assert len(invite.serialize()) > 1300
    assert (invite.via.transport, invite.via.sent_by, invite.via.wants_rport) == ("TCP", ("127.0.0.1", 5062), False)
    assert str(invite.headers.get("Contact")) == "<sip:callrec@127.0.0.1:5060>"
    wire.endpoint.receive(reply(invite, 200, body=ANSWER).encode(), STREAM, wire.now)
    ack, ack_by = sent(wire)
    wire.endpoint.hang_up("leg", wire.now)
    bye, bye_by = sent(wire)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert ack_by == bye_by == wire.flow
    assert ack.via.transport == bye.via.transport == "UDP"


def test_a_small_invite_is_a_datagram() -> None:
    """1,300 bytes and less go by UDP, and TCP is not even asked for."""
    wire, _ = wired()
    wire.endpoint.dial(dial("leg", wire.flow, session=OFFER), wire.now)
    invite, by = sent(wire)
    assert len(invite.serialize()) <= 1300
    assert by == wire.flow


def test_the_limit_is_1300_bytes() -> None:
    """One byte decides."""
    for fill, transport in ((0, "udp"), (1, "tcp")):
        wire, _ = wired()
        wire.endpoint.dial(dial("leg", wire.flow, headers=(("X", "x"),)), wire.now)
        length = len(sent(wire)[0].serialize())
        wire, _ = wired()
        wire.endpoint.dial(dial("leg", wire.flow, headers=(("X", "x" * (1301 - length + fill)),)), wire.now)
        ((_, by),) = wire.endpoint.to_send(wire.now)
        assert by.transport == transport


def test_nothing_is_repeated_over_the_stream() -> None:
    """RFC 3261 17.1.1.2: Timer A does not run; Timer B alone, which says that the peer is silent."""
    wire, streams = wired()
    invited(wire)
    assert wire.wait(31.9) == []
    wire.wait(0.2)
    assert wire.take(Failed).cause == "timeout"
    assert streams.silences == ["timeout"]


def test_what_no_stream_takes_goes_by_udp() -> None:
    """The same request once more: CSeq, tag and body stay, Via and branch are new, and now it repeats."""
    wire, _ = wired()
    refused, _ = invited(wire)
    wire.endpoint.transport_failed(STREAM, wire.now)
    invite, by = sent(wire)
    assert by == wire.flow
    assert invite.via.transport == "UDP"
    assert invite.via.wants_rport
    assert invite.via.branch != refused.via.branch
    same = ("From", "To", "Call-ID", "CSeq", "Contact", "X-Token")
    assert [invite.headers.get(name) for name in same] == [refused.headers.get(name) for name in same]
    assert invite.body == refused.body
    assert wire.told() == []
    assert wire.wait(0.6) == [invite]
    wire.give(reply(invite, 200, body=ANSWER))
    assert wire.take(Answered).session == ANSWER
    assert wire.endpoint.counters.large == wire.endpoint.counters.fell_back == 1


def test_a_way_that_leads_nowhere_by_udp_either_fails_the_call() -> None:
    """No loop: it fell back once, then the failure is told, and the peer counts as silent."""
    wire, streams = wired()
    invited(wire)
    wire.endpoint.transport_failed(STREAM, wire.now)
    sent(wire)
    wire.endpoint.transport_failed(wire.flow, wire.now)
    assert wire.take(Failed).cause == "transport"
    assert streams.silences == ["transport"]
    assert wire.endpoint.transactions == 0


def test_a_stream_that_broke_after_an_answer_is_no_reason_to_call_again() -> None:
    """The far side has the INVITE: a second one could ring twice."""
    wire, _ = wired()
    invite, _ = invited(wire)
    wire.give(reply(invite, 180), STREAM)
    wire.told()
    wire.endpoint.transport_failed(STREAM, wire.now)
    assert wire.sent() == []
    assert wire.take(Failed).cause == "transport"


def test_an_invite_that_was_taken_back_meanwhile_is_not_sent_again() -> None:
    """Nobody wants it any more, and nobody's UDP is to blame."""
    wire, streams = wired()
    invited(wire)
    wire.endpoint.cancel("leg", wire.now)
    wire.endpoint.transport_failed(STREAM, wire.now)
    assert wire.sent() == []
    wire.take(Failed)
    assert streams.silences == []


def test_cancel_and_the_ack_of_a_refusal_go_with_their_invite() -> None:
    """RFC 3261 9.1 and 17.1.1.3: one branch, one way."""
    wire, _ = wired()
    invite, _ = invited(wire)
    wire.give(reply(invite, 180), STREAM)
    wire.endpoint.cancel("leg", wire.now)
    cancel, cancel_by = sent(wire)
    assert (cancel.method, cancel_by, str(cancel.via)) == ("CANCEL", STREAM, str(invite.via))
    wire.endpoint.receive(reply(invite, 487).encode(), STREAM, wire.now)
    ack, ack_by = sent(wire)
    assert (ack.method, ack_by, str(ack.via)) == ("ACK", STREAM, str(invite.via))


def test_an_emergency_call_waits_for_no_connection() -> None:
    """FAIL-1: where no connection is open it goes as datagrams at once, however large."""
    wire, streams = wired()
    streams.open = False
    _, by = invited(wire, spared=True)
    assert by == wire.flow
    other, _ = wired()
    _, by = invited(other, spared=True)
    assert by == STREAM


def test_a_challenge_answered_grows_beyond_the_limit() -> None:
    """RFC 3261 22: the INVITE was a datagram, with its Authorization it is too large for one; then back again."""
    wire, _ = wired(credentials=lambda _flow: Credentials("callrec", "secret"))
    wire.endpoint.dial(dial("leg", wire.flow, headers=(("X-Token", "t" * 700),)), wire.now)
    invite, by = sent(wire)
    assert by == wire.flow
    challenge = 'Digest realm="trunk", nonce="abcdef", qop="auth", algorithm=SHA-256, opaque="' + "o" * 300 + '"'
    wire.endpoint.receive(reply(invite, 401, WWW_Authenticate=challenge).encode(), wire.flow, wire.now)
    (_, _), (again, again_by) = wire.sent_to()
    assert isinstance(again, Request)
    assert (again.via.transport, again_by, again.cseq.number) == ("TCP", STREAM, 2)
    wire.endpoint.transport_failed(STREAM, wire.now)
    last, last_by = sent(wire)
    assert (last.via.transport, last_by, last.cseq.number) == ("UDP", wire.flow, 2)
    assert last.headers.get("Authorization") == again.headers.get("Authorization")
    # What it answers is not forgotten on the way: the same challenge again is a refusal.
    wire.endpoint.receive(reply(last, 401, WWW_Authenticate=challenge).encode(), wire.flow, wire.now)
    assert wire.take(Failed).cause == "response"


def test_a_large_ack_chooses_with_every_copy() -> None:
    """It has no transaction: one that no stream took goes by UDP with the next copy of the 2xx."""
    wire, streams = wired()
    wire.endpoint.dial(dial("leg", wire.flow, session=None), wire.now)
    invite, _ = sent(wire)
    wire.give(reply(invite, 200, body=OFFER))
    wire.take(Answered)
    answer = ANSWER + b"a=x:" + b"y" * 1400 + b"\r\n"
    wire.endpoint.acknowledge("leg", answer, wire.now)
    ack, by = sent(wire)
    assert (ack.method, by, ack.via.transport) == ("ACK", STREAM, "TCP")
    streams.taken = False
    wire.endpoint.transport_failed(STREAM, wire.now)
    wire.endpoint.receive(reply(invite, 200, body=OFFER).encode(), wire.flow, wire.now)
    ack, by = sent(wire)
    assert (ack.method, by, ack.via.transport) == ("ACK", wire.flow, "UDP")


def test_a_large_reinvite_falls_back_inside_the_dialog() -> None:
    """A re-INVITE is the dialog's own: the number of its CSeq goes on from it."""
    wire, _ = wired()
    wire.endpoint.dial(dial("leg", wire.flow), wire.now)
    invite, _ = sent(wire)
    wire.give(reply(invite, 200, body=ANSWER))
    wire.endpoint.reoffer("leg", OFFER + b"a=x:" + b"y" * 1400 + b"\r\n", wire.now)
    refused, by = sent(wire)
    assert by == STREAM
    wire.endpoint.transport_failed(STREAM, wire.now)
    again, by = sent(wire)
    assert (by, again.cseq) == (wire.flow, refused.cseq)
    wire.endpoint.receive(reply(again, 200, body=ANSWER).encode(), wire.flow, wire.now)
    ack, by = sent(wire)
    assert (ack.method, by, ack.cseq.number) == ("ACK", wire.flow, again.cseq.number)


def test_register_and_its_answer() -> None:
    """A request outside a dialog falls back as an INVITE does."""
    wire, _ = wired()
    registrar = Uri.parse("sip:127.0.0.2:5070")
    record = Uri.parse("sip:" + "u" * 1400 + "@127.0.0.2")
    wire.endpoint.register(wire.flow, Register(registrar, record, "call", 1, 60), "token", wire.now)
    assert sent(wire)[1] == STREAM
    wire.endpoint.transport_failed(STREAM, wire.now)
    request, by = sent(wire)
    assert (request.method, by, request.via.transport) == ("REGISTER", wire.flow, "UDP")


def test_where_we_have_no_stream_the_datagram_goes() -> None:
    """We do not listen on TCP, or the peer is known to have none: nothing is tried."""
    wire, streams = wired()
    streams.taken = False
    assert invited(wire)[1] == wire.flow


def test_tls_stays_tls() -> None:
    """A flow that is a stream already is left alone."""
    wire, _ = wired()
    tls = wire.flow._replace(transport="tls")
    wire.endpoint.dial(dial("leg", tls, headers=LARGE), wire.now)
    assert sent(wire)[1] == tls


def test_one_message_that_fits_no_datagram_fails_alone() -> None:
    """Over 65,507 bytes: its call fails as for a broken way, other calls to the same place go on."""
    wire = Wire()
    wire.endpoint.dial(dial("small", wire.flow), wire.now)
    small, _ = sent(wire)
    wire.endpoint.dial(dial("leg", wire.flow, headers=LARGE), wire.now)
    ((data, by),) = wire.endpoint.to_send(wire.now)
    wire.endpoint.not_sent(data, by, wire.now)
    assert wire.take(Failed) == Failed("leg", None, "transport")
    wire.give(reply(small, 200, body=ANSWER))
    assert wire.take(Answered).leg == "small"
