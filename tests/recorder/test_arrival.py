"""What an INVITE is: its route, its rule, its destination, whether it is an emergency."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from callrec.catalogue.items import identity_document, pack
from callrec.recorder.arrival import Arrival
from callrec.recorder.extensions import spares
from callrec.recorder.new_rows import identity_of
from callrec.settings import CalledNumberSource, Settings, WithheldNumberPolicy, build
from callrec.sip.events import Address, Flow, IncomingCall
from callrec.sip.message import Request, parse_message

DDI = "+442079460123"
TABLES: dict[str, Any] = {
    "peer": [
        {"name": "trunk", "addresses": ["127.0.0.1"], "role": "trunk", "trusted_identity": True},
        {"name": "pbx", "addresses": ["127.0.0.2"], "role": "pbx", "trusted_identity": True, "outside_prefix": "9"},
    ],
    "route": [
        {"from": "trunk", "called": DDI, "rule": "inbound", "destination": "sip:127.0.0.2:5062"},
        {"from": "trunk", "called": "0161*", "destination": "sip:200@127.0.0.2"},
        {"from": "pbx", "called": "*", "destination": "sip:127.0.0.1:5080"},
    ],
    "capture_rule": [
        {
            "name": "inbound",
            "direction": "inbound",
            "controller": "Better Comms (VOIP) Ltd",
            "purpose": "training_and_monitoring",
            "lawful_basis": "legitimate_interests",
            "assessment_ref": "LIA-2026-01",
            "notice": "training-and-monitoring",
            "retention_class": "unmatched",
        }
    ],
    "retention_class": [{"name": "unmatched", "keep": "2y", "from": "call"}],
}


def settings(**more: Any) -> Settings:
    return build({**TABLES, **more}, base=Path("/nowhere"))


def arrival(uri: str, *lines: str, peer: str = "trunk", config: Settings | None = None) -> Arrival:
    config = config or settings()
    head = [
        f"INVITE {uri} SIP/2.0",
        "Via: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bK1",
        f"To: <{uri}>",
        "Call-ID: arrival@test",
        "CSeq: 1 INVITE",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ]
    from_line = [] if any(line.startswith("From:") for line in lines) else ["From: <sip:+441632960001@t>;tag=1"]
    request = parse_message("\r\n".join([*head, *from_line, *lines, "", ""]).encode("utf-8", "surrogateescape"))
    assert isinstance(request, Request)
    flow = Flow("udp", Address("127.0.0.1", 5070), Address("127.0.0.1", 5080))
    known = next(each for each in config.peer if each.name == peer)
    return Arrival(IncomingCall("leg", request, flow, None), known, config)


def first(call: Arrival, menu_key: str | None = None) -> str:
    """Return whom a call tries first."""
    return str(call.with_user(call.destinations(menu_key)[0]))


@pytest.mark.parametrize("user", [DDI, "02079460123", "+442079460123;cpc=ordinary"])
def test_law_1_a_route_gives_the_call_its_capture_rule(user: str) -> None:
    """LAW-1: a DDI in any spelling finds its rule; the destination's user defaults to the called number."""
    call = arrival(f"sip:{user}@127.0.0.1:5070")
    assert call.rule is not None
    assert call.rule.name == "inbound"
    assert first(call) == f"sip:{user.partition(';')[0]}@127.0.0.2:5062"
    assert call.inbound


def test_law_1_a_route_without_a_rule_records_nothing() -> None:
    """A transparent route names its own user."""
    call = arrival("sip:01614960001@127.0.0.1")
    assert call.rule is None
    assert first(call) == "sip:200@127.0.0.2"


def test_a_number_without_a_route_has_no_destination() -> None:
    """Nobody is called by chance."""
    assert not arrival("sip:01632960999@127.0.0.1").destinations()


@pytest.mark.parametrize("uri", ["sip:999@127.0.0.1", "sip:112@x", "sip:18000@x", "urn:service:sos.fire", "tel:999"])
def test_fail_1_an_emergency_call_finds_its_way_out_of_any_configuration(uri: str) -> None:
    """FAIL-1: dialled digits alone decide, and a missing route does not stop it."""
    call = arrival(uri, peer="pbx")
    assert call.emergency
    assert call.destinations()
    own = settings(emergency={"destination": "sip:999@127.0.0.9:5060"})
    assert first(arrival(uri, peer="pbx", config=own)) == "sip:999@127.0.0.9:5060"


def test_fail_1_the_outside_prefix_does_not_hide_an_emergency() -> None:
    """C07: 9999 behind an outside-line 9 is 999."""
    assert arrival("sip:9999@127.0.0.1", peer="pbx").emergency


def test_cli_13_a_withheld_number_is_nowhere_in_what_is_kept() -> None:
    """CLI-12, CLI-13: under the policy drop, not one field of the identity holds the digits."""
    call = arrival(
        f"sip:{DDI}@127.0.0.1",
        'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=1',
        "P-Asserted-Identity: <sip:+441632960001@t>",
        "Privacy: id",
    )
    kept = identity_of(call, WithheldNumberPolicy.DROP)
    assert "1632960001" not in repr(kept)
    assert kept.called_number == DDI
    assert identity_of(call, WithheldNumberPolicy.KEYED_HASH).hidden_number == "+441632960001"


def test_bytes_that_are_no_utf_8_cost_no_row() -> None:
    """SIP-15: an old PBX writes ISO 8859-1, a broken one anything: whatever is kept can be written as JSON."""
    request = arrival("sip:0207\udcd0123@t", "Session-ID: \udcffx", 'From: "J\udcfcrgen" <sip:+441632960001@t>;tag=1')
    kept = identity_of(request, WithheldNumberPolicy.DROP)
    assert kept.display_name == "J\u00fcrgen"
    assert json.loads(pack(identity_document(kept, None)))["extra"]["session_id"] == "\u00ffx"


def test_sip_11_what_would_be_an_emergency_of_another_peer_lets_nobody_past_a_challenge() -> None:
    """FAIL-1: 999 is spared where the peer itself puts it; the To of one whose Request-URI counts is not looked at."""
    config = settings()
    trunk, pbx = config.peer
    elsewhere = pbx.model_copy(update={"called_number_source": CalledNumberSource.TO})
    spared = spares(config.model_copy(update={"peer": (trunk, elsewhere)}))
    urgent = arrival("sip:999@t", config=config).request
    trick = arrival(f"sip:{DDI}@t", config=config).request
    trick = replace(trick, headers=trick.headers.replace("To", "<sip:999@t>"))
    assert [spared(request, trunk) for request in (urgent, trick)] == [True, False]
    assert spared(trick, elsewhere)


def test_a_menu_key_leads_to_its_own_destination() -> None:
    """A menu chooses who is called; without a key the route's destination, or the menu's default, is."""
    rules = [{**TABLES["capture_rule"][0], "menu": "main"}]
    config = settings(
        capture_rule=rules, menu=[{"name": "main", "digits": {"1": "sip:201@127.0.0.2", "2": "sip:202@127.0.0.2"}}]
    )
    call = arrival(f"sip:{DDI}@127.0.0.1", config=config)
    assert first(call, "2") == "sip:202@127.0.0.2"
    assert first(call) == f"sip:{DDI}@127.0.0.2:5062"
