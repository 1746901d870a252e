"""SIPp as trunk and as PBX, with media beside it: what a telephone may do to its voice in mid-call (RTP-2..6)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from callrec.rtp.dtmf import ToneDetector
from callrec.rtp.g711 import Law, encode
from demonstration.telephony import g711
from demonstration.telephony.g711 import PCMA, PCMU
from tests.rtp.test_dtmf import nothing, tone
from tests.support.exchange import ANNOUNCED, Exchange, session
from tests.support.listening import Match, Samples, decoded, matches
from tests.support.mouth import Mouth, Script
from tests.support.processes import wait_until
from tests.support.recorder import PBX, TRUNK
from tests.support.traces import find_traces

pytestmark = pytest.mark.peer

CN, OLD_CN, EVENTS = 13, 19, 101
UNTIL_CONNECTED_S = 2.4
"""What a caller says before it is connected for certain: the notice lasts 1.2 s."""
ONE_PACKET = 160
STAYS = 'milliseconds="4000"'
CARD = "4929"


def voice(seconds: float, seed: int, payload_type: int = PCMA) -> bytes:
    return g711.unmistakable(payload_type, seconds, seed)


def pieces_of(exchange: Exchange, call_id: str, *said: Samples) -> list[list[Match]]:
    """Return what the two channels of a recording hold of what the parties said; nothing else may sound."""
    _, *channels = exchange.recorder.export(call_id)
    return [matches(np.array(channel, np.int16), one) for channel, one in zip(channels, said, strict=True)]


def converse(mouths: tuple[Mouth, Mouth], outside: Script, inside: Script) -> None:
    """Let the caller speak from the notice on, and the desk from when it hears the caller."""
    for mouth, script in zip(mouths, (outside, inside), strict=True):
        mouth.play(script, mouth.wait_heard())


def test_rtp_2_3_4_packet_times_pauses_and_sources_change_and_the_time_line_keeps_its_length(
    exchange: Exchange, mouths: tuple[Mouth, Mouth]
) -> None:
    """The caller: packets of 10 to 60 ms. The desk: comfort noise old and new, plain silence, another SSRC."""
    caller, desk = mouths
    said, answer = voice(5.4, 1), voice(3.0, 2)
    outside = Script(1).speak(PCMA, said[: 24 * 800])
    for number, packet_ms in enumerate((10, 30, 40, 60, 20)):
        outside.speak(PCMA, said[(4 + number) * 4800 : (5 + number) * 4800], packet_ms)
    parts = [answer[start : start + 4800] for start in range(0, len(answer), 4800)]
    inside = Script(2).speak(PCMA, parts[0]).be_silent(400, CN).speak(PCMA, parts[1]).be_silent(500, OLD_CN)
    inside.speak(PCMA, parts[2]).be_silent(300).speak(PCMA, parts[3]).new_source().speak(PCMA, parts[4])
    silent_before_ms = (0, 400, 900, 1200, 1200)
    formats = f"{PCMA} {CN} {OLD_CN} {EVENTS}"
    item = exchange.play(
        ANNOUNCED, "patient_caller", "plain_desk",
        caller={"SESSION": session(caller.port, formats), STAYS: 'milliseconds="6500"'},
        desk={"SESSION": session(desk.port, formats)},
        meanwhile=lambda: converse(mouths, outside, inside),
    )  # fmt: skip
    assert item["outcome_reason"] == "complete"
    left, right = pieces_of(exchange, item["call_id"], decoded(PCMA, said), decoded(PCMA, answer))
    assert len(left) == 1, f"packets of any time make one unbroken voice: {left}"
    assert left[0].in_voice + left[0].length == len(said)
    assert left[0].seconds > 2.9
    assert right[0].in_voice == 0
    assert sum(piece.length for piece in right) == len(answer), f"nothing of the desk's is missing: {right}"
    for piece in right:
        part = piece.in_voice // 4800
        late = piece.in_channel - right[0].in_channel - piece.in_voice - silent_before_ms[part] * 8
        assert abs(late) <= (ONE_PACKET if part == 4 else 0), f"part {part} is {late / 8} ms off: {right}"
    assert answer in caller.audio(PCMA), "the caller hears every packet, in its order"
    assert said[24 * 800 :] in desk.audio(PCMA)
    assert {packet.payload_type for packet in caller.heard} >= {PCMA, CN}


def test_rtp_8_a_report_proves_the_notice_and_tells_what_a_party_did_not_hear(
    exchange: Exchange, mouths: tuple[Mouth, Mouth]
) -> None:
    """NOT-13, RFC 3550 6.4: the caller's report makes the proof grade A, the desk's loss stands in `show`."""
    caller, desk = mouths
    said = voice(8.0, 13)

    def report() -> None:
        converse(mouths, Script(13).speak(PCMA, said), Script(14).speak(PCMA, said[:4000]))
        wait_until(lambda: len(desk.heard) > 40, "the desk hears the caller")
        caller.report()
        desk.report(lost=10)

    item = exchange.play(
        ANNOUNCED, "patient_caller", "plain_desk", meanwhile=report,
        caller={"SESSION": session(caller.port)}, desk={"SESSION": session(desk.port)},
    )  # fmt: skip
    shown = exchange.recorder.must("show", item["call_id"], "--json").json
    assert (shown["notice"]["completed"], shown["notice"]["grade"]) == (True, "A")
    outside, inside = (leg["quality"]["reported"] for leg in shown["legs"])
    assert outside["packets_lost"] == 0
    assert inside["packets_lost"] == 10
    assert inside["mos"] < outside["mos"]


def in_the_voice(digits: str) -> bytes:
    """Return the A-law voice of a telephone that dials by tones."""
    presses = [np.concatenate([nothing(60), tone(digit, 80)]) for digit in digits]
    samples = np.concatenate([*presses, nothing(60)])
    coded = encode(Law.A, samples.astype("<i2").tobytes())
    return coded + b"\xd5" * (-len(coded) % ONE_PACKET)


def keys_in(channel: list[int]) -> str:
    return ToneDetector().take(encode(Law.A, np.array(channel, "<i2").tobytes()) + b"\xd5" * 800, Law.A).keys


def test_rtp_5_keys_by_rfc_4733_and_info_are_passed_on_and_not_stored(
    exchange: Exchange, mouths: tuple[Mouth, Mouth]
) -> None:
    """LAW-74: the voice is cut out for their time. Tones of a desk that has `telephone-event` are no keys, and stay."""
    caller, desk = mouths
    said = voice(4.4, 3)
    outside = Script(3).speak(PCMA, said[: 24 * 800])
    for number, digit in enumerate(CARD):
        outside.press(int(digit)).speak(PCMA, said[(24 + number * 4) * 800 : (28 + number * 4) * 800])
    inside = Script(4).speak(PCMA, in_the_voice(CARD))
    item = exchange.play(
        ANNOUNCED, "informing_caller", "informed_desk",
        caller={"SESSION": session(caller.port)}, desk={"SESSION": session(desk.port)},
        meanwhile=lambda: converse(mouths, outside, inside),
    )  # fmt: skip
    assert item["outcome_reason"] == "complete"
    _, left, right = exchange.recorder.export(item["call_id"])
    pieces = matches(np.array(left, np.int16), decoded(PCMA, said))
    assert len(pieces) == 1 + len(CARD), pieces
    for one, other in itertools.pairwise(pieces):
        assert one.in_voice + one.length == other.in_voice, "nothing of the voice is missing"
        assert other.in_channel - one.in_channel - one.length == 5 * ONE_PACKET, "a key is silence of its own length"
    assert keys_in(right) == CARD
    pressed = [packet.payload[0] for packet in desk.heard if packet.payload_type == EVENTS and packet.payload[1] & 0x80]
    assert [str(event) for event in pressed[::3]] == list(CARD), "the desk gets every key, and its end three times"
    assert find_traces([exchange.recorder.directory], {"INFO": b"Signal=", "type": b"dtmf-relay"}) == []


def test_rtp_5_tones_of_legs_without_telephone_event_are_keys_and_not_stored(
    exchange: Exchange, mouths: tuple[Mouth, Mouth]
) -> None:
    """LAW-74 on both legs; `*9` after the notice is the other party's affair, who hears it."""
    caller, desk = mouths
    said, tones = voice(2.4, 5), in_the_voice(CARD + "*9")
    outside = Script(5).speak(PCMA, said).speak(PCMA, tones).speak(PCMA, said)
    inside = Script(6).speak(PCMA, said[:4000]).speak(PCMA, tones)
    item = exchange.play(
        ANNOUNCED, "patient_caller", "plain_desk",
        caller={"SESSION": session(caller.port, "8")}, desk={"SESSION": session(desk.port, "8")},
        meanwhile=lambda: converse(mouths, outside, inside),
    )  # fmt: skip
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
    _, left, right = exchange.recorder.export(item["call_id"])
    assert keys_in(left) == keys_in(right) == ""
    assert tones in desk.audio(PCMA)
    assert tones in caller.audio(PCMA)
    assert min(np.count_nonzero(left), np.count_nonzero(right)) > 3000, "the voices are there"


