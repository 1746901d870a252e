"""The outbox: events written in the transaction of the change they tell, read back as CloudEvents documents."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from callrec.catalogue.items import Row, pack
from callrec.catalogue.sealer import Sealer
from callrec.catalogue.tables import outbox
from callrec.catalogue.values import Event, StoredEvent
from callrec.catalogue.writer import Numbers, Parameters, Step
from callrec.clock import rfc3339
from callrec.errors import IntegrityError
from callrec.identifiers import new_id

log = logging.getLogger("callrec.catalogue.outbox")

ERASED_NOUN, ERASED_VERB = "event", "erased"
"""What is left of an event about an erased call: its number."""

INSERT_OUTBOX = insert(outbox)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event with what its row needs; the data is made when its numbers are known."""

    event: Event
    at: datetime
    call_id: str | None
    key_id: str | None
    key: bytes | None


def outbox_row(sealer: Sealer, envelope: Envelope, data: Mapping[str, Any], numbers: Numbers) -> Parameters:
    """Return the row of one event, its body sealed where there is any key."""
    event_id = new_id()
    body = pack(data)
    if envelope.key is not None:
        body = sealer.seal(envelope.key, body, table="outbox", row=event_id, field="body")
    return {
        "sequence": numbers.next_event(),
        "event_id": event_id,
        "noun": envelope.event.noun,
        "verb": envelope.event.verb,
        "at": envelope.at,
        "subject": envelope.event.subject,
        "call_id": envelope.call_id,
        "key_id": envelope.key_id,
        "body": body,
        # Without any key a body is in clear: then it holds no number and no name.
        "sealed": envelope.key is not None,
    }


def outbox_step(rows: list[Parameters]) -> Step:
    """Return the step that stores events."""
    return Step(INSERT_OUTBOX, rows)


class OutboxReader:
    """Turns rows of the outbox into documents."""

    def __init__(self, sealer: Sealer, node: str) -> None:
        self._sealer = sealer
        self._node = node

    async def read(self, rows: Sequence[Row]) -> list[StoredEvent]:
        """Return the events of some rows; one whose key is destroyed is a stub with the same number."""
        keys = await self._sealer.load_many({row["key_id"] for row in rows if row["key_id"] is not None})
        return [self._event(row, keys) for row in rows]

    def _event(self, row: Row, keys: Mapping[str, bytes]) -> StoredEvent:
        data = self._data(row, keys)
        if data is None:
            return StoredEvent(row["sequence"], ERASED_NOUN, ERASED_VERB, self._document(row, None))
        return StoredEvent(row["sequence"], row["noun"], row["verb"], self._document(row, data))

    def _data(self, row: Row, keys: Mapping[str, bytes]) -> dict[str, Any] | None:
        body: bytes | None = row["body"]
        if body is None:
            return None
        if row["sealed"]:
            key = self._sealer.system_key("node") if row["key_id"] is None else keys.get(row["key_id"])
            if key is None:
                return None
            try:
                body = self._sealer.open_sealed(key, body, table="outbox", row=row["event_id"], field="body")
            except IntegrityError as error:
                # One altered row must not hold back every event after it; the log and the stub tell.
                log.error("event %d is unreadable: %s", row["sequence"], error)  # noqa: TRY400 - no trace wanted
                return None
        document: dict[str, Any] = json.loads(body)
        return document

    def _document(self, row: Row, data: dict[str, Any] | None) -> dict[str, Any]:
        """Return a CloudEvents 1.0 document."""
        noun, verb = (ERASED_NOUN, ERASED_VERB) if data is None else (row["noun"], row["verb"])
        document = {
            "specversion": "1.0",
            "id": row["event_id"],
            "source": f"callrec/{self._node}",
            "type": f"com.callrec.{noun}.{verb}.v1",
            "time": rfc3339(row["at"]),
            "sequence": f"{row['sequence']:020d}",
            "datacontenttype": "application/json",
            "data": {} if data is None else data,
        }
        if data is not None and row["subject"] is not None:
            document["subject"] = row["subject"]
        return document
