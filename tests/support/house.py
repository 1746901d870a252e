"""A whole telephone system on the loopback network: trunk line, recorder, PBX line, and voices for both ends."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from demonstration.telephony import g711
from demonstration.telephony.line import Call, Line
from demonstration.telephony.messages import Session, uri_in, user_of
from demonstration.telephony.voice import Heard, Voice, VoiceEngine
from tests.support.listening import decoded, matches, skew_ms
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import DDI, PBX, TRUNK, Plan, Recorder

CALLER = "+447700900123"
TELEPHONE_EVENT = 101
VOICE_S = 40.0
FARTHEST_APART_MS = 20.0
PACKETS_AT_THE_EDGE = 6
"""Packets at the start and the end of a conversation that may be on either side of the recording's edge."""


@dataclass
class Side:
    """One end of a conversation: its call, its mouth and what it says."""

    voice: Voice
    payload_type: int
    coded: bytes
    call: Call | None = None

    def begin(self, remote: Session) -> None:
        """Send towards the far side, and start to speak."""
        self.voice.send_to(remote.host, remote.port)
        self.voice.speak(self.payload_type, self.coded)


@dataclass
class Conversation:
    """One call from the trunk through callrec to the PBX."""

    caller: str
    outside: Side
    inside: Side
    answered_at: float = 0.0
    """When the PBX's 200 was acknowledged, in monotonic seconds."""
    ended_at: float = 0.0

    @property
    def out(self) -> Call:
        assert self.outside.call is not None
        return self.outside.call

    @property
    def desk(self) -> Call:
        assert self.inside.call is not None, "the PBX was not called"
        return self.inside.call

    def talk(self, seconds: float) -> None:
        """Let both sides speak for a while, in real time."""
        spoken = len(self.outside.voice.sent) + round(seconds / 0.02)
        wait_until(lambda: len(self.outside.voice.sent) >= spoken, f"the caller speaks for {seconds} s", seconds + 10)

    def hang_up(self, *, by: str = "caller") -> None:
        """End the call from one side and wait until the other heard of it."""
        first, second = (self.out, self.desk) if by == "caller" else (self.desk, self.out)
        self.ended_at = time.monotonic()
        first.hang_up()
        assert second.wait_ended(5) == "bye"
        self.outside.voice.fall_silent()
        self.inside.voice.fall_silent()

    def check_export(self, left: list[int], right: list[int]) -> None:
        """Check both channels: exactly what was said, all of it, each on its side, in step with each other."""
        found = []
        for side, channel in ((self.outside, left), (self.inside, right)):
            pieces = matches(np.array(channel, np.int16), decoded(side.payload_type, side.coded))
            assert len(pieces) == 1, f"expected one unbroken stretch of the voice, found {pieces}"
            during = [at for at, _ in side.voice.sent if self.answered_at < at < self.ended_at]
            least = (len(during) - PACKETS_AT_THE_EDGE) * 160
            assert pieces[0].length >= least, f"{pieces[0].seconds} s are kept of {len(during) * 0.02} s said"
            found.append(pieces[0])
        apart = skew_ms(found[0], self.outside.voice, found[1], self.inside.voice)
        assert abs(apart) <= FARTHEST_APART_MS, f"the channels are {apart:.1f} ms apart"


