"""`callrec relationship`, `retention`, `request`, `stop`, `hold`, `restriction` and `audit`: what is typed is asked."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from callrec.errors import ExitCode, OperatorError
from tests.api.fake_promises import PARTY, REQUEST
from tests.console.conftest import Desk

STOP = "5a5a5a5a-0000-4000-8000-000000000000"


def last(book: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    asked: tuple[str, tuple[Any, ...], dict[str, Any]] = book.last
    return asked


# Relationships


def test_a_relationship_is_set_in_one_line(served: Desk) -> None:
    """contract.md: relationship set REF [--name] [--number]… [--kind] [--from] [--contract REF:START[:END]]…"""
    said = ("--name", "Ann Example", "--number", "020 7946 0123", "--number", "07700 900123", "--kind", "customer")
    more = ("--from", "1 January 2026", "--contract", "K-1:2026-01-01", "--contract", "K-2:2026-01-01:2026-12-31")
    ran = served.run("relationship", "set", "C/1", *said, *more, "--json")
    assert (ran.code, ran.document) == (0, PARTY)
    name, given, named = last(served.recorder.promises.relationships)
    assert (name, given, named["since"]) == ("set", ("C/1",), date(2026, 1, 1))
    assert named["numbers"] == ["020 7946 0123", "07700 900123"]
    assert named["contracts"] == [
        {"ref": "K-1", "starts_on": date(2026, 1, 1), "ends_on": None},
        {"ref": "K-2", "starts_on": date(2026, 1, 1), "ends_on": date(2026, 12, 31)},
    ]


def test_a_relationship_is_shown_as_a_person_reads_it(served: Desk) -> None:
    """Every field stands there, and what is open is not written as a date."""
    out = served.run("relationship", "show", "C/1").out
    assert "C/1  Ann Example" in out
    assert "contract:   K-1 from 2026-01-01\n" in out
    assert "None" not in out


def test_a_relationship_ends_on_a_day(served: Desk) -> None:
    """--date takes a day as people write it."""
    assert served.run("relationship", "end", "C/1", "--date", "22/11/2026").code == 0
    assert last(served.recorder.promises.relationships)[1][:2] == ("C/1", date(2026, 11, 22))


@pytest.mark.parametrize("wrong", [("--contract", "K-1"), ("--from", "soon"), ("--kind", "friend")])
def test_what_cannot_be_said_of_a_relationship_is_refused_before_it_is_sent(
    served: Desk, wrong: tuple[str, str]
) -> None:
    """Exit code 2 and one sentence."""
    ran = served.run("relationship", "set", "C/1", *wrong)
    assert ran.code == 2
    assert wrong[0].strip("-") in ran.err
    assert served.recorder.promises.relationships.asked == []


def test_an_import_prints_which_dates_move(served: Desk) -> None:
    """A dry run changes nothing and says so."""
    move = {"call_id": "00000001-0000", "before": "2028-01-01", "after": None, "goes_now": False}
    counts = {"rows": 3, "created": 1, "changed": 1, "unchanged": 1}
    served.recorder.promises.relationships.answers["import_file"] = {**counts, "moves": [move], "dry_run": True}
    for name, text in (("c.csv", "Ref\nC-1\n"), ("m.toml", "[columns]\nRef = 'ref'\n")):
        (served.folder / name).write_text(text)
    files = (served.folder / "c.csv", "--map", served.folder / "m.toml")
    ran = served.run("relationship", "import", *files, "--dry-run")
    assert ran.code == 0
    assert "00000001  2028-01-01 -> open" in ran.out
    assert "Nothing was changed; it would be: 1 created, 1 changed, 1 unchanged of 3 rows" in ran.out
    assert last(served.recorder.promises.relationships)[1] == ("Ref\nC-1\n", "[columns]\nRef = 'ref'\n")
    assert served.run("relationship", "import", "/nowhere", "--map", files[2]).code == 2


def test_wrong_lines_of_an_import_are_told_one_by_one(served: Desk) -> None:
    """Malformed CSV: line by line, and nothing is imported."""
    error = OperatorError("line 2: found no ref\nline 5: found no date", exit_code=ExitCode.USAGE)
    served.recorder.promises.relationships.answers["import_file"] = error
    for name in ("c.csv", "m.toml"):
        (served.folder / name).write_text("x")
    ran = served.run("relationship", "import", served.folder / "c.csv", "--map", served.folder / "m.toml")
    assert ran.code == 2
    assert ran.err.splitlines() == ["callrec: line 2: found no ref", "line 5: found no date"]


# Retention


def test_a_plan_is_one_document_for_programs(served: Desk) -> None:
    """contract.md: retention plan --at DATE --json -> {hash, items [{call_id, action, reason}]}."""
    items = [{"call_id": f"c{number}", "action": "delete", "reason": "period"} for number in range(3)]
    book = served.recorder.promises.retention
    book.answers["plan"] = [*items, {"hash": "abc", "rows": 9, "to_delete": 3}]
    document = served.run("retention", "plan", "--at", "2026-12-01", "--json").document
    assert document == {"items": items, "hash": "abc", "rows": 9, "to_delete": 3}
    assert last(book)[1] == (date(2026, 12, 1),)
    assert served.run("retention", "plan", "-o", "id").out == "c0\nc1\nc2\n"
    assert served.run("retention", "plan", "-o", "csv").out.splitlines()[:2] == [
        "call_id,action,reason",
        "c0,delete,period",
    ]
    assert [json.loads(line) for line in served.run("retention", "plan", "-o", "jsonl").out.splitlines()][:3] == items
    assert (
        "3 of 9 rows would be deleted.\nApprove it with: callrec retention approve abc"
        in served.run("retention", "plan").out
    )
    book.answers["plan"] = [{"hash": "abc", "rows": 0, "to_delete": 0}]
    assert served.run("retention", "plan", "--json").document["items"] == []


def test_half_a_plan_is_never_taken_for_a_whole_one(served: Desk) -> None:
    """If the stream breaks off, the command fails."""
    book = served.recorder.promises.retention
    book.answers["plan"] = [{"call_id": "c", "action": "delete", "reason": "r"}, OperatorError("gone")]
    assert served.run("retention", "plan", "--json").code == 1
    book.answers["plan"] = [{"call_id": "c", "action": "delete", "reason": "r"}]
    assert served.run("retention", "plan", "--json").code == 1


def test_a_call_is_explained_in_one_sentence(served: Desk) -> None:
    """contract.md: retention explain ID --json -> {verdict, reason, delete_on}."""
    document = {"call_id": "c", "verdict": "keep", "reason": "It is kept until 2028.", "delete_on": "2028-01-01"}
    served.recorder.promises.retention.answers["explain"] = document
    assert served.run("retention", "explain", "c").out == "It is kept until 2028.\n"
    assert served.run("retention", "explain", "c", "--json").document == document


def test_a_run_that_needs_an_approval_is_exit_code_5(served: Desk) -> None:
    """LAW-61: the first run is a report."""
    book = served.recorder.promises.retention
    book.answers["run"] = OperatorError("the first run is a report", exit_code=ExitCode.REFUSED)
    ran = served.run("retention", "run")
    assert (ran.code, ran.err) == (5, "callrec: the first run is a report\n")
    assert served.run("retention", "approve", "abc").code == 0
    assert last(book)[1][0] == "abc"


def test_what_a_run_has_done_is_said_and_what_is_not_verified_fails(served: Desk) -> None:
    """A run that could not prove that everything is gone is exit code 1."""
    run = {"run_id": "r", "state": "done", "actor": "ann", "begun_at": "2026-11-28T03:30:00Z", "ended_at": None}
    run |= {"rows": 9, "to_delete": 3, "deleted": 2, "spared": 1, "unverified": 0, "problem": None}
    book = served.recorder.promises.retention
    book.answers["run"] = run
    out = served.run("retention", "run").out
    assert out.splitlines()[0] == "Deleted 2 of 9 rows."
    assert "Spared 1" in out
    book.answers["run"] = {**run, "unverified": 1}
    assert served.run("retention", "run").code == 1
    rows = [{"name": "fca_regulated", "keep": "5y", "from": "call", "obligation": True}]
    show = {"classes": rows, "guard_percent": 20, "guard_count": 100, "waits": "the first run is a report"}
    book.answers["show"] = {**show, "last_run": run, "last_approval": None}
    out = served.run("retention", "show").out
    assert "fca_regulated     5y    from call  demanded by law" in out
    assert "last run:         2026-11-28 03:30 by ann, done: 2 of 9 rows deleted" in out
    assert "waits:            the first run is a report" in out


def test_other_classes_are_tried_out(served: Desk) -> None:
    """retention simulate: NAME=KEEP/FROM, as the configuration has it."""
    book = served.recorder.promises.retention
    move = {"call_id": "c0", "before": "2028-01-01", "after": "2027-01-01", "goes_now": True}
    book.answers["simulate"] = [move, {"at": "2026-11-28", "rows": 3, "moved": 1, "goes_now": 1}]
    ran = served.run("retention", "simulate", "--class", "unmatched=1y", "--class", "customer=0d/relationship_end")
    assert "c0  2028-01-01 -> 2027-01-01  goes with the next run" in ran.out
    assert "1 of 3 rows would go on another day" in ran.out
    classes = last(book)[1][0]
    assert [row["from"] for row in classes] == ["call", "relationship_end"]
    assert served.run("retention", "simulate", "--class", "unmatched").code == 2


# Requests


def test_a_request_is_taken_in_with_both_dates(served: Desk) -> None:
    """contract.md: prints id, state, received_at and both due dates."""
    words = ("--number", "020 7946 0123", "--name", "Ann", "--channel", "telephone")
    ran = served.run("request", "new", *words, "--received", "2026-09-03T08:00:00Z", "--json")
    assert ran.document == REQUEST
    named = last(served.recorder.promises.requests)[2]
    assert (named["number"], named["name"], named["channel"]) == ("+442079460123", "Ann", "telephone")
    assert named["received_at"].isoformat() == "2026-09-03T08:00:00+00:00"
    out = served.run("request", "new", "--call", "K7PW2QM").out
    assert "before 2026-10-01 begins" in out
    assert "callrec request verify 1f2e3d4c" in out
    assert served.run("request", "new", "--name", "Ann", "-o", "id").out == f"{REQUEST['id']}\n"


def test_a_withheld_caller_is_named_by_window_and_number_together(served: Desk) -> None:
    """LAW-26: two of the three would be everybody."""
    words = ("--since", "2026-11-22T10:00", "--until", "2026-11-22T11:00", "--called", "020 7946 0999")
    assert served.run("request", "new", *words).code == 0
    assert last(served.recorder.promises.requests)[2]["window"]["called"] == "+442079460999"
    assert served.run("request", "new", *words[:4]).code == 2
    assert served.run("request", "new").code == 2


@pytest.mark.parametrize(
    ("words", "name", "given"),
    [
        (("verify", "1f", "--method", "call_back"), "verify", ("1f", "call_back")),
        (("approve", "1f"), "approve", ("1f",)),
        (("refuse", "1f", "--ground", "legal_claims", "--reason", "r"), "refuse", ("1f", "legal_claims", "r")),
        (("extend", "1f", "--notice", "2026-09-10", "--reason", "r"), "extend", ("1f", date(2026, 9, 10), "r")),
        (("withdraw", "1f", "--reason", "r"), "withdraw", ("1f", "r")),
        (("execute", "1f", "--yes"), "execute", ("1f",)),
        (("tick", "1f", "PBX call detail"), "tick", ("1f", "PBX call detail")),
        (("show", "1f"), "show", ("1f",)),
    ],
)
def test_every_step_of_a_request_is_a_command(
    served: Desk, words: tuple[str, ...], name: str, given: tuple[Any, ...]
) -> None:
    """contract.md, the deletion flow."""
    assert served.run("request", *words).code == 0
    asked = last(served.recorder.promises.requests)
    assert (asked[0], asked[1][: len(given)]) == (name, given)


def test_nothing_is_erased_without_a_yes(served: Desk) -> None:
    """No terminal and no --yes: exit code 2, and the book is not asked."""
    assert served.run("request", "execute", "1f").code == 2
    assert served.run_at_terminal("n\n", "request", "execute", "1f").code == 1
    assert served.recorder.promises.requests.asked == []


def test_an_extension_needs_its_reasons(served: Desk) -> None:
    """LAW-22: without reasons there is none."""
    assert served.run("request", "extend", "1f").code == 2
    assert served.recorder.promises.requests.asked == []


def test_a_request_is_shown_with_all_that_became_of_it(served: Desk) -> None:
    """Stores, kept calls with their reason, who did what, and nothing that looks like a program's value."""
    served.recorder.promises.requests.answers["show"] = {
        **REQUEST,
        "state": "completed",
        "result": "partly",
        "channel": "in_person",
        "number": "+442079460123",
        "verified": {"by": "ann", "method": "call_back", "at": "2026-09-04T08:00:00.000Z"},
        "approved": {"by": "bob", "at": "2026-09-05T08:00:00.000Z", "plan_hash": "h"},
        "stores": [{"store": "backups", "state": "beyond_use", "until": "2026-09-20"}],
        "erased": ["00000001-0000-4000-8000-000000000000"],
        "others_since_approval": ["00000003-0000-4000-8000-000000000000"],
        "notify": [{"recipient": "bob", "call_ids": ["00000001-0000-4000-8000-000000000000"]}],
        "kept": [{"call_id": "00000002-0000-4000-8000-000000000000", "reason": "legal_hold"}],
        "history": [{"at": "2026-09-04T08:00:00.000Z", "actor": "ann", "input": "verify", "state": "authorised"}],
    }
    out = served.run("request", "show", "1f").out
    for line in (
        "1f2e3d4c  completed, partly",
        "call back, by ann, 2026-09-04 09:00",
        "stores:     backups: beyond use until 2026-09-20",
        "erased:     00000001",
        "00000002: legal hold",
        "call 00000003, which came after the approval",
        "bob was given 1 of these calls",
        "verify by ann: authorised",
    ):
        assert line in out
    assert "None" not in out


