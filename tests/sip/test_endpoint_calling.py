"""The side that calls: rings for minutes, forks, cancels in every order, and acknowledges along the route."""

from __future__ import annotations

import pytest

from callrec.sip.events import Address, Answered, Failed, Flow, HungUp, Progress, ReofferAnswered, ReofferFailed
from callrec.sip.message import Request, Response
from callrec.sip.name_address import NameAddress
from tests.support.pair import ANSWER, OFFER, dial
from tests.support.wire import OURS, Wire, reply, request


def invited(wire: Wire, **more: object) -> Request:
    """Dial and return the INVITE."""
    more.setdefault("session", OFFER)
    wire.endpoint.dial(dial("leg", wire.flow, **more), wire.now)  # type: ignore[arg-type]
    (invite,) = wire.sent()
    assert isinstance(invite, Request)
    return invite


def methods(messages: list[Request | Response]) -> list[str]:
    return [message.method for message in messages if isinstance(message, Request)]


def connected(wire: Wire, **changed: str) -> tuple[Request, Request]:
    """Return the INVITE and the ACK of a call that is up."""
    invite = invited(wire)
    (ack,) = wire.give(reply(invite, 200, body=ANSWER, **changed))
    assert isinstance(ack, Request)
    assert wire.take(Answered).session == ANSWER
    return invite, ack


def test_an_invite_repeats_over_udp_until_timer_b() -> None:
    """Timers A and B: at 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s, and at 32 s it has failed."""
    wire = Wire()
    invited(wire)
    assert [when - 100 for when, _ in wire.wait_at(31.9)] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert wire.told() == []
    wire.wait(0.2)
    assert wire.take(Failed) == Failed("leg", None, "timeout")
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_an_invite_does_not_repeat_over_tcp() -> None:
    """A stream loses nothing: Timer B alone."""
    wire = Wire("tcp")
    invited(wire)
    assert wire.wait(31.9) == []
    wire.wait(0.2)
    assert wire.take(Failed).cause == "timeout"


def test_ringing_may_last_for_minutes() -> None:
    """Timer B only in Calling: after a 180 there is no limit but the user's."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 180))
    wire.take(Progress)
    assert wire.wait(600) == []
    assert wire.told() == []
    assert methods(wire.give(reply(invite, 200, body=ANSWER))) == ["ACK"]
    wire.take(Answered)


def test_every_copy_of_the_2xx_is_acknowledged_again() -> None:
    """RFC 3261 13.2.2.4: the same ACK for each, also after the transaction is over."""
    wire = Wire()
    invite, ack = connected(wire)
    copy = reply(invite, 200, body=ANSWER)
    assert wire.give(copy) == [ack]
    wire.wait(40)
    assert wire.give(copy) == [ack]
    assert wire.told() == []


def test_the_ack_goes_to_the_contact_along_the_route_set() -> None:
    """Record-Route of the 2xx reversed; the Contact is the Request-URI, its headers left out."""
    wire = Wire()
    invite = invited(wire)
    routes = "<sip:127.0.0.3:5083;lr>, <sip:127.0.0.4:5084;lr>"
    data = reply(invite, 200, body=ANSWER, Record_Route=routes, Contact="<sip:bob@127.0.0.9:9000?X=1>")
    wire.endpoint.receive(data.encode(), wire.flow, wire.now)
    ((ack, flow),) = wire.sent_to()
    assert isinstance(ack, Request)
    assert (ack.method, str(ack.uri)) == ("ACK", "sip:bob@127.0.0.9:9000")
    assert ack.headers.get_all("Route") == ("<sip:127.0.0.4:5084;lr>", "<sip:127.0.0.3:5083;lr>")
    assert flow.remote == Address("127.0.0.4", 5084)
    assert ack.cseq == (1, "ACK")


def test_a_rejection_is_acknowledged_in_its_transaction_and_told_once() -> None:
    """The ACK of a 486 has the branch of the INVITE; each copy of the 486 gets it again."""
    wire = Wire()
    invite = invited(wire)
    busy = reply(invite, 486)
    (ack,) = wire.give(busy)
    assert isinstance(ack, Request)
    assert (ack.method, ack.via.branch, str(ack.uri)) == ("ACK", invite.via.branch, str(invite.uri))
    failed = wire.take(Failed)
    assert failed.response is not None
    assert (failed.cause, failed.response.status) == ("response", 486)
    assert wire.give(busy) == [ack]
    assert wire.told() == []
    wire.wait(33)
    assert wire.endpoint.transactions == 0


def test_cancel_waits_for_a_provisional_response() -> None:
    """RFC 3261 9.1: nothing is sent before a 1xx; then the CANCEL, with the branch of the INVITE."""
    wire = Wire()
    invite = invited(wire)
    assert wire.endpoint.cancel("leg", wire.now, headers=[("Reason", "SIP;cause=200")])
    assert wire.sent() == []
    (cancel,) = wire.give(reply(invite, 100, tag=""))
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.via.branch) == ("CANCEL", invite.via.branch)
    assert (cancel.cseq.number, cancel.to.tag, cancel.headers.get("Reason")) == (1, None, "SIP;cause=200")
    assert wire.give(reply(cancel, 200)) == []
    assert methods(wire.give(reply(invite, 487))) == ["ACK"]
    failed = wire.take(Failed)
    assert failed.response is not None
    assert failed.response.status == 487


def test_a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    """SIP-3: the call is up over there: ACK, then BYE."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 180))
    wire.take(Progress)
    wire.endpoint.cancel("leg", wire.now)
    assert methods(wire.sent()) == ["CANCEL"]
    ack, bye = wire.give(reply(invite, 200, body=ANSWER))
    assert methods([ack, bye]) == ["ACK", "BYE"]
    assert wire.take(Failed) == Failed("leg", None, "cancelled")
    assert wire.give(reply(invite, 200, body=ANSWER)) == [ack]
    assert isinstance(bye, Request)
    wire.give(reply(bye, 200))
    wire.wait(64)
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_a_2xx_before_the_cancel_could_leave_is_ended_too() -> None:
    """The first thing heard after `cancel` is the 200: no CANCEL, ACK and BYE."""
    wire = Wire()
    invite = invited(wire)
    wire.endpoint.cancel("leg", wire.now)
    assert methods(wire.give(reply(invite, 200, body=ANSWER))) == ["ACK", "BYE"]
    assert wire.take(Failed).cause == "cancelled"


