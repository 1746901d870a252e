"""SIP-9, SIP-12, FAIL-2: SIPp as a PBX that transfers and redirects; what is exported is what each party said."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demonstration.telephony import g711
from demonstration.telephony.g711 import PCMA
from demonstration.telephony.line import Call, Line
from demonstration.telephony.messages import Session, tag_in
from tests.support.exchange import Exchange, session
from tests.support.house import Conversation, House, hears
from tests.support.listening import decoded, matches
from tests.support.mouth import Heard, Mouth, Script
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import PBX, TRUNK, Plan
from tests.support.sipp import Sipp, SippRun

pytestmark = pytest.mark.peer

SCENARIOS = Path(__file__).resolve().parent / "scenarios"
TO_SIPP, TO_A_LIST = "02079460701", "02079460702"
ROUTE = '[[route]]\nfrom = "trunk"\ncalled = "{called}"\nrule = "inbound"\ndestination = {destination}\n'


class Switchboard(House):
    """A house with a second machine of the PBX, which SIPp plays, and with one that is dead."""

    def __init__(self) -> None:
        self.sipp_port, dead = free_port(PBX), free_port(PBX)
        first = ROUTE.format(called=TO_SIPP, destination=f'"sip:{PBX}:{self.sipp_port}"')
        self.outside_port = free_port(TRUNK)
        out = f'[[route]]\nfrom = "pbx"\ncalled = "*"\ndestination = "sip:{TRUNK}:{self.outside_port}"\n'
        listed = f'["sip:{PBX}:{dead}", "sip:desk@{PBX}:PBX_PORT"]'
        super().__init__(Plan(first_routes=out + first + ROUTE.format(called=TO_A_LIST, destination=listed)))

    @property
    def colleague(self) -> str:
        """Return where the PBX's other line is."""
        return f"sip:202@{PBX}:{self.pbx.address[1]}"

    @contextmanager
    def desk(self, scenario: str, place: Path, **words: str) -> Iterator[Sipp]:
        """Let SIPp be the first desk that calls reach; it must have succeeded in the end."""
        run = SippRun(scenario, PBX, self.sipp_port, fill=tuple(words.items()), folder=SCENARIOS)
        sipp = Sipp(run, place)
        with sipp.start():
            yield sipp
            sipp.finish()


@pytest.fixture(name="board", scope="module")
def _board() -> Iterator[Switchboard]:
    with Switchboard() as board:
        yield board


def talk_to_colleague(board: Switchboard, talk: Conversation) -> Conversation:
    """Let the colleague answer, and both hear each other."""
    board.pick_up(talk if talk.inside.call is not None else board.reach_desk(talk, 20))
    assert hears(talk.outside, talk.inside, 5)
    assert hears(talk.inside, talk.outside, 5)
    talk.talk(1.0)
    return talk


def check_legs(board: Switchboard, talk: Conversation, item: dict[str, Any]) -> None:
    """Check that the row names every party, and that the recording is whole and exact on both channels."""
    assert len(item["legs"]) == 3, item["legs"]
    assert [leg["peer"] for leg in item["legs"]] == ["trunk", "pbx", "pbx"]
    assert all(leg["ended_at"] for leg in item["legs"])
    assert item["legs"][2]["packets_received"] > 40
    assert "transferred" in item["flags"]
    board.check_exports([talk], [item])


def test_sip_9_a_transfer_by_refer_is_one_recording_with_the_new_party(board: Switchboard, tmp_path: Path) -> None:
    """RFC 3515: 202, three NOTIFYs, BYE; the caller's voice is whole throughout, the colleague's from its answer."""
    with board.desk("transferring_desk", tmp_path, REFER_TO=board.colleague):
        talk = talk_to_colleague(board, board.hear_notice(board.dial("+447700900701", TO_SIPP)))
    assert talk.desk.invite.get("Referred-By") == f"<sip:desk@{PBX}>"
    talk.hang_up()
    item = board.item_of(talk)
    check_legs(board, talk, item)
    assert [segment["reason"] for segment in item["segments"]] == [None, "transfer"]
    events = board.recorder.must("events", "tail", "--after", "0", "--json").out.decode()
    assert "com.callrec.call.transferred.v1" in events


def test_sip_9_a_desk_that_leaves_at_once_leaves_the_caller_with_ringing(board: Switchboard, tmp_path: Path) -> None:
    """Blind transfer: nothing is stored between its BYE and the answer, and the time line keeps its length."""
    with board.desk("blind_desk", tmp_path, REFER_TO=board.colleague):
        talk = board.hear_notice(board.dial("+447700900702", TO_SIPP))
        board.reach_desk(talk, 20)
    talk.talk(1.0)
    talk_to_colleague(board, talk)
    talk.hang_up()
    item = board.item_of(talk)
    assert [segment["state"] for segment in item["segments"]] == ["recorded", "hold", "recorded"]
    assert item["outcome_reason"] == "complete"
    assert len(item["legs"]) == 3


