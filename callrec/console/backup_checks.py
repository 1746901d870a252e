"""What the doctor looks at of backups: that there are some, and that copies of keys are gone in time (LAW-47, LAW-50).

A running recorder is not needed, nor a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from callrec.console.findings import Finding, Patient

if TYPE_CHECKING:
    from callrec.privacy.backups import Copy

_STALE = timedelta(days=2)
"""A daily backup that has not come for so long has stopped."""


def backup_findings(patient: Patient) -> Iterator[Finding]:
    """Return what was found about backups and about master keys that are no longer in use."""
    from callrec.privacy.backups import known_copies  # noqa: PLC0415  databases that only this check needs

    now = datetime.now(UTC)
    create = f"callrec --config {patient.config} backup create --to /var/backups/callrec/daily   # every day"
    try:
        copies = known_copies(patient.settings.paths.state)
    except FileNotFoundError:
        return  # nothing was recorded yet
    except OSError as error:
        found = f"the ledger in {patient.settings.paths.state} cannot be read ({error.strerror})"
        yield Finding("backups", "warning", found, "sudo callrec doctor")
        return
    if not copies:
        yield Finding("backups", "warning", "no backup is known", create)
    elif now - copies[-1].made_at > _STALE:
        found = f"the newest backup is of {copies[-1].made_at:%Y-%m-%d}"
        yield Finding("backups", "warning", found, create)
    else:
        yield Finding("backups", "ok", f"{len(copies)} known, the newest of {copies[-1].made_at:%Y-%m-%d %H:%M} UTC")
    for copy in copies:
        yield from _age(copy, now)
    yield from _old_keys(patient, copies)


def _age(copy: Copy, now: datetime) -> Iterator[Finding]:
    """Tell of a copy that should be gone: what was erased since could be read from it with the master key."""
    from callrec.privacy.alerts import Level  # noqa: PLC0415  as above
    from callrec.privacy.watch_levels import backup_level  # noqa: PLC0415  as above
    from callrec.vault.backup_set import SETS, WINDOW  # noqa: PLC0415  as above

    level = backup_level(copy.made_at.date(), WINDOW.days, now.date())
    if level is None:
        return
    place = copy.where / SETS / copy.copy_id if copy.where is not None else None
    found = f"{place or copy.copy_id} should be gone since {copy.goes_at:%Y-%m-%d}: it holds keys of what was erased"
    mend = f"rm -r {place}" if place is not None else f"rm -r …/{SETS}/{copy.copy_id}   # wherever it was put"
    yield Finding("backup age", "failed" if level is Level.CRITICAL else "warning", found, mend)


def _old_keys(patient: Patient, copies: list[Copy]) -> Iterator[Finding]:
    """Remind of an old master key once no copy is left that needs it."""
    from callrec.vault.key_rotation import old_files  # noqa: PLC0415  as above

    oldest = copies[0].made_at if copies else None
    for path in old_files(patient.settings.keys.master_key_file):
        if oldest is None or _replaced_at(path) <= oldest:
            found = f"{path} is no longer needed: every backup known is younger"
            yield Finding("old master key", "warning", found, f"rm {path}")


def _replaced_at(path: Path) -> datetime:
    """Return when a key was replaced, by its name; the beginning of time where the name does not say."""
    try:
        return datetime.strptime(path.name.rpartition(".old-")[2] + "+0000", "%Y%m%dT%H%M%SZ%z")
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