def test_requests_are_listed_the_urgent_ones_first(served: Desk) -> None:
    """The order is the book's; --open leaves out what is over."""
    ran = served.run("request", "list", "--open")
    assert "1f2e3d4c  received  2026-09-03 09:00  2026-10-01  2026-10-05      2" in ran.out
    assert last(served.recorder.promises.requests)[1] == (True,)
    assert served.run("request", "list", "--json").document == {"items": [REQUEST], "next": None}


def test_a_letter_and_a_certificate_become_files(served: Desk) -> None:
    """--to writes them whole, readable for this user only; otherwise they are printed."""
    book = served.recorder.promises.requests
    book.answers |= {
        "letter": {"id": "1f2e", "kind": "completion", "text": "Dear Ann,\n"},
        "certificate": {"request_id": "1f2e", "v": 1},
    }
    assert served.run("request", "letter", "1f", "completion").out == "Dear Ann,\n"
    file = served.folder / "letter.txt"
    assert served.run("request", "letter", "1f", "completion", "--to", file).code == 0
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("Dear Ann,\n", 0o600)
    file = served.folder / "certificate.json"
    assert served.run("request", "certificate", "1f", "--to", file).code == 0
    assert json.loads(file.read_text()) == {"request_id": "1f2e", "v": 1}
    assert served.run("request", "certificate", "1f").document == {"request_id": "1f2e", "v": 1}
    assert served.run("request", "certificate", "1f", "--to", Path("/nowhere/c.json")).code == 1
    for wrong in ((), ("1f", "--verify", file), ("--verify", file)):
        assert served.run("request", "certificate", *wrong).code == 2