def test_not_16_a_tone_in_the_notice_declines_the_recording(exchange: Exchange, mouths: tuple[Mouth, Mouth]) -> None:
    """A caller without `telephone-event` says 9 while the notice plays; the call goes on to the desk, unrecorded."""
    caller, desk = mouths
    declines, answer = Script(7).speak(PCMA, in_the_voice("9") + voice(4.0, 7)), voice(1.0, 8)
    item = exchange.play(
        ANNOUNCED, "patient_caller", "plain_desk",
        caller={"SESSION": session(caller.port, "8"), STAYS: 'milliseconds="6000"'},
        desk={"SESSION": session(desk.port, "8")},
        meanwhile=lambda: converse(mouths, declines, Script(8).speak(PCMA, answer)),
    )  # fmt: skip
    assert (item["outcome"], item["outcome_reason"]) == ("not_recorded", "opt_out")
    assert exchange.recorder.run("export", item["call_id"], "--format", "wav", "--to", "-").code == 3
    assert answer in caller.audio(PCMA), "the two hear each other"


@pytest.mark.parametrize(
    "form",
    ["sendonly", pytest.param("inactive", marks=pytest.mark.long), pytest.param("0.0.0.0", marks=pytest.mark.long)],
)
def test_sip_7_music_on_hold_is_not_stored(exchange: Exchange, mouths: tuple[Mouth, Mouth], form: str) -> None:
    """NOT-20: in each form of hold nothing of either side is kept, whatever plays, and the time line keeps its length.

    With `sendonly` the caller hears the music.
    """
    caller, desk = mouths
    said, answer, music = voice(8.0, 9), voice(1.5, 10), voice(6.0, 11)
    after = voice(2.0, 12)

    def hold() -> None:
        converse(mouths, Script(9).speak(PCMA, said), Script(10).speak(PCMA, answer))
        exchange.wait_told("desk", "held")
        desk.play(Script(11).speak(PCMA, music[: 12 * 800]), desk.heard[0].source)
        exchange.wait_told("desk", "resumed")
        desk.play(Script(12).speak(PCMA, after), desk.heard[0].source)

    def words(mouth: Mouth, held: str) -> dict[str, str]:
        if held == "0.0.0.0":  # RFC 2543 B.5
            holding = session(mouth.port, version=2).replace("[media_ip]", held)
        else:
            holding = session(mouth.port, version=2, lines=f"a={held}")
        return {
            "SESSION": session(mouth.port), "HELD_SESSION": holding, "RESUMED_SESSION": session(mouth.port, version=3)
        }  # fmt: skip

    item = exchange.play(
        ANNOUNCED, "held_caller", "holding_desk",
        caller=words(caller, "recvonly" if form == "sendonly" else "inactive"), desk=words(desk, form), meanwhile=hold,
    )  # fmt: skip
    assert [segment["state"] for segment in item["segments"]] == ["recorded", "hold", "recorded"]
    assert form != "sendonly" or music[:4000] in caller.audio(PCMA)
    left, right = pieces_of(exchange, item["call_id"], decoded(PCMA, said), decoded(PCMA, answer + after))
    assert len(left) == 2, left
    before, later = left
    assert 1.0 < (later.in_voice - before.in_voice - before.length) / 8000 < 2.5, "the caller is not kept either"
    assert abs(later.in_channel - later.in_voice - before.in_channel + before.in_voice) <= ONE_PACKET
    assert sum(piece.seconds for piece in right) > 1.5


