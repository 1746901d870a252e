"""Holds and restrictions as people keep them: what nobody may erase, or play, at whose word, and until when to look.

A hold is a frozen list of calls, and a rule for those to come where it names a number or a party (LAW-52). It beats
retention, deletion, erasure and the discarding of what a stopped call had stored (LAW-53, LAW-62).
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection

from callrec.catalogue.documents import SealedField
from callrec.catalogue.erasure import LedgerDue
from callrec.catalogue.protections import ProtectionRow, add_protection, release
from callrec.catalogue.values import AuditEntry
from callrec.clock import rfc3339
from callrec.errors import ExitCode, IntegrityError, OperatorError
from callrec.identifiers import new_id
from callrec.privacy.promise_people import Parties, Whom, clean_prefix, find_whom, name_of, the_one, usage
from callrec.privacy.protections import Hold, Protection
from callrec.privacy.repeats import repeat_ids
from callrec.privacy.watch_levels import check_review_date, hold_review_level
from callrec.privacy.wishes_in_force import KINDS, WishesInForce

ReleaseHappened = Callable[[Sequence[str]], Awaitable[None]]
"""Told which calls a release let go: erasures that waited for them are queued again (LAW-53)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold is to be over: calls named one by one, or those of a number or a party."""

    ids: tuple[str, ...] = ()
    number: str | None = None
    party: str | None = None


class HoldBook:
    """Places, lists and releases holds and restrictions; each method returns a document for people and programs."""

    def __init__(
        self, in_force: WishesInForce, parties: Parties | None, release_happened: ReleaseHappened | None = None
    ) -> None:
        self._in_force = in_force
        self._stores = in_force.stores
        self._parties = parties
        self._release_happened = release_happened

    async def place(  # noqa: PLR0913 - the fields of one hold, as the contract names them
        self, kind: str, scope: Scope, *, reason: str, review: date, actor: str, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Place a hold or restriction; it counts on one person's word.

        Args:
            kind: `legal_hold`, `sar_hold` or `restricted`.
            scope: calls by any unique prefix of their ids, or a number in any spelling, or a party.
            reason: why; sealed.
            review: the day by which somebody looks whether it is still needed, at most six months on (LAW-52).
            actor: who places it.
            idempotency_key: what the same person placed under the same key is found, not placed again.

        Returns `id` and `calls`, the ids of those it is over now.

        Raises:
            OperatorError: if it is over nothing (2, 3), has no reason or no fitting review date, or another was placed
                under that key (2), or there are no keys (7).
            StorageUnavailable: if it cannot be stored; then nothing was changed.
        """
        self._check(kind, reason, review)
        whom = await self._whom(scope)
        wanted = await self._wanted(scope, whom)
        protection_id, placed = await self._id_of(kind, actor, idempotency_key)
        if placed is not None:
            return await self._placed(placed, whom, reason=reason, review=review)
        key_id, key = await self._stores.keys.new_key("hold")
        document = {"reason": reason, **(whom.document if whom is not None else {})}
        body = _body(protection_id).seal(self._stores.keys, key, document)
        lookup, party_id = (whom.lookup, whom.party_id) if whom is not None else (None, None)
        now = self._stores.now()
        row = ProtectionRow(protection_id, kind, lookup, party_id, actor, now, review, key_id, body)
        held = await self._store(row, wanted)
        await self._take(row, whom, held)
        about = whom.masked if whom is not None else {}
        told = {"protection": protection_id, "kind": kind, "review_on": review.isoformat(), **about, "calls": len(held)}
        await self._finish(actor, f"{_command(kind)} add", told)
        return {"id": protection_id, "calls": held}

    async def _id_of(self, kind: str, actor: str, idempotency_key: str | None) -> tuple[str, ProtectionRow | None]:
        """Return the id for a new protection, and what was placed under the same key already."""
        if idempotency_key is None:
            return new_id(), None
        node_key = self._stores.keys.system_key("node")
        ids = repeat_ids(node_key, kind, actor, idempotency_key, self._stores.now().date())
        placed = [row for one in ids for row in await self._in_force.reader.protections_named(one)]
        return ids[0], placed[0] if placed else None

    async def _placed(self, row: ProtectionRow, whom: Whom | None, *, reason: str, review: date) -> dict[str, Any]:
        """Return what was placed before; raises OperatorError (2) if it was for something else."""
        about = (whom.lookup, whom.party_id) if whom is not None else (None, None)
        said = self._opened(row, await self._stores.keys.load(row.key_id)).get("reason")
        if (row.lookup, row.party_id, row.review_on, said) != (*about, review, reason):
            raise usage("found another hold under this idempotency key before; take a new key")
        calls = await self._in_force.reader.calls_under([row.protection_id])
        return {"id": row.protection_id, "calls": calls[row.protection_id]}

    def _check(self, kind: str, reason: str, review: date) -> None:
        if kind not in KINDS:
            raise usage(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
        if not reason.strip():
            raise usage("found no reason; say why with --reason")
        check_review_date(review, self._stores.today())

    async def _whom(self, scope: Scope) -> Whom | None:
        if scope.ids:
            if scope.number is not None or scope.party is not None:
                raise usage("found calls and a number or party; name calls, or one number, or one party")
            return None
        country = self._stores.settings().org.country
        keys = self._in_force.index_keys
        return await find_whom(scope.number, scope.party, keys=keys, parties=self._parties, country=country)

    async def _wanted(self, scope: Scope, whom: Whom | None) -> list[str]:
        if whom is None:
            return [(await self._stores.catalogue.get(prefix))["call_id"] for prefix in scope.ids]
        return await self._in_force.reader.calls_of(lookup=whom.lookup, party_id=whom.party_id)

    async def _store(self, row: ProtectionRow, wanted: Sequence[str]) -> list[str]:
        """Store a protection while nothing is being erased: what an erasure was promised already is gone."""
        due = LedgerDue(_command(row.kind), {"id": row.protection_id, "what": "made"})
        # Without an eraser nothing goes at all.
        async with self._stores.eraser.quiet() if self._stores.eraser is not None else contextlib.nullcontext():
            promised = self._promised()
            here = [call_id for call_id in dict.fromkeys(wanted) if call_id not in promised]

            def store(connection: Connection, _tell: Any) -> list[str]:
                return add_protection(connection, row, here, due)

            return await self._stores.catalogue.transact(store)

    def _promised(self) -> set[str]:
        """Return the calls of erasures that are promised in the ledger and not complete yet."""
        intents = self._stores.ledger.open_intents if self._stores.ledger is not None else []
        return {target["call_id"] for entry in intents for target in entry.body["targets"]}

    async def _take(self, row: ProtectionRow, whom: Whom | None, held: Sequence[str]) -> None:
        """Let it count for calls that are live or come from now on."""
        numbers = await self._in_force.numbers_of(row.party_id, self._stores.today())
        self._in_force.place(row, numbers)
        live = self._in_force.live
        live.protect(held)
        if whom is not None:
            live.protect(live.held(self._in_force.only(whom, numbers)))
            await self._in_force.extend()  # a call that began meanwhile

    async def show_all(self, kinds: Collection[str]) -> dict[str, Any]:
        """Return the holds and restrictions in force of some kinds, the oldest first."""
        reader = self._in_force.reader
        rows = await reader.protections(sorted(kinds))
        keys = await self._stores.keys.load_many(row.key_id for row in rows)
        calls = await reader.calls_under([row.protection_id for row in rows])
        today = self._stores.today()
        return {"items": [self._shown(row, keys.get(row.key_id), calls[row.protection_id], today) for row in rows]}

    def _shown(self, row: ProtectionRow, key: bytes | None, calls: Sequence[str], today: date) -> dict[str, Any]:
        opened = self._opened(row, key)
        level = hold_review_level(row.review_on, today)
        return {
            "id": row.protection_id,
            "kind": row.kind,
            "reason": opened.get("reason"),
            **name_of(opened),
            "placed_by": row.placed_by,
            "placed_at": rfc3339(row.placed_at),
            "review_on": row.review_on.isoformat(),
            "review_level": None if level is None else level.value,
            "calls": list(calls),
        }

    def _opened(self, row: ProtectionRow, key: bytes | None) -> dict[str, Any]:
        try:
            return {} if key is None else _body(row.protection_id).open(self._stores.keys, key, row.body)
        except IntegrityError:
            return {}  # it holds all the same

    async def release(self, prefix: str, actor: str, reason: str) -> dict[str, Any]:
        """Lift a hold or restriction; erasures that waited for its calls are queued again.

        Whoever lifts a restriction says by it that the person was told before (LAW-42): the audit entry keeps who.

        Returns `id` and `calls`, the ids of those that nothing else protects now.

        Raises:
            OperatorError: if there is no such hold (3), several (2), or under four eyes it is one's own (5).
        """
        found = await self._in_force.reader.protections_named(clean_prefix(prefix, "hold"))
        row: ProtectionRow = the_one(found, prefix, "hold")
        if row.released_at is not None:
            raise OperatorError(f"hold {row.protection_id}: it is released already", exit_code=ExitCode.NOT_FOUND)
        own = row.kind != Protection.RESTRICTION and row.placed_by == actor
        if own and self._stores.settings().privacy.four_eyes:
            raise OperatorError(
                f"hold {row.protection_id}: {actor} has placed it; somebody else releases it ([privacy] four_eyes)",
                exit_code=ExitCode.REFUSED,
            )
        calls = (await self._in_force.reader.calls_under([row.protection_id]))[row.protection_id]
        await self._lift(row, calls, actor, reason)
        free = await self._free(calls)
        told = {"protection": row.protection_id, "calls": len(calls)}
        await self._finish(actor, f"{_command(row.kind)} release", told)
        if free and self._release_happened is not None:
            await self._release_happened(free)
        return {"id": row.protection_id, "calls": free}

    async def _lift(self, row: ProtectionRow, calls: Sequence[str], actor: str, reason: str) -> None:
        key = await self._stores.keys.load(row.key_id)
        document = {**self._opened(row, key), "release_reason": reason, "calls": list(calls)}
        body = _body(row.protection_id).seal(self._stores.keys, key, document)
        lifted = replace(row, body=body, released_at=self._stores.now(), released_by=actor)
        due = LedgerDue(_command(row.kind), {"id": row.protection_id, "what": "lifted"})
        await self._stores.catalogue.transact(lambda connection, _: release(connection, lifted, due))
        self._in_force.release(row.protection_id)

    async def _free(self, calls: Sequence[str]) -> list[str]:
        """Return the calls that nothing protects any more, and let live ones discard again."""
        over = {one.call_id for one in await self._in_force.reader.over(calls)}
        live = self._in_force.live
        free = [call_id for call_id in calls if call_id not in over]
        live.protect(free, on=False)
        live.protect(live.held(self._in_force.stop_list))
        return free

    # For others

    async def holds_of(self, call_ids: Collection[str]) -> dict[str, tuple[Hold, ...]]:
        """Return what protects calls now; a call that nothing protects is not named."""
        found: dict[str, tuple[Hold, ...]] = {}
        for one in await self._in_force.reader.over(call_ids):
            found[one.call_id] = (*found.get(one.call_id, ()), Hold(one.protection_id, Protection(one.kind)))
        return found

    def reviews(self) -> list[dict[str, Any]]:
        """Return when each hold and restriction is to be looked at again, and how urgent that is, the next first."""
        return [
            {
                "id": row.protection_id,
                "kind": row.kind,
                "review_on": row.review_on.isoformat(),
                "level": None if level is None else level.value,
            }
            for row, level in self._in_force.reviews()
        ]

    async def _finish(self, actor: str, action: str, detail: dict[str, Any]) -> None:
        await self._stores.catalogue.record_audit(AuditEntry(actor, action, None, detail))
        await self._in_force.pay_ledger()


def _body(protection_id: str) -> SealedField:
    return SealedField("protections", protection_id)


def _command(kind: str) -> str:
    """Return what the command and the ledger call it: the two holds are one kind there."""
    return "restriction" if kind == Protection.RESTRICTION else "hold"
