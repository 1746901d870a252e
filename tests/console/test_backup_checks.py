"""The doctor and backups: that there are some, that none is too old, and that no old key lies about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callrec.clock import ManualClock
from callrec.console.backup_checks import backup_findings
from callrec.console.findings import Finding, Patient
from callrec.privacy.backups import PLACES
from callrec.settings import Settings, load
from callrec.vault.ledger import Ledger
from callrec.vault.ledger_entries import Draft

NOW = datetime.now(UTC)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    (tmp_path / "state").mkdir()
    configuration = tmp_path / "callrec.toml"
    configuration.write_text('[paths]\nstate = "state"\nrecordings = "recordings"\n')
    settings: Settings = load(configuration, {})
    return Patient(settings, configuration, None)


async def copies(patient: Patient, *days_old: float, where: bool = True) -> None:
    """Enter copies in the ledger of a store, each as old as it says."""
    state, clock = patient.settings.paths.state, ManualClock(NOW)
    ledger = Ledger.open(state / "ledger", None, b"s" * 32, clock)
    for days in days_old:
        clock.advance(NOW - timedelta(days=days) - clock.now())
        await ledger.append([Draft("copy", {"id": f"set-{days}", "what": "made"})], reach_copy=False)
    ledger.close()
    if where:
        (state / PLACES).write_text(json.dumps({f"set-{days}": "/srv/backup" for days in days_old}))


def found(patient: Patient) -> Iterator[tuple[str, str]]:
    return ((finding.check, finding.state) for finding in backup_findings(patient))


def test_a_store_without_a_ledger_needs_no_backup_yet(patient: Patient) -> None:
    """Nothing was recorded: nothing is said."""
    assert list(found(patient)) == []


async def test_no_backup_or_an_old_one_is_told(patient: Patient) -> None:
    """With the command that makes one."""
    await copies(patient)
    (finding,) = backup_findings(patient)
    assert (finding.state, "backup create" in (finding.mend or "")) == ("warning", True)
    await copies(patient, 3)
    assert list(found(patient)) == [("backups", "warning")]
    await copies(patient, 0.5)
    assert list(found(patient)) == [("backups", "ok")]


@pytest.mark.parametrize(("days", "state"), [(13, None), (15, "warning"), (18, "failed")])
async def test_a_copy_that_should_be_gone_is_told(patient: Patient, days: int, state: str | None) -> None:
    """LAW-47, LAW-50: past the window a warning, from the third day on a failure, with the command that removes it."""
    await copies(patient, days, 0)
    age = [finding for finding in backup_findings(patient) if finding.check == "backup age"]
    assert [finding.state for finding in age] == ([state] if state else [])
    assert all(finding.mend == f"rm -r /srv/backup/sets/set-{days}" for finding in age)


async def test_a_copy_of_which_nobody_knows_the_place_is_told_all_the_same(patient: Patient) -> None:
    """The ledger knows that it exists."""
    await copies(patient, 20, 0, where=False)
    (finding,) = [finding for finding in backup_findings(patient) if finding.check == "backup age"]
    assert "set-20" in finding.found


async def test_an_old_master_key_is_told_once_no_copy_needs_it(patient: Patient) -> None:
    """While a backup made before the rotation exists the key is needed."""
    key = patient.settings.keys.master_key_file
    old = key.with_name(f"{key.name}.old-{NOW - timedelta(days=5):%Y%m%dT%H%M%SZ}")
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    await copies(patient, 6, 0)
    assert "old master key" not in dict(found(patient))
    (patient.settings.paths.state / "ledger").unlink()
    await copies(patient, 0)
    findings: list[Finding] = list(backup_findings(patient))
    assert [finding.mend for finding in findings if finding.check == "old master key"] == [f"rm {old}"]
