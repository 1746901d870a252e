"""The decision of 2.2 where the vectors do not reach, and the promise that no header breaks it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec.calling_line import (
    CallingLineIdentity,
    CliFlag,
    CliStatus,
    CliTrust,
    PeerProfile,
    WithheldReason,
    identify,
)

TRUSTED = PeerProfile(trusted=True)
STRANGER = PeerProfile()
PBX = PeerProfile(trusted=True, role="pbx")
ANN = "<sip:+441632960001@t.example>"


def test_cli_1_the_default_peer_is_not_trusted() -> None:
    """CLI-1: trust is configured, never assumed."""
    identity = identify([("From", ANN), ("P-Asserted-Identity", ANN)], STRANGER)
    assert (identity.trust, identity.network_number) == (CliTrust.UNVERIFIED, None)


def test_cli_2_headers_of_an_untrusted_peer_are_named_and_not_kept() -> None:
    """CLI-2: PAI, RPID, Diversion and History-Info of a stranger."""
    names = ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info"]
    identity = identify([("From", "<sip:+447700900123@x>"), *((name, ANN) for name in names)], STRANGER)
    assert list(identity.ignored) == names
    assert "1632960001" not in json.dumps(asdict(identity))


def test_cli_2_an_untrusted_peer_may_add_privacy() -> None:
    """2.1: any source may add privacy; only a trusted one may remove it."""
    identity = identify([("From", ANN), ("Privacy", "id")], STRANGER)
    assert (identity.status, identity.withheld_reasons) == (CliStatus.WITHHELD, (WithheldReason.PRIVACY_HEADER,))


@pytest.mark.parametrize("value", ["id", "ID;critical", "header , session", "none;user", ' "id" '])
def test_privacy_withholds_in_any_spelling(value: str) -> None:
    """2.1: id, user and header count as withheld, in any case and company."""
    assert identify([("From", ANN), ("privacy", value)], TRUSTED).withheld


@pytest.mark.parametrize("user", ["Anonymous", "RESTRICTED", "private", "withheld", "blocked", "anonymous;cpc=x"])
def test_each_word_for_anonymous_withholds(user: str) -> None:
    """2.2.2: as the user part, whatever network number stands beside it."""
    identity = identify([("From", f"<sip:{user}@h>"), ("P-Asserted-Identity", ANN)], TRUSTED)
    assert (identity.withheld, identity.network_number) == (True, None)


def test_cli_12_a_withheld_identity_holds_no_digit_and_no_name() -> None:
    """CLI-12: nothing but `asserted_in_memory` knows who it was, and that is in no repr."""
    headers = [
        ("From", '"Ann Example" <sip:+441632960001;cpc=ordinary;rn=+441632960001@t.example>'),
        ("P-Asserted-Identity", "<sip:+441632960001;verstat=TN-Validation-Passed@t.example>"),
        ("Diversion", "<sip:+441632960001@t.example>;reason=unconditional"),
        ("Privacy", "id"),
    ]
    identity = identify(headers, TRUSTED)
    assert identity.asserted_in_memory is not None
    assert identity.asserted_in_memory.e164 == "+441632960001"
    kept = {name: value for name, value in asdict(identity).items() if name != "asserted_in_memory"}
    assert "960001" not in json.dumps(kept)
    assert "Ann" not in json.dumps(kept)
    assert "960001" not in repr(identity)
    assert (identity.diverting_withheld, identity.original_called_withheld) == (True, True)


def test_a_withheld_from_number_is_known_in_memory_where_no_network_number_came() -> None:
    """CLI-12: a stop list is honoured for callers who hide, too."""
    identity = identify([("From", "<sip:01632960001@h>"), ("Privacy", "user")], TRUSTED)
    assert identity.asserted_in_memory is not None
    assert identity.asserted_in_memory.e164 == "+441632960001"


def test_the_diverting_party_of_a_withheld_call_is_still_known() -> None:
    """The caller hid their own number, not that of whoever forwarded the call."""
    identity = identify([("From", ANN), ("Privacy", "id"), ("Diversion", "<tel:+442079460123>")], TRUSTED)
    assert identity.diverting_number is not None
    assert identity.diverting_number.e164 == "+442079460123"


def test_numbers_and_names_are_in_no_repr() -> None:
    """A traceback or a debug line shows no digit."""
    assert "960001" not in repr(identify([("From", '"Ann" ' + ANN), ("P-Asserted-Identity", ANN)], TRUSTED))
    assert "Ann" not in repr(identify([("From", '"Ann" ' + ANN)], TRUSTED))


def test_alphanumeric_senders_are_told_as_they_are() -> None:
    """2.2.4: only if there is no network number."""
    identity = identify([("From", "<sip:bettercomms@h>")], TRUSTED)
    assert (identity.status, identity.presentation_other) == (CliStatus.ALPHANUMERIC, "bettercomms")


def test_cli_8_a_short_code_from_a_trunk_stays_one() -> None:
    """CLI-8: 101 is the police, never +44101; from our PBX it is an extension."""
    identity = identify([("From", "<sip:101@h>")], TRUSTED)
    assert (identity.status, identity.presentation_number, identity.presentation_other) == (
        CliStatus.SHORT_CODE,
        None,
        "101",
    )
    assert identify([("From", "<sip:101@h>")], PBX).status is CliStatus.AVAILABLE


def test_an_inserted_network_number_identifies_nobody() -> None:
    """2.2.3: 08979 is dropped from PAI and from From."""
    identity = identify([("From", "<sip:+448979000001@h>")], TRUSTED)
    assert (identity.status, identity.presentation_number) == (CliStatus.UNAVAILABLE, None)
    assert identity.flags == (CliFlag.INSERTED_NETWORK_NUMBER,)


def test_cli_11_unavailable_in_keypad_digits_is_unavailable() -> None:
    """CLI-11: UNKNOWN is the network's word, not the caller's."""
    identity = identify([("From", "<sip:8656696@h>")], PeerProfile(trusted=True, keypad_words=True))
    assert (identity.status, identity.withheld, identity.presentation_other) == (CliStatus.UNAVAILABLE, False, None)


def test_a_uk_number_on_a_foreign_trunk_is_flagged() -> None:
    """2.2.7: flagged, never refused (LAW-69)."""
    identity = identify([("From", ANN)], PeerProfile(trusted=True, country="FR"))
    assert identity.flags == (CliFlag.UK_CLI_FROM_FOREIGN_TRUNK,)


def test_extras_of_the_user_part_are_kept_apart() -> None:
    """2.1: cpc and rn are stripped before the number is read, and kept."""
    identity = identify([("From", "<sip:+442079460123;cpc=payphone;rn=+441632990000@h>"), ("Identity", "x")], TRUSTED)
    assert (identity.category, identity.routing_number, identity.signed) == ("payphone", "+441632990000", True)


def test_remote_party_id_may_hide_the_name_only() -> None:
    """The draft's privacy=name hides the name, not the number; full-network hides all."""
    headers = [("From", "<sip:pbx@h>"), ("Remote-Party-ID", '"Ann" <sip:01632960001@h>;privacy=name')]
    identity = identify(headers, TRUSTED)
    assert (identity.display_name, identity.withheld) == (None, False)
    headers[1] = ("Remote-Party-ID", '"Ann" <sip:01632960001@h>;privacy="full-network"')
    assert identify(headers, TRUSTED).withheld