# Stops, holds, restrictions


def test_a_stop_is_in_force_when_the_command_returns(served: Desk) -> None:
    """contract.md: stop add --number N | --party REF; the id is printed."""
    ran = served.run("stop", "add", "--number", "020 7946 0123", "--json")
    assert ran.document["id"] == STOP
    named = last(served.recorder.promises.protections)[2]
    assert (named["number"], named["discard"]) == ("+442079460123", False)
    assert served.run("stop", "add", "--party", "C-1", "--discard", "--reason", "asked").code == 0
    assert last(served.recorder.promises.protections)[2]["discard"] is True
    assert served.run("stop", "add").code == 2
    assert served.run("stop", "list").out == "Nobody is on the stop list.\n"
    assert served.run("stop", "remove", "5a5a").out == "Stop 5a5a5a5a is lifted.\n"


def test_a_stop_of_a_live_call_offers_to_discard_what_was_stored(served: Desk) -> None:
    """LAW-39: asked at a terminal; told where nobody can be asked."""
    book = served.recorder.promises.protections
    call = "00000001-0000-4000-8000-000000000000"
    made = {"id": STOP, "known": False, "live": [call], "discarded": [], "discard_offered": True}
    book.answers |= {"stop_add": made, "stop_discard": {"id": STOP, "discarded": [call], "kept": []}}
    assert "callrec stop discard 5a5a5a5a" in served.run("stop", "add", "--number", "02079460123").out
    ran = served.run_at_terminal("y\n", "stop", "add", "--number", "02079460123")
    assert "What call 00000001 had stored is destroyed." in ran.out
    assert last(book)[0] == "stop_discard"
    assert served.run("stop", "discard", "5a5a").code == 2
    assert served.run("stop", "discard", "5a5a", "--yes").code == 0


