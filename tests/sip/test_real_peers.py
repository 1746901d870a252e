"""Messages as named stacks really send them (tests/vectors/peers), read alone: SIP, SDP, who calls whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from callrec.calling_line import PeerProfile, called_number, identify
from callrec.sdp import SessionDescription, audio_of, is_t38
from callrec.sdp.audio import PLAIN_PROTOCOLS
from callrec.sdp.crypto import SECURE_PROTOCOLS
from callrec.sip.grammar import split_list
from callrec.sip.headers import COMPACT, LIST_HEADERS, key_of
from callrec.sip.message import Request, parse_message
from callrec.sip.name_address import NameAddress
from tests.support.recorded_peer import ROOT, manifest, stacks

MESSAGES = {entry["file"].removesuffix(".sip"): entry for entry in manifest()["messages"]}
CALLING = {name: entry for name, entry in MESSAGES.items() if "calling" in entry}
SESSIONS = {name: entry for name, entry in MESSAGES.items() if "session" in entry}
ADDRESS = re.compile(r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9.])")
NUMBER = re.compile(r"(?<![0-9a-z:])(?:sip:|tel:)(?:\+?44|0)?([1237][0-9]{9})(?=[@;>]|$)")
DRAMA = ("7700900", "20794", "1632960")
INVENTED = ("192.0.2.", "198.51.100.", "203.0.113.", "10.0.0.", "0.0.0.0", "127.0.0.1")


def data_of(entry: dict[str, Any]) -> bytes:
    return (ROOT / entry["file"]).read_bytes()


def test_every_file_is_in_the_manifest_and_every_stack_says_where_its_form_is_from() -> None:
    """Nothing is tested that nobody can trace."""
    files = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.sip")}
    assert files == {entry["file"] for entry in MESSAGES.values()}
    for name in stacks():
        assert manifest()["stacks"][name]["form"], name
        assert any(file.startswith(f"{name}/") for file in files)


@pytest.mark.parametrize("name", MESSAGES)
def test_cli_4_each_message_is_read_and_written_again_without_a_loss(name: str) -> None:
    """Compact names, no blanks, capitals, lists in one line: every header keeps its name, place and value."""
    message = parse_message(data_of(MESSAGES[name]))
    start = message.method if isinstance(message, Request) else message.status
    assert start == MESSAGES[name]["start"]
    again = parse_message(message.serialize())
    assert again.body == message.body
    kept = [(key, value) for key, value in message.headers.items() if key_of(key) != "content-length"]
    assert [(key, value) for key, value in again.headers.items() if key_of(key) != "content-length"] == kept
    assert again.headers.get("Content-Length") == str(len(message.body))
    _ = message.via_list, message.contacts, message.record_route, message.addresses("P-Asserted-Identity")


@pytest.mark.parametrize("name", MESSAGES)
def test_no_message_holds_a_number_or_address_of_anybody(name: str) -> None:
    """CLI-10: drama numbers and documentation addresses only."""
    for line in data_of(MESSAGES[name]).decode(errors="replace").splitlines():
        if not line.casefold().startswith(("user-agent", "server", "s=")):  # versions look like addresses
            assert all(address.startswith(INVENTED) for address in ADDRESS.findall(line)), line
        assert all(number.startswith(DRAMA) for number in NUMBER.findall(line)), line


@pytest.mark.parametrize("name", SESSIONS)
def test_rtp_6_each_session_is_read_as_it_is_meant(name: str) -> None:
    """Codecs in their order, digits, direction, hold, and where RTP and RTCP go; the audio of fax is none."""
    expected = SESSIONS[name]["session"]
    description = SessionDescription.parse(parse_message(data_of(SESSIONS[name])).body)
    assert [f"{media.kind} {media.port} {media.protocol}" for media in description.media] == expected["streams"]
    if "codecs" not in expected:
        assert is_t38(description)
        return
    audio = audio_of(description, PLAIN_PROTOCOLS | SECURE_PROTOCOLS)
    assert [f"{codec.name}/{codec.clock_rate}" for codec in audio.codecs] == expected["codecs"]
    assert list(audio.telephone_events) == expected["telephone_events"]
    assert list(audio.comfort_noise) == expected.get("comfort_noise", [])
    assert (audio.direction.value, audio.held) == (expected["direction"], expected["held"])
    assert f"{audio.address}:{audio.port}" == expected["media"]
    assert audio.rtcp_port == expected["rtcp_port"]


def _respelled(data: bytes, respell: Callable[[str, str], str]) -> bytes:
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    written = [respell(*(part.strip() for part in line.split(":", 1))) for line in lines]
    return "\r\n".join([start, *written]).encode() + b"\r\n\r\n" + body


SHORT = {full: short for short, full in COMPACT.items()}
SPELLINGS: dict[str, Callable[[str, str], str]] = {
    "capitals": lambda name, value: f"{name.upper()} : {value}",
    "compact": lambda name, value: f"{SHORT.get(key_of(name), name)}:{value}",
    "full": lambda name, value: f"{key_of(name)}:\t{value}",
    "folded": lambda name, value: f"{name}:\r\n {value}",
    "one line for each value": lambda name, value: "\r\n".join(
        f"{name}: {part}" for part in (split_list(value, name) if key_of(name) in LIST_HEADERS else [value])
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", CALLING)
def test_cli_4_the_spelling_of_headers_changes_nothing(name: str, spelling: str) -> None:
    """RFC 3261 7.3: any stack may write any other's message in its own manner, and the same caller calls."""
    data, peer = data_of(CALLING[name]), PeerProfile(trusted=True)
    as_is, other = parse_message(data), parse_message(_respelled(data, SPELLINGS[spelling]))
    assert identify(other.headers.items(), peer) == identify(as_is.headers.items(), peer)
    assert other.session == as_is.session
    assert (other.contact, other.via_list, other.record_route) == (as_is.contact, as_is.via_list, as_is.record_route)
    assert other.from_ == as_is.from_
    assert (other.call_id, other.cseq) == (as_is.call_id, as_is.cseq)


