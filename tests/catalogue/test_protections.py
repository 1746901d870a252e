"""Statements about stops and holds find what they look for by its index, however many calls there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event

from callrec.catalogue import protections
from callrec.catalogue.engine import migrate
from callrec.catalogue.erasure import LedgerDue
from callrec.catalogue.protections import ProtectionRow

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


@contextmanager
def plans_of(folder: Path) -> Iterator[tuple[Connection, list[str]]]:
    """Give an empty catalogue, and how each statement that is asked of it finds its rows."""
    path = folder / "catalogue.db"
    migrate(path)
    engine = create_engine(f"sqlite:///{path}")
    plans: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        assert not many
        plans.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())

    with engine.begin() as connection:
        yield connection, plans
    engine.dispose()


def a_rule(lookup: bytes | None, party_id: str | None) -> ProtectionRow:
    return ProtectionRow("h-1", "legal_hold", lookup, party_id, "dora", NOW, date(2027, 2, 1), "key", b"")


@pytest.mark.parametrize(("lookup", "party_id"), [(b"n" * 16, None), (None, "p-1")], ids=["number", "party"])
def test_law_52_a_rule_never_walks_through_the_calls_of_everybody(
    tmp_path: Path, lookup: bytes | None, party_id: str | None
) -> None:
    """LAW-52: bringing new calls under a hold costs as much as the calls it names, not as much as there are."""
    with plans_of(tmp_path) as (connection, plans):
        protections.add_protection(connection, a_rule(lookup, party_id), [], LedgerDue("hold", {}))
        plans.clear()
        assert protections.extend(connection) == 0
        assert any("calls" in plan for plan in plans)
        assert [plan for plan in plans if plan.startswith("SCAN") and plan != "SCAN protections"] == []


def test_a_page_of_calls_finds_its_holds_by_their_ids(tmp_path: Path) -> None:
    """Lists stay as quick as they are however much is held."""
    with plans_of(tmp_path) as (connection, plans):
        connection.execute(protections.protecting(["c-1", "c-2"]))
        assert [plan for plan in plans if plan.startswith("SCAN")] == []
