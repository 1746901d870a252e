"""The corpus of unusual and malformed messages: each broke at least one evaluated stack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callrec.errors import PeerError
from callrec.sdp import SessionDescription, audio_of
from callrec.sip import Message, Request, parse_message
from tests.sip.vectors import corpus, sip_bytes

VALID = corpus("sip_valid")
MALFORMED = corpus("sip_malformed")

LOOK: dict[str, Callable[[Message], Any]] = {
    "from_user": lambda message: message.from_.uri.user,
    "from_tag": lambda message: message.from_.tag,
    "from_name": lambda message: message.from_.display_name,
    "nvia": lambda message: len(message.via_list),
    "branch": lambda message: message.via.branch,
    "via_host": lambda message: message.via.host,
    "ctype": lambda message: message.content_type,
    "subject": lambda message: message.headers.get("Subject"),
    "pai": lambda message: len(message.addresses("P-Asserted-Identity")),
}

LENIENT = {
    "bad-uri-scheme": "read as a URI of another scheme, so that the endpoint can answer 416 (RFC 4475 3.3.2)",
    "invalid-utf8": "old PBXs send ISO 8859-1 names unquoted; a name must not cost a call, and its bytes are kept",
    "response-no-reason-sp": "editors of SIPp scripts strip the blank behind the status",
}
"""Malformed messages that are read all the same, each with the reason."""

SESSION_REFUSED = {
    "sdp-garbage": 400,
    "sdp-m-badport": 400,
    "sdp-m-short": 400,
    "sdp-unknown-proto": 488,
    "sdp-rtpmap-before-m": 400,
}
"""Messages whose fault is in the SDP: the message is read, the call refused with this status, never silence."""


@pytest.mark.parametrize("name", VALID)
def test_unusual_but_valid_messages_are_read(name: str) -> None:
    """What a trunk or PBX may send is read, what must come out comes out, and it survives being written back."""
    message = parse_message(sip_bytes(VALID[name]))

    found = {key: LOOK[key](message) for key in VALID[name].get("expect", {})}
    assert found == VALID[name].get("expect", {})
    again = parse_message(message.serialize())
    assert again.headers.without("Content-Length") == message.headers.without("Content-Length")
    assert again.body == message.body


@pytest.mark.parametrize("name", [name for name in VALID if "sdp" in name or name in {"plain", "multipart-siprec"}])
def test_the_session_of_a_valid_message_is_read(name: str) -> None:
    """SDP comes out of every body that holds one, and audio in clear is found in it."""
    session = parse_message(sip_bytes(VALID[name])).session

    assert session is not None
    description = SessionDescription.parse(session)
    if name not in {"sdp-savp-crypto", "sdp-avpf-ice"}:  # not in clear: refused with 488
        assert audio_of(description).port == 40000


@pytest.mark.parametrize("name", [name for name in MALFORMED if name not in LENIENT | SESSION_REFUSED])
def test_malformed_messages_are_refused(name: str) -> None:
    """A broken message gives PeerError, never anything else."""
    with pytest.raises(PeerError):
        parse_message(sip_bytes(MALFORMED[name]))


@pytest.mark.parametrize("name", LENIENT)
def test_leniencies_are_deliberate(name: str) -> None:
    """What is read in spite of a fault has a reason in the table, and its bytes survive."""
    data = sip_bytes(MALFORMED[name])
    message = parse_message(data)

    assert message.from_ is not None
    assert (
        message.headers.get(
            "Call-ID",
        )
        is not None
    )
    assert parse_message(message.serialize()).from_ == message.from_


@pytest.mark.parametrize("name", SESSION_REFUSED)
def test_a_broken_session_is_refused_with_its_status(name: str) -> None:
    """Bad SDP is answered 400 or 488, never silence."""
    message = parse_message(sip_bytes(MALFORMED[name]))

    assert isinstance(message, Request)
    assert message.session is not None
    with pytest.raises(PeerError) as failure:
        audio_of(SessionDescription.parse(message.session))
    assert failure.value.status == SESSION_REFUSED[name]