def test_history_info_is_ordered_by_index_and_may_hide_an_entry() -> None:
    """2.1, RFC 7044: the entry before the one that tells the cause; `?Privacy=history` hides it."""
    first, second = "<sip:+441632960001@h>;index=1", "<sip:+442079460123@h;cause=302>;index=1.1"
    history = f"<sip:+442079460124@h;cause=486>;index=1.1.1, {first}, {second}"
    identity = identify([("From", ANN), ("History-Info", history)], TRUSTED)
    assert identity.diverting_number is not None
    assert identity.original_called_number is not None
    assert identity.diverting_number.e164 == "+442079460123"
    assert identity.original_called_number.e164 == "+441632960001"
    assert identity.diversion_reason == "user-busy"
    hidden = "<sip:+441632960001@h?Privacy=history>;index=1, <sip:+442079460123@h;cause=302>;index=1.1"
    identity = identify([("From", ANN), ("History-Info", hidden)], TRUSTED)
    assert (identity.diverting_number, identity.diverting_withheld) == (None, True)


def test_history_info_may_tell_the_cause_as_the_answer_of_who_forwarded() -> None:
    """RFC 7044 5: `?Reason=SIP;cause=302` in the entry that was called first, as Teams and its SBCs write it."""
    busy = "<sip:+442079460777@h?Reason=SIP%3Bcause%3D486%3Btext%3D%22Busy%20Here%22>;index=1"
    identity = identify([("From", ANN), ("History-Info", f"{busy}, <sip:+442079460123@h>;index=1.1")], TRUSTED)
    assert identity.diverting_number is not None
    assert identity.diverting_number.e164 == "+442079460777"
    assert identity.diversion_reason == "user-busy"
    again = "<sip:+442079460123@a?Reason=SIP%3Bcause%3D503>;index=1, <sip:+442079460123@b>;index=2"
    identity = identify([("From", ANN), ("History-Info", again)], TRUSTED)
    assert identity.diverting_number is None, "the network tried the same number elsewhere"