def test_holds_need_calls_a_reason_and_a_review_date(served: Desk) -> None:
    """contract.md: hold|restriction add ID… | --number N | --party REF --reason TEXT --review DATE."""
    book = served.recorder.promises.protections
    assert served.run("hold", "add", "a", "b", "--reason", "claim", "--review", "2026-12-31", "--json").code == 0
    assert last(book)[1] == ("legal_hold",)
    assert (last(book)[2]["ids"], last(book)[2]["review"]) == (["a", "b"], date(2026, 12, 31))
    words = ("--number", "02079460123", "--reason", "r", "--review", "in 3 months")
    assert served.run("hold", "add", "--access", *words).code == 0
    assert last(book)[1] == ("sar_hold",)
    assert "is on 2 calls" in served.run("restriction", "add", *words).out
    assert last(book)[1] == ("restricted",)
    for kind in ("hold", "restriction"):
        assert served.run(kind, "release", "7b", "--reason", "over").code == 0
        assert last(book)[1][0] == "7b"
        asked = len(book.asked)
        for wrong in (
            ("a", "--review", "2026-12-31"),
            ("--reason", "r", "--review", "2026-12-31"),
            ("a", "--reason", "r"),
        ):
            assert served.run(kind, "add", *wrong).code == 2
        assert len(book.asked) == asked
        assert served.run(kind, "list").code == 0


