"""What the doctor examines, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from callrec.settings import Settings

State = Literal["ok", "warning", "failed"]
Status = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` is a command, given for whatever is not well."""

    check: str
    state: State
    found: str
    mend: str | None = None

    def as_item(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined: the configuration, and the recorder's own words where one runs."""

    settings: Settings
    config: Path
    status: Status
