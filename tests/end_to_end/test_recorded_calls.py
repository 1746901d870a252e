"""A call from the trunk is announced, connected and recorded, and its export is exactly what was said."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from demonstration.telephony import g711
from tests.support.house import CALLER, Conversation, House
from tests.support.listening import decoded, matches
from tests.support.recorder import DDI, SHORT_NOTICE, TRUNK

TALK_S = 2.5


@pytest.fixture(scope="module", params=["udp", "tcp"])
def system(request: pytest.FixtureRequest) -> Iterator[House]:
    """Return a house whose trunk and PBX speak SIP over one transport."""
    with House(transport=request.param) as house:
        yield house


def check_recorded(house: House, talk: Conversation) -> dict[str, object]:
    item = house.item_of(talk)
    house.check_exports([talk], [item])
    return item


@pytest.mark.parametrize(("codec", "caller"), [(g711.PCMA, "+447700900101"), (g711.PCMU, "+447700900102")])
def test_the_export_is_exactly_what_was_said(system: House, codec: int, caller: str) -> None:
    """A-law and u-law, UDP and TCP: both voices to the last sample, the caller left, the desk right, in step."""
    talk = system.connect(caller, codec=codec)
    talk.talk(TALK_S)
    talk.hang_up(by="caller" if codec == g711.PCMA else "desk")
    item = check_recorded(system, talk)
    assert item["network_number"] == caller
    assert item["called_number"] == "+44" + DDI[1:]
    notice = item["notice"]
    assert isinstance(notice, dict)
    assert (notice["id"], notice["completed"]) == (SHORT_NOTICE, True)
    legs = item["legs"]
    assert isinstance(legs, list)
    assert [leg["peer"] for leg in legs] == ["trunk", "pbx"]
    assert all(leg["packets_lost"] == 0 and leg["codec"].upper().startswith(g711.NAMES[codec]) for leg in legs)


def test_the_parties_hear_each_other_unchanged(house: House) -> None:
    """What is recorded is relayed too: every packet, in order, with one unbroken sequence (RFC 3550 5.1)."""
    talk = house.connect("+447700900110")
    talk.talk(1.0)
    talk.hang_up()
    heard = talk.inside.voice.heard
    audio = b"".join(packet.payload for packet in heard if packet.payload_type == g711.PCMA)
    assert audio in talk.outside.coded
    spoken = [packet for packet in talk.outside.voice.heard if packet.payload_type == g711.PCMA]
    numbers = [packet.sequence for packet in spoken]
    assert all((after - before) % 65536 == 1 for before, after in pairwise(numbers)), (
        "the sequence breaks where the notice gives way to the desk"
    )
    assert len({packet.ssrc for packet in spoken}) == 1


def test_nothing_from_before_the_desk_answered_is_kept(house: House) -> None:
    """NOT-1, NOT-2: what the caller says in the notice and in ringing is not in the recording."""
    talk = house.reach_desk(house.hear_notice(house.dial("+447700900111")))
    talk.desk.ring()
    talk.talk(1.0)  # the caller speaks into the ringing
    before = len(talk.outside.voice.sent)
    house.pick_up(talk)
    talk.talk(1.5)
    talk.hang_up()
    item = check_recorded(house, talk)
    _, left, _ = house.recorder.export(str(item["call_id"]))
    kept = matches(np.array(left, np.int16), decoded(g711.PCMA, talk.outside.coded))
    assert kept[0].in_voice >= (before - 5) * 160, "the recording begins with what was said before the desk answered"


@pytest.mark.alone
def test_twenty_calls_at_once(house: House) -> None:
    """Twenty callers at the same time: twenty rows, and every export is exact on both channels."""
    callers = [f"+4477009002{number:02}" for number in range(20)]
    talks = [house.dial(caller, codec=number % 2 * 8) for number, caller in enumerate(callers)]
    for talk in talks:
        house.hear_notice(talk)
    for talk in talks:
        house.pick_up(house.reach_desk(talk))
    talks[-1].talk(3.0)
    for talk in talks:
        talk.hang_up()
    house.check_exports(talks, house.items_of(talks))


def test_late_offer(house: House) -> None:
    """SIP-6: an INVITE without SDP gets our offer in the 200, and its ACK brings the answer."""
    talk = house.connect("+447700900112", late=True)
    talk.talk(1.0)
    talk.hang_up()
    check_recorded(house, talk)


def test_several_codecs_and_foreign_payload_numbers(house: House) -> None:
    """One codec is chosen and offered onward with the caller's own payload numbers; nothing is transcoded."""
    codecs = {107: "opus/48000/2", 9: "G722/8000", 8: "PCMA/8000", 0: "PCMU/8000", 96: "telephone-event/8000"}
    talk = house.connect("+447700900113", codecs=codecs)
    answered, offered = talk.out.remote_session, talk.desk.remote_session
    assert answered is not None
    assert offered is not None
    assert answered.codecs == {8: "PCMA/8000", 96: "telephone-event/8000"}
    assert offered.codecs == answered.codecs
    talk.talk(1.0)
    talk.hang_up()
    check_recorded(house, talk)


def test_identity_headers_reach_the_pbx_unchanged(house: House) -> None:
    """A trusted PBX gets From, PAI, Privacy, Diversion and History-Info as they came."""
    headers = [
        ("P-Asserted-Identity", f'"Ada Lovelace" <sip:+447700900114@{TRUNK};user=phone>'),
        ("Diversion", "<sip:+442079460999@carrier.example>;reason=unconditional"),
        ("History-Info", "<sip:+442079460999@carrier.example>;index=1"),
    ]
    talk = house.reach_desk(house.hear_notice(house.dial("+447700900114", headers=headers)))
    for name, value in headers:
        assert talk.desk.invite.get(name) == value
    house.pick_up(talk)
    talk.talk(0.5)
    talk.hang_up()
    item = house.item_of(talk)
    assert item["diverting_number"] == "+442079460999"
    assert item["display_name"] == "Ada Lovelace"


def test_a_number_is_found_in_any_spelling(house: House) -> None:
    """find takes a number as people write it, and its last four digits."""
    caller = "+447700900115"
    talk = house.connect(caller)
    talk.hang_up()
    wanted = house.item_of(talk)["call_id"]
    for spelling in ("07700 900115", "+44 7700 900 115", "0044 7700900115", "(07700) 900-115", "*0115"):
        assert wanted in [item["call_id"] for item in house.recorder.find(spelling)], spelling


def test_delete_leaves_nothing(house: House) -> None:
    """`delete --number` erases a caller's calls: in no list, `show` exits 3, the file is gone, others stay."""
    talk, other = house.connect("+447700900116"), house.connect("+447700900117")
    for each in (talk, other):
        each.talk(0.5)
        each.hang_up()
    call_id, kept = house.item_of(talk)["call_id"], house.item_of(other)["call_id"]
    files = set(house.recorder.recordings.rglob("*.crec"))
    house.recorder.must("delete", "--number", "07700 900116", "--yes", "--reason", "asked by the caller")
    assert house.recorder.find(talk.caller) == []
    assert house.recorder.run("show", call_id, "--json").code == 3
    assert house.recorder.run("play", call_id).code == 3
    assert len(files - set(house.recorder.recordings.rglob("*.crec"))) == 1
    assert house.recorder.run("show", kept, "--json").code == 0
    assert house.recorder.export(kept)[0] == 8000
    assert CALLER not in house.recorder.tail()
