"""Gathering the traces of live calls: whose, how much, and of whom none (LAW-70)."""

from __future__ import annotations

import secrets
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callrec.clock import SystemClock
from callrec.recorder import tracing as module
from callrec.recorder.tracing import Tracing, call_id_of
from callrec.settings import build
from callrec.sip.events import Address, Flow
from callrec.sip.headers import Headers
from callrec.vault.trace_files import TraceFiles

FLOW = Flow("udp", Address("127.0.0.1", 5070), Address("127.0.0.2", 5060))
KEY = secrets.token_bytes(32)
INVITE = b"INVITE sip:1@x SIP/2.0\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\n\r\n"
BYE = b"BYE sip:1@x SIP/2.0\r\ni:one\r\nCSeq: 2 BYE\r\n\r\n"


def call(call_id: str = "call-1", name: str = "one", **changes: Any) -> Any:
    """Return as much of a live call as a trace looks at."""
    hidden = {name: changes.get(name, False) for name in ("withheld", "diverting_withheld", "original_called_withheld")}
    request = SimpleNamespace(headers=Headers([("Call-ID", name)]))
    arrival = SimpleNamespace(
        incoming=SimpleNamespace(request=request),
        calling=SimpleNamespace(**hidden),
        emergency=changes.get("emergency", False),
    )
    keys = SimpleNamespace(identity_key=KEY) if changes.get("keys", True) else None
    return SimpleNamespace(call_id=call_id, arrival=arrival, keys=keys, started_at=SystemClock().now())


def tracing(folder: Path, **limits: str) -> Tracing:
    settings = build({"limits": limits}, base=folder)
    return Tracing(lambda: settings, TraceFiles(folder), SystemClock(), secrets.token_bytes)


async def kept(traces: Tracing) -> list[str]:
    """Return the first lines of what is on the disk."""
    await traces.write()
    trace = traces.files.read("call-1", KEY)
    return [] if trace is None else [message.text.partition("\r\n")[0] for message in trace.messages]


async def test_an_invite_is_claimed_by_its_call_and_both_legs_are_kept(tmp_path: Path) -> None:
    """What came before the call was admitted belongs to it; the leg we dial has a Call-ID of ours."""
    traces = tracing(tmp_path)
    traces.take(INVITE, FLOW, sent=False)
    traces.take(b"SIP/2.0 100 Trying\r\nCall-ID: one\r\n\r\n", FLOW, sent=True)
    traces.begin(call())
    name = traces.name_leg("call-1")
    traces.take(f"INVITE sip:2@y SIP/2.0\r\nCall-ID: {name}\r\n\r\n".encode(), FLOW, sent=True)
    traces.take(b"OPTIONS sip:x SIP/2.0\r\nCall-ID: other\r\n\r\n", FLOW, sent=False)
    assert await kept(traces) == ["INVITE sip:1@x SIP/2.0", "SIP/2.0 100 Trying", "INVITE sip:2@y SIP/2.0"]
    traces.take(BYE, FLOW, sent=False)
    assert (await kept(traces))[-1] == "BYE sip:1@x SIP/2.0"


async def test_a_call_id_that_is_no_text_is_claimed_as_it_came(tmp_path: Path) -> None:
    """RFC 3261 25.1 has no such bytes, scanners do: it costs neither the trace nor the call."""
    traces = tracing(tmp_path)
    traces.take(INVITE.replace(b"one", b"on\xd0"), FLOW, sent=False)
    traces.begin(call(name=b"on\xd0".decode("utf-8", "surrogateescape")))
    assert await kept(traces) == ["INVITE sip:1@x SIP/2.0"]


@pytest.mark.parametrize(
    "why", ["withheld", "diverting_withheld", "original_called_withheld", "emergency", "keys", "switched off"]
)
async def test_law_70_of_whom_no_trace_is_kept(tmp_path: Path, why: str) -> None:
    """LAW-70, FAIL-1: neither on the disk nor, once the call is known, in memory."""
    traces = tracing(tmp_path, **({"most_traces": "0B"} if why == "switched off" else {}))
    traces.take(INVITE, FLOW, sent=False)
    traces.begin(call(**({} if why == "switched off" else {why: why != "keys"})))
    traces.take(BYE, FLOW, sent=False)
    assert traces.name_leg("call-1") is None
    await traces.write()
    assert not traces.files.find(["call-1"])
    assert not traces._unclaimed
    assert not traces._traces


async def test_a_call_and_all_calls_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood in one call, or of INVITEs that become none, costs bounded memory; what is left out is counted."""
    monkeypatch.setattr(module, "MOST_OF_A_CALL", 5)
    traces = tracing(tmp_path)
    traces.begin(call())
    for _ in range(50):
        traces.take(BYE, FLOW, sent=False)
    assert len(await kept(traces)) == 5
    for number in range(2000):
        traces.take(INVITE.replace(b"one", b"%d" % number), FLOW, sent=False)
    assert len(traces._unclaimed) == module._UNCLAIMED
    traces._traces["call-1"].waiting.append((SystemClock().now(), True, FLOW, BYE))
    await traces.write()
    trace = traces.files.read("call-1", KEY)
    assert trace is not None
    assert trace.left_out == 45


async def test_what_cannot_be_written_costs_no_call(tmp_path: Path) -> None:
    """A full or broken disk: the messages are left out, and the next ones are written."""
    traces = tracing(tmp_path / "file" / "traces")
    (tmp_path / "file").write_text("in the way")
    traces.begin(call())
    traces.take(BYE, FLOW, sent=False)
    await traces.write()
    (tmp_path / "file").unlink()
    traces.take(BYE, FLOW, sent=False)
    assert len(await kept(traces)) == 1


async def test_a_call_that_ended_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seconds after its end nothing of it is left in memory."""
    monkeypatch.setattr(module, "LINGER_S", 0.0)
    traces = tracing(tmp_path)
    traces.begin(call())
    traces.take(BYE, FLOW, sent=False)
    traces.end("call-1")
    assert len(await kept(traces)) == 1
    await traces.write()
    assert not traces._traces
    assert not traces._by_name


def test_a_call_id_is_found_in_any_spelling() -> None:
    """RFC 3261 7.3.1, 7.3.3; in nothing there is none."""
    for text in (b"\r\nCALL-ID : a@b\r\n", b"\r\ni: a@b\r\n", b"\nCall-Id:a@b"):
        assert call_id_of(b"BYE sip:x SIP/2.0" + text) == b"a@b"
    assert call_id_of(b"\x00" * 9) == b""
