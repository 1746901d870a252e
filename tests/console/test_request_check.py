"""`callrec request check`: for people, for programs and for a monitoring system."""

from __future__ import annotations

from typing import Any

import pytest

from callrec.errors import ExitCode, OperatorError
from callrec.settings import Role
from tests.api.fake_promises import REQUEST
from tests.api.serving import ME
from tests.console.conftest import Desk

NOTHING = {"open": 0, "overdue": 0, "level": None, "next_due": None, "items": []}


def due(level: str | None, *overdue: str) -> dict[str, Any]:
    """Return what the book says of one request at a level of its promise."""
    levels = {} if level is None else {"promise": level}
    item = {**REQUEST, "levels": levels, "overdue": list(overdue), "waits_for": "authorisation"}
    more = {"level": level, "overdue": len(overdue), "next_due": "2026-10-01"}
    return {**NOTHING, "open": 1, **more, "items": [item]}


@pytest.mark.parametrize(
    ("document", "code", "line"),
    [
        (NOTHING, 0, "CALLREC REQUESTS OK - 0 open, 0 overdue | open=0 overdue=0"),
        (due(None), 0, "CALLREC REQUESTS OK - 1 open, 0 overdue, next due 2026-10-01 | open=1 overdue=0"),
        (due("amber"), 1, "(1f2e3d4c promise amber)"),
        (due("red"), 1, "CALLREC REQUESTS WARNING"),
        (due("critical"), 2, "CALLREC REQUESTS CRITICAL"),
        (due("breach", "promise"), 2, "1 overdue, next due 2026-10-01 (1f2e3d4c promise breach) | open=1 overdue=1"),
    ],
)
def test_a_monitoring_system_gets_one_line_and_its_own_exit_codes(
    served: Desk, document: dict[str, Any], code: int, line: str
) -> None:
    """Well, warning, critical: as plugins say it."""
    served.recorder.promises.requests.answers["check"] = document
    ran = served.run("request", "check", "-o", "nagios")
    assert (ran.code, ran.out.count("\n")) == (code, 1)
    assert line in ran.out


def test_people_and_programs_get_exit_code_1_while_something_is_due(served: Desk) -> None:
    """LAW-76: it is repeated until it is dealt with."""
    book = served.recorder.promises.requests
    for document, code in ((NOTHING, 0), (due(None), 0), (due("amber"), 1), (due("breach", "promise"), 1)):
        book.answers["check"] = document
        assert served.run("request", "check", "--json").code == code
        assert served.run("request", "check", "--json").document == document
    out = served.run("request", "check").out
    assert "1f2e3d4c  received  2026-10-01  2026-10-05  promise breach  authorisation" in out
    book.answers["check"] = NOTHING
    assert served.run("request", "check").out == "No request is open.\n"


def test_what_cannot_be_asked_is_unknown(served: Desk) -> None:
    """A plugin that knows nothing says so, on one line."""
    served.recorder.promises.requests.answers["check"] = OperatorError("busy\nnow", exit_code=ExitCode.BUSY)
    ran = served.run("request", "check", "-o", "nagios")
    assert (ran.code, ran.out) == (3, "CALLREC REQUESTS UNKNOWN - busy now\n")


def test_without_a_recorder_or_a_role_the_store_itself_is_read(served: Desk) -> None:
    """The timer's user has no role and needs none; a store that was never made has no request open."""
    assert served.served is not None
    served.served.roles = {ME: Role.OPERATOR}
    ran = served.run("request", "check")
    assert (ran.code, ran.out) == (0, "No request is open.\n")


def test_law_76_status_repeats_what_is_overdue(served: Desk) -> None:
    """An open request is shown with its date; one that is overdue is exit code 1 as well."""
    served.recorder.requests = {"open": 2, "overdue": 0, "next_due": "2026-10-01"}
    ran = served.run("status")
    assert (ran.code, "2 open, 0 overdue, next due 2026-10-01" in ran.out) == (0, True), ran.out
    served.recorder.requests = {"open": 2, "overdue": 1, "next_due": "2026-10-01"}
    assert served.run("status").code == 1