@dataclass(frozen=True)
class Change:
    """A party that goes on at another port and in another codec, and how the other follows."""

    caller: str
    desk: str


CHANGES = [
    pytest.param(Change("changing_caller", "followed_desk"), id="the trunk"),
    pytest.param(Change("followed_caller", "changing_desk"), id="the PBX"),
    pytest.param(Change("updating_caller", "updated_desk"), id="the trunk by UPDATE", marks=pytest.mark.long),
]


@pytest.mark.parametrize("change", CHANGES)
def test_rtp_6_another_codec_and_port_in_mid_call_are_recorded_in_their_place(
    exchange: Exchange, mouths: tuple[Mouth, Mouth], change: Change
) -> None:
    """From PCMA to PCMU and to other ports on both sides (SIP-8 too): each channel has the one, and then the other."""
    names = ("trunk", "desk")
    first = {name: voice(8.0, 20 + number) for number, name in enumerate(names)}
    later = {name: voice(4.0, 30 + number, PCMU) for number, name in enumerate(names)}
    with Mouth(TRUNK) as moved_caller, Mouth(PBX) as moved_desk:

        def speak() -> None:
            converse(mouths, Script(20).speak(PCMA, first["trunk"]), Script(21).speak(PCMA, first["desk"]))
            for name, old, new in zip(names, mouths, (moved_caller, moved_desk), strict=True):
                exchange.wait_told(name, "changed")
                old.hush()
                new.play(Script(22).speak(PCMU, later[name]), old.heard[0].source)

        item = exchange.play(
            ANNOUNCED, change.caller, change.desk, meanwhile=speak,
            caller=_changing(mouths[0], moved_caller), desk=_changing(mouths[1], moved_desk),
        )  # fmt: skip
    assert (item["outcome"], item["outcome_reason"]) == ("recorded", "complete")
    assert [leg["codec"] for leg in item["legs"]] == ["PCMU", "PCMU"], "what they ended with"
    said = [np.concatenate([decoded(PCMA, first[name]), decoded(PCMU, later[name])]) for name in names]
    for channel in pieces_of(exchange, item["call_id"], *said):
        assert len(channel) == 2, f"one stretch of each codec: {channel}"
        before, after = channel
        assert after.in_voice == 8 * 8000, "the second voice is there from its first packet"
        assert min(before.seconds, after.seconds) > 1.0
        assert 0 <= after.in_channel - before.in_channel - before.length < 0.3 * 8000, "only the change lies between"
    assert later["desk"][:4000] in moved_caller.audio(PCMU)
    assert later["trunk"][:4000] in moved_desk.audio(PCMU)


def _changing(before: Mouth, after: Mouth) -> dict[str, str]:
    return {"SESSION": session(before.port, "8 0 101"), "MOVED_SESSION": session(after.port, "0 101", version=2)}
