"""`callrec calls`, `find` and `show`, with everything that is printed."""

from __future__ import annotations

import csv
import json

import pytest

from tests.api.fake_recorder import item_of
from tests.console.commands import run, run_at_terminal
from tests.console.conftest import Desk


def test_find_gives_all_items_newest_first_over_many_pages(served: Desk) -> None:
    """contract.md: `{"items", "next"}`, all items unless --limit."""
    served.recorder.items = [item_of(number) for number in range(1, 451)]
    document = served.run("find", "--json").document
    assert [item["sequence"] for item in document["items"]] == list(range(450, 0, -1))
    assert document["next"] is None
    assert document["items"][0] == item_of(450)


def test_limit_leaves_a_cursor(served: Desk) -> None:
    """With --limit, `next` says that there is more."""
    served.recorder.items = [item_of(number) for number in range(1, 6)]
    document = served.run("find", "--limit", "2", "--json").document
    assert ([item["sequence"] for item in document["items"]], document["next"] is None) == ([5, 4], False)


def test_conditions_reach_the_recorder_in_utc(served: Desk) -> None:
    """Local dates, directions and outcomes arrive as the catalogue takes them."""
    ran = served.run(
        *("find", "020 7946 0123", "--since", "2026-07-01", "--until", "2026-07-01"),
        *("--direction", "inbound", "--outcome", "opt_out", "-o", "id"),
    )
    query = served.recorder.searches[-1]
    assert (ran.code, ran.out) == (0, "")
    assert (query.number, query.direction, query.outcome) == ("+442079460123", "inbound", "opt_out")
    assert str(query.since) == "2026-06-30 23:00:00+00:00"
    assert str(query.until) == "2026-07-01 23:00:00+00:00"


def test_an_empty_list_is_exit_code_0(served: Desk) -> None:
    """contract.md: 0 done (an empty list too)."""
    assert served.run("find", "*0123", "--json").document == {"items": [], "next": None}
    assert served.run("calls").out == "No call is in progress.\n"


def test_options_may_stand_before_or_after_the_command(served: Desk) -> None:
    """contract.md: everywhere; the later one counts."""
    served.recorder.items = [item_of(1)]
    socket = str(served.folder / "api.sock")
    expected = item_of(1)["call_id"] + "\n"
    assert run("--socket", socket, "-o", "id", "find").out == expected
    assert run("find", "--socket", socket, "-o", "id").out == expected
    assert run("-o", "json", "--socket", "/nowhere", "find", "--socket", socket, "--output", "id").out == expected
    assert run("find", "-o", "id", environment={"CALLREC_SOCKET": socket}).out == expected


def test_a_broken_configuration_stops_only_who_needs_it(served: Desk) -> None:
    """With the socket named every answer comes, with a word about the time zone; without it exit 78 says why."""
    served.recorder.items = [item_of(1)]
    served.config.write_text("[sip\n")
    socket = str(served.folder / "api.sock")
    for ran in (
        served.run("--socket", socket, "find", "--since", "2026-01-01", "-o", "id"),
        run("find", "-o", "id", "--config", served.config, environment={"CALLREC_SOCKET": socket}),
    ):
        assert (ran.code, ran.out) == (0, item_of(1)["call_id"] + "\n")
        (warning,) = ran.err.splitlines()
        assert str(served.config) in warning
        assert "Europe/London" in warning
    for arguments in (["find"], ["config", "check"], ["keys", "check", "--socket", socket]):
        ran = served.run(*arguments)
        assert (ran.code, ran.out) == (78, "")
        assert str(served.config) in ran.err


def test_the_table_is_in_local_time_and_the_json_in_utc(served: Desk) -> None:
    """Tables are for people in London, JSON for programs."""
    served.recorder.items = [item_of(1, started_at="2026-07-01T10:00:00.000Z")]
    assert "2026-07-01 11:00:00" in served.run("find").out
    assert "2026-07-01T10:00:00.000Z" in served.run("find", "--json").out


@pytest.mark.parametrize(("form", "dialect"), [("csv", "excel"), ("tsv", "excel-tab")])
def test_spreadsheets_get_a_row_for_each_call_and_no_formula(served: Desk, form: str, dialect: str) -> None:
    """A display name is chosen by the caller: it must not become a formula."""
    served.recorder.items = [item_of(1, display_name="=HYPERLINK(1)"), item_of(2)]
    rows = list(csv.DictReader(served.run("find", "-o", form).out.splitlines(), dialect=dialect))
    assert [row["sequence"] for row in rows] == ["2", "1"]
    assert rows[1]["display_name"] == "'=HYPERLINK(1)"
    assert rows[0]["network_number"] == "+442079460123"
    assert json.loads(rows[0]["notice"])["id"] == "n"


