"""Many callers who behave as they like, at random times: real sockets, real workers, one row each."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from pathlib import Path

import pytest

from demonstration.telephony.line import LineError
from demonstration.telephony.messages import Session
from tests.support.house import Conversation, House
from tests.support.processes import wait_until
from tests.support.recorder import DDI, PBX, ROUTE, Plan

UNRECORDED = "02079460155"
OUTSIDE = ("hangs up", "hangs up", "hangs up", "stays", "holds", "opts out", "cancels at once")
INSIDE = ("answers", "answers", "answers", "answers", "rings on", "rejects", "hangs up", "holds")
NOT_RECORDED = {
    "no_capture_rule", "opt_out", "notice_incomplete", "abandoned_in_notice", "not_answered", "busy", "declined",
    "destination_failed", "emergency",
}  # fmt: skip


class Desk(threading.Thread):
    """Everybody at the PBX: takes each call and does with it what chance says."""

    def __init__(self, house: House, chance: random.Random, until: float) -> None:
        super().__init__(name="desk", daemon=True)
        self.house, self.chance, self.until = house, chance, until
        self.errors: list[BaseException] = []
        self._people: list[threading.Thread] = []

    def run(self) -> None:
        while time.monotonic() < self.until:
            try:
                call = self.house.pbx.next_call(0.2)
            except LineError:
                continue
            deed, after = self.chance.choice(INSIDE), self.chance.uniform(0.0, 1.0)
            person = threading.Thread(target=self._serve, args=(call, deed, after), daemon=True)
            person.start()
            self._people.append(person)
        for person in self._people:
            person.join(20)

    def _serve(self, call: object, deed: str, after: float) -> None:
        try:
            self._behave(call, deed, after)
        except (LineError, OSError):
            return  # the caller was faster
        except BaseException as error:  # noqa: BLE001, RUF100 - told by the test
            self.errors.append(error)

    def _behave(self, call: object, deed: str, after: float) -> None:
        call.ring()  # type: ignore[attr-defined]
        pause(after)
        if call.ended is not None or deed == "rings on":  # type: ignore[attr-defined]
            return
        if deed == "rejects":
            call.reject(self.chance.choice([486, 480, 603, 404, 500]), "No")  # type: ignore[attr-defined]
            return
        offered = call.remote_session  # type: ignore[attr-defined]
        call.answer(Session(PBX, 30_000 + 2 * self.chance.randrange(1000), offered.codecs))  # type: ignore[attr-defined]
        call.wait_ack(5)  # type: ignore[attr-defined]
        if deed == "holds":
            call.hold(timeout=5)  # type: ignore[attr-defined]
        pause(after * 3)
        if deed in {"hangs up", "holds"}:
            call.hang_up()  # type: ignore[attr-defined]


def pause(seconds: float) -> None:
    """Let time pass in a story that is told in real time."""
    threading.Event().wait(seconds)


class Caller(threading.Thread):
    """One call from outside, from dialling to the end that chance gives it."""

    def __init__(self, house: House, talk: Conversation, deed: str, after: float) -> None:
        super().__init__(name=talk.caller, daemon=True)
        self.house, self.talk, self.deed, self.after = house, talk, deed, after
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._behave()
        except (LineError, OSError):
            self._give_up()  # the other side was faster, or too slow
        except BaseException as error:  # noqa: BLE001, RUF100 - told by the test
            self.error = error

    def _give_up(self) -> None:
        """Put the receiver down, as somebody does with whom nothing works; 999 would ring until then (FAIL-1)."""
        call = self.talk.out
        if call.ended is None:
            answered = any(response.status >= 200 for response in call.responses)
            with contextlib.suppress(LineError, OSError):
                call.hang_up() if answered else call.cancel()

    def _behave(self) -> None:
        call = self.talk.out
        if self.deed == "cancels at once":
            pause(self.after / 50)
            if not any(response.status >= 200 for response in call.responses):
                call.cancel()
        final = call.wait_final(40)
        if final.status != 200:
            return
        assert call.remote_session is not None
        self.talk.outside.begin(call.remote_session)
        pause(self.after)
        if self.deed == "holds" and call.ended is None:
            call.hold(timeout=5)
            call.resume(timeout=5)
        if self.deed == "opts out":
            self.talk.outside.voice.press("9", 101)
            pause(0.5)
        if self.deed == "stays":
            pause(3.0)
        if call.ended is None:
            call.hang_up()


def chaos(seconds: float, calls: int, seed: int) -> None:
    route = ROUTE.format(host=PBX, port="PBX_PORT", extra="", answer_timeout="3s")
    unrecorded = route.replace('called = "*"', f'called = "{UNRECORDED}"').replace('rule = "inbound"\n', "")
    with House(Plan(answer_timeout="3s", first_routes=unrecorded, rtp_ports=1000)) as house:
        chance, until = random.Random(seed), time.monotonic() + seconds + 12
        desk = Desk(house, chance, until)
        desk.start()
        memory = worker_memory(house)
        callers = place_calls(house, chance, calls, seconds)
        for caller in callers:
            caller.join(45)
        errors = [caller.error for caller in callers if caller.error is not None] + desk.errors
        assert not errors, errors
        check(house, callers, memory)
        desk.join(30)


def place_calls(house: House, chance: random.Random, calls: int, seconds: float) -> list[Caller]:
    callers = []
    for number in range(calls):
        called = UNRECORDED if chance.random() < 0.25 else "999" if chance.random() < 0.05 else DDI
        talk = house.dial(f"+4477009{number:05}", called)
        callers.append(Caller(house, talk, chance.choice(OUTSIDE), chance.choice([0.0, 0.3, 1.0, 2.0, 4.0])))
        callers[-1].start()
        pause(chance.expovariate(calls / seconds))
    return callers


def check(house: House, callers: list[Caller], memory: int) -> None:
    """One row and one outcome for each INVITE, nothing in progress, no trace of a fault; the recorder still answers."""
    wait_until(lambda: house.recorder.status()["active_calls"] == 0, "every call ends", 45)
    items = house.recorder.wait_items(len(callers), 30)
    assert len(items) == len(callers)
    assert {item["network_number"] for item in items} == {caller.talk.caller for caller in callers}
    for item in items:
        assert not item["in_progress"]
        if item["outcome"] == "recorded":
            assert item["outcome_reason"] == "complete", item
        else:
            assert item["outcome_reason"] in NOT_RECORDED, item
    reasons = {item["outcome_reason"] for item in items}
    assert reasons >= {"complete", "no_capture_rule", "opt_out"}, f"chance told no story: {reasons}"
    log = house.recorder.process.output
    for trouble in ("Traceback", "internal error", "ERROR", "CRITICAL"):
        assert trouble not in log, house.recorder.tail()
    for caller in callers:
        assert caller.talk.caller.removeprefix("+44") not in log, "no number is in the log"
    assert worker_memory(house) - memory < 64 << 10, "the workers' memory is bounded (KiB)"
    assert house.recorder.wait_ready(2.0) < 2.0, "OPTIONS is answered"


def worker_memory(house: House) -> int:
    """Return what all workers hold in memory, in KiB."""
    total = 0
    for worker in house.recorder.status()["workers"]:
        lines = Path(f"/proc/{worker['pid']}/status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return total


@pytest.mark.long
def test_sixty_callers_who_behave_as_they_like() -> None:
    """FAIL-2: sixty calls, each its row and its one outcome, whatever both sides do."""
    chaos(12.0, 60, seed=2)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_thousand_callers_who_behave_as_they_like() -> None:
    """FAIL-2: the same for minutes."""
    chaos(200.0, 1000, seed=3)
