"""Random interleavings of everything that may happen to calls: always one outcome each, and nothing left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callrec.recorder.live_call import LiveCall
from callrec.recorder.protecting import LivePeople
from callrec.sip import events as sip
from tests.support.hall_house import PBX, Complaints, HallHouse, sdp
from tests.support.joined import DELAY_S, Phone
from tests.support.virtual_time import run_virtually

CALLED = ["02079460123", "02079465555", "02079467777", "02079468888", "999"]
OFFERS = [
    sdp(), sdp("0 101"), sdp("9 8"), sdp("8 101", "a=sendonly"), sdp("96", "a=rtpmap:96 opus/48000/2"),
    sdp("8").replace(b"RTP/AVP", b"RTP/SAVP"), None,
]  # fmt: skip
ANSWERS = [
    sdp("8 101", port=5000, host=PBX), sdp("8 101", port=5000, host=PBX), sdp("0", port=5000, host=PBX),
    sdp("97", "a=rtpmap:97 PCMA/8000", port=5000, host=PBX), sdp("8", "a=inactive", port=5000, host=PBX),
    sdp("8", port=0, host=PBX), None,
]  # fmt: skip
WAYS = ["", "a=sendonly", "a=inactive", "a=sendrecv"]
MOMENTS = st.one_of(
    st.integers(0, 12_000), st.sampled_from([0, 5, 10, 15, 20, 25, 30, 1020, 5040, 5050, 6060])
).map(lambda milliseconds: milliseconds / 1000)  # fmt: skip
DEEDS = [
    "outside_hangs_up", "inside_hangs_up", "inside_rejects", "inside_rings", "inside_early", "inside_answers",
    "outside_reoffers", "inside_reoffers", "outside_asks", "inside_asks", "opt_out", "menu", "stop_opt_out", "silence",
    "disk_fails", "disk_recovers", "rows_fail", "rows_recover", "worker_lost", "seal_all", "another_call",
    "outside_info", "inside_info", "live_stop", "live_discard", "live_hold",
]  # fmt: skip
DEED = st.tuples(MOMENTS, st.sampled_from(DEEDS), st.integers(0, 6))
WILD = st.fixed_dictionaries(
    {
        "called": st.sampled_from(CALLED),
        "offer": st.sampled_from(OFFERS),
        "deeds": st.lists(DEED, max_size=12),
        "answers_after": st.sampled_from([None, 0.0, 0.5, 3.0]),
        "fates": st.lists(st.sampled_from(["ok", "ok", "ok", "ok", "lost", "twice", "late"]), max_size=40),
        "row_s": st.sampled_from([0.001, 0.005, 0.45, 0.7]),
        "ports_s": st.sampled_from([0.0, 0.005, 0.3, 1.5]),
        "no_ports": st.booleans(),
    }
)
# A call that begins well, so that most of what happens, happens in the middle of it.
LATER = st.one_of(st.integers(5_500, 9_000), st.sampled_from([5550, 5560, 6000, 7000])).map(lambda ms: ms / 1000)
CALM = st.fixed_dictionaries(
    {
        "called": st.sampled_from(CALLED[:2]),
        "offer": st.just(OFFERS[0]),
        "deeds": st.lists(st.tuples(LATER, st.sampled_from(DEEDS), st.integers(0, 6)), min_size=2, max_size=10),
        "answers_after": st.sampled_from([0.4, 0.5]),
        "fates": st.just([]),
        "row_s": st.just(0.005),
        "ports_s": st.just(0.005),
        "no_ports": st.just(False),
    }
)
STORY = st.one_of(CALM, WILD)
KEY = (("Content-Type", "application/dtmf-relay"),)
FATES = {"ok": [DELAY_S], "lost": [], "twice": [DELAY_S, 0.03], "late": [0.6]}


class Player:
    """Tells one story: phones that mostly behave, and deeds at their moments."""

    def __init__(self, story: dict[str, Any]) -> None:
        self.story, self.house = story, HallHouse()
        self.tasks: list[asyncio.Task[None]] = []
        self.inside: list[str] = []
        self.outside: list[str] = []
        house, fates = self.house, iter(story["fates"])
        house.wire.fate = lambda _message, _flow: FATES[next(fates, "ok")]
        house.catalogue.delay_s, house.media.opening_s = story["row_s"], story["ports_s"]
        house.media.broken = story["no_ports"] and story["ports_s"] < 0.1
        house.trunk.react = lambda event: self.react(house.trunk, event)
        house.pbx.react = lambda event: self.react(house.pbx, event)
        house.other_pbx.react = lambda event: self.react(house.other_pbx, event)
        house.driver.resolving = self.resolving

    def resolving(self, uri: Any) -> float:
        if uri.host.endswith("example"):
            raise OSError(-2, "Name or service not known")
        return 0.0

    def react(self, phone: Phone, event: sip.Event) -> bool:
        """Do what a phone does by itself."""
        house, endpoint = self.house, phone.endpoint
        match event:
            case sip.IncomingCall():
                self.inside.append(event.leg)
                if (after := self.story["answers_after"]) is not None:
                    answer = ANSWERS[len(self.inside) % 2]
                    asyncio.get_running_loop().call_later(
                        after, lambda: endpoint.answer(event.leg, answer, house.now)
                    )  # fmt: skip
            case sip.InDialogRequest() if len(self.inside) % 2:
                endpoint.respond(event.token, 200, house.now)
            case sip.Reoffered():
                body = OFFERS[0] if phone is house.trunk else ANSWERS[0]
                endpoint.accept_offer(event.leg, body, house.now)
            case sip.Answered(session=session) | sip.ReofferAnswered(session=session) if session is not None:
                body = OFFERS[0] if phone is house.trunk else ANSWERS[0]
                endpoint.acknowledge(event.leg, body, house.now)
        return True

    def do(self, deed: str, number: int) -> None:
        house, now = self.house, self.house.now
        inside = self.inside[number % len(self.inside)] if self.inside else "none"
        outside = self.outside[number % len(self.outside)] if self.outside else "none"
        line = WAYS[number % len(WAYS)]
        pbx, trunk = house.pbx.endpoint, house.trunk.endpoint
        match deed:
            case "outside_hangs_up":
                trunk.hang_up(outside, now)
            case "inside_hangs_up":
                pbx.hang_up(inside, now)
            case "inside_rejects":
                pbx.reject(inside, [486, 488, 603, 404, 302, 401, 500][number], now)
            case "inside_rings":
                pbx.ring(inside, now)
            case "inside_early":
                pbx.ring(inside, now, status=183, session=ANSWERS[number] or ANSWERS[0])
            case "inside_answers":
                pbx.answer(inside, ANSWERS[number], now)
            case "outside_reoffers":
                trunk.reoffer(outside, sdp("8 101", line, version=2 + number), now)
            case "inside_reoffers":
                pbx.reoffer(inside, sdp("8 101", line, port=5000, host=PBX, version=2 + number), now)
            case "outside_asks":
                trunk.reoffer(outside, None, now)
            case "inside_asks":
                pbx.reoffer(inside, None, now)
            case "outside_info":
                trunk.ask(outside, "INFO", "t", now, headers=KEY, body=b"Signal=%d" % number)
            case "inside_info":
                pbx.ask(inside, "INFO", "t", now, headers=KEY, body=b"Signal=9")
            case _:
                self.do_inside(deed)

    def do_inside(self, deed: str) -> None:
        """Let something happen in the recorder itself."""
        house = self.house
        match deed:
            case "disk_fails":
                house.keyring.blocked = True
            case "disk_recovers":
                house.keyring.blocked = False
            case "rows_fail":
                house.catalogue.fails = True
            case "rows_recover":
                house.catalogue.fails = False
            case "seal_all":
                self.tasks.append(asyncio.ensure_future(house.seal_all()))  # noqa: TID251 - awaited at the end
            case "another_call":
                self.outside.append(house.dial(CALLED[len(self.outside) % 5]))
        if not house.admitted:
            return
        match deed:
            case "opt_out":
                house.press("9")
            case "menu":
                house.press("12")
            case "stop_opt_out":
                house.press("*9")
            case "silence":
                legs = (house.call.caller.id, house.call.destination.id)
                house.media.tell_stats(dict.fromkeys(legs, 500.0))
            case "live_stop" | "live_discard":
                live = LivePeople(house.tools, house.hall.calls)
                live.stop([house.call.call_id], discard=deed == "live_discard")
            case "live_hold":
                LivePeople(house.tools, house.hall.calls).protect([house.call.call_id])
            case "worker_lost":
                house.media.lose(house.call.call_id)

    async def tell(self) -> None:
        house, story = self.house, self.story
        body = story["offer"]
        self.outside.append(house.dial(story["called"], session=body, late=body is None))
        begun = house.now
        for moment, deed, number in sorted(story["deeds"]):
            await asyncio.sleep(max(0.0, begun + moment - house.now))
            self.do(deed, number)
        await asyncio.sleep(20.0)
        house.catalogue.fails = house.keyring.blocked = False
        for leg in self.outside:
            house.trunk.endpoint.hang_up(leg, house.now)
        for leg in self.inside:
            house.pbx.endpoint.hang_up(leg, house.now)
        await house.check(seconds=400.0)
        await asyncio.gather(*self.tasks)
        await house.stores._complete()
        for call in house.admitted:
            self.check_discarded(call)

    def check_discarded(self, call: LiveCall) -> None:
        """NOT-17, LAW-39: what was declined or stopped is destroyed, whenever its disk came back, or never was."""
        recording, outcome = call.recording, self.house.outcome(call)
        if outcome not in {"opt_out", "stop_list"} or recording is None or call.keys is None:
            return
        if recording.discarded:
            assert call.keys.audio_key_id in self.house.keyring.destroyed
        else:
            assert not any(part.segments for part in recording.parts())
        row = self.house.catalogue.rows.get(call.call_id)
        assert row is None or not recording.discarded or row.change.recording_id is None


def tell(story: dict[str, Any]) -> None:
    async def told() -> None:
        await Player(story).tell()

    run_virtually(told())


EXPECTED = ("its media is lost",)


def check_log(complaints: Complaints) -> None:
    found = [text for text in complaints.found if not any(expected in text for expected in EXPECTED)]
    complaints.found.clear()
    assert not found, found


def chaos(examples: int, complaints: Complaints) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STORY)
    def any_story(story: dict[str, Any]) -> None:
        tell(story)
        check_log(complaints)

    any_story()


def test_whatever_happens_in_whatever_order_each_call_has_one_outcome_and_leaves_nothing(
    complaints: Complaints,
) -> None:
    """FAIL-2: losses, copies, crossings, holds, refusals, faults of disks and workers: one outcome, no leg, no port."""
    chaos(200, complaints)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_at_scale(complaints: Complaints) -> None:
    """As above, many more stories."""
    chaos(5000, complaints)