def test_json_lines_are_one_call_a_line(served: Desk) -> None:
    """-o jsonl prints documents as they come."""
    served.recorder.items = [item_of(1), item_of(2)]
    assert [json.loads(line)["sequence"] for line in served.run("find", "-o", "jsonl").out.splitlines()] == [2, 1]


def test_a_name_cannot_steer_the_terminal(served: Desk) -> None:
    """Control characters from a caller are not printed."""
    served.recorder.items = [item_of(1, display_name="\x1b[2Jgone")]
    ran = served.run("show", "00000001")
    assert "gone" in ran.out
    assert "\x1b" not in ran.out


def test_show_tells_all_that_is_kept(served: Desk) -> None:
    """A person reads facts, legs and segments; a program the item."""
    served.recorder.items = [item_of(1)]
    out = served.run("show", "CALL001").out
    for text in ("+442079460123", "Ann Example", "n version 1, completed", "0:00 to 0:03 recorded"):
        assert text in out
    assert served.run("show", "CALL001", "--json").document == item_of(1)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "zzzz"), 3),
        (("show", "0000000"), 2),
        (("find", "--since", "whenever"), 2),
        (("find", "--outcome", "lost"), 2),
        (("find", "nonsense"), 2),
        (("find", "--limit", "0"), 2),
        (("find", "-o", "xml"), 2),
        (("no-such-command",), 2),
        (("export",), 2),
    ],
)
def test_each_mistake_has_its_exit_code_and_one_sentence(served: Desk, arguments: tuple[str, ...], code: int) -> None:
    """contract.md, exit codes; nothing on standard output."""
    served.recorder.items = [item_of(1), item_of(2)]
    ran = served.run(*arguments)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err
    assert "Traceback" not in ran.err


def test_a_recorder_that_is_not_there_is_69_and_one_sentence(desk: Desk) -> None:
    """It says where it looked and how to start one."""
    for arguments in (("status",), ("find",), ("show", "x"), ("calls",), ("delete", "x"), ("events", "tail")):
        ran = desk.run(*arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (69, "", 1), arguments
        assert str(desk.folder / "api.sock") in ran.err
        assert "systemctl start callrec" in ran.err


def test_somebody_without_a_role_is_exit_code_4(served: Desk) -> None:
    """An unmapped user learns who may let him in."""
    assert served.served is not None
    served.served.roles.clear()
    ran = served.run("find")
    assert (ran.code, ran.out) == (4, "")
    assert "[roles]" in ran.err


def test_status_is_exit_code_1_while_there_is_a_problem(served: Desk) -> None:
    """contract.md: status exits 1 while there is a problem, and says which."""
    assert served.run("status").code == 0
    problem = {"code": "ledger", "since": "2026-11-22T10:00:00.000Z", "text": "the copy cannot be written"}
    served.recorder.problems = [problem]
    ran = served.run("status")
    assert ran.code == 1
    assert "ledger since 2026-11-22 10:00:00: the copy cannot be written" in ran.out
    assert served.run("status", "--json").document["problems"] == [problem]


def test_a_configuration_that_is_not_there_is_78(desk: Desk) -> None:
    """A file that was named and is not there is a fault of the configuration, also for a thin client."""
    ran = run("find", "--config", desk.folder / "other.toml")
    assert (ran.code, ran.out) == (78, "")
    assert "other.toml" in ran.err


@pytest.mark.parametrize("columns", [80, 120])
def test_a_table_of_calls_is_whole_on_a_terminal(served: Desk, columns: int) -> None:
    """At 80 columns nothing is broken or cropped: each call is one line with id, numbers and reason whole."""
    items = [item_of(1) | {"outcome": "not_recorded", "outcome_reason": "abandoned_in_notice", "in_progress": False}]
    served.recorder.items = items
    socket = str(served.folder / "api.sock")
    ran = run_at_terminal("", "--socket", socket, "find", environment={"COLUMNS": str(columns), "TERM": "dumb"})
    heading, line = ran.out.splitlines()
    assert len(heading) <= columns
    assert len(line.rstrip()) <= columns
    for name in ("presentation_number", "called_number", "outcome_reason"):
        assert str(items[0][name]) in line
    assert items[0]["call_id"][:8] in line
    assert ("REF" in heading) is (columns == 120)


def test_a_window_too_narrow_for_anything_loses_no_character(served: Desk) -> None:
    """Where even the narrow table does not fit, cells go on in the next line and are not cropped."""
    served.recorder.items = [item_of(1)]
    socket = str(served.folder / "api.sock")
    ran = run_at_terminal("", "--socket", socket, "find", environment={"COLUMNS": "50", "TERM": "dumb"})
    shown = "".join("".join(line.split()) for line in ran.out.splitlines()[1:])
    assert sorted(shown).count("+") == 2
    assert all(len(line.rstrip()) <= 50 for line in ran.out.splitlines())
    assert len(shown) >= sum(len(str(item_of(1)[name])) for name in ("presentation_number", "called_number"))