@dataclass
class House:
    """A running recorder between a trunk and a PBX; a `with` block tears everything down."""

    plan: Plan = field(default_factory=Plan)
    transport: str = "udp"

    def __enter__(self) -> Self:
        self.engine = VoiceEngine()
        self.pbx = Line(PBX, free_port(PBX), transport=self.transport, user="desk")
        self.trunk = Line(TRUNK, transport=self.transport, user="trunk")
        self.plan.pbx_port, self.plan.pbx_transport = self.pbx.address[1], self.transport
        self.recorder = Recorder(self.plan)
        self._seed = int.from_bytes(os.urandom(4), "big")
        self._missed: dict[str, Call] = {}
        try:
            self.recorder.__enter__()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recorder.close()
        self.trunk.close()
        self.pbx.close()
        self.engine.close()

    # -- parts of a conversation

    def side(self, host: str, payload_type: int, seconds: float = VOICE_S) -> Side:
        """Return an end with a voice of its own, unlike any other."""
        self._seed += 1
        return Side(self.engine.voice(host), payload_type, g711.unmistakable(payload_type, seconds, self._seed))

    def codecs(self, payload_type: int) -> dict[int, str]:
        return {payload_type: f"{g711.NAMES[payload_type]}/8000", TELEPHONE_EVENT: "telephone-event/8000"}

    def dial(self, caller: str = CALLER, called: str = DDI, *, codec: int = g711.PCMA, **given: Any) -> Conversation:
        """Let somebody outside call a number of ours; returns at once."""
        outside, inside = self.side(TRUNK, codec), self.side(PBX, codec)
        codecs = given.pop("codecs", None) or self.codecs(codec)
        session = Session(TRUNK, outside.voice.port, codecs)
        given.setdefault("from_", f"<sip:{caller}@{TRUNK}>")
        given.setdefault("headers", [("P-Asserted-Identity", f"<sip:{caller}@{TRUNK};user=phone>")])
        host, port = self.recorder.sip
        late = given.pop("late", False)
        outside.call = self.trunk.dial(
            self.recorder.sip, f"sip:{called}@{host}:{port}", None if late else session, **given
        )
        outside.call.session = session
        outside.call.late_answer = session if late else None
        return Conversation(caller, outside, inside)

    def hear_notice(self, talk: Conversation) -> Conversation:
        """Wait for callrec's answer; the caller's phone sends from there on, as phones do."""
        assert talk.out.wait_final(10).status == 200, talk.out.responses
        assert talk.out.remote_session is not None
        talk.outside.begin(talk.out.remote_session)
        return talk

    def reach_desk(self, talk: Conversation, timeout: float = 10.0) -> Conversation:
        """Wait until the PBX is called for this caller."""
        deadline = time.monotonic() + timeout
        while talk.caller not in self._missed:
            call = self.pbx.next_call(max(0.01, deadline - time.monotonic()))
            self._missed[_caller_of(call)] = call
        talk.inside.call = self._missed.pop(talk.caller)
        return talk

    def pick_up(self, talk: Conversation) -> Conversation:
        """Let the desk answer and speak."""
        desk = talk.desk
        assert desk.remote_session is not None, "callrec offers a session to the PBX"
        offered = desk.remote_session
        talk.inside.payload_type = offered.audio
        desk.ring()
        desk.answer(Session(PBX, talk.inside.voice.port, offered.codecs))
        desk.wait_ack()
        talk.inside.begin(offered)
        talk.answered_at = time.monotonic()
        return talk

    def connect(self, caller: str = CALLER, called: str = DDI, **given: Any) -> Conversation:
        """Bring a call all the way: notice heard, desk answered, both speaking and heard by each other."""
        return self.connect_dialled(self.dial(caller, called, **given))

    def connect_dialled(self, talk: Conversation) -> Conversation:
        """Bring a call that was dialled all the way."""
        talk = self.pick_up(self.reach_desk(self.hear_notice(talk), 20))
        for side in (talk.outside, talk.inside):
            other = talk.inside if side is talk.outside else talk.outside
            assert hears(side, other, 5), f"{side.voice.host} does not hear {other.voice.host}"
        return talk

    def item_of(self, talk: Conversation, *, timeout: float = 15.0) -> dict[str, Any]:
        """Return the row of an ended conversation, found by its caller's number."""
        return self.items_of([talk], timeout=timeout)[0]

    def items_of(self, talks: Sequence[Conversation], *, timeout: float = 15.0) -> list[dict[str, Any]]:
        """Return the rows of ended conversations, in their order."""
        found: dict[str, dict[str, Any]] = {}
        wanted = [talk.caller for talk in talks]

        def over() -> bool:
            items = self.recorder.find(*wanted) if len(wanted) == 1 else self.recorder.find()
            found.update({item["network_number"]: item for item in reversed(items) if not item["in_progress"]})
            return found.keys() >= set(wanted)

        wait_until(over, f"the calls of {wanted} are over", timeout)
        return [found[caller] for caller in wanted]

    def check_exports(self, talks: Sequence[Conversation], items: Sequence[dict[str, Any]]) -> None:
        """Check that every call is recorded to its end, and every export exact on both channels."""
        for item in items:
            assert (item["outcome"], item["outcome_reason"], item["cut"]) == ("recorded", "complete", False), item
        exported = self.recorder.export_all([item["call_id"] for item in items])
        for talk, item in zip(talks, items, strict=True):
            rate, left, right = exported[item["call_id"]]
            assert rate == 8000
            talk.check_export(left, right)


def _caller_of(call: Call) -> str:
    for name in ("P-Asserted-Identity", "From"):
        if value := call.invite.get(name):
            return user_of(uri_in(value))
    return ""


def hears(listener: Side, speaker: Side, timeout: float) -> bool:
    """Wait until the last packets that one side heard are the other's voice, unchanged."""

    def arrived(heard: list[Heard]) -> bool:
        return any(packet.payload in speaker.coded for packet in heard[-5:])

    return listener.voice.wait_heard(arrived, timeout)