def test_a_cancelled_invite_that_is_never_answered_is_given_up() -> None:
    """RFC 3261 9.1: no final response in 64*T1 after the CANCEL."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 180))
    wire.take(Progress)
    wire.endpoint.cancel("leg", wire.now)
    wire.wait(40)
    assert wire.take(Failed) == Failed("leg", None, "cancelled")
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_hang_up_of_a_ringing_call_cancels_in_silence() -> None:
    """The user that hung up is told nothing more."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 180))
    wire.take(Progress)
    wire.endpoint.hang_up("leg", wire.now, headers=[("Reason", "Q.850;cause=16")])
    (cancel,) = wire.sent()
    assert cancel.headers.get("Reason") == "Q.850;cause=16"
    wire.give(reply(invite, 487))
    assert wire.told() == []
    assert wire.endpoint.legs == 0


def test_forking_first_2xx_wins_the_others_are_ended() -> None:
    """SIP-2: early dialogs by To tag; a second 2xx gets ACK and BYE, its copies the ACK."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 183, tag="one", body=ANSWER))
    wire.give(reply(invite, 180, tag="two"))
    assert [type(event) for event in wire.told()] == [Progress, Progress]
    assert methods(wire.give(reply(invite, 200, tag="two", body=ANSWER))) == ["ACK"]
    wire.take(Answered)
    second = reply(invite, 200, tag="one", body=ANSWER, Contact="<sip:fork@127.0.0.3:5073>")
    ack, bye = wire.give(second)
    assert isinstance(bye, Request)
    assert (methods([ack, bye]), bye.to.tag, str(bye.uri)) == (["ACK", "BYE"], "one", "sip:fork@127.0.0.3:5073")
    assert wire.give(second) == [ack]
    assert wire.told() == []
    assert wire.endpoint.hang_up("leg", wire.now)


def test_a_flood_of_branches_is_not_followed_for_ever() -> None:
    """Early dialogs and 2xx of one INVITE are bounded."""
    wire = Wire()
    invite = invited(wire)
    for number in range(100):
        wire.give(reply(invite, 180, tag=f"t{number}"))
    for number in range(100):
        wire.give(reply(invite, 200, tag=f"t{number}"))
    assert wire.endpoint.transactions < 40


def test_the_answer_of_a_183_counts_where_the_200_has_none() -> None:
    """Gateways that said it all in early media."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 183, body=ANSWER))
    wire.take(Progress)
    wire.give(reply(invite, 200))
    assert wire.take(Answered).session == ANSWER


def test_a_late_offer_is_acknowledged_with_the_users_answer() -> None:
    """Our INVITE had no SDP: nothing is sent until `acknowledge`; then the ACK has the answer, and copies get it."""
    wire = Wire()
    invite = invited(wire, session=None)
    assert "Content-Type" not in invite.headers
    assert wire.give(reply(invite, 200, body=OFFER)) == []
    assert wire.take(Answered).session == OFFER
    assert wire.give(reply(invite, 200, body=OFFER)) == []
    assert wire.endpoint.acknowledge("leg", ANSWER, wire.now)
    (ack,) = wire.sent()
    assert ack.body == ANSWER
    assert wire.give(reply(invite, 200, body=OFFER)) == [ack]
    assert not wire.endpoint.acknowledge("leg", ANSWER, wire.now)


