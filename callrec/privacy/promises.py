"""The books in which promises are kept: who a party is, how long, at whose wish, and what nobody may touch."""

from __future__ import annotations

from dataclasses import dataclass, field

from callrec.privacy.protection_book import ProtectionBook
from callrec.privacy.relationships import Relationships
from callrec.privacy.request_watch import RequestWatch
from callrec.privacy.requests import RequestBook
from callrec.privacy.retention_runs import RetentionBook


@dataclass(slots=True)
class Promises:
    """The books of one recorder; the API asks them, the recorder's loops turn their pages.

    Each needs another, so they are made first and joined here one by one; none is asked before all are.
    """

    protections: ProtectionBook = field(init=False)
    relationships: Relationships = field(init=False)
    requests: RequestBook = field(init=False)
    watch: RequestWatch = field(init=False)
    """The eyes on the clocks of requests."""
    retention: RetentionBook = field(init=False)
