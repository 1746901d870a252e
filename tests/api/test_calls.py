"""Finding and showing."""

from __future__ import annotations

import pytest

from tests.api.fake_recorder import item_of
from tests.api.serving import Served


async def test_status_is_the_recorders_own_document(api: Served) -> None:
    """The document of `callrec status --json` comes through unchanged."""
    reply = await api.get("/status")
    assert reply.status_code == 200
    assert reply.json() == api.recorder.status()


async def test_pages_follow_each_other_to_the_end(api: Served) -> None:
    """Following `next` gives every call once, newest first."""
    api.recorder.items = [item_of(number) for number in range(1, 8)]
    seen, cursor = [], None
    while True:
        page = (await api.get("/calls", limit=3, **({"cursor": cursor} if cursor else {}))).json()
        seen += [item["sequence"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("020 7946 0123", "+442079460123"),
        ("+44 (0)20 7946 0123", "+442079460123"),
        ("0044 20 7946 0123", "+442079460123"),
        ("*0123", "*0123"),
        ("* 79 46 01 23", "*79460123"),
    ],
)
async def test_a_number_may_be_written_in_any_spelling(api: Served, written: str, asked: str) -> None:
    """CLI-5: what people write becomes E.164; `*0123` means "ends with"."""
    assert (await api.get("/calls", number=written)).status_code == 200
    assert api.recorder.searches[-1].number == asked


@pytest.mark.parametrize("query", [{"number": "*1"}, {"number": "hello"}, {"outcome": "lost"}, {"limit": 0}, {"x": 1}])
async def test_what_cannot_be_understood_is_said_not_guessed(api: Served, query: dict[str, str]) -> None:
    """A search that makes no sense gets exit code 2, and searches nothing."""
    reply = await api.get("/calls", **query)
    assert (reply.status_code, reply.json()["exit_code"]) == (400, 2)
    assert api.recorder.searches == []


async def test_a_search_is_audited_with_the_number_masked(api: Served) -> None:
    """Audit rows about no one call hold masked numbers only (design 7); more pages of it add no entry."""
    api.recorder.items = [item_of(number) for number in range(1, 4)]
    page = (await api.get("/calls", number="02079460123", limit=2)).json()
    await api.get("/calls", number="02079460123", limit=2, cursor=page["next"])
    assert [action for _, action, _ in api.recorder.audited] == ["calls.find"]
    assert "9460" not in str(api.recorder.audited)
    assert "0123" in str(api.recorder.audited)


async def test_a_call_is_shown_by_prefix_and_by_reference(api: Served) -> None:
    """An id is a call id, a unique prefix, or the reference a person read out (CLI-14)."""
    api.recorder.items = [item_of(1), item_of(2)]
    for name in (item_of(1)["call_id"], "00000001", "CALL001"):
        assert (await api.get(f"/calls/{name}")).json()["sequence"] == 1


@pytest.mark.parametrize(("name", "status", "code"), [("zzz", 404, 3), ("0000000", 400, 2)])
async def test_what_names_no_call_or_several_says_so(api: Served, name: str, status: int, code: int) -> None:
    """An unknown id is exit code 3, an ambiguous one 2."""
    api.recorder.items = [item_of(1), item_of(2)]
    reply = await api.get(f"/calls/{name}")
    assert (reply.status_code, reply.json()["exit_code"]) == (status, code)


async def test_live_calls_are_those_in_progress(api: Served) -> None:
    """`callrec calls` lists what has not ended."""
    api.recorder.items = [item_of(1), item_of(2, in_progress=True, outcome=None, outcome_reason=None)]
    assert [item["sequence"] for item in (await api.get("/calls/live")).json()["items"]] == [2]


async def test_a_fault_of_ours_tells_nothing_personal(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected failure is a problem document that repeats nothing of what it was about."""
    api.recorder.crash = True
    reply = await api.get("/status")
    assert (reply.status_code, reply.json()["exit_code"]) == (500, 1)
    assert "9460" not in reply.text
    assert "RuntimeError" in caplog.text
    assert "9460" not in caplog.text


async def test_the_description_names_every_path(api: Served) -> None:
    """The API describes itself, for whoever writes a client."""
    paths = (await api.get("/openapi.json")).json()["paths"]
    assert {"/api/v1/status", "/api/v1/calls", "/api/v1/calls/{call}/export", "/api/v1/deletions"} <= set(paths)


async def test_too_large_a_request_is_refused(api: Served) -> None:
    """Nobody fills the recorder's memory: a body beyond the limit is cut off."""
    reply = await api.client.post("/deletions/plan", content=b'{"ids": ["' + b"a" * 2_000_000 + b'"]}')
    assert (reply.status_code, reply.json()["exit_code"]) == (413, 2)