def test_rfc_3891_an_attended_transfer_inside_the_pbx_hands_replaces_on(board: Switchboard, tmp_path: Path) -> None:
    """The consultation never came through callrec: it is not stored (NOT-21), and the PBX knows the dialog."""
    refer_to = board.colleague + "?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2"
    with board.desk("transferring_desk", tmp_path, REFER_TO=refer_to):
        talk = talk_to_colleague(board, board.hear_notice(board.dial("+447700900703", TO_SIPP)))
    assert talk.desk.invite.get("Replaces") == "a@b;to-tag=1;from-tag=2"
    talk.hang_up()
    check_legs(board, talk, board.item_of(talk))


def test_sip_9_a_transfer_that_fails_leaves_the_call_as_it_was(board: Switchboard, tmp_path: Path) -> None:
    """RFC 3515: NOTIFY 486, and the desk talks on."""
    with board.desk("failing_transfer_desk", tmp_path, REFER_TO=board.colleague):
        talk = board.hear_notice(board.dial("+447700900704", TO_SIPP))
        board.reach_desk(talk, 20).desk.reject()
        talk.talk(1.0)
        talk.out.hang_up()
    item = board.item_of(talk)
    assert (item["outcome_reason"], len(item["legs"])) == ("complete", 2)


def test_sip_9_a_trunk_may_not_transfer(board: Switchboard, tmp_path: Path) -> None:
    """A REFER of the outside gets 603: nobody calls premium numbers through us."""
    run = SippRun("transferring_trunk", TRUNK, folder=SCENARIOS)
    sipp = Sipp(run, tmp_path, board.recorder.sip)
    with sipp.start():
        sipp.finish()


def test_not_10_a_transfer_to_an_outside_number_plays_it_the_notice_first(board: Switchboard, tmp_path: Path) -> None:
    """NOT-10: by the routes of the PBX; nothing of the new party is stored before its notice has ended."""
    host, port = board.recorder.sip
    number = "07700900555"
    with (
        Line(TRUNK, board.outside_port, user="outside") as line,
        board.desk("transferring_desk", tmp_path, REFER_TO=f"sip:{number}@{host}:{port}"),
    ):
        talk = board.hear_notice(board.dial("+447700900710", TO_SIPP))
        new = board.side(TRUNK, talk.outside.payload_type)
        new.call = line.next_call(20)
        assert new.call.invite.start.split()[1] == f"sip:{number}@{TRUNK}:{board.outside_port}"
        offered = new.call.remote_session
        assert offered is not None
        new.call.ring()
        new.call.answer(Session(TRUNK, new.voice.port, offered.codecs))
        new.call.wait_ack()
        new.begin(offered)
        talk.inside = new
        assert hears(new, talk.outside, 10), "once its notice has ended"
        talk.answered_at = time.monotonic()
        talk.talk(1.0)
        talk.hang_up()
    item = board.item_of(talk)
    assert {"transferred", "notice_repeated"} <= set(item["flags"])
    assert [segment["state"] for segment in item["segments"]] == ["recorded", "hold", "recorded"]
    _, left, right = board.recorder.export_all([item["call_id"]])[item["call_id"]]
    hold = item["segments"][1]
    assert hold["end_ms"] - hold["start_ms"] > 1_000
    assert not any(right[: (hold["end_ms"] - 40) * 8]), "nothing of the new party is stored before"
    (piece,) = matches(np.array(right, np.int16), decoded(new.payload_type, new.coded))
    assert piece.seconds > 0.9
    assert len(left) == len(right)


def replaces(desk: Call) -> tuple[str, str]:
    """Return the Replaces header by which the PBX names a dialog that it has with callrec."""
    return ("Replaces", f"{desk.call_id};to-tag={tag_in(desk.invite.get('From'))};from-tag={tag_in(desk._local)}")


def test_rfc_3891_a_colleague_takes_the_call_by_replaces(board: Switchboard) -> None:
    """SIP-9: the PBX calls us in the name of the new party; the caller's voice is whole, the colleague's is kept."""
    options = board.trunk.ask(board.recorder.sip, "OPTIONS")
    assert {"replaces", "norefersub"} <= set(options.get("Supported").replace(" ", "").split(","))
    talk = board.connect("+447700900709")
    talk.talk(0.5)
    first, colleague = talk.inside, board.side(PBX, talk.inside.payload_type)
    session = Session(PBX, colleague.voice.port, board.codecs(colleague.payload_type))
    with Line(PBX, user="colleague") as line:
        host, port = board.recorder.sip
        headers = [replaces(talk.desk)]
        colleague.call = line.dial(board.recorder.sip, f"sip:{TO_SIPP}@{host}:{port}", session, headers=headers)
        assert colleague.call.wait_final(5).status == 200
        assert talk.desk.wait_ended(5) == "bye"
        first.voice.fall_silent()
        talk.inside = colleague
        assert colleague.call.remote_session is not None
        colleague.begin(colleague.call.remote_session)
        talk.answered_at = time.monotonic()
        assert hears(talk.outside, colleague, 5)
        assert hears(colleague, talk.outside, 5)
        talk.talk(1.0)
        talk.hang_up()
    item = board.item_of(talk)
    assert len(item["legs"]) == 3
    assert "transferred" in item["flags"]
    _, left, right = board.recorder.export_all([item["call_id"]])[item["call_id"]]
    came = item["segments"][1]["start_ms"] + 250  # the colleague speaks half a second after it came, the desk before
    parts = [(talk.outside, left), (first, right[: came * 8]), (colleague, right[came * 8 :])]
    for side, part in parts:
        pieces = matches(np.array(part, np.int16), decoded(side.payload_type, side.coded))
        assert len(pieces) == 1, f"{side.voice.host}: {pieces}"


