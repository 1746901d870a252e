"""Rows of calls, their indices, the outbox and the audit chain; `catalogue.py` is the door."""

from callrec.catalogue.catalogue import Catalogue
from callrec.catalogue.errors import AmbiguousId, CallNotFound, StorageUnavailable
from callrec.catalogue.reserve_journal import ReserveJournal
from callrec.catalogue.state_lock import StateLock
from callrec.catalogue.store import Options, StorageProblem
from callrec.catalogue.values import (
    AuditEntry,
    CallChange,
    CallEnd,
    CallIdentity,
    Event,
    FindQuery,
    Item,
    NewCall,
    NumbersMode,
    OpenRow,
    Page,
    Part,
    Recording,
    StoredEvent,
)

__all__ = [
    "AmbiguousId",
    "AuditEntry",
    "CallChange",
    "CallEnd",
    "CallIdentity",
    "CallNotFound",
    "Catalogue",
    "Event",
    "FindQuery",
    "Item",
    "NewCall",
    "NumbersMode",
    "OpenRow",
    "Options",
    "Page",
    "Part",
    "Recording",
    "ReserveJournal",
    "StateLock",
    "StorageProblem",
    "StorageUnavailable",
    "StoredEvent",
]
