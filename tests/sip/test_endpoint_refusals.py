"""What is not taken gets the status that says why; strangers' tricks get nothing out of us."""

from __future__ import annotations

import pytest

from callrec.sip.events import IncomingCall
from callrec.sip.message import Response
from tests.support.pair import ANSWER, OFFER, dial
from tests.support.wire import Wire, request

MULTIPART = (
    f"--b\r\nContent-Type: application/sdp\r\n\r\n{OFFER.decode()}\r\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"
)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Max_Forwards": "0"}, 483),
        ({"Max_Forwards": "x"}, 400),
        ({"Require": "100rel, nothere"}, 420),
        ({"uri": "http://x/"}, 416),
        ({"uri": "tel:+442079460123"}, 100),
        ({"uri": "urn:service:sos"}, 100),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "text/plain", "Content_Disposition": "render;handling=optional"}, 100),
        ({"Content_Encoding": "gzip"}, 415),
        ({"Content_Type": "multipart/mixed;boundary=b", "body": MULTIPART}, 100),
        ({"Content_Type": "multipart/mixed", "body": MULTIPART}, 400),
        ({"Content_Type": "multipart/mixed;boundary=b", "body": "--b\r\n\r\nx\r\n--b--"}, 415),
        ({"Accept": "text/nobodyKnowsThis"}, 406),
        ({"To": "<sip:100@127.0.0.1>;tag=unknown"}, 481),
        ({"Contact": '"broken <sip:'}, 400),
        ({"Record_Route": "<sip:broken"}, 400),
    ],
)
def test_an_invite_is_judged_in_the_order_of_the_rfc(changed: dict[str, str], status: int) -> None:
    """Each fault has its status; what is only unusual is a call."""
    wire = Wire()
    assert wire.statuses(request(**changed)) == [status]
    assert len(wire.told()) == (status == 100)


def test_the_session_of_a_multipart_body_is_its_sdp_part() -> None:
    """multipart/mixed: the application/sdp part is the offer."""
    wire = Wire()
    wire.give(request(Content_Type="multipart/mixed;boundary=b", body=MULTIPART))
    assert wire.take(IncomingCall).offer == OFFER


def test_a_420_names_what_is_unknown() -> None:
    """Unsupported lists the required tags we do not have, as they were spelled."""
    (response,) = Wire(supported=("timer",)).give(request(Require="timer, Nothere, 100rel"))
    assert response.headers.get("Unsupported") == "Nothere, 100rel"


@pytest.mark.parametrize(
    ("method", "status"),
    [("REGISTER", 405), ("SUBSCRIBE", 405), ("PUBLISH", 405), ("MESSAGE", 405), ("REFER", 405), ("FLY", 501),
     ("BYE", 481), ("INFO", 481), ("UPDATE", 481), ("NOTIFY", 481), ("PRACK", 481), ("OPTIONS", 200)],
)  # fmt: skip
def test_methods_outside_a_dialog(method: str, status: int) -> None:
    """405 with Allow for what has no place here, 501 for what nobody knows, 481 for what needs a dialog."""
    wire = Wire()
    (response,) = wire.give(request(method))
    assert isinstance(response, Response)
    assert response.status == status
    assert ("Allow" in response.headers) == (status in {200, 405, 501})
    assert wire.told() == []


def test_a_stray_ack_is_absorbed() -> None:
    """An ACK of no dialog is never answered."""
    wire = Wire()
    assert wire.give(request("ACK", to_tag="unknown")) == []
    assert wire.endpoint.counters.stray_acks == 1


def test_options_is_answered_even_with_no_hops_left() -> None:
    """RFC 4475 3.3.11: what is for us needs no forwarding; the status is the user's."""
    assert Wire().statuses(request("OPTIONS", Max_Forwards="0")) == [200]
    (response,) = Wire(options_reply=lambda: (503, [("Retry-After", "30")])).give(request("OPTIONS"))
    assert isinstance(response, Response)
    assert (response.status, response.headers.get("Retry-After")) == (503, "30")


def test_the_same_request_by_two_ways_is_482_the_second_time() -> None:
    """RFC 3261 8.2.2.2: same From tag, Call-ID and CSeq under another branch."""
    wire = Wire()
    assert wire.statuses(request()) == [100]
    assert wire.statuses(request(branch="z9hG4bKother")) == [482]
    assert wire.endpoint.legs == 1


def test_our_own_request_that_comes_back_is_a_loop() -> None:
    """Our branch among the Vias and the Request-URI unchanged: 482; with another Request-URI it is a spiral: a call."""
    wire = Wire()
    wire.endpoint.dial(dial("out", wire.flow), wire.now)
    (ours,) = wire.sent()
    via = f"SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bKproxy, {ours.headers.get('Via')}"
    back = {"Via": via, "Call_ID": "other", "From": "<sip:a@x>;tag=1"}
    assert wire.statuses(request(uri="sip:bob@127.0.0.2:5070", **back)) == [482]
    spiral = back | {"Via": via.replace("Kproxy", "Kother"), "Call_ID": "another"}
    assert wire.statuses(request(uri="sip:mobile@127.0.0.1", **spiral)) == [100]


def test_a_full_store_answers_503_without_keeping_anything() -> None:
    """Beyond the limits every request gets 503 with Retry-After, and the stores do not grow."""
    wire = Wire(max_transactions=10)
    statuses = [wire.statuses(request(branch=f"z9hG4bK{n}", Call_ID=f"c{n}")) for n in range(50)]
    assert statuses == [[100]] * 10 + [[503]] * 40
    assert wire.endpoint.transactions == 10
    assert wire.endpoint.counters.overloaded == 40


def test_too_many_legs_are_refused_with_503() -> None:
    """The bound of legs is one of memory; how many calls are taken is the user's decision."""
    wire = Wire(max_legs=3)
    statuses = [wire.statuses(request(branch=f"z9hG4bK{n}", Call_ID=f"c{n}")) for n in range(5)]
    assert statuses == [[100]] * 3 + [[503]] * 2
    assert wire.endpoint.legs == 3


def test_one_branch_for_two_calls_is_two_calls() -> None:
    """Some stacks use one branch for all: the Call-ID tells the calls apart."""
    wire = Wire()
    wire.give(request(Call_ID="one"))
    wire.give(request(Call_ID="two"))
    assert wire.endpoint.legs == 2


@pytest.mark.parametrize("data", [b"\r\n\r\n", b"\r\n", b"", b"\x00\x00"])
def test_keep_alives_are_no_messages(data: bytes) -> None:
    """Line ends over UDP are absorbed."""
    wire = Wire()
    assert wire.give(data) == []
    assert wire.endpoint.counters.unparseable == 0


def test_wishes_for_legs_that_are_over_do_nothing() -> None:
    """Events and wishes cross: none raises, each says that it did nothing."""
    end = Wire().endpoint
    assert not any([
        end.ring("x", 0.0), end.answer("x", ANSWER, 0.0), end.reject("x", 486, 0.0), end.cancel("x", 0.0),
        end.acknowledge("x", ANSWER, 0.0), end.hang_up("x", 0.0), end.reoffer("x", ANSWER, 0.0),
        end.accept_offer("x", ANSWER, 0.0), end.refuse_offer("x", 488, 0.0), end.respond("x", 200, 0.0),
    ])  # fmt: skip
    assert end.dialog("x") is None
