"""Statements about parties: what they find, in which order, and by which index."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import sqlite

from callrec.catalogue import CallIdentity
from callrec.catalogue.indexing import IndexKeys, keyed_hash
from callrec.catalogue.parties import MANY, CallOfNumber, PartyReader, pieces
from callrec.catalogue.values import Tie
from callrec.privacy import Reason
from tests.catalogue.house import CALLER, OTHER, OURS, START, House, house
from tests.support.promises import WHO, office


def lookup(here: House, number: str) -> bytes:
    keys = IndexKeys.of(here.keyring)
    assert keys is not None
    return keyed_hash(keys.number, number)


def test_pieces_have_everything_once() -> None:
    """Whatever is named in a statement comes in lists of at most its size."""
    assert [len(piece) for piece in pieces(range(MANY * 2 + 1))] == [MANY, MANY, 1]
    assert list(pieces(())) == []


async def test_the_calls_of_numbers_are_walked_once_each(tmp_path: Path) -> None:
    """Page by page, as the outside party's number only, also where calls began in the same moment."""
    async with house(tmp_path) as here:
        calls = [(await here.open_call(started_at=START)).call_id for _ in range(4)]
        other = CallIdentity(OTHER, OTHER, called_number=OURS)
        calls += [(await here.open_call(identity=other)).call_id for _ in range(3)]
        reader = PartyReader(here.catalogue.rows)
        lookups = [lookup(here, number) for number in (CALLER, OTHER, OURS)]
        found: list[str] = []
        place: CallOfNumber | None = None
        while page := await reader.calls_of_numbers(lookups, place, 2):
            found += [one.call_id for one in page]
            place = page[-1]
        assert sorted(found) == sorted(calls)


async def test_the_calls_of_parties_are_walked_while_they_change_hands(tmp_path: Path) -> None:
    """A call that is tied to another party during the walk is not met again, and none is left out."""
    async with house(tmp_path) as here:
        calls = sorted([(await here.open_call()).call_id for _ in range(7)])
        await here.catalogue.tie([Tie(call_id, "b", "unmatched", None) for call_id in calls])
        reader = PartyReader(here.catalogue.rows)
        found: list[str] = []
        after = ("", "")
        while page := await reader.calls_tied(("a", "b"), after, 2):
            found += [call_id for _, call_id in page]
            after = page[-1]
            await here.catalogue.tie([Tie(call_id, "a", "unmatched", None) for _, call_id in page])
        assert found == calls
        assert await reader.count_calls("a") == 7


async def test_an_erased_call_is_tied_to_nobody(tmp_path: Path) -> None:
    """Its stub keeps month, direction and outcome, whatever is tied afterwards."""
    async with house(tmp_path) as here:
        new = await here.recorded_call()
        await here.eraser().erase([new.call_id], reason=Reason.DELETE, authoriser="root")
        await here.catalogue.tie([Tie(new.call_id, "a", "customer", date(2030, 1, 1))])
        assert await here.catalogue.leftovers([new.call_id]) == []
        assert await PartyReader(here.catalogue.rows).call_rows([new.call_id]) == []


async def test_references_are_kept_at_hand_and_forgotten(tmp_path: Path) -> None:
    """A list asks the store once; a forgotten party's reference is not kept, nor brought back by a slow look."""
    async with office(tmp_path) as here:
        await here.book.set("C-1", numbers=[CALLER], actor=WHO)
        party_id = await here.book.party_id("C-1")
        assert party_id is not None
        refs, asked = here.stores.catalogue.refs, list[Any]()
        rows = refs._rows

        async def noted(query: Select[Any]) -> list[dict[str, Any]]:
            asked.append(query)
            return await rows(query)

        refs._rows = noted
        for _ in range(3):
            assert await refs.of([party_id, None, "unknown"]) == {party_id: "C-1"}
        assert len(asked) == 3  # only for the unknown one, which a restore could bring

        async def overtaken(query: Select[Any]) -> list[dict[str, Any]]:
            found = await rows(query)
            refs.forget(party_id)
            return found

        refs.forget(party_id)
        refs._rows = overtaken
        await refs.of([party_id])
        assert party_id not in refs._known


@pytest.mark.parametrize("asked", ["tied", "numbers", "count", "named", "histories", "refs", "all"])
async def test_nothing_about_parties_walks_through_all_rows(tmp_path: Path, asked: str) -> None:
    """Every statement finds its rows by an index: a million calls cost a change of one party nothing."""
    async with house(tmp_path) as here:
        plans: list[str] = []

        async def explained(query: Select[Any]) -> list[dict[str, Any]]:
            compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
            values = {name: compiled.params[name] for name in compiled.params}
            bound = text(f"EXPLAIN QUERY PLAN {_named(str(compiled), compiled.positiontup or [])}")
            plans.extend(
                await here.catalogue.read(
                    lambda connection: [row.detail for row in connection.execute(bound, _plain(values))]
                )
            )
            return await here.catalogue.rows(query)

        reader = PartyReader(explained)
        await here.open_call(started_at=START + timedelta(days=1))
        await {
            "tied": lambda: reader.calls_tied(("a", "b"), ("", ""), 10),
            "numbers": lambda: reader.calls_of_numbers([b"1", b"2"], CallOfNumber(b"1", START, "c"), 10),
            "count": lambda: reader.count_calls("a"),
            "named": lambda: reader.named([b"1", b"2"]),
            "histories": lambda: reader.histories([b"1"]),
            "refs": lambda: reader.by_refs([b"1"]),
            "all": lambda: reader.all_calls("a", 10),
        }[asked]()
        assert plans
        assert not [plan for plan in plans if plan.startswith("SCAN")], plans


def _named(statement: str, names: list[str]) -> str:
    """Return a statement whose question marks are names."""
    for name in names:
        statement = statement.replace("?", f":{name}", 1)
    return statement


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat(" ") if hasattr(value, "isoformat") else value for name, value in values.items()}
