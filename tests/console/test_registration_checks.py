"""The doctor and our registrations: each that fails is a red line with the command that mends it (SIP-11)."""

from __future__ import annotations

from pathlib import Path

import pytest

from callrec.console.checks import CHECKS
from callrec.console.findings import Finding, Patient, Status
from callrec.console.registration_checks import registration_findings, registration_problem
from callrec.settings import load
from callrec.signalling import registrations

TRUNK = """
[[peer]]
name = "trunk"
addresses = ["127.0.0.2"]
role = "trunk"
register = "sip:100@registrar.example"
username = "100"
password_file = "FOLDER/password"
[[peer]]
name = "other"
addresses = ["127.0.0.3"]
role = "trunk"
"""


def patient(folder: Path, *problems: str, running: bool = True) -> Patient:
    file = folder / "callrec.toml"
    file.write_text('[paths]\nstate = "state"\nrecordings = "recordings"\n' + TRUNK.replace("FOLDER", str(folder)))
    told = [{"code": "peer_down", "since": "2026-01-01T00:00:00.000Z", "text": text} for text in problems]
    status: Status = {"pid": 1, "problems": told} if running else None
    return Patient(load(file, {}), file, status)


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def told_of(why: str, name: str = "trunk") -> str:
    """Return what a recorder says of a registration that fails, in its own words."""

    class Failing:
        peer = name
        registration = type("Registration", (), {"why": why})

    return registrations._problem(Failing())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "command"),
    [
        ("got no answer", "ping -c 3 registrar.example"),
        ("was answered 403", "password && systemctl reload callrec"),
        ("was answered 404", "callrec.toml   # [[peer]] trunk: register"),
    ],
)
def test_sip_11_a_registration_that_fails_is_red_and_ends_in_its_command(
    tmp_path: Path, why: str, command: str
) -> None:
    """What the running recorder says is told once, not by the line of the recorder as well."""
    (tmp_path / "password").write_text("secret\n")
    sick = patient(tmp_path, told_of(why), "peer pbx does not answer")
    found = only(list(registration_findings(sick)))
    assert (found.check, found.state) == ("registration", "failed")
    assert why in found.found
    assert command in (found.mend or "")
    recorder = [line for check in CHECKS if check.__name__ == "_recorder" for line in check(sick)]
    assert [line.found for line in recorder] == ["peer_down: peer pbx does not answer"]


def test_sip_11_a_registration_of_which_nothing_is_told_is_well(tmp_path: Path) -> None:
    """Another peer's fault is not its own."""
    (tmp_path / "password").write_text("secret\n")
    well = patient(tmp_path, told_of("got no answer", "trunk2"))
    assert registration_problem(well, "trunk") is None
    assert only(list(registration_findings(well))).state == "ok"


@pytest.mark.parametrize("content", [None, "", "\nsecret"])
def test_sip_11_a_password_that_is_not_there_is_red(tmp_path: Path, content: str | None) -> None:
    """A file that is missing or empty, before the registrar says so; nothing of its content is shown."""
    if content is not None:
        (tmp_path / "password").write_text(content)
    found = only(list(registration_findings(patient(tmp_path))))
    assert found.state == "failed"
    assert "secret" not in found.found
    assert str(tmp_path / "password") in (found.mend or "")


def test_sip_11_without_a_recorder_nothing_is_registered(tmp_path: Path) -> None:
    """Nobody keeps it: no calls come."""
    (tmp_path / "password").write_text("secret\n")
    found = only(list(registration_findings(patient(tmp_path, running=False))))
    assert (found.state, found.mend) == ("warning", "systemctl start callrec   # or callrec run")