def test_what_is_held_is_listed_with_its_review(served: Desk) -> None:
    """Reason, owner and review date stand in the table."""
    row = {"id": STOP, "kind": "legal_hold", "reason": "claim", "number": None, "party": "C-1", "calls": ["a", "b"]}
    row |= {"placed_by": "ann", "placed_at": "2026-09-04T08:00:00.000Z", "review_on": "2026-12-31"}
    served.recorder.promises.protections.answers["list"] = {"items": [row]}
    assert "5a5a5a5a  legal hold  C-1      2  2026-12-31  ann  claim" in served.run("hold", "list").out


# Audit


def test_the_audit_trail_is_listed_and_verified(served: Desk) -> None:
    """Who did what, in order, by actor and action; a break is exit code 7."""
    served.recorder.audited = [("ann", "request.show", {"request_id": "1f"}), ("bob", "delete", {})]
    out = served.run("audit", "list").out
    assert [line.split()[3:5] for line in out.splitlines()[1:]] == [["ann", "request.show"], ["bob", "delete"]]
    items = served.run("audit", "list", "--action", "request", "--json").document["items"]
    assert [item["number"] for item in items] == [1]
    assert served.run("audit", "list", "--actor", "bob", "-o", "jsonl").out.count("\n") == 1
    assert served.run("audit", "verify").out == "The audit trail is whole: 2 entries.\n"
    served.recorder.chain_broken = True
    assert served.run("audit", "verify").code == 7


def test_nagios_is_said_by_checks_only(served: Desk) -> None:
    """Nothing is done before the form of its answer is known."""
    for words in (("-o", "nagios", "request", "approve", "1f"), ("find", "-o", "nagios")):
        ran = served.run(*words)
        assert ran.code == 2
        assert "nagios" in ran.err
    assert served.recorder.promises.requests.asked == []
