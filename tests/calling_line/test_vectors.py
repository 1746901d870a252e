"""Every vector of tests/vectors/calling_line.json, through a real INVITE: V01-V47, C01-C14 and the keyed hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callrec.calling_line import (
    CallingLineIdentity,
    Number,
    NumberKind,
    PeerProfile,
    called_number,
    identify,
    is_emergency,
    lookup_key,
)
from callrec.sip import Request, parse_message

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "calling_line.json").read_text())


def headers_of(text: str) -> tuple[tuple[str, str], ...]:
    """Return the headers of an INVITE that holds these lines, as the SIP parser reads them."""
    fixed = (
        "Via: SIP/2.0/UDP h;branch=z9hG4bK1\nTo: <sip:+442079460001@h>\nCall-ID: 1\nCSeq: 1 INVITE\nMax-Forwards: 70"
    )
    wire = f"INVITE sip:+442079460001@h SIP/2.0\n{fixed}\n{text}\nContent-Length: 0\n\n".replace("\n", "\r\n")
    message = parse_message(wire.encode())
    assert isinstance(message, Request)
    return message.headers.items()


def shown(number: Number | None, *, withheld: bool) -> str | None:
    """Return a forwarding party as the vectors write it."""
    return "withheld" if withheld else number.e164 if number else None


def record(identity: CallingLineIdentity) -> dict[str, Any]:
    """Return an identity as the vectors write it."""
    number = identity.presentation_number
    return {
        "status": identity.status,
        "presentation_e164": number.e164 if number else None,
        "presentation_national": number.national if number else None,
        "presentation_other": identity.presentation_other,
        "source": identity.source,
        "network_e164": identity.network_number.e164 if identity.network_number else None,
        "withheld": identity.withheld,
        "withheld_reasons": list(identity.withheld_reasons),
        "trust": identity.trust,
        "diverting": shown(identity.diverting_number, withheld=identity.diverting_withheld),
        "original_called": shown(identity.original_called_number, withheld=identity.original_called_withheld),
        "verstat": identity.verstat,
        "flags": list(identity.flags),
        "ignored": list(identity.ignored),
        "display_name": identity.display_name,
    }


@pytest.mark.parametrize("vector", VECTORS["calling"], ids=lambda vector: f"{vector['id']} {vector['desc']}")
def test_a_calling_line_is_recorded_as_the_vector_says(vector: dict[str, Any]) -> None:
    """2.6: every field of the record, from the headers as they are on the wire."""
    given = vector["input"]
    peer = PeerProfile(
        trusted=given.get("trusted", True),
        role="pbx" if given.get("role") == "internal" else "trunk",
        number_format="nsn" if given.get("trunk_nsn") else "auto",
        keypad_words=given.get("keypad_words", False),
    )
    assert record(identify(headers_of(given["headers"]), peer)) == vector["expected"]


@pytest.mark.parametrize("vector", VECTORS["called"], ids=lambda vector: f"{vector['id']} {vector['dialled']}")
def test_a_called_number_is_understood_as_the_vector_says(vector: dict[str, Any]) -> None:
    """2.7: kind, E.164, digits and dial prefix."""
    peer = PeerProfile(trusted=True, outside_prefix=vector["outside_prefix"])
    called = called_number(vector["dialled"], peer)
    found = {"kind": called.kind, "e164": called.e164, "digits": called.digits, "prefix": called.dial_prefix}
    assert found == vector["expected"]
    assert is_emergency(vector["dialled"], peer) is (called.kind is NumberKind.EMERGENCY)


def test_c15_and_c16_the_number_called_at_first_is_that_of_to() -> None:
    """C15: To may hold the called number; C16: a To that differs from the Request-URI was called at first."""
    headers = [("From", "<sip:+447700900123@h>"), ("To", "<sip:+441632960001@t.example>")]
    peer = PeerProfile(trusted=True)
    identity = identify(headers, peer, dialled="+442079460123")
    assert identity.original_called_number is not None
    assert identity.original_called_number.e164 == "+441632960001"
    assert identify(headers, peer, dialled="01632960001").original_called_number is None
    assert identify(headers, peer, dialled="bettercomms-trunk1").original_called_number is None
    assert called_number("02079460123", peer).e164 == "+442079460123"


def test_cli_12_the_lookup_key_is_the_keyed_hash_of_e164() -> None:
    """CLI-12: the vector of the keyed hash."""
    vector = VECTORS["hmac"]
    assert lookup_key(vector["key"].encode(), vector["message"]) == vector["sha256"]


def test_all_vectors_are_there() -> None:
    """None is switched off."""
    assert (len(VECTORS["calling"]), len(VECTORS["called"])) == (47, 18)
