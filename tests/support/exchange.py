"""One call from a SIPp that is the trunk, through callrec, to a SIPp that is the PBX: scenarios made of common parts.

Whatever the two play, the trunk must see nothing of the inside (SIP-14), and the row of the call is the test's affair.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.recorder import PBX, TRUNK, Plan, Recorder
from tests.support.sipp import Sipp, SippRun

SCENARIOS = Path(__file__).resolve().parents[1] / "interop" / "scenarios"
ANNOUNCED, THROUGH = "02079460801", "02079460802"
ROUTE = '[[route]]\nfrom = "trunk"\ncalled = "{called}"\nrule = "{rule}"\ndestination = "sip:{host}:{port}"\n'
NUMBERS = itertools.count(7700900801)
NOTHING: Mapping[str, str] = {}
RECEIVED = re.compile(r"^-{20,} [^\n]*\n\w+ message received[^\n]*\n", re.MULTILINE)
SENT = re.compile(r"^-{20,} [^\n]*\n\w+ message sent", re.MULTILINE)

CALLER_HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:CALLER@[local_ip]:[local_port]>;tag=[pid]t[call_number]
Call-ID: [call_id]
Contact: <sip:CALLER@[local_ip]:[local_port];transport=[transport]>"""
DESK_HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From:[$near];tag=[pid]d[call_number]
To:[$far]
Call-ID: [call_id]
Contact: <sip:desk@[local_ip]:[local_port]>"""
REPLY_HEADERS = """[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>"""
INVITE_HEADERS = """Via:[$via]
From:[$far]
To:[$near];tag=[pid]d[call_number]
Call-ID: [call_id]
CSeq: INVITE_CSEQ INVITE
Contact: <sip:desk@[local_ip]:[local_port]>"""


def session(port: int | str, formats: str = "8 101", *, version: int = 1, lines: str = "") -> str:
    """Return a description with one audio stream, as SIPp takes it.

    Args:
        port: where media is wanted; SIPp's own word for a port of its own, or a number for somebody beside it.
        formats: the payload types.
        version: of `o=`.
        lines: further lines, such as `a=sendonly`.
    """
    names = {"0": "PCMU", "8": "PCMA", "13": "CN", "19": "CN", "101": "telephone-event"}
    maps = [f"a=rtpmap:{number} {names[number]}/8000" for number in formats.split()]
    head = f"""Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 {version} IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP {formats}"""
    events = ["a=fmtp:101 0-15"] if "101" in formats.split() else []
    return "\n".join([head, *maps, *events, *lines.split()])


SESSION = session("[media_port]")
MOVED_SESSION = session("[media_port+2]", version=2)
FAX_SESSION = "\n".join(
    [*MOVED_SESSION.splitlines()[:8], "m=image [media_port+2] udptl t38", "a=T38FaxVersion:0", "a=T38MaxBitRate:14400"]
)


class Exchange:
    """A recorder between two SIPps, with a folder for what they write."""

    def __init__(self, recorder: Recorder, port: int, place: Path, host: str = PBX) -> None:
        """Take the recorder, the place at which it calls the PBX, and a folder."""
        self.recorder, self.host, self.port, self.place = recorder, host, port, place

    def play(
        self, called: str, caller_scenario: str, desk_scenario: str | None, *, cseq: int = 1,
        caller: Mapping[str, str] = NOTHING, desk: Mapping[str, str] = NOTHING,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:  # fmt: skip
        """Let both play their parts, both of which must succeed; return the row of the call.

        Args:
            called: the number.
            caller_scenario: of the trunk.
            desk_scenario: of the PBX; None where the call does not come so far.
            cseq: of the INVITE that the PBX answers.
            caller: further words of the trunk's scenario, each with what stands for it.
            desk: further words of the PBX's scenario.
            meanwhile: is done while they play.
        """
        number = f"0{next(NUMBERS)}"
        trunk = self.sipp("trunk", caller_scenario, {"CALLER": number, **caller}, TRUNK, service=called)
        parties = [trunk]
        if desk_scenario is not None:
            words = {"CALLER": number, "INVITE_CSEQ": str(cseq), **desk}
            parties.insert(0, self.sipp("desk", desk_scenario, words, self.host, port=self.port))
        with ExitStack() as stack:
            for party in parties:
                stack.enter_context(party.start())
            try:
                meanwhile()
                for party in reversed(parties):
                    party.finish()
            except AssertionError as error:
                error.add_note(self._what_happened())
                raise
        if desk_scenario is not None:
            self.check_hidden()
        wait_until(lambda: [item["in_progress"] for item in self.recorder.find(number)] == [False], "the call is over")
        (item,) = self.recorder.find(number)
        return item

    def sipp(
        self, name: str, scenario: str, more: Mapping[str, str], host: str, *, asks: bool = False, **run: Any
    ) -> Sipp:  # fmt: skip
        """Return a SIPp that plays a scenario under a name.

        One with a port of its own waits there to be called, unless `asks` says that it begins; the others call.
        """
        words = {
            "CALLER_HEADERS": CALLER_HEADERS, "DESK_HEADERS": DESK_HEADERS, "REPLY_HEADERS": REPLY_HEADERS,
            "INVITE_HEADERS": INVITE_HEADERS, "INVITE_CSEQ": "1", "MOVED_SESSION": MOVED_SESSION,
            "FAX_SESSION": FAX_SESSION, "SESSION": SESSION, "PAYLOAD_TYPE": "8", "CODEC": "PCMA",
            "TELL_": str(self.place / f"{name}-"), **more,
        }  # fmt: skip
        fill = sorted(words.items(), key=lambda word: -len(word[0]))  # the longer words hold shorter ones
        trace = ("-trace_msg", "-message_file", str(self.place / name / "messages.log"))
        made = SippRun(scenario, host, fill=tuple(fill), folder=SCENARIOS, timeout_s=90, more=trace, **run)
        return Sipp(made, self.place / name, None if "port" in run and not asks else self.recorder.sip)

    def wait_told(self, name: str, what: str, timeout: float = 10.0) -> str:
        """Wait until a scenario has said something by `exec command="echo words > TELL_what"`; return the words."""
        file = self.place / f"{name}-{what}"
        wait_until(lambda: file.exists() and file.read_text() != "", f"the {name} of SIPp comes to {what}", timeout)
        return file.read_text().strip()

    def _what_happened(self) -> str:
        """Return what the recorder logged last, and what both parties got."""
        got = [f"the {name} got:\n{self.received(name)}" for name in ("trunk", "desk") if self._traced(name).exists()]
        return "\n".join([self.recorder.tail(), *got])

    def _traced(self, name: str) -> Path:
        return self.place / name / "messages.log"

    def received(self, name: str) -> str:
        """Return every message that the trunk or the desk got, one after the other."""
        text = self._traced(name).read_text(errors="replace")
        return "".join(SENT.split(part)[0] for part in RECEIVED.split(text)[1:])

    def check_hidden(self) -> None:
        """SIP-14: nothing that the trunk got names an address of the PBX, or is by a name that the PBX gave."""
        told, inside = self.received("trunk"), self.received("desk")
        assert "SIP/2.0 " in told
        assert self.host not in told, "the trunk sees an address of the PBX"
        own = re.findall(r"^Call-ID: *(\S+)", inside, re.MULTILINE | re.IGNORECASE)
        tags = re.findall(r";tag=(\d+d\d+)", inside)
        assert own
        assert not [mark for mark in {*own, *tags} if mark in told], "the trunk sees the PBX's dialog"


def exchange_plan(**changes: Any) -> tuple[Plan, int]:
    """Return a plan with one number that is announced and one that is not, and the port at which the PBX is called."""
    port = free_port(PBX)
    routes = "".join(
        ROUTE.format(called=called, rule=rule, host=PBX, port=port)
        for called, rule in ((ANNOUNCED, "inbound"), (THROUGH, ""))
    )
    return Plan(first_routes=routes, **changes), port