def test_hang_up_of_an_offer_never_answered_sends_ack_and_bye() -> None:
    """A 2xx must be acknowledged, whatever the user wants."""
    wire = Wire()
    wire.give(reply(invited(wire, session=None), 200, body=OFFER))
    wire.take(Answered)
    wire.endpoint.hang_up("leg", wire.now)
    assert methods(wire.sent()) == ["ACK", "BYE"]


def test_bye_is_repeated_until_answered_and_then_nothing_is_left() -> None:
    """Timer E: 0.5, 1.5, 3.5, 7.5 s …; a lost 200 costs nothing but copies."""
    wire = Wire()
    connected(wire)
    wire.endpoint.hang_up("leg", wire.now)
    (bye,) = wire.sent()
    assert isinstance(bye, Request)
    assert bye.cseq == (2, "BYE")
    assert [when - 100 for when, _ in wire.wait_at(16)] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5]
    wire.give(reply(bye, 200))
    wire.wait(64)
    assert wire.told() == []
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_byes_that_cross_are_both_answered() -> None:
    """Their BYE after ours gets 200, and no event: the user has hung up."""
    wire = Wire()
    invite, _ = connected(wire)
    wire.endpoint.hang_up("leg", wire.now)
    wire.sent()
    assert wire.statuses(their_request(invite, "BYE")) == [200]
    assert wire.told() == []


def their_request(invite: Request, method: str, **changed: str) -> str:
    """Return a request of the called side in the dialog of our INVITE."""
    dialog = {"From": f"{invite.headers.get('To')};tag=theirs", "To": invite.headers.get("From") or ""}
    more = {"branch": f"z9hG4bKtheirs{method}", "Call_ID": invite.call_id, "Contact": "<sip:bob@127.0.0.2:5070>"}
    return request(method, **(dialog | more | changed))


def test_a_bye_whose_200_was_lost_ends_a_ringing_leg() -> None:
    """They answered, we never heard it, they hung up: the leg is over on both sides."""
    wire = Wire()
    invite = invited(wire)
    wire.give(reply(invite, 180))
    wire.take(Progress)
    assert wire.statuses(their_request(invite, "BYE")) == [200]
    wire.take(HungUp)
    wire.wait(64)
    assert wire.endpoint.transactions == wire.endpoint.legs == 0


def test_a_dead_way_fails_the_invite_at_once() -> None:
    """`transport_failed` turns the INVITE into a transport failure."""
    wire = Wire()
    invited(wire)
    wire.endpoint.transport_failed(wire.flow, wire.now)
    assert wire.take(Failed) == Failed("leg", None, "transport")
    wire.endpoint.transport_failed(Flow("udp", OURS, Address("127.0.0.99", 1)), wire.now)
    assert wire.told() == []


IDENTITY = (
    ("P-Asserted-Identity", '"Alice" <sip:+442079460123@trunk>, <tel:+442079460123>'),
    ("Privacy", "id"),
    ("Diversion", "<sip:+442079460999@trunk>;reason=unconditional"),
    ("History-Info", "<sip:a@x?Reason=SIP%3Bcause%3D302>;index=1, <sip:b@x>;index=1.1"),
)


@pytest.mark.parametrize(
    "from_",
    [
        '"Alice \\"A\\" <x>" <sip:alice@example.com;user=phone>;tag=old;epid=1',
        'Alice Unquoted   <sip:+442079460123@example.com>;x="a;b"',
        '"Anonymous" <sip:anonymous@anonymous.invalid>',
    ],
)
def test_identity_headers_leave_as_they_came(from_: str) -> None:
    """From keeps name and URI byte for byte, with a tag of ours; the others are untouched."""
    wire = Wire()
    invite = invited(wire, from_=NameAddress.parse(from_), headers=(*IDENTITY, ("Max-Forwards", "68")))
    sent = invite.headers.get("From") or ""
    kept = from_[: from_.rindex(">") + 1]
    assert sent.startswith(kept)
    assert invite.from_.tag not in {None, "old"}
    assert [sent.count("tag="), *(invite.headers.get(name) == value for name, value in IDENTITY)] == [1, *[True] * 4]
    assert invite.headers.get_all("Max-Forwards") == ("68",)


def test_a_2xx_with_a_broken_contact_does_not_cost_the_call() -> None:
    """ACK then goes to what was dialled."""
    wire = Wire()
    invite, ack = connected(wire, Contact='"broken <sip:')
    assert str(ack.uri) == str(invite.uri)


def reoffered(wire: Wire) -> Request:
    assert wire.endpoint.reoffer("leg", OFFER, wire.now)
    (again,) = wire.sent()
    assert isinstance(again, Request)
    return again


