"""The SIP vectors, read once, for the tests of messages and of the endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent / "vectors" / "sip"


@dataclass(frozen=True)
class TortureCase:
    """One message of RFC 4475 or RFC 5118 and what becomes of it; see tests/vectors/sip/README.md."""

    file: str
    section: str
    title: str
    message: str
    endpoint: list[int] | None
    note: str
    status: int = 0
    raises: dict[str, int] = field(default_factory=dict)

    @property
    def data(self) -> bytes:
        return (ROOT / self.file).read_bytes()

    def __str__(self) -> str:
        return Path(self.file).stem


@cache
def torture_cases() -> list[TortureCase]:
    return [TortureCase(**entry) for entry in json.loads((ROOT / "manifest.json").read_text())["messages"]]


@cache
def corpus(part: str) -> dict[str, dict[str, Any]]:
    """Return a part of the corpus (`sip_valid`, `sip_malformed`, `sdp_valid`, `sdp_malformed`) by name."""
    return {entry["name"]: entry for entry in json.loads((ROOT / "corpus.json").read_text())[part]}


def sip_bytes(entry: dict[str, Any]) -> bytes:
    """Return the exact bytes of a SIP message of the corpus."""
    return bytes(entry["message"].encode("latin-1"))
