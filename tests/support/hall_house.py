"""A real hall between two real SIP endpoints, with media and stores in memory: trunk - recorder - PBX."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from callrec.calls.commands import Tone
from callrec.catalogue.indexing import keyed_hash
from callrec.catalogue.values import NOT_RECORDED_REASONS, RECORDED_REASONS
from callrec.identifiers import new_id
from callrec.notice import NoticeAsset
from callrec.privacy.stop_list import People, StopList, Wishes
from callrec.recorder.extensions import SUPPORTED, session_timer_of, spares
from callrec.recorder.hall import Hall
from callrec.recorder.health import Health
from callrec.recorder.live_call import LiveCall
from callrec.recorder.prompts import LoadedNotice, Sources
from callrec.recorder.stores import Stores
from callrec.recorder.tools import Tools
from callrec.settings import Settings, build
from callrec.signalling import Peers
from callrec.sip.building import host_port
from callrec.sip.endpoint import Dial
from callrec.sip.events import Address, Flow
from callrec.sip.name_address import NameAddress
from callrec.sip.uri import Uri
from tests.support.joined import JoinedDriver, LoopClock, Phone, Wire
from tests.support.media_double import MediaDouble
from tests.support.store_doubles import CatalogueDouble, EraserDouble, JournalDouble, KeyringDouble

RECORDER, TRUNK, PBX, OTHER_PBX = "127.0.1.1", "127.0.0.1", "127.0.0.2", "127.0.0.9"
DDI = "02079460123"
MENU = {"name": "main", "prompt": "", "timeout": "5s", "digits": {"1": f"sip:201@{OTHER_PBX}", "2": f"sip:202@{PBX}"}}
TABLES: dict[str, Any] = {
    "peer": [
        {"name": "trunk", "addresses": [TRUNK], "role": "trunk", "trusted_identity": True},
        {"name": "pbx", "addresses": [PBX, OTHER_PBX], "role": "pbx", "trusted_identity": True},
    ],
    "route": [
        {"from": "trunk", "called": "*5555", "destination": f"sip:{PBX}", "answer_timeout": "90s"},
        {"from": "trunk", "called": "*7777", "rule": "menu", "destination": f"sip:{PBX}"},
        {"from": "trunk", "called": "*8888", "rule": "inbound", "destination": "sip:pbx.nowhere.example"},
        {"from": "trunk", "called": "*", "rule": "inbound", "destination": f"sip:{PBX}", "answer_timeout": "30s"},
        {"from": "pbx", "called": "*", "destination": f"sip:{TRUNK}"},
    ],
    "capture_rule": [
        {
            "name": name,
            "direction": "inbound",
            "controller": "Better Comms (VOIP) Ltd",
            "purpose": "training_and_monitoring",
            "lawful_basis": "legitimate_interests",
            "assessment_ref": "LIA-2026-01",
            "notice": "training-and-monitoring",
            "retention_class": "unmatched",
            **({"menu": "main"} if name == "menu" else {}),
        }
        for name in ("inbound", "menu")
    ],
    "menu": [MENU],
    "retention_class": [{"name": "unmatched", "keep": "2y", "from": "call"}],
    "limits": {"longest_call": "2h", "rtp_silence": "60s"},
}
NUMBER_KEY = b"k" * 32
SOURCES: Sources = {"PCMA": b"\xd5" * 160, "PCMU": b"\xff" * 160, "G722": b"\xfc" * 160, "OPUS": b"\0\3\xf8\xff\xfe"}


def sdp(formats: str = "8 0 101", *lines: str, port: int = 4000, host: str = TRUNK, version: int = 1) -> bytes:
    """Return a description with one audio stream."""
    head = ["v=0", f"o=- 7 {version} IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    events = ["a=rtpmap:101 telephone-event/8000"] if "101" in formats.split() else []
    return "\r\n".join([*head, f"m=audio {port} RTP/AVP {formats}", *events, *lines, ""]).encode()


class PromptsDouble:
    """A notice, a confirmation and tones of 20 ms each; how long they last is the media double's affair."""

    def __init__(self) -> None:
        asset = NoticeAsset(
            "training-and-monitoring", 1, "en-GB", "text", "0", "0", "0", "0", 5000, Path("/nowhere")
        )  # fmt: skip
        self.loaded: LoadedNotice | None = LoadedNotice(asset, SOURCES)
        self.confirmation: Sources | None = SOURCES
        self.stop_offer: Sources | None = None
        self.codecs = ("PCMA", "PCMU")

    def notice(self, _notice_id: str) -> LoadedNotice | None:
        return self.loaded

    def menu(self, _name: str) -> Sources | None:
        return None

    def tone(self, _tone: Tone) -> Sources:
        return SOURCES


