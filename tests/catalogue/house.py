"""A whole small store for tests: keyring, ledger, catalogue, recordings, and calls to put into them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from callrec.catalogue import (
    CallChange,
    CallEnd,
    CallIdentity,
    Catalogue,
    Event,
    NewCall,
    NumbersMode,
    Options,
    Part,
)
from callrec.clock import ManualClock
from callrec.identifiers import new_call_reference, new_id
from callrec.privacy import Eraser, Step
from callrec.vault.keyring import CallKeys, Keyring
from callrec.vault.ledger import Ledger
from callrec.vault.master_key import MasterKey
from callrec.vault.trace_files import FOLDER, TraceFiles

START = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
MASTER = MasterKey(b"m" * 32)

CALLER, OTHER, OURS = "+441632960001", "+441632960002", "+442079460123"
NAME = "Jane O'Neill-Smith"
PATIENCE_S = 30.0
"""How long a write may take where no test is about it: a busy disk can need more than a call may wait."""
PATIENT = Options(open_patience_s=PATIENCE_S, patience_s=PATIENCE_S)
"""The options of a catalogue whose patience no test is about."""


@dataclass
class House:
    """The stores of one node, as the recorder opens them."""

    folder: Path
    keyring: Keyring
    ledger: Ledger
    catalogue: Catalogue
    clock: ManualClock
    minute: int = 0
    keys: dict[str, CallKeys] = field(default_factory=dict)

    @property
    def recordings(self) -> Path:
        """Return the recordings folder."""
        return self.folder / "recordings"

    def eraser(self, hook: Any = None) -> Eraser:
        """Return an eraser over these stores."""
        eraser = Eraser(self.catalogue, self.keyring, self.ledger, self.recordings, hook or _nothing)
        eraser.traces = self.traces
        return eraser

    @property
    def traces(self) -> TraceFiles:
        """Return the folder of traces."""
        return TraceFiles(self.folder / FOLDER)

    def new_call(self, **changes: Any) -> NewCall:
        """Return the next call, a minute after the one before."""
        self.minute += 1
        keys = self.keyring.take_call_keys()
        new = NewCall(
            call_id=new_id(),
            call_reference=new_call_reference(),
            direction="inbound",
            started_at=START + timedelta(minutes=self.minute),
            identity=CallIdentity(
                network_number=CALLER,
                presentation_number=CALLER,
                called_number=OURS,
                display_name=NAME,
                sip_call_ids=("a84b4c76e66710@pc33.example.com",),
            ),
            identity_key_id=keys.identity_key_id,
            audio_key_id=keys.audio_key_id,
            capture_rule="inbound",
            retention_class="unmatched",
            country="GB",
            number_type="geographic",
            area="Ambridge",
        )
        new = replace(new, **changes)
        self.keys[new.call_id] = keys
        return new

    async def open_call(self, **changes: Any) -> NewCall:
        """Store a call that begins."""
        new = self.new_call(**changes)
        await self.catalogue.open_call(new, [Event("call", "started", new.call_id)])
        return new

    async def recorded_call(self, **changes: Any) -> NewCall:
        """Store a whole recorded call, with two files that only look like recordings."""
        new = await self.open_call(**changes)
        recording_id, started = new_id(), new.started_at + timedelta(seconds=9)
        folder = self.recordings / f"{started:%Y/%m/%d}"
        folder.mkdir(parents=True, exist_ok=True)
        parts = tuple(
            Part(recording_id, number, f"{started:%Y/%m/%d}/{recording_id}.{number}.crec", 3) for number in (1, 2)
        )
        for part in parts:
            (self.recordings / part.path).write_bytes(b"ciphertext of " + part.path.encode())
        answer = CallChange(answered_at=started, recording_started_at=started, recording_id=recording_id)
        events = [Event("call", "answered", new.call_id), Event("recording", "started", new.call_id)]
        await self.catalogue.change_call(new.call_id, answer, events)
        await self.catalogue.end_call(new.call_id, recorded_end(new, parts), [Event("call", "ended", new.call_id)])
        return new

    def files_of(self, new: NewCall) -> list[Path]:
        """Return the files in the date folder of a call."""
        return sorted((self.recordings / f"{new.started_at:%Y/%m/%d}").glob("*"))


def _nothing(step: Step) -> None:
    del step


def recorded_end(new: NewCall, parts: tuple[Part, ...] = ()) -> CallEnd:
    """Return the end of a recorded call."""
    final = CallChange(
        notice={"id": "training-and-monitoring", "version": 1, "completed": True},
        legs=({"leg_id": new_id(), "peer": "trunk", "codec": "PCMA"}, {"leg_id": new_id(), "peer": "pbx"}),
        segments=({"start_ms": 0, "end_ms": 21_000, "state": "recorded", "reason": None},),
        parts=parts,
    )
    return CallEnd(new.started_at + timedelta(seconds=30), "recorded", "complete", final=final)


@asynccontextmanager
async def house(folder: Path, *, numbers: NumbersMode = NumbersMode.HASH, **options: Any) -> AsyncIterator[House]:
    """Open the stores in a folder, new or old, and close them again."""
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - a test's folder
    clock = ManualClock(START)
    keyring = Keyring.open(folder / "keyring.db", MASTER, create=True, pool_calls=64)
    ledger = Ledger.open(folder / "ledger", folder / "outside" / "ledger", keyring.system_key("signing"), clock)
    patience = {"open_patience_s": PATIENCE_S, "patience_s": PATIENCE_S}
    given = Options(node="rec1", numbers=numbers, clock=clock, ledger=ledger, **{**patience, **options})
    catalogue = await Catalogue.open(folder / "catalogue.db", keyring, given)
    try:
        yield House(folder, keyring, ledger, catalogue, clock)
    finally:
        await catalogue.close()
        ledger.close()
        keyring.close()


def spellings(number: str) -> list[bytes]:
    """Return a UK number as it may lie about: E.164 with and without plus, 00, national, and in groups."""
    digits = number.lstrip("+")
    national = "0" + digits[2:]
    forms = [digits, "00" + digits, national, f"{national[:5]} {national[5:]}", f"{national[:4]} {national[4:]}"]
    return [form.encode() for form in forms]


def files_with(folder: Path, needles: list[bytes]) -> list[str]:
    """Return which files under a folder hold one of some byte strings."""
    return [
        f"{path.relative_to(folder)}: {needle!r}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for needle in needles
        if needle in path.read_bytes()
    ]