def test_a_reinvite_is_acknowledged_and_refreshes_the_target() -> None:
    """Our re-INVITE: CSeq goes on, its 2xx is acknowledged, also its copies, and moves the target."""
    wire = Wire()
    connected(wire)
    again = reoffered(wire)
    assert again.cseq == (2, "INVITE")
    ok = reply(again, 200, body=ANSWER, Contact="<sip:bob@127.0.0.2:7777>")
    wire.endpoint.receive(ok.encode(), wire.flow, wire.now)
    ((ack, flow),) = wire.sent_to()
    assert (ack.cseq, flow.remote.port) == ((2, "ACK"), 7777)
    assert wire.take(ReofferAnswered).session == ANSWER
    assert wire.give(ok) == [ack]
    assert wire.told() == []


def test_a_refused_reinvite_is_told_and_the_call_is_up() -> None:
    """488: the old session stays."""
    wire = Wire()
    connected(wire)
    assert methods(wire.give(reply(reoffered(wire), 488))) == ["ACK"]
    wire.take(ReofferFailed)
    assert wire.endpoint.reoffer("leg", OFFER, wire.now)


@pytest.mark.parametrize(("status", "sends"), [(481, ["ACK"]), (408, ["ACK", "BYE"])])
def test_a_dialog_that_is_gone_over_there_is_over_here(status: int, sends: list[str]) -> None:
    """RFC 3261 12.2.1.2: 481 or 408 to a request in the dialog."""
    wire = Wire()
    connected(wire)
    assert methods(wire.give(reply(reoffered(wire), status))) == sends
    assert wire.take(HungUp) == HungUp("leg", None, "gone")
    assert wire.endpoint.legs == 0


def test_a_reinvite_into_silence_ends_the_call() -> None:
    """Timer B of a re-INVITE: BYE, and the user is told."""
    wire = Wire()
    connected(wire)
    reoffered(wire)
    wire.wait(33)
    assert wire.take(HungUp).cause == "gone"


def test_glare_is_491_here_and_a_retry_of_ours() -> None:
    """SIP-4: who made the Call-ID tries again after 2.1 to 4 s, in steps of 10 ms; theirs gets 491 meanwhile."""
    wire = Wire()
    invite, _ = connected(wire)
    again = reoffered(wire)
    assert wire.statuses(their_request(invite, "INVITE")) == [491]
    assert methods(wire.give(reply(again, 491))) == ["ACK"]
    assert wire.told() == []
    retries = [(when, m) for when, m in wire.wait_at(4.1) if isinstance(m, Request) and m.cseq == (3, "INVITE")]
    waited = round(retries[0][0] - 100, 6)
    assert 2.1 <= waited <= 4.0
    assert round(waited * 100, 6) == int(round(waited * 100, 6))


def test_glare_that_does_not_end_is_told() -> None:
    """After five retries the user hears of the 491."""
    wire = Wire()
    connected(wire)
    again = reoffered(wire)
    for _ in range(6):
        wire.give(reply(again, 491))
        again = next((m for m in wire.wait(4.1) if isinstance(m, Request) and m.method == "INVITE"), again)
    failed = wire.take(ReofferFailed)
    assert failed.response is not None
    assert failed.response.status == 491


def test_a_reinvite_waits_for_theirs_to_end() -> None:
    """Only one INVITE of a dialog at a time: ours leaves when theirs is acknowledged."""
    wire = Wire()
    invite, _ = connected(wire)
    assert wire.statuses(their_request(invite, "INVITE")) == [100]
    assert wire.endpoint.reoffer("leg", OFFER, wire.now)
    assert wire.sent() == []
    wire.endpoint.accept_offer("leg", ANSWER, wire.now)
    assert [m.status for m in wire.sent() if isinstance(m, Response)] == [200]
    assert methods(wire.give(their_request(invite, "ACK", branch="z9hG4bKta"))) == ["INVITE"]


def test_a_provisional_reinvite_does_not_block_for_ever() -> None:
    """100 and then nothing: given up after a minute, the call stays."""
    wire = Wire()
    connected(wire)
    wire.give(reply(reoffered(wire), 100, tag=""))
    wire.wait(61)
    assert wire.take(ReofferFailed) == ReofferFailed("leg", None)
    assert methods(wire.sent()) == []
    assert wire.endpoint.reoffer("leg", OFFER, wire.now)


def test_a_response_of_nobody_is_counted_and_forgotten() -> None:
    """Stray responses start nothing and are answered with nothing."""
    wire = Wire()
    invite = invited(wire)
    stray = reply(invite, 200, Via="SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKnobody")
    assert wire.give(stray) == []
    assert wire.told() == []
    assert wire.endpoint.counters.stray_responses == 1
