"""The law that a letter cites: what is in force on its date (gap G-1: never the Data Protection Act 1998)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

TIME_LIMITS_COMMENCED = date(2026, 2, 5)
"""Section 76 of the Data (Use and Access) Act 2025, by SI 2026/82."""
COMPLAINTS_COMMENCED = date(2026, 6, 19)
"""Section 103 of the Data (Use and Access) Act 2025."""
AMENDED = date(2025, 6, 19)
"""Royal Assent of the Data (Use and Access) Act 2025."""


@dataclass(frozen=True, slots=True)
class Law:
    """Citations of one date."""

    name: str
    time_limit: str
    extension: str
    refusal: str
    erasure: str
    complaint: str
    court: str


def law_on(day: date) -> Law:
    """Return the citations for a letter of that date."""
    amended = ", as amended by the Data (Use and Access) Act 2025" if day >= AMENDED else ""
    new_limits = day >= TIME_LIMITS_COMMENCED
    complaint = "You may complain to us"
    if day >= COMPLAINTS_COMMENCED:
        complaint += " under section 164A of the Data Protection Act 2018"
    return Law(
        name=f"the UK GDPR and the Data Protection Act 2018{amended}",
        time_limit="Articles 12(3) and 12A of the UK GDPR" if new_limits else "Article 12(3) of the UK GDPR",
        extension="Article 12A of the UK GDPR" if new_limits else "Article 12(3) of the UK GDPR",
        refusal="Article 12(4) of the UK GDPR",
        erasure="Article 17 of the UK GDPR",
        complaint=complaint,
        court="section 167 of the Data Protection Act 2018",
    )