def test_sip_15_the_session_beside_an_isup_part_is_found() -> None:
    """RFC 3204: the other part is binary, with line ends, dashes and NULs in it, and costs nothing."""
    message = parse_message(data_of(MESSAGES["sip-i/invite"]))
    assert message.session is not None
    assert [codec.name for codec in audio_of(SessionDescription.parse(message.session)).codecs] == ["PCMA", "G729"]


def test_sip_9_the_address_teams_transfers_to_is_kept_to_the_letter() -> None:
    """Its parameters hold colons and escapes by which Teams finds the user again; there is no user part."""
    refer = parse_message(data_of(MESSAGES["teams/refer"]))
    for name in ("Refer-To", "Referred-By"):
        written = refer.headers.get(name) or ""
        assert str(NameAddress.parse(written).uri) == written.strip("<>")


@pytest.mark.parametrize("name", CALLING)
def test_cli_5_each_invite_says_who_calls_whom(name: str) -> None:
    """Domain 2.2: presentation and network number, withheld, name and diversion of every stack's own headers."""
    entry = CALLING[name]
    stack = name.partition("/")[0]
    side = "pbx" if manifest()["stacks"][stack]["side"] == "pbx" else "trunk"
    peer = PeerProfile(trusted=True, role=side, number_format="nsn" if stack == "uk-nsn" else "auto")
    request = parse_message(data_of(entry))
    assert isinstance(request, Request)
    identity, expected = identify(request.headers.items(), peer), entry["calling"]

    def e164(number: Any) -> str | None:
        return number.e164 if number is not None else None

    assert e164(identity.presentation_number) == expected.get("presentation")
    assert e164(identity.network_number) == expected.get("network")
    assert e164(identity.diverting_number) == expected.get("diverting")
    assert identity.diversion_reason == expected.get("reason")
    assert identity.presentation_other == expected.get("other")
    assert identity.display_name == expected.get("name")
    assert identity.withheld == expected.get("withheld", False)
    assert identity.category == expected.get("category")
    assert list(identity.ignored) == expected.get("ignored", [])
    dialled = str(request.uri).partition(":")[2] if request.uri.scheme == "tel" else request.uri.user or ""
    assert called_number(dialled, peer).e164 == entry["called"]