class HallHouse:
    """One recorder, its trunk and its PBX; `check` says what must be true when a story has been told."""

    def __init__(self, *, far: tuple[str, ...] = (), **tables: Any) -> None:
        """Build it all; `far` are the SIP extensions of trunk and PBX."""
        self.settings: Settings = build({**TABLES, **tables}, base=Path("/nowhere"))
        self.wire, self.clock = Wire(), LoopClock()
        everybody = Peers(self._anybody())
        self.trunk = Phone(self.wire, TRUNK, everybody, supported=far)
        self.pbx = Phone(self.wire, PBX, everybody, supported=far)
        self.other_pbx = Phone(self.wire, OTHER_PBX, everybody)
        self.hall = Hall()
        self.media = MediaDouble(self.hall.on_media, self.clock)
        self.catalogue, self.journal, self.keyring = CatalogueDouble(), JournalDouble(), KeyringDouble()
        self.stores = self._stores()
        self.prompts, self.health = PromptsDouble(), Health(self.clock)
        self.stop_list = StopList()
        self.stop()
        timer = session_timer_of(self.settings)
        sip = {"supported": SUPPORTED, "session_timer": timer, "spares": spares(self.settings)}
        self.driver = JoinedDriver(self.wire, RECORDER, Peers(self.settings.peer), self.hall.on_sip, **sip)
        self.tools = self._tools()
        self.hall.join(self.tools)
        self.admitted: list[LiveCall] = []
        self._note_admissions()

    def _anybody(self) -> Sequence[Any]:
        anybody = [{"name": "all", "addresses": ["127.0.0.0/8"], "role": "trunk"}]
        route = [{"called": "*", "destination": f"sip:{PBX}"}]
        return build({"peer": anybody, "route": route}, base=Path("/nowhere")).peer

    def _stores(self) -> Stores:
        catalogue: Any = self.catalogue
        keyring: Any = self.keyring
        journal: Any = self.journal
        eraser: Any = EraserDouble(self.catalogue, self.keyring)
        return Stores(self.settings, catalogue, keyring, None, journal, None, eraser)

    def _tools(self) -> Tools:
        media: Any = self.media
        prompts: Any = self.prompts
        return Tools(
            settings=self.settings,
            clock=self.clock,
            random=secrets.token_bytes,
            driver=self.driver,
            media=media,
            stores=self.stores,
            prompts=prompts,
            health=self.health,
            feed=self.hall.feed,
            register=self.hall.register,
            forget=self.hall.forget,
            stop_list=self.stop_list,
        )

    def _note_admissions(self) -> None:
        admission = self.hall._admission
        admit = admission.admit

        def noted(event: Any, **more: Any) -> LiveCall | None:
            call = admit(event, **more)
            if call is not None:
                self.admitted.append(call)
            return call

        admission.admit = noted  # type: ignore[method-assign] - only listened to

    def stop(self, *numbers: str) -> None:
        """Let these numbers, and nobody else, be on the stop list."""
        lookups = frozenset(keyed_hash(NUMBER_KEY, number) for number in numbers)
        self.stop_list.take(NUMBER_KEY, Wishes(stopped=People(lookups)))

    # What a story says

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    @property
    def call(self) -> LiveCall:
        """Return the newest call."""
        return self.admitted[-1]

    def dial(
        self, called: str = DDI, session: bytes | None = None, *, late: bool = False, by: Phone | None = None,
        headers: Sequence[tuple[str, str]] = (), uri: str = "",
    ) -> str:  # fmt: skip
        """Let the trunk (or another phone) call; return its leg."""
        phone, leg = by or self.trunk, new_id()
        flow = Flow("udp", phone.driver.address, Address(RECORDER, 5060))
        target = Uri.parse(uri or f"sip:{called}@{host_port(flow.remote)}")
        caller = NameAddress.parse('"Alice" <sip:+447700900123@trunk.example>')
        body = None if late else session or sdp()
        phone.endpoint.dial(
            Dial(leg, flow, target, NameAddress("", target), caller, session=body, headers=tuple(headers)), self.now
        )
        return leg

    def press(self, keys: str) -> None:
        """Let the caller press keys."""
        self.media.press(self.call.caller.id, keys)

    async def settle(self, seconds: float = 200.0) -> None:
        """Let time pass: retransmissions end, timers fire, stores come back."""
        await asyncio.sleep(seconds)

    # What must be true at the end

    async def check(self, *outcomes: str, seconds: float = 200.0) -> None:
        """Let everything end, then: one row and one outcome for each call, nothing left anywhere."""
        await self.settle(seconds)
        assert len(self.hall) == 0, [call.machine.state for call in self.hall.calls()]
        assert self.hall._live == 0, "the count of live calls is right"
        assert not self.hall._by_dialog, "no dialog is remembered"
        for name, driver in (("recorder", self.driver), ("trunk", self.trunk.driver), ("pbx", self.pbx.driver)):
            assert driver.endpoint.legs == 0, f"{name} holds {driver.endpoint.legs} legs"
            assert driver.endpoint.transactions == 0, f"{name} holds {driver.endpoint.transactions} transactions"
            assert driver.counters.internal_errors == 0, name
        assert not self.media.legs, "every port is closed"
        assert not self.media.recordings, "every recording ended"
        assert not self.catalogue.faults, self.catalogue.faults
        found = [self.outcome(call) for call in self.admitted]
        if outcomes:
            assert found == list(outcomes)

    def outcome(self, call: LiveCall) -> str:
        """Return the one outcome of a call, from the catalogue or, where it could not be written, the journal."""
        row, kept = self.catalogue.rows.get(call.call_id), self.journal.ended.get(call.call_id)
        ends = [end for end in (row.end if row is not None else None, kept) if end is not None]
        assert len(ends) == 1, f"{len(ends)} ends of one call"
        (end,) = ends
        assert end.outcome_reason in RECORDED_REASONS | NOT_RECORDED_REASONS
        assert (end.outcome == "recorded") == (end.outcome_reason in RECORDED_REASONS)
        told = (
            row.events
            if row is not None and row.end is not None
            else ["call/started", *self.journal.told[call.call_id]]
        )
        assert told[0] == "call/started"
        assert told.count("call/ended") == 1
        return str(end.outcome_reason)

    def item(self) -> Any:
        """Return the row of the newest call."""
        return self.catalogue.rows[self.call.call_id]

    async def seal_all(self) -> None:
        await self.hall.seal_all()


class Complaints(logging.Handler):
    """Keeps what is logged as an error: nothing may be, whatever the far sides do."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage() + (f" {record.exc_info[1]!r}" if record.exc_info else ""))
