"""RFC 4475, RFC 5118 and the corpus, as an endpoint answers them."""

from __future__ import annotations

import pytest

from callrec.sip.endpoint import Endpoint, EndpointProfile
from callrec.sip.events import Address, Flow
from tests.sip.vectors import TortureCase, corpus, sip_bytes, torture_cases
from tests.support.pair import seeded

REQUIRING = {"prack-100rel", "multipart-siprec"}
"""Corpus messages that require an extension we do not have (100rel, siprec)."""

SOURCE = Address("192.0.2.7", 5999)
FLOW = Flow("udp", Address("192.0.2.1", 5060), SOURCE)


def answers_to(data: bytes) -> list[int]:
    """Return the statuses a fresh endpoint sends, all of them to the source host."""
    endpoint = Endpoint(EndpointProfile("test", lambda flow: flow.local), seeded(4475))
    endpoint.receive(data, FLOW, 0.0)
    outgoing = endpoint.to_send(0.0)
    assert all(flow.remote.host == SOURCE.host for _, flow in outgoing), "a packet for a stranger"
    # An answer to a broken request echoes what can be read of it, and so may be no whole message itself.
    lines = [sent.split(b"\r\n", 1)[0].split(b" ") for sent, _ in outgoing]
    assert all(line[0] == b"SIP/2.0" for line in lines), "a request where only a response is due"
    return [int(line[1]) for line in lines]


@pytest.mark.parametrize("case", torture_cases(), ids=lambda case: case.file)
def test_the_endpoint_answers_as_the_section_asks(case: TortureCase) -> None:
    """The first response is one the manifest allows; where it allows none, nothing is sent."""
    answers = answers_to(case.data)
    if case.endpoint is None:
        assert answers == []
    else:
        assert answers, "found silence, expected a response"
        assert answers[0] in case.endpoint


@pytest.mark.parametrize("name", corpus("sip_valid"))
def test_every_unusual_request_of_the_corpus_is_taken(name: str) -> None:
    """What a trunk does daily is a call (100) or its plain answer, never a 400."""
    answers = answers_to(sip_bytes(corpus("sip_valid")[name]))
    expected = {"options": [200], "update": [481], "response-custom-code": [], "response-empty-reason": []}
    assert answers == expected.get(name, [420] if name in REQUIRING else [100]), name


@pytest.mark.parametrize("name", corpus("sip_malformed"))
def test_nothing_malformed_gets_more_than_one_answer(name: str) -> None:
    """A malformed message gets one response to its source, or nothing."""
    assert len(answers_to(sip_bytes(corpus("sip_malformed")[name]))) <= 1
