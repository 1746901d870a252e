"""The shipped unit files are what systemd itself accepts, and keep what the design promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import program

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd" / "callrec.service"
CHECK = ROOT / "systemd" / "callrec-request-check.service"


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """Return every assignment of a unit, by its name."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def seconds(text: str) -> float:
    """Return the seconds of a systemd time span of one unit."""
    found = re.fullmatch(r"([\d.]+)(ms|s|min)?", text)
    assert found, f"{text!r} is no plain time span"
    return float(found.group(1)) * {"ms": 0.001, "s": 1.0, "min": 60.0, None: 1.0}[found.group(2)]


@pytest.mark.parametrize("name", ["callrec.service", "callrec-request-check.service", "callrec-request-check.timer"])
def test_systemd_accepts_the_units(tmp_path: Path, name: str) -> None:
    """`systemd-analyze verify` has nothing to say about a unit (the program's path is that of this installation)."""
    callrec = Path(sys.executable).parent / "callrec"
    for unit in UNIT.parent.glob("callrec*.[st]*er*"):
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/bin/callrec", f'"{callrec}"'))
    copy = tmp_path / name
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "callrec" in line]
    assert not said
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", [UNIT, CHECK], ids=lambda unit: unit.name)
def test_the_services_are_locked_down(unit: Path) -> None:
    """systemd's own review of the hardening stays below 2.5 ("OK"; 10 is "unsafe")."""
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--threshold=25", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-600:] + done.stderr


def test_users_are_accepted(tmp_path: Path) -> None:
    """systemd-sysusers understands who the recorder is, and which groups may ask it."""
    (tmp_path / "etc").mkdir()
    users = str(ROOT / "systemd" / "callrec.sysusers")
    done = subprocess.run(
        [program("systemd-sysusers"), "--dry-run", f"--root={tmp_path}", users],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert all(name in said for name in ("callrec", "callrec-operators", "callrec-dpo"))


def test_folders_are_accepted(tmp_path: Path) -> None:
    """systemd-tmpfiles makes the folder of the outside ledger copy, closed to everybody else."""
    etc = tmp_path / "etc"
    etc.mkdir()
    me, mine = os.getuid(), os.getgid()
    etc.joinpath("passwd").write_text(f"root:x:{me}:{mine}::/:/bin/sh\ncallrec:x:{me}:{mine}::/:/bin/sh\n")
    etc.joinpath("group").write_text(f"root:x:{mine}:\ncallrec:x:{mine}:\n")
    folders = (ROOT / "systemd" / "callrec.tmpfiles").read_text()
    if me != 0:  # only root may give a folder to root, whom systemd knows without passwd
        folders = folders.replace(" root root ", " callrec callrec ")
    copy = tmp_path / "callrec.conf"
    copy.write_text(folders)
    done = subprocess.run(
        [program("systemd-tmpfiles"), "--create", f"--root={tmp_path}", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "var" / "backups" / "callrec").stat().st_mode & 0o777 == 0o700


def test_a_drain_is_never_cut_short() -> None:
    """systemd waits longer than `drain_seconds` (3600) before it kills, and signals only the recorder itself."""
    unit = settings()
    assert seconds(unit["TimeoutStopSec"][0]) > 3600 + 3
    assert unit["KillMode"] == ["mixed"]


def test_the_recorder_is_back_within_five_seconds() -> None:
    """A crash is answered at once and without limit; a wrong configuration (78) is not tried again."""
    unit = settings()
    assert unit["Restart"] == ["always"]
    assert seconds(unit["RestartSec"][0]) <= 1
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["RestartPreventExitStatus"] == ["78"]


def test_the_master_key_comes_as_a_credential() -> None:
    """The configuration's bare name `master-key` is the credential that the unit loads."""
    unit = settings()
    assert unit["LoadCredential"][0].startswith("master-key:")
    assert unit["Type"] == ["notify"]
    assert "WatchdogSec" in unit
    assert unit["LimitCORE"] == ["0"]


def test_deadlines_are_looked_at_every_day_whether_the_recorder_runs_or_not() -> None:
    """LAW-76: after the machine was off it is made good, and it runs as the one user who may read the catalogue."""
    timer = settings(CHECK.with_suffix(".timer"))
    assert timer["Persistent"] == ["true"]
    assert timer["OnCalendar"][0] == "*-*-* 08:05:00"
    assert timer["WantedBy"] == ["timers.target"]
    service = settings(CHECK)
    assert service["User"] == settings()["User"]
    assert service["ExecStart"][0].endswith("request check")
    assert "Requires" not in service
    assert "callrec.service" not in " ".join(service["After"])
