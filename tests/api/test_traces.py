"""The trace of a call over the API: who may see it, and what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrec.settings import Role
from callrec.vault.trace_files import Trace, TracedMessage
from tests.api.fake_recorder import FakeTraced, item_of
from tests.api.serving import ME, Served, served

TRACE = "/calls/00000001/trace"
MESSAGE = TracedMessage(
    5_000_000, False, "udp", "127.0.0.1:5070", "127.0.0.2:5060", "BYE sip:x SIP/2.0\r\ni: a\r\n\r\n"
)


async def test_a_trace_is_a_ladder_beside_what_is_known_of_the_media(api: Served) -> None:
    """Messages, legs and segments in one document; who looked is written down."""
    api.recorder.traces.found = FakeTraced(item_of(1), Trace((MESSAGE,), 2))
    document = (await api.get(TRACE)).json()
    assert [(rung["leg"], rung["summary"]) for rung in document["messages"]] == [("caller", "BYE sip:x")]
    assert document["left_out"] == 2
    assert document["segments"] == item_of(1)["segments"]
    assert "display_name" not in document
    assert (ME, "calls.trace", {"call_id": item_of(1)["call_id"]}) in api.recorder.audited


@pytest.mark.parametrize(
    ("role", "status"),
    [(Role.OPERATOR, 403), (Role.SUPERVISOR, 404), (Role.DPO, 403), (Role.AUDITOR, 403), (Role.ADMIN, 404)],
)
async def test_supervisors_and_administrators_see_traces(folder: Path, role: Role, status: int) -> None:
    """Without a trace they are told so (3), others that they may not (4)."""
    async with served(folder, {ME: role}) as api:
        assert (await api.get(TRACE)).status_code == status
