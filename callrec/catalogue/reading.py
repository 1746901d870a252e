"""What is read of calls: searches, one call, recordings, what a start has to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from callrec.catalogue import finding
from callrec.catalogue.errors import AmbiguousId, CallNotFound
from callrec.catalogue.items import item_of
from callrec.catalogue.opening import open_identities
from callrec.catalogue.protections import protecting
from callrec.catalogue.store import Store
from callrec.catalogue.tables import calls, parts
from callrec.catalogue.values import (
    FindQuery,
    Item,
    OpenRow,
    Page,
    Part,
    Recording,
)

_NEWEST_ROWS_CLAIMED = 10_000
_NEWEST_ROWS_LEFT = 10_000


class Readings(Store):
    """The catalogue as far as it is read."""

    async def find(self, query: FindQuery) -> Page:
        """Return calls, newest first; numbers in full: hiding them from roles is the API's part.

        Raises:
            OperatorError: if number or cursor are no search of ours.
            StorageUnavailable: if the catalogue cannot be read in time.
        """
        limit = max(1, min(query.limit, finding.MOST_ITEMS_A_PAGE))
        position = None if query.cursor is None else finding.Position.of(query.cursor)
        check = finding.last_check(query)
        query = await self._rarest_word_first(query)
        items: list[Item] = []
        while True:
            statement = finding.build(query, self._index_keys, position, limit + 1)
            rows = [] if statement is None else await self._rows(statement)
            consumed = 0
            for row, item in zip(rows, await self._items(rows[:limit]), strict=False):
                consumed += 1
                position = finding.Position(row["started_at"], row["call_id"])
                if check is None or check(item):
                    items.append(item)
                if len(items) == limit:
                    break
            more = consumed < len(rows)
            if len(items) == limit or not more:
                return Page(items, position.cursor() if more and position else None)

    async def _rarest_word_first(self, query: FindQuery) -> FindQuery:
        counts = {}
        for word, count in finding.words_to_count(query, self._index_keys).items():
            (row,) = await self._rows(count)
            counts[word] = next(iter(row.values()))
        return replace(query, text=" ".join(sorted(counts, key=lambda word: counts[word]))) if counts else query

    async def _items(self, rows: Sequence[dict[str, Any]]) -> list[Item]:
        identities = await open_identities(self._sealer, rows)
        refs = await self.refs.of(row["relationship_id"] for row in rows)
        items = [
            item_of(row, identity, refs.get(row["relationship_id"]))
            for row, identity in zip(rows, identities, strict=True)
        ]
        await self._show_holds(items)
        return items

    async def _show_holds(self, items: Sequence[Item]) -> None:
        """Say of each item what nobody may erase it for, or play it."""
        if not items:
            return
        holds: dict[str, list[dict[str, str]]] = {}
        for row in await self._rows(protecting([item["call_id"] for item in items])):
            holds.setdefault(row["call_id"], []).append({"id": row["protection_id"], "kind": row["kind"]})
        for item in items:
            item["holds"] = holds.get(item["call_id"], [])

    async def get(self, asked: str) -> Item:
        """Return the call that a call id, recording id, call reference or unique prefix of an id names.

        Raises:
            CallNotFound: if there is none, or it is erased.
            AmbiguousId: if several begin so.
        """
        rows = await self._rows(finding.by_prefix(asked))
        exact = [row for row in rows if asked in {row["call_id"], row["recording_id"]}]
        rows = exact or rows
        if not rows:
            raise CallNotFound(asked)
        if len(rows) > 1:
            raise AmbiguousId(asked)
        return (await self._items(rows))[0]

    async def state_of(self, call_id: str) -> str | None:
        """Return `in_progress`, `ended` or `erased`, None where the call is unknown."""
        rows = await self._rows(select(calls.c.in_progress, calls.c.erasure).where(calls.c.call_id == call_id))
        if not rows:
            return None
        if rows[0]["erasure"] is not None:
            return "erased"
        return "in_progress" if rows[0]["in_progress"] else "ended"

    async def in_progress(self) -> list[OpenRow]:
        """Return the rows without an end, oldest first: after a crash, the calls to end as interrupted."""
        rows = await self._rows(select(calls).where(calls.c.in_progress.is_(True)).order_by(calls.c.sequence))
        known = await self._parts([row["call_id"] for row in rows])
        return [
            OpenRow(
                **{name: row[name] for name in OpenRow.__slots__ if name != "parts"},
                parts=known.get(row["call_id"], ()),
            )
            for row in rows
        ]

    async def declined(self) -> list[str]:
        """Return ended calls that are not recorded and still name a recording: its destruction was cut off.

        The newest rows are enough: each start completes what the run before it left.
        """
        newest = (
            select(calls.c.call_id, calls.c.recording_id)
            .where(calls.c.outcome == "not_recorded", calls.c.erasure.is_(None))
            .order_by(calls.c.started_at.desc())
            .limit(_NEWEST_ROWS_LEFT)
            .subquery()
        )
        rows = await self._rows(select(newest.c.call_id).where(newest.c.recording_id.is_not(None)))
        return [row["call_id"] for row in rows]

    async def recordings_of(self, call_id: str) -> Recording | None:
        """Return where the audio of a call lies, None if it has none or is erased."""
        query = select(calls).where(calls.c.call_id == call_id, calls.c.erasure.is_(None))
        found = await self._recordings(await self._rows(query))
        return found[0] if found else None

    async def all_recordings(self, after: str = "", limit: int = 500) -> list[Recording]:
        """Return recordings with audio in the order of their ids, after the one given, none of a call in progress."""
        query = (
            select(calls)
            .where(calls.c.recording_id > after, calls.c.in_progress.is_(False), calls.c.erasure.is_(None))
            .order_by(calls.c.recording_id)
            .limit(limit)
        )
        return await self._recordings(await self._rows(query))

    async def _recordings(self, rows: Sequence[dict[str, Any]]) -> list[Recording]:
        known = await self._parts([row["call_id"] for row in rows])
        return [
            Recording(
                row["call_id"],
                row["recording_id"],
                row["audio_key_id"],
                row["recording_started_at"],
                known.get(row["call_id"], ()),
            )
            for row in rows
            if row["recording_id"] is not None
        ]

    async def _parts(self, call_ids: Sequence[str]) -> dict[str, tuple[Part, ...]]:
        if not call_ids:
            return {}
        query = select(parts).where(parts.c.call_id.in_(call_ids)).order_by(parts.c.number)
        found: dict[str, tuple[Part, ...]] = {}
        for row in await self._rows(query):
            part = Part(row["recording_id"], row["number"], row["path"], row["segments"], row["cut"])
            found[row["call_id"]] = (*found.get(row["call_id"], ()), part)
        return found

    async def known_paths(self, paths: Iterable[str]) -> set[str]:
        """Return those of the paths (relative to the recordings folder) that belong to a call."""
        wanted = list(paths)
        known: set[str] = set()
        for start in range(0, len(wanted), 500):
            query = select(parts.c.path).where(parts.c.path.in_(wanted[start : start + 500]))
            known |= {row["path"] for row in await self._rows(query)}
        return known

    async def claimed_keys(self, key_ids: Iterable[str]) -> set[str]:
        """Return those of the keys that a row has; the newest rows are enough, for spare keys are taken in order."""
        wanted = set(key_ids)
        query = (
            select(calls.c.identity_key_id, calls.c.audio_key_id)
            .order_by(calls.c.sequence.desc())
            .limit(_NEWEST_ROWS_CLAIMED)
        )
        return {key for row in await self._rows(query) for key in row.values() if key in wanted}

    async def counts(self) -> dict[str, int]:
        """Return how many calls there are, by outcome reason; `in_progress` for those without one."""
        query = (
            select(calls.c.outcome_reason, func.count().label("calls"))
            .where(calls.c.erasure.is_(None))
            .group_by(calls.c.outcome_reason)
        )
        return {row["outcome_reason"] or "in_progress": row["calls"] for row in await self._rows(query)}
