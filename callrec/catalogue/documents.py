"""Sealed documents: personal fields of parties, requests and stops, as JSON under a key of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callrec.catalogue.items import pack
from callrec.catalogue.sealer import Sealer


@dataclass(frozen=True, slots=True)
class SealedField:
    """Which field of which row a document is sealed for: it opens nowhere else."""

    table: str
    row: str
    field: str = "body"

    def seal(self, sealer: Sealer, key: bytes, document: Mapping[str, Any]) -> bytes:
        """Return a JSON document sealed for this field."""
        return sealer.seal(key, pack(document), table=self.table, row=self.row, field=self.field)

    def open(self, sealer: Sealer, key: bytes, sealed: bytes) -> dict[str, Any]:
        """Return what was sealed for this field; raises IntegrityError."""
        opened = sealer.open_sealed(key, sealed, table=self.table, row=self.row, field=self.field)
        document: dict[str, Any] = json.loads(opened)
        return document