def test_sip_12_a_302_is_followed_to_the_peer_it_names(board: Switchboard, tmp_path: Path) -> None:
    """SIP-12: the stranger with the higher q is not called; the Diversion goes on."""
    with board.desk("redirecting_desk", tmp_path, CONTACT=board.colleague):
        talk = talk_to_colleague(board, board.hear_notice(board.dial("+447700900705", TO_SIPP)))
    assert talk.desk.invite.get("Diversion") == f"<sip:desk@{PBX}>;reason=unconditional"
    talk.hang_up()
    board.check_exports([talk], [board.item_of(talk)])


def test_fail_2_a_dead_destination_gives_way_to_the_next(board: Switchboard) -> None:
    """FAIL-2: nobody listens at the first address; the second one takes the call at once."""
    talk = talk_to_colleague(board, board.hear_notice(board.dial("+447700900706", TO_A_LIST)))
    talk.hang_up()
    board.check_exports([talk], [board.item_of(talk)])


def test_sip_9_a_consulted_party_moves_over_to_the_call_it_was_consulted_about(
    board: Switchboard, tmp_path: Path
) -> None:
    """RFC 3891, both dialogs ours, SIPp on all four ends: one recording, and the consulted party's voice is in it.

    The PBX calls out through callrec, and names that dialog in the Refer-To of its other call.
    """
    exchange = Exchange(board.recorder, board.sipp_port, tmp_path)
    number = "07700900556"
    said, answer = g711.unmistakable(PCMA, 10.0, 1), g711.unmistakable(PCMA, 10.0, 2)
    with Mouth(TRUNK) as caller, Mouth(TRUNK) as consulted:
        words = {"SESSION": session(consulted.port), "MOVED_SESSION": session(consulted.port, version=2)}
        outside = exchange.sipp("outside", "followed_desk", words, TRUNK, port=board.outside_port)
        asking = exchange.sipp("asking", "consulting_desk", {"CALLER": "202"}, PBX, service=number)

        def join() -> None:
            caller.play(Script(1).speak(PCMA, said), caller.wait_heard())
            exchange.wait_told("outside", "changed", 20)
            before = len(consulted.heard)
            wait_until(lambda: said_in(said, consulted.heard[before:]), "the consulted party hears the caller")
            consulted.play(Script(2).speak(PCMA, answer), consulted.heard[-1].source)

        with outside.start(), asking.start():
            call_id, own_tag, far_tag = exchange.wait_told("asking", "dialog").split()
            named = f"{call_id.replace('@', '%40')}%3Bto-tag%3D{far_tag}%3Bfrom-tag%3D{own_tag}"
            host, port = board.recorder.sip
            item = exchange.play(
                TO_SIPP, "patient_caller", "joining_desk", meanwhile=join,
                caller={"SESSION": session(caller.port), 'milliseconds="4000"': 'milliseconds="6000"'},
                desk={"REFER_TO": f"sip:{number}@{host}:{port}?Replaces={named}"},
            )  # fmt: skip
            asking.finish()
            outside.finish()
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
    assert [leg["peer"] for leg in item["legs"]] == ["trunk", "pbx", "trunk"]
    assert {"transferred", "notice_repeated"} <= set(item["flags"]), "it has not heard the notice of this call (NOT-10)"
    assert [segment["state"] for segment in item["segments"]] == ["recorded", "hold", "recorded"]
    _, left, right = board.recorder.export(item["call_id"])
    before, after = matches(np.array(left, np.int16), decoded(PCMA, said))
    assert after.in_channel - before.in_channel == after.in_voice - before.in_voice, "the time line keeps its length"
    (piece,) = matches(np.array(right, np.int16), decoded(PCMA, answer))
    assert piece.seconds > 0.5
    assert piece.in_channel >= (item["segments"][1]["end_ms"] - 40) * 8, "nothing of it is kept before it has heard it"
    assert answer[:4000] in caller.audio(PCMA)


def said_in(voice: bytes, heard: Sequence[Heard]) -> bool:
    return any(packet.payload in voice for packet in heard)
