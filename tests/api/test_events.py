"""Stored events: pages and a stream."""

from __future__ import annotations

import asyncio
import json

import pytest

from callrec.api import events
from tests.api.fake_recorder import event_of
from tests.api.serving import Served


async def test_pages_give_every_event_once_in_order(api: Served) -> None:
    """`next` leads through all; a page that is not full is the last."""
    api.recorder.events = [event_of(sequence) for sequence in range(1, 6)]
    seen, after = [], 0
    while after is not None:
        page = (await api.get("/events", after=after, limit=2)).json()
        seen += [event["id"] for event in page["items"]]
        after = page["next"]
    assert seen == [f"event-{sequence}" for sequence in range(1, 6)]


async def test_a_stream_goes_on_with_what_is_told_later(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that come while somebody follows reach him, with empty lines as signs of life between."""
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    api.recorder.events = [event_of(1)]
    seen: list[str] = []
    async with api.client.stream("GET", "/events/stream", params={"after": 0}) as reply, asyncio.timeout(10):
        async for line in reply.aiter_lines():
            seen.append(json.loads(line)["id"] if line else "")
            if seen == ["event-1", ""]:
                api.recorder.tell(event_of(2))
            if "event-2" in seen:
                break
    assert seen[:2] == ["event-1", ""]
    assert seen[-1] == "event-2"
