"""The paths of promises: what is asked reaches its book, and nothing else does."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from callrec.api.gate import LARGEST_BODY
from callrec.errors import ExitCode, OperatorError
from callrec.settings import Role
from tests.api.fake_promises import PARTY, REQUEST
from tests.api.serving import ME, Served, served

HOLD = {"ids": ["a"], "reason": "claim", "review": "2026-12-31"}


async def test_a_party_is_set_under_a_name_with_a_slash(api: Served) -> None:
    """A customer number is what a company makes it; dates come as dates, numbers as they were said."""
    said = {"name": "Ann", "numbers": ["020 7946 0123"], "since": "2026-01-01", "contracts": [{"ref": "K-1"}]}
    reply = await api.client.put("/relationships/C%2F1", json=said)
    assert (reply.status_code, reply.json()) == (200, PARTY)
    name, given, named = api.recorder.promises.relationships.last
    assert (name, given) == ("set", ("C/1",))
    assert named["since"] == date(2026, 1, 1)
    assert named["contracts"] == [{"ref": "K-1", "starts_on": None, "ends_on": None}]
    assert (named["numbers"], named["actor"], named["idempotency_key"]) == (["020 7946 0123"], ME, None)


async def test_the_end_of_a_party_and_its_document_have_paths_of_their_own(api: Served) -> None:
    """Neither is mistaken for part of a name."""
    assert (await api.client.post("/relationships/C%2F1/end", json={"on": "2026-11-22"})).status_code == 200
    assert api.recorder.promises.relationships.last == ("end", ("C/1", date(2026, 11, 22), ME), {})
    assert (await api.get("/relationships/C%2F1")).json() == PARTY
    assert api.recorder.audited[-1] == (ME, "relationship.show", {})


async def test_a_file_larger_than_any_other_request_can_be_imported(api: Served) -> None:
    """Fifty thousand customers are more than the largest body of other paths, which stays refused there."""
    rows = "C-1,Ann\n" * (LARGEST_BODY // 8 + 1)
    reply = await api.client.post("/relationships/import", json={"csv": rows, "map": "", "dry_run": True})
    assert reply.status_code == 200
    assert api.recorder.promises.relationships.last[2] == {"dry_run": True, "actor": ME}
    assert (await api.client.post("/stops", json={"number": rows})).status_code == 413


async def test_a_request_has_its_number_in_one_form_and_its_moment_with_a_zone(api: Served) -> None:
    """LAW-16: the instant of receipt is known to the second and stands for one moment only."""
    said = {"number": "020 7946 0123", "channel": "telephone", "received_at": "2026-09-03T09:00:00+01:00"}
    assert (await api.client.post("/requests", json=said)).json() == REQUEST
    _, _, named = api.recorder.promises.requests.last
    assert (named["number"], named["channel"], named["actor"]) == ("+442079460123", "telephone", ME)
    assert named["received_at"] == datetime(2026, 9, 3, 8, tzinfo=UTC)
    assert (await api.client.post("/requests", json={**said, "received_at": "2026-09-03T09:00:00"})).status_code == 400


@pytest.mark.parametrize(
    "said", [{}, {"number": "*0123"}, {"number": "x"}, {"name": "Ann", "channel": "pigeon"}, {"window": {}}, {"a": 1}]
)
async def test_a_request_names_somebody_whole(api: Served, said: dict[str, Any]) -> None:
    """Never everybody, and no ending of a number, which several people share."""
    reply = await api.client.post("/requests", json=said)
    assert (reply.status_code, reply.json()["exit_code"]) == (400, 2)
    assert api.recorder.promises.requests.asked == []


async def test_a_withheld_caller_is_named_by_when_he_called_whom(api: Served) -> None:
    """LAW-26: a window of time and a number of ours."""
    window = {"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T11:00:00Z", "called": "020 7946 0999"}
    await api.client.post("/requests", json={"window": window})
    found = api.recorder.promises.requests.last[2]["window"]
    assert found["called"] == "+442079460999"
    assert found["since"] == datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("verify", {"method": "account"}, ("verify", ("1f2e", "account"))),
        ("approve", None, ("approve", ("1f2e", ME))),
        ("refuse", {"ground": "legal_claims", "reason": "r"}, ("refuse", ("1f2e", "legal_claims", "r", ME))),
        (
            "extend",
            {"notice_date": "2026-09-10", "reasons": "many"},
            ("extend", ("1f2e", date(2026, 9, 10), "many", ME)),
        ),
        ("withdraw", {}, ("withdraw", ("1f2e", "", ME))),
        ("execute", None, ("execute", ("1f2e", ME))),
        ("tick", {"store": "voicemail"}, ("tick", ("1f2e", "voicemail", ME))),
    ],
)
async def test_every_step_of_a_request_reaches_the_book(
    api: Served, path: str, body: dict[str, Any] | None, expected: tuple[str, tuple[Any, ...]]
) -> None:
    """With the account that asks: four eyes are counted by it (LAW-34)."""
    assert (await api.client.post(f"/requests/1f2e/{path}", json=body)).json() == REQUEST
    name, given, named = api.recorder.promises.requests.last
    assert (name, given) == expected
    assert ME in given or named["actor"] == ME


async def test_papers_and_lists_are_written_down_as_read(api: Served) -> None:
    """LAW-10, LAW-14: who looked at a request stands in the audit trail, without a name or number."""
    api.recorder.promises.requests.answers |= {
        "letter": {"id": "1f2e", "text": "Dear Ann"},
        "certificate": {"request_id": "1f2e"},
    }
    assert (await api.get("/requests", open=True)).json() == {"items": [REQUEST], "next": None}
    assert api.recorder.promises.requests.last == ("list", (True,), {})
    assert (await api.get("/requests/1f2e/letters/completion")).json()["text"] == "Dear Ann"
    assert (await api.get("/requests/1f2e/certificate")).json() == {"request_id": "1f2e"}
    assert (await api.get("/requests/1f2e")).json() == REQUEST
    assert all("request_id" in detail for _, action, detail in api.recorder.audited if action != "request.list")
    said = [action for _, action, _ in api.recorder.audited]
    assert said == ["request.list", "request.letter", "request.certificate", "request.show"]


async def test_a_plan_comes_line_by_line_and_ends_with_its_sums(api: Served) -> None:
    """However long it is, nobody holds it."""
    item = {"call_id": "a", "action": "delete", "reason": "period"}
    api.recorder.promises.retention.answers["plan"] = [item] * 450 + [{"hash": "h", "rows": 450}]
    reply = await api.get("/retention/plan", at="2026-12-01")
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert lines == [item] * 450 + [{"hash": "h", "rows": 450}]
    assert api.recorder.promises.retention.last == ("plan", (date(2026, 12, 1),), {})


async def test_a_plan_that_breaks_off_says_why(api: Served) -> None:
    """A client must not take half a plan for a whole one."""
    error = OperatorError("the catalogue is gone", exit_code=ExitCode.BUSY)
    api.recorder.promises.retention.answers["plan"] = [{"call_id": "a"}, error]
    last = json.loads((await api.get("/retention/plan")).text.splitlines()[-1])
    assert last["problem"]["exit_code"] == 75


async def test_classes_are_tried_out_as_the_configuration_writes_them(api: Served) -> None:
    """`from` is a word of Python and a key of the configuration."""
    row = {"name": "unmatched", "keep": "1y", "from": "call"}
    await api.client.post("/retention/simulate", json={"classes": [row]})
    assert api.recorder.promises.retention.last == ("simulate", ([row], None), {})


async def test_what_retention_decides_is_told_to_its_book(api: Served) -> None:
    """Approve and run carry who asks; explain is written down with the call."""
    book = api.recorder.promises.retention
    await api.client.post("/retention/approve", json={"hash": "h"})
    assert book.last == ("approve", ("h", ME), {})
    await api.client.post("/retention/run")
    assert book.last == ("run", (ME,), {})
    book.answers["explain"] = {"call_id": "a", "reason": "because"}
    assert (await api.get("/retention/calls/a")).json()["reason"] == "because"
    assert api.recorder.audited[-1] == (ME, "retention.explain", {"call_id": "a"})
    assert (await api.get("/retention")).json() == {}


async def test_a_stop_names_a_number_or_a_party(api: Served) -> None:
    """LAW-39: by number and by relationship, never by neither or both."""
    book = api.recorder.promises.protections
    await api.client.post("/stops", json={"number": "020 7946 0123", "discard": True, "reason": "asked"})
    name, _, named = book.last
    assert (name, named["number"], named["discard"], named["party"]) == ("stop_add", "+442079460123", True, None)
    for wrong in ({}, {"number": "02079460123", "party": "C-1"}, {"number": "*0123"}):
        assert (await api.client.post("/stops", json=wrong)).status_code == 400
    assert len(book.asked) == 1
    await api.client.post("/stops/5a5a/discard")
    assert book.last == ("stop_discard", ("5a5a", ME), {})
    assert (await api.client.delete("/stops/5a5a")).json()["removed"] is True
    assert (await api.get("/stops")).json() == {"items": [], "next": None}


async def test_holds_and_restrictions_are_kinds_of_one_thing(api: Served) -> None:
    """LAW-42, LAW-52: each with a reason and a date on which it is looked at again."""
    book = api.recorder.promises.protections
    await api.client.post("/holds", json=HOLD)
    assert (book.last[1], book.last[2]["review"]) == (("legal_hold",), date(2026, 12, 31))
    await api.client.post("/holds", json={**HOLD, "kind": "sar_hold"})
    assert book.last[1] == ("sar_hold",)
    await api.client.post("/restrictions", json=HOLD)
    assert book.last[1] == ("restricted",)
    for path in ("holds", "restrictions"):
        await api.client.post(f"/{path}/7b7b/release", json={"reason": "over"})
        assert book.last == ("release", ("7b7b", ME, "over"), {})
        assert (await api.get(f"/{path}")).json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {**HOLD, "reason": ""},
        {**HOLD, "review": None},
        {**HOLD, "ids": []},
        {**HOLD, "party": "C-1"},
        {**HOLD, "review": "soon"},
    ],
)
async def test_a_hold_without_reason_date_or_calls_is_none(api: Served, wrong: dict[str, Any]) -> None:
    """LAW-52: nothing is held without a word why, and until when."""
    assert (await api.client.post("/holds", json=wrong)).json()["exit_code"] == 2
    assert api.recorder.promises.protections.asked == []


async def test_what_is_sent_twice_under_one_key_is_done_once(api: Served) -> None:
    """Idempotency-Key: an answer that was lost is asked for again without a second request."""
    key = {"Idempotency-Key": "k-1"}
    first = await api.client.post("/requests", json={"name": "Ann"}, headers=key)
    again = await api.client.post("/requests", json={"name": "Ann"}, headers=key)
    assert (first.status_code, first.content) == (200, again.content)
    assert len(api.recorder.promises.requests.asked) == 1
    other = await api.client.post("/requests", json={"name": "Bob"}, headers=key)
    assert other.json()["exit_code"] == 2
    await api.client.post("/requests", json={"name": "Ann"}, headers={"Idempotency-Key": "k-2"})
    assert len(api.recorder.promises.requests.asked) == 2


async def test_an_idempotency_key_of_a_party_is_kept_by_its_book(api: Served) -> None:
    """Its answer names a person: it is sealed there, and erased with the party."""
    for _ in range(2):
        await api.client.put("/relationships/C-1", json={"name": "Ann"}, headers={"Idempotency-Key": "k-1"})
    asked = api.recorder.promises.relationships.asked
    assert [named["idempotency_key"] for _, _, named in asked] == ["k-1", "k-1"]


async def test_a_stream_is_given_anew_under_its_key(api: Served) -> None:
    """It changes nothing, and can be read once only."""
    api.recorder.promises.retention.answers["simulate"] = [{"call_id": "a"}, {"rows": 1}]
    body = {"classes": [{"name": "unmatched", "keep": "1y", "from": "call"}]}
    for _ in range(2):
        reply = await api.client.post("/retention/simulate", json=body, headers={"Idempotency-Key": "k-1"})
        assert reply.text.count("\n") == 2


async def test_a_refusal_is_not_kept_under_its_key(api: Served) -> None:
    """What was refused was not done: it may be tried again when the reason is gone."""
    book, key = api.recorder.promises.requests, {"Idempotency-Key": "k-1"}
    book.answers["new"] = OperatorError("busy", exit_code=ExitCode.BUSY)
    assert (await api.client.post("/requests", json={"name": "Ann"}, headers=key)).status_code == 503
    book.answers["new"] = REQUEST
    assert (await api.client.post("/requests", json={"name": "Ann"}, headers=key)).json() == REQUEST


async def test_the_audit_trail_is_read_page_by_page(api: Served) -> None:
    """LAW-10: in order, with where to go on."""
    for number in range(3):
        await api.recorder.audit("ann", f"act.{number}", {})
    page = (await api.get("/audit", limit=2)).json()
    assert ([entry["number"] for entry in page["items"]], page["next"]) == ([1, 2], 2)
    rest = (await api.get("/audit", after=2)).json()
    assert ([entry["action"] for entry in rest["items"]], rest["next"]) == (["act.2"], None)


async def test_a_break_in_the_audit_trail_is_an_integrity_problem(api: Served) -> None:
    """Exit code 7, and which entry."""
    assert (await api.client.post("/audit/verify")).json() == {"verified": True, "entries": 0}
    api.recorder.chain_broken = True
    assert (await api.client.post("/audit/verify")).json()["exit_code"] == 7


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.OPERATOR, set()),
        (Role.SUPERVISOR, set()),
        (Role.DPO, {"/requests", "/stops", "/holds", "/restrictions", "/retention", "/relationships/C-1"}),
        (Role.AUDITOR, {"/audit"}),
        (Role.ADMIN, {"/requests", "/stops", "/holds", "/restrictions", "/retention", "/relationships/C-1", "/audit"}),
    ],
)
async def test_promises_are_kept_by_whom_the_contract_names(folder: Any, role: Role, may: set[str]) -> None:
    """contract.md, "Who may": the dpo handles promises, the auditor reads the trail, the admin may all."""
    paths = ("/requests", "/stops", "/holds", "/restrictions", "/retention", "/relationships/C-1", "/audit")
    async with served(folder, {ME: role}) as one:
        answers = {path: (await one.get(path)).status_code for path in paths}
    assert {path for path, status in answers.items() if status == 200} == may
    assert {status for path, status in answers.items() if path not in may} <= {403}