def test_what_cannot_be_read_is_flagged_and_the_rest_is_used() -> None:
    """A broken header costs its own value only."""
    identity = identify([("From", '"Ann <sip:'), ("P-Asserted-Identity", ANN)], TRUSTED)
    assert identity.flags == (CliFlag.UNPARSEABLE,)
    assert identity.presentation_number is not None
    assert identify([("From", "<<<")], TRUSTED).status is CliStatus.UNAVAILABLE
    assert identify([], TRUSTED) == CallingLineIdentity(CliStatus.UNAVAILABLE)


def test_names_of_old_pbxs_can_be_stored() -> None:
    """ISO 8859-1 bytes come out as the letters they were; the result is always valid text."""
    name = b"M\xfcller".decode("utf-8", "surrogateescape")
    identity = identify([("From", f'"{name}" {ANN}')], TRUSTED)
    assert identity.display_name == "Müller"


NAMES = [
    "From",
    "f",
    "P-Asserted-Identity",
    "Remote-Party-ID",
    "Privacy",
    "Diversion",
    "History-Info",
    "To",
    "Identity",
]
PIECES = [
    "<", ">", '"', ";", ",", "sip:", "tel:", "urn:", "+44", "01632960001", "@", "h", "=", "privacy", "id", "%2B", "%",
    "phone-context", "anonymous", ".invalid", "\r\n ", "\x00", "\udcff", "\ud800", "\u0663", "index=1.1", "?",
    "cause=302", "\\", " ", "[::1]",
]  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=80),
    st.binary(max_size=80).map(lambda data: data.decode("utf-8", "surrogateescape")),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
)
PROFILES = st.builds(
    PeerProfile,
    trusted=st.booleans(),
    role=st.sampled_from(["trunk", "pbx"]),
    number_format=st.sampled_from(["auto", "nsn"]),
    keypad_words=st.booleans(),
    outside_prefix=st.sampled_from(["", "9"]),
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6), PROFILES, st.none() | VALUES)
def test_whatever_the_headers_hold_a_value_comes_back(
    headers: list[tuple[str, str]], peer: PeerProfile, dialled: str | None
) -> None:
    """Any bytes in any header: an identity that can be stored, never an exception."""
    identity = identify(headers, peer, dialled=dialled)
    json.dumps(asdict(identity), ensure_ascii=False).encode()
    if identity.withheld:
        assert (identity.presentation_number, identity.network_number, identity.display_name) == (None, None, None)
