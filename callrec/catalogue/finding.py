"""Queries: newest first, by keyset cursors, so that no page costs more than another."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, String, exists, func, literal, or_, select, tuple_

from callrec.catalogue.indexing import LAST_DIGITS, IndexKeys, keyed_hash, name_words, outside_fields
from callrec.catalogue.items import NUMBER_FIELDS
from callrec.catalogue.tables import UtcDateTime, calls, name_index, number_index
from callrec.catalogue.values import FindQuery, Item
from callrec.clock import parse_rfc3339
from callrec.errors import ExitCode, OperatorError
from callrec.identifiers import REFERENCE_ALPHABET

MOST_ITEMS_A_PAGE = 1000
_SHORTEST_PREFIX = 4
_MANY = 1000
_DIGITS = re.compile(r"\*\d{4,15}")
_REFERENCE = re.compile(f"[{REFERENCE_ALPHABET}]{{6,8}}")

Predicate = Callable[[Item], bool]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended."""

    started_at: datetime
    call_id: str

    def cursor(self) -> str:
        """Return the position as the text a client hands back."""
        text = json.dumps([self.started_at.isoformat(), self.call_id])
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> Position:
        """Return the position a cursor names.

        Raises:
            OperatorError: if it is none of ours.
        """
        try:
            text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            started_at, call_id = json.loads(text)
            return cls(parse_rfc3339(started_at), str(call_id))
        except (ValueError, TypeError, binascii.Error):
            raise _usage(f"cursor {cursor!r}: found no cursor of ours; begin again without one") from None


def _usage(message: str) -> OperatorError:
    return OperatorError(message, exit_code=ExitCode.USAGE)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the newest-first order comes from: the calls, or an index that names them."""

    started_at: Column[Any]
    call_id: Column[Any]
    conditions: tuple[ColumnElement[bool], ...] = ()

    def select(self) -> Select[Any]:
        """Return the query for whole rows of calls in this order."""
        query = select(calls)
        if self.call_id is not calls.c.call_id:
            query = query.select_from(self.call_id.table.join(calls, self.call_id == calls.c.call_id))
        return query.where(*self.conditions).order_by(self.started_at.desc(), self.call_id.desc())


def build(query: FindQuery, keys: IndexKeys | None, position: Position | None, limit: int) -> Select[Any] | None:
    """Return the statement of a search, or None where nothing can be found.

    Raises:
        OperatorError: if the number is no search of ours.
    """
    source = _source(query, keys)
    if source is None:
        return None
    statement = source.select().where(calls.c.erasure.is_(None))
    if query.number is not None and query.text and keys is not None:
        statement = statement.where(*_has_words(query.text, keys))
    if query.since is not None:
        statement = statement.where(source.started_at >= query.since)
    if query.until is not None:
        statement = statement.where(source.started_at < query.until)
    statement = statement.where(*_of_call(query))
    if position is not None:
        here = tuple_(literal(position.started_at, UtcDateTime()), literal(position.call_id, String()))
        statement = statement.where(tuple_(source.started_at, source.call_id) < here)
    return statement.limit(limit)


def _source(query: FindQuery, keys: IndexKeys | None) -> Source | None:
    if query.number is not None:
        return None if keys is None else _by_number(query.number, keys, outside_only=query.outside_only)
    if query.text:
        return _by_text(query.text, keys)
    return Source(calls.c.started_at, calls.c.call_id)


def _by_number(number: str, keys: IndexKeys, *, outside_only: bool) -> Source:
    index = number_index.c
    if number.startswith("*"):
        if not _DIGITS.fullmatch(number):
            raise _usage(f"number {number!r}: expected * and at least the last four digits, such as *0123")
        found = index.last_four == keyed_hash(keys.last_four, number[-LAST_DIGITS:])
    else:
        found = index.lookup == keyed_hash(keys.number, number)
    conditions = (found, index.outside.is_(True)) if outside_only else (found,)
    return Source(index.started_at, index.call_id, conditions)


def _by_text(text: str, keys: IndexKeys | None) -> Source | None:
    reference = text.strip().upper()
    if _REFERENCE.fullmatch(reference):
        by_reference = calls.c.call_reference == reference
        words = () if keys is None else _has_words(text, keys)
        found = or_(by_reference, *words) if words else by_reference
        return Source(calls.c.started_at, calls.c.call_id, (found,))
    if keys is None or not (wanted := name_words(text)):
        return None
    index = name_index.c
    # Whoever asks puts the rarest word first: see `words_to_count`.
    first = index.word == keyed_hash(keys.name, wanted[0])
    return Source(index.started_at, index.call_id, (first, *_has_words(" ".join(wanted[1:]), keys)))


def words_to_count(query: FindQuery, keys: IndexKeys | None) -> dict[str, Select[Any]]:
    """Return, where a search has several words, how to count each; the rarest, put first, makes the search short."""
    words = name_words(query.text or "") if query.number is None and keys is not None else []
    if len(words) < 2 or keys is None:
        return {}
    index = name_index.c
    return {
        word: select(func.count()).select_from(
            select(index.word).where(index.word == keyed_hash(keys.name, word)).limit(_MANY).subquery()
        )
        for word in words
    }


def _has_words(text: str, keys: IndexKeys) -> tuple[ColumnElement[bool], ...]:
    other = name_index.alias()
    return tuple(
        exists().where(other.c.call_id == calls.c.call_id, other.c.word == keyed_hash(keys.name, word))
        for word in name_words(text)
    )


def _of_call(query: FindQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.direction is not None:
        conditions.append(calls.c.direction == query.direction)
    if query.in_progress is not None:
        conditions.append(calls.c.in_progress.is_(query.in_progress))
    if query.outcome in {"recorded", "not_recorded"}:
        conditions.append(calls.c.outcome == query.outcome)
    elif query.outcome is not None:
        conditions.append(calls.c.outcome_reason == query.outcome)
    return conditions


def last_check(query: FindQuery) -> Predicate | None:
    """Return what an opened item must still satisfy: more than the last four digits are in no index."""
    if query.number is None or not query.number.startswith("*") or len(query.number) <= LAST_DIGITS + 1:
        return None
    digits = query.number[1:]

    def ends_with(item: Item) -> bool:
        fields: Sequence[str] = outside_fields(item["direction"]) if query.outside_only else NUMBER_FIELDS
        return any(str(item[name] or "").endswith(digits) for name in fields)

    return ends_with


def by_prefix(asked: str) -> Select[Any]:
    """Return the query for the calls that a call id, recording id, call reference or prefix of an id names.

    Raises:
        OperatorError: if the prefix is too short to mean one call.
    """
    text = asked.strip()
    if len(text) < _SHORTEST_PREFIX:
        raise _usage(f"id {asked!r}: found {len(text)} characters, expected at least {_SHORTEST_PREFIX}")
    low = text.lower()
    # Ids are hexadecimal digits and hyphens, all of which sort before "g".
    matches = or_(
        calls.c.call_id.between(low, low + "g"),
        calls.c.recording_id.between(low, low + "g"),
        calls.c.call_reference == text.upper(),
    )
    return select(calls).where(matches, calls.c.erasure.is_(None)).limit(2)
